"""Names the machine and versions of a benchmark, and runs commands with a stopwatch."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("ercpseg", "torch", "nnunetv2", "numpy")


def machine() -> str:
    """One line: processor, cores, memory, Python and versions."""
    import psutil

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {versions}"


def script(name: str) -> str:
    """The path of a console script of this environment."""
    return str(Path(sys.executable).parent / name)


def run(command: list[str], *, environment: dict[str, str] | None = None, cwd: Path | None = None) -> float:
    """Run a command to its end; returns wall seconds. Its output is shown when it fails.

    It may keep its compiled modules, as an installed program has them.
    """
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    done = subprocess.run(
        command,
        env={**inherited, **(environment or {})},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{command}: exit {done.returncode}\n{done.stdout.decode(errors='replace')[-4000:]}")
    return seconds
