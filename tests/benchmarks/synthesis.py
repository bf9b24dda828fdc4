"""Synthetic frames: how many a second, by domain, and that the bytes do not depend on the number of workers."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from tests.benchmarks.machine import run, script

FRAMES = int(os.environ.get("ERCPSEG_BENCH_FRAMES", "300"))
"""10000 is what the project asks for in one command; it takes minutes per row."""
SAME = 24
"""Frames that are compared for numbers of workers."""
HEIGHT = "512"
ROWS = (
    ("round-field", 3),
    ("round-field", 1),
    ("any-room", 1),
    ("saint-antoine", 1),
    ("shiraz", 1),
    ("portrait-spot", 1),
    ("phantom-simple", 1),
)
"""Domains, and frames a patient: a patient's anatomy is made once."""


def _synthesise(out: Path, domain: str, frames: int, patients: int, *more: str) -> float:
    count = ["--frames", str(frames), "--patients", str(patients), "--size", HEIGHT]
    return run([script("ercpseg"), "synth", str(out), "--domain", domain, *count, *more])


def _digest(folder: Path) -> str:
    """Of names and bytes of all files, whatever the folder is called."""
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(f"{path.relative_to(folder)}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def run_benchmark() -> str:
    """``ercpseg synth`` with start-up, images, masks and truth written."""
    lines = ["| domain | frames a patient | seconds | frames/s |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        _synthesise(root / "first", "round-field", 2, 2)  # compiled modules and the disk's cache are not what is asked
        for number, (domain, each) in enumerate(ROWS):
            seconds = _synthesise(root / str(number), domain, FRAMES, FRAMES // each)
            lines.append(f"| {domain} | {each} | {seconds:.1f} | {FRAMES / seconds:.1f} |")
        digests = []
        for workers in ("1", "2", "3"):
            out = root / workers / "same"
            _synthesise(out, "round-field", SAME, SAME, "--workers", workers)
            digests.append(_digest(out))
    same = "the same bytes" if len(set(digests)) == 1 else "DIFFERENT BYTES"
    return (
        "## Synthetic frames\n\n"
        f"`ercpseg synth` with start-up, {FRAMES} frames {HEIGHT} px high, images, masks and truth written, as many workers "
        f"as cores. {SAME} frames by 1, 2 and 3 workers: {same}. Load of the machine at the end: "
        f"{os.getloadavg()[0]:.1f}.\n\n" + "\n".join(lines)
    )
