"""The command line: thin, one file per group, nothing heavy imported before a command runs."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Any


def main() -> None:
    """Run the command line and exit with a code of the contract (see ``ercpseg.errors``)."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a name or a sign that the terminal lacks must not end the run
                stream.reconfigure(errors="backslashreplace")
        from ercpseg.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while the modules were loaded
        code = 75
    try:
        sys.stdout.flush()
    except OSError:  # the disk is full, or nobody reads any more; else Python would end with a code of its own
        code = code or 74
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _interrupt(number: int, frame: Any) -> None:
    """SIGTERM ends a run as Ctrl-C does: what was begun is cleaned up."""
    raise KeyboardInterrupt
