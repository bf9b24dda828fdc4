"""How long each step of answering a frame takes, one frame after the other, as in live use."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.frames.frame import Frame
from ercpseg.inference.predictor import Predictor
from ercpseg.postprocess.finish import finish
from ercpseg.structures import Bitmask

STEPS = ("decode", "prepare", "forward", "post-process", "encode")
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Bench:
    """Milliseconds per call and step, (calls,) each; a call is ``batch`` frames. ``memory_mib`` is the process's peak."""

    milliseconds: dict[str, NDArray[np.float64]]
    batch: int
    memory_mib: float
    gpu_memory_mib: float | None
    device: str
    runtime: str

    @property
    def total(self) -> NDArray[np.float64]:
        """Milliseconds of each call in all."""
        return np.asarray(np.sum(list(self.milliseconds.values()), axis=0), np.float64)

    @property
    def frames_per_s(self) -> float:
        """Frames by seconds over all calls."""
        return float(1000 * self.batch * len(self.total) / self.total.sum())

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Step → p50, p95 and p99 in milliseconds; ``total`` is that of whole calls, not the sum of the rows."""
        rows = {**self.milliseconds, "total": self.total}
        return {name: {f"p{q}": float(np.percentile(values, q)) for q in PERCENTILES} for name, values in rows.items()}


def bench(
    predictor: Predictor,
    decode: Callable[[int], Frame],
    encode: Callable[[Frame, Bitmask], Any],
    *,
    calls: int,
    warm_up: int = 5,
) -> Bench:
    """Time ``calls`` calls of the predictor's batch size; the first ``warm_up`` are not counted."""
    times: dict[str, list[float]] = {name: [] for name in STEPS}
    on_gpu = predictor.device == "cuda"
    if on_gpu:
        import torch

        torch.cuda.reset_peak_memory_stats()
    for number in range(warm_up + calls):
        marks = _call(predictor, decode, encode, range(number * predictor.batch, (number + 1) * predictor.batch))
        if number >= warm_up:
            for name, (start, stop) in zip(STEPS, pairwise(marks), strict=True):
                times[name].append(1000 * (stop - start))
    gpu = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None
    return Bench(
        {name: np.array(values) for name, values in times.items()},
        predictor.batch,
        peak_memory_mib(),
        gpu,
        predictor.device,
        predictor.chosen.note,
    )


def _call(
    predictor: Predictor,
    decode: Callable[[int], Frame],
    encode: Callable[[Frame, Bitmask], Any],
    numbers: Sequence[int],
) -> list[float]:
    """The moments between the steps of one call."""
    marks = [time.perf_counter()]
    frames = [decode(number) for number in numbers]
    marks.append(time.perf_counter())
    prepared = [predictor.prepare(frame) for frame in frames]
    marks.append(time.perf_counter())
    logits = predictor.forward(predictor.inputs(prepared))
    if predictor.device == "cuda":
        import torch

        torch.cuda.synchronize()
    marks.append(time.perf_counter())
    masks = [finish(one, p.geometry, predictor.serving) for one, p in zip(logits, prepared, strict=True)]
    marks.append(time.perf_counter())
    for frame, bitmask in zip(frames, masks, strict=True):
        encode(frame, bitmask)
    marks.append(time.perf_counter())
    return marks


def peak_memory_mib() -> float:
    """The most memory that this process has held."""
    try:
        import resource
    except ImportError:  # not on Windows
        import psutil

        return float(psutil.Process().memory_info().rss / 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
