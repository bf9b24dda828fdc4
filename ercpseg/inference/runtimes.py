"""What computes logits: a table of runtimes behind one interface.

A runtime takes (n, c, y, x) float32 (c: frames of a series) and gives the mean logits of all folds, (n, heads, y, x) float32:
arrays of numpy on a CPU, tensors of torch on any other device. ``auto`` takes what is fastest for what there is to do, where
finding that out and building it are repaid.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ercpseg.errors import UsageError
from ercpseg.frames.arrays import Array, on_device, to_numpy
from ercpseg.frames.mirror import Flip, mean_of_flips
from ercpseg.inference.folds import Folds, noise
from ercpseg.inference.lanes import Lanes

MEASURE_S = 0.15
"""What each of the two measurements of ``auto`` may take; the fastest of a handful of calls tells enough."""
REPAYS = 2.5
"""``auto`` has torch export a graph only where torch alone would need so many times what looking and building take: what can
be gained is about four tenths of it (light network at 512² in a lane: 15 ms by onnxruntime, 25 ms by torch)."""
LOOK_S = 60.0
"""Where a graph is drawn without torch, loading torch to compare takes 2 s, and it was never the faster one on a CPU yet: it is
asked only where so much is to do that the look costs little."""
CLEARLY = 0.8
"""Torch replaces a drawn graph only where it needs at most this share of its time; short looks differ as much by chance."""
COLD_S = 1.0
"""A first call that takes less than this is followed by another: on a busy machine it alone says little."""
FAR = 1e-2
"""Logits that another order of sums moves by more than this: ``auto`` does not trust such a graph on this machine."""
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


class Runtime(Protocol):
    """Mean logits of all folds for a batch of tiles. ``side_by_side``: several threads may call it at once."""

    name: str
    side_by_side: bool

    def __call__(self, batch: Array) -> Array:
        """(n, c, y, x) float32 → (n, heads, y, x) float32, of the kind and on the device of the batch."""


@dataclass(frozen=True)
class Chosen:
    """A runtime and what to say of it.

    ``difference``: the largest of its logits to torch in single precision on a tile of noise; where a graph was drawn without
    torch, to that graph computed layer by layer as it stands.
    """

    runtime: Runtime
    note: str
    difference: float = 0.0
    mirrors: bool = False
    """It gives the mean over the mirror images of a tile at once."""


@dataclass(frozen=True)
class Task:
    """What the runtime will have to do: the shape of one call (n, c, y, x), how many calls are expected, by how many lanes, and
    which mirror images of each tile count.
    """

    shape: tuple[int, int, int, int]
    calls: int | None = None
    lanes: int = 1
    flips: tuple[Flip, ...] = ((),)

    def seconds(self, one: float) -> float:
        """How long all calls take, where one tile and its mirror images take ``one``."""
        return one * self.shape[0] * (self.calls or 0) / self.lanes


Builder = Callable[[Folds, str, str, Task], Chosen]


def _torch(folds: Folds, device: str, precision: str, task: Task) -> Chosen:
    from ercpseg.inference.torch_runtime import build_torch

    return build_torch(folds, device, precision, task)


def _compile(folds: Folds, device: str, precision: str, task: Task) -> Chosen:
    from ercpseg.inference.torch_runtime import build_compiled

    return build_compiled(folds, device, precision, task)


def _onnx(folds: Folds, device: str, precision: str, task: Task) -> Chosen:
    from ercpseg.inference.onnx import build_onnx

    return build_onnx(folds, device, precision, task)


RUNTIMES: dict[str, Builder] = {"torch": _torch, "compile": _compile, "onnxruntime": _onnx}
"""Name → builder. ``auto`` chooses between torch and onnxruntime."""


def choose_runtime(name: str, folds: Folds, device: str, precision: str, task: Task) -> Chosen:
    """The runtime called ``name``, or for ``auto`` the one that is fastest here.

    Raises
    ------
    UsageError
        for a name that is not in :data:`RUNTIMES`, or one whose library is not installed.
    """
    if name != "auto":
        if name not in RUNTIMES:
            raise UsageError(
                f"unknown runtime {name[:16]!r}", where="--runtime", expected=f"auto, {', '.join(RUNTIMES)}"
            )
        return RUNTIMES[name](folds, device, precision, task)
    if device != "cpu" or precision not in ("auto", "fp32") or not _installed() or task.calls is None:
        return RUNTIMES["torch"](folds, device, precision, task)
    return _with_drawn(folds, precision, task) if folds.drawable else _with_exported(folds, precision, task)


def _with_drawn(folds: Folds, precision: str, task: Task) -> Chosen:
    """The drawn graph at once; torch only where that graph is not to be trusted, or long runs repay asking it."""
    try:
        drawn = RUNTIMES["onnxruntime"](folds, "cpu", precision, task)
    except UsageError as error:  # there, but it cannot be loaded; nobody asked for it
        return _torch_because(error, folds, precision, task)
    trusted = drawn.difference <= FAR  # false for what is no number, too
    seconds = measure(drawn.runtime, task, "cpu", MEASURE_S / 3)
    if trusted and task.seconds(seconds) < LOOK_S:
        return Chosen(drawn.runtime, f"{drawn.note}; {1000 * seconds:.1f} ms", drawn.difference, drawn.mirrors)
    plain = RUNTIMES["torch"](folds, "cpu", precision, task)
    slower = len(task.flips) * measure(plain.runtime, task, "cpu", MEASURE_S)
    seconds = min(seconds, measure(drawn.runtime, task, "cpu", MEASURE_S))
    found = difference(drawn.runtime, _mirroring(plain.runtime, task), task, "cpu")
    if not found <= FAR or slower <= CLEARLY * seconds:
        return plain
    note = f"onnxruntime float32 on cpu, logits within {found:.0e} of torch"
    return Chosen(drawn.runtime, f"{note}; {_both(seconds, slower)}", found, drawn.mirrors)


def _torch_because(error: UsageError, folds: Folds, precision: str, task: Task) -> Chosen:
    plain = RUNTIMES["torch"](folds, "cpu", precision, task)
    return replace(plain, note=f"{plain.note}; {error.what}")


def _mirroring(runtime: Runtime, task: Task) -> Callable[[Array], Array]:
    return lambda batch: mean_of_flips(batch, runtime, task.flips)


def _with_exported(folds: Folds, precision: str, task: Task) -> Chosen:
    """torch, or onnxruntime where the graph that torch exports repays being made."""
    plain = RUNTIMES["torch"](folds, "cpu", precision, task)
    seconds = measure(plain.runtime, task, "cpu", MEASURE_S)
    building = (
        2.5 + folds.parameters / 5e6
    )  # measured, imports included: 3 s for the light network, 12 s for 46 million
    if task.seconds(len(task.flips) * seconds) < REPAYS * (building + MEASURE_S):
        return plain
    try:
        other = RUNTIMES["onnxruntime"](folds, "cpu", precision, task)
    except UsageError as error:
        return _torch_because(error, folds, precision, task)
    faster = measure(other.runtime, task, "cpu", MEASURE_S)
    if faster >= seconds:
        return plain
    return Chosen(other.runtime, f"{other.note}; {_both(faster, seconds)}", other.difference)


def _both(taken: float, other: float) -> str:
    return f"{1000 * taken:.1f} ms against {1000 * other:.1f} ms"


def measure(runtime: Runtime, task: Task, device: str, budget_s: float) -> float:
    """Seconds of one tile: the fastest of as many calls as ``budget_s`` allows and of two; of a slow network the first alone.

    Where frames are predicted side by side, it is timed in one of their lanes.
    """
    tile = on_device(noise(task.shape), device)

    def timed(_: None) -> float:
        times: list[float] = []
        while not times or sum(times) + min(times) < budget_s or (len(times) == 1 and times[0] < COLD_S):
            start = time.perf_counter()
            to_numpy(runtime(tile))  # waits for a device
            times.append(time.perf_counter() - start)
        return min(times)

    return Lanes(1).map(timed, [None])[0] if task.lanes > 1 else timed(None)


def difference(runtime: Callable[[Array], Array], other: Callable[[Array], Array], task: Task, device: str) -> float:
    """Largest difference of logits between two runtimes on one tile of noise."""
    tile = on_device(noise(task.shape), device)
    return float(np.abs(to_numpy(runtime(tile)) - to_numpy(other(tile))).max())


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("onnxruntime") is not None and find_spec("onnx") is not None
