"""What training steps and forward passes cost on this machine, measured, so that a plan can fill a time budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ercpseg.documents.plan import AugmentationValues, NetworkValues
from ercpseg.networks import build_network

Size = tuple[int, int]
MOST_SECONDS = 2.0
"""Measuring a forward pass takes no longer than this and one pass."""
QUEUED_BATCHES = 4
"""Batches that exist at a time: three wait, one is learnt from."""
BYTES_PER_PARAMETER = 12
"""Gradient and two moments, four bytes each, beside the weight itself."""
BACKWARD_FACTOR = 1.85
"""Memory of a backward pass on a CPU, over what it was kept for: gradients of maps and work space come on top. Measured."""
OTHER_MEMORY_BYTES = 50e6
"""Frames that are read and cut, stacks of threads, validation. Measured."""
READING_S = 0.005
"""Reading and cutting one frame of a batch, on the thread that competes with the step for the cores. Measured."""
OTHER_TIME_FACTOR = 1.3
"""Time of an iteration on a CPU, over that of its step: optimiser, validation, saving. Measured."""
USUAL = AugmentationValues(
    rotation_deg=15.0,
    scale=(0.7, 1.4),
    shift_frac=0.16,
    mirror_axes=(),
    noise_sd=0.1,
    blur_sd_px=0.5,
    brightness=(0.75, 1.25),
    contrast=(0.75, 1.25),
    gamma=(0.7, 1.5),
    elastic_prob=0.1,
    elastic_sigma_px=60.0,
    elastic_shift_px=9.0,
    apply_prob=0.2,
)
"""What augmentation usually does; batches are prepared beside the step, and on a CPU both want the cores."""


def measure_step(
    network: NetworkValues, patch: Size, batch: int, heads: int, *, frames: int = 1, device: str = "cpu", steps: int = 3
) -> tuple[float, float]:
    """Seconds of a training iteration on random data, and the memory it takes in GB.

    One warm-up step, then the median of ``steps`` timed ones, with Dice and focal terms. On a CPU a thread prepares batches
    meanwhile, as in training, and a share is added for what comes beside the steps. Memory is what the step keeps for its
    backward pass, gradients and moments, and the batches that wait; on a GPU it is what was allocated.
    """
    from ercpseg.losses.compound import WeightedSum
    from ercpseg.losses.options import Term

    where = torch.device(device)
    model = build_network(network, heads, input_channels=frames).to(where)
    if device == "cpu":
        model = model.to(memory_format=torch.channels_last)
    names = [f"head{i}" for i in range(heads)]
    loss = WeightedSum(names, [Term("dice"), Term("focal")], level_weights=(1.0, 0.5)[: network.deep_supervision + 1])
    loss = loss.to(where)
    generator = torch.Generator().manual_seed(0)
    data = torch.randn((batch, frames, *patch), generator=generator).to(where)
    target = (torch.rand((batch, heads, *patch), generator=generator) > 0.9).to(torch.uint8).to(where)
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    kept = _Kept()
    times = []
    with _Beside(patch, batch, heads, frames) if device == "cpu" else _nothing() as beside:
        for step in range(steps + 1):
            start = time.perf_counter()
            if beside is not None:
                beside.take()
            with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack) if not step else _nothing():
                value = loss(model(data), target)
            value.backward()
            _descend(model)
            if where.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    if where.type == "cuda":
        return sorted(times[1:])[steps // 2], torch.cuda.max_memory_allocated() / 1e9
    parameters = sum(p.numel() for p in model.parameters())
    waiting = QUEUED_BATCHES * (data.nbytes + target.nbytes)
    memory = BACKWARD_FACTOR * kept.bytes + BYTES_PER_PARAMETER * parameters + waiting + OTHER_MEMORY_BYTES
    seconds = OTHER_TIME_FACTOR * sorted(times[1:])[steps // 2] + READING_S * batch * frames
    return seconds, memory / 1e9


def measure_forward(
    network: NetworkValues, tile: Size, heads: int, *, frames: int = 1, device: str = "cpu", passes: int = 5
) -> float:
    """Median seconds of a forward pass of one tile on random data, as prediction makes it; one warm-up pass."""
    where = torch.device(device)
    model = build_network(network, heads, input_channels=frames).to(where).eval()
    if device == "cpu":
        model = model.to(memory_format=torch.channels_last)
    data = torch.randn((1, frames, *tile), generator=torch.Generator().manual_seed(0)).to(where)
    times = []
    with torch.inference_mode():
        for _ in range(passes + 1):
            start = time.perf_counter()
            model(data)
            if where.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
            if sum(times) > MOST_SECONDS:  # a large network on a CPU: one pass tells enough
                break
    timed = times[1:] or times
    return sorted(timed)[len(timed) // 2]


class _Kept:
    """Counts the memory that a forward pass keeps for the backward pass; what is kept twice counts once."""

    def __init__(self) -> None:
        self._storages: dict[int, int] = {}

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    def unpack(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    @property
    def bytes(self) -> int:
        return sum(self._storages.values())


class _Beside:
    """Prepares random batches on a thread, as many as there are steps, while the block runs."""

    def __init__(self, patch: Size, batch: int, heads: int, frames: int):
        from ercpseg.augmentation.build import training_transforms

        transforms = training_transforms(USUAL, {f"head{i}": 1 << min(i, 6) for i in range(heads)}, patch)
        size = (round(1.25 * patch[0]), round(1.25 * patch[1]))
        segmentation = torch.ones((1, *size), dtype=torch.int16)
        sample: dict[str, Any] = {"image": torch.zeros((frames, *size)), "segmentation": segmentation}
        self._wanted, self._ready, self._stop = threading.Semaphore(1), threading.Semaphore(0), threading.Event()

        def work() -> None:
            while self._wanted.acquire() and not self._stop.is_set():
                for _ in range(batch):
                    transforms(**{key: value.clone() for key, value in sample.items()})
                self._ready.release()

        self._thread = threading.Thread(target=work, name="ercpseg-measure", daemon=True)

    def take(self) -> None:
        """Wait for a batch, and have the next one prepared."""
        self._ready.acquire()
        self._wanted.release()

    def __enter__(self) -> _Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._wanted.release()
        self._thread.join()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _descend(model: torch.nn.Module) -> None:
    """A plain gradient step. It costs about what the real one does, but loads no optimiser: that takes 4 seconds."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-3)
                parameter.grad = None
