"""How long the command line takes to answer."""

from __future__ import annotations

import statistics
import sys

from tests.benchmarks.machine import run, script

REPEATS = 9


def run_benchmark() -> str:
    """Median over several starts, next to what Python itself and nnU-Net's help take."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import ercpseg": [sys.executable, "-c", "import ercpseg"],
        "ercpseg --help": [script("ercpseg"), "--help"],
        "ercpseg train --help": [script("ercpseg"), "train", "--help"],
        "ercpseg plans": [script("ercpseg"), "plans"],
        "nnUNetv2_train --help": [script("nnUNetv2_train"), "--help"],
    }
    rows = []
    for name, command in commands.items():
        run(command)
        repeats = 3 if "nnUNet" in name else REPEATS
        rows.append(f"| `{name}` | {statistics.median(run(command) for _ in range(repeats)):.2f} |")
    return "## Start of the command line\n\n| command | seconds (median) |\n|---|---|\n" + "\n".join(rows)
