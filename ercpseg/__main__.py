"""``python -m ercpseg`` is ``ercpseg``."""

from ercpseg.cli import main

if __name__ == "__main__":
    main()
