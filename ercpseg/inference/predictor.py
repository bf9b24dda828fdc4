"""The predictor: a model loaded once, frames in, masks out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ercpseg.documents.plan import Plan
from ercpseg.documents.run import ModelCard
from ercpseg.errors import ResourceError, UsageError
from ercpseg.frames.frame import Frame
from ercpseg.frames.prepare import Geometry, prepare
from ercpseg.frames.tiles import predict_tiled
from ercpseg.networks import build_network
from ercpseg.postprocess.finish import finish, native_probabilities
from ercpseg.storage.models import StoredModel, load_model
from ercpseg.structures import Bitmask, Mask, StructureSet


@dataclass(frozen=True)
class Prediction:
    """The result for one frame, at native size."""

    frame: Frame
    bitmask: Bitmask
    structures: StructureSet
    seconds: float
    probabilities: NDArray[np.float16] | None = None
    """(structures, y, x), before thresholds and post-processing; None unless asked for."""

    @property
    def masks(self) -> dict[str, Mask]:
        """Boolean (y, x) per structure; they may overlap."""
        return self.structures.decode(self.bitmask)


class Predictor:
    """Segments frames with one model. Make it once (:meth:`load`), then ask as often as you like.

    Frame preparation, tiles, thresholds and post-processing come from the model's plan and are the functions that
    training used. Several folds are averaged as logits; planned mirror axes are averaged too when ``tta`` is on.
    """

    def __init__(self, model: StoredModel, *, device: str = "auto", tta: bool | None = None):
        self.plan: Plan = model.plan
        self.card: ModelCard = model.card
        self.sha256 = model.sha256
        self.folds = tuple(model.weights)
        self.structures = model.plan.structure_set
        self.device = choose_device(device)
        axes = self.plan.values.augmentation.mirror_axes
        self._flips = _flips(axes) if tta is not False else [()]
        self._networks = [self._build(arrays) for arrays in model.weights.values()]
        if not self._networks:
            raise UsageError("the model holds no trained fold", where="--model", todo="train a fold first")

    @classmethod
    def load(
        cls, model: str | Path, *, folds: tuple[str, ...] | None = None, device: str = "auto", tta: bool | None = None
    ) -> Predictor:
        """Load a model folder or its zip; every file is checked against its SHA-256.

        Raises
        ------
        UsageError, StorageError
            when it is no model, or not whole.
        """
        return cls(load_model(Path(model), folds), device=device, tta=tta)

    def predict(self, frame: Frame | NDArray[Any], *, probabilities: bool = False) -> Prediction:
        """Segment one frame: a :class:`Frame`, or an array (y, x) of uint8 or uint16 with devices dark."""
        start = time.perf_counter()
        if not isinstance(frame, Frame):
            frame = Frame(name="frame", pixels=frame, bits=8 * frame.dtype.itemsize)
        _check(frame.pixels)
        logits, geometry = self.logits(frame.pixels)
        bitmask = finish(logits, geometry, self.plan)
        levels = native_probabilities(logits, geometry, self.plan) if probabilities else None
        return Prediction(frame, bitmask, self.structures, time.perf_counter() - start, levels)

    def stream(self, *, probabilities: bool = False) -> Stream:
        """A stream over this predictor."""
        return Stream(self, probabilities=probabilities)

    def logits(self, pixels: NDArray[Any]) -> tuple[torch.Tensor, Geometry]:
        """Logits (heads, y, x) at working size, on the device, and the way back to native size."""
        image, geometry = prepare(pixels, self.plan.values.preparation)
        with torch.inference_mode():
            try:
                tensor = torch.from_numpy(image).to(self.device)
                return predict_tiled(tensor, self.plan.values.patch.tile_px, self._forward), geometry
            except (torch.OutOfMemoryError, MemoryError) as error:
                raise ResourceError(
                    "out of memory", where="prediction", todo="use --device cpu or a smaller model"
                ) from error

    def _forward(self, batch: torch.Tensor) -> torch.Tensor:
        """(1, 1, y, x) → mean logits (1, heads, y, x) over folds and flips, the flips as one batch."""
        flipped = torch.cat([batch.flip(flip) if flip else batch for flip in self._flips])
        mean: torch.Tensor | None = None
        with torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            for network in self._networks:
                output = network(flipped).float()
                mean = output if mean is None else mean + output
        assert mean is not None  # noqa: S101  # there is at least one network
        parts = [
            part.flip(flip) if flip else part for part, flip in zip(torch.split(mean, 1), self._flips, strict=True)
        ]
        return torch.stack(parts).mean(0) / len(self._networks)

    def _build(self, arrays: dict[str, NDArray[Any]]) -> torch.nn.Module:
        from ercpseg.networks.weights import load_weights

        network = build_network(self.plan.values.network, list(self.plan.heads))
        load_weights(network, arrays, where="the model's weights")
        network = network.eval().to(self.device)
        return network.to(memory_format=torch.channels_last) if self.device.type == "cpu" else network


class Stream:
    """Push frames, get predictions; nothing is written, no thread, no clock. Folder prediction is a loop over it.

    Single-frame models answer at once. ``flush`` ends a series, for models that look at several frames.
    """

    def __init__(self, predictor: Predictor, *, probabilities: bool = False):
        self.predictor = predictor
        self.probabilities = probabilities

    def push(self, frame: Frame) -> list[Prediction]:
        """The predictions that are ready after this frame."""
        return [self.predictor.predict(frame, probabilities=self.probabilities)]

    def flush(self) -> list[Prediction]:
        """The predictions still owed at the end of a series."""
        return []

    def run(self, frames: Iterable[Frame]) -> Iterator[Prediction]:
        """All predictions for a series of frames, in order."""
        for frame in frames:
            yield from self.push(frame)
        yield from self.flush()


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA when there is one, else the CPU.

    Raises
    ------
    UsageError
        for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda", "mps"):
        raise UsageError(f"unknown device {name[:16]!r}", where="--device", expected="auto, cpu, cuda or mps")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[name]:
        raise UsageError(f"there is no {name.upper()} device", where="--device", todo="use --device cpu")
    return torch.device(name)


def _flips(axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All combinations of mirrored image axes, as dimensions of (n, c, y, x)."""
    flips: list[tuple[int, ...]] = [()]
    for axis in axes:
        flips += [(*flip, axis + 2) for flip in flips]
    return flips


def _check(pixels: NDArray[Any]) -> None:
    if pixels.ndim != 2 or not pixels.size or pixels.dtype not in (np.uint8, np.uint16):
        raise UsageError(
            f"the frame is {pixels.dtype} {pixels.shape}",
            where="predict",
            expected="an array (y, x) of uint8 or uint16",
        )
