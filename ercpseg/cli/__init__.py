"""The command line: thin, one file per group, nothing heavy imported before a command runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with a code of the contract (see ``ercpseg.errors``)."""
    from ercpseg.cli.app import run

    sys.exit(run(sys.argv[1:]))
