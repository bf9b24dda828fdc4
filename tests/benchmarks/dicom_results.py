"""DICOM results of single frames: what ``predict --format dicom-seg,dicom-sc`` spends on each object.

Quick runs: ``ERCPSEG_BENCH_FRAMES=5 python -m tests.benchmarks dicom-seg``.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import ercpseg.export.series as module
from ercpseg.pipeline.apply import PredictOptions, predict
from tests.unit.export.made import write_dicom

FRAMES, SIZE = int(os.environ.get("ERCPSEG_BENCH_FRAMES", "20")), 512
FORMATS = ("dicom-seg", "dicom-sc")
SIDES: dict[str, Any] = {"one for all objects": module.borrow, "one for each object": contextlib.nullcontext}
"""Who reads the headers → what holds the decoding children meanwhile; the second is how it was at first."""


@contextlib.contextmanager
def timed(borrow: Any) -> Iterator[dict[str, list[float]]]:
    """Seconds of every object by format."""
    seconds: dict[str, list[float]] = {name: [] for name in FORMATS}
    real = module._write

    def write(name: str, *rest: Any) -> Any:
        start = time.perf_counter()
        row = real(name, *rest)
        seconds[name].append(time.perf_counter() - start)
        return row

    with mock.patch.object(module, "_write", write), mock.patch.object(module, "borrow", borrow):
        yield seconds


def run_benchmark() -> str:
    """Predict the same files both ways."""
    rows, first = [], 0.0
    with tempfile.TemporaryDirectory(prefix="ercpseg-bench-") as folder:
        source = Path(folder, "in")
        for number in range(FRAMES):
            write_dicom(source / f"f{number:03d}.dcm", shape=(SIZE, SIZE))
        options = PredictOptions(device="cpu", runtime="torch", formats=("png", *FORMATS))
        for number, (side, borrow) in enumerate(SIDES.items()):
            with timed(borrow) as seconds:
                predict(source, Path(folder, f"out{number}"), "realtime", workspace=Path(folder, "w"), options=options)
            first = first or seconds[FORMATS[0]][0]
            for name, (_, *others) in seconds.items():
                rows.append(
                    f"| {name} | {side} | {statistics.median(others):.3f} ({min(others):.3f} to {max(others):.3f}) |"
                )
    head = "| format | decoding children | seconds per object: median (range) |\n|---|---|---|\n"
    return (
        f"## DICOM results\n\n{FRAMES} single-frame XA files of {SIZE}², predicted with `realtime` on a CPU, an object per "
        f"file. The first object, which loads the libraries, took {first:.2f} s and is left out. Headers are read in a "
        f"decoding child; starting and ending one for every object took most of the time. Load of the machine at the end: "
        f"{os.getloadavg()[0]:.1f}; times grow with it.\n\n{head}" + "\n".join(rows)
    )
