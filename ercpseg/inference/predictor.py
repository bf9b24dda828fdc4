"""The predictor: a model loaded once, frames in, masks out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.plan import Plan
from ercpseg.documents.run import ModelCard
from ercpseg.documents.serving import Serving, StockPreparation
from ercpseg.errors import ResourceError, UsageError, out_of_memory
from ercpseg.frames.arrays import Array, on_device
from ercpseg.frames.frame import Frame
from ercpseg.frames.mirror import flips, mean_of_flips
from ercpseg.frames.prepare import Geometry, prepare
from ercpseg.frames.stock import prepare_stock
from ercpseg.frames.tiles import gaussian, gaussian_stock, predict_tiled_batch
from ercpseg.frames.windows import filled
from ercpseg.inference.devices import choose_device
from ercpseg.inference.folds import Folds
from ercpseg.inference.lanes import Lanes
from ercpseg.inference.runtimes import Chosen, Task, choose_runtime
from ercpseg.inference.stream import Stream
from ercpseg.inference.threads import thread_count
from ercpseg.nnunet.stock import load_any
from ercpseg.postprocess.finish import finish_with_logits, probabilities_of
from ercpseg.storage.models import StoredModel
from ercpseg.structures import Bitmask, Mask, StructureSet

if TYPE_CHECKING:
    import torch

BATCH = {"cuda": 8, "mps": 4}
"""Frames per call: a GPU is half idle with one. A CPU takes as many as it has threads, side by side."""


@dataclass(frozen=True)
class Prediction:
    """The result for one frame, at native size. ``seconds`` is its share of preparing and predicting its batch."""

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


@dataclass(frozen=True)
class Prepared:
    """A frame as the network takes it: ``image`` (c, y, x) float32 at working size, the way back, what it took.

    c is 1, or the model's number of frames where a stream has put those before it behind it.
    """

    frame: Frame
    image: NDArray[np.float32]
    geometry: Geometry
    seconds: float


@dataclass(frozen=True)
class Speed:
    """How to compute. The default gives the same bits everywhere; ``auto`` as runtime takes the fastest that is there.

    ``runtime``: torch, compile, onnxruntime or auto. ``precision``: auto (half on CUDA, else single), fp32, bf16, fp16.
    ``batch``: frames per call in folders; None: one per thread on a CPU, 8 on CUDA. ``frames``: how many are to come, for
    ``auto``.
    """

    runtime: str = "torch"
    precision: str = "auto"
    batch: int | None = None
    frames: int | None = None


PLAIN = Speed()


class Predictor:
    """Segments frames with one model. Make it once (:meth:`load`), then ask as often as you like.

    Frame preparation, tiles, thresholds and post-processing are what the model says, by the functions that training
    used. Several folds are averaged as logits; planned mirror axes are averaged too when ``tta`` is on.
    """

    def __init__(self, model: StoredModel, *, device: str = "auto", tta: bool | None = None, speed: Speed = PLAIN):
        self.serving: Serving = model.serving
        self.card: ModelCard = model.card
        self.sha256 = model.sha256
        self.folds = tuple(model.weights)
        self.structures = self.serving.structure_set
        self.device = choose_device(device)
        threads = thread_count() if self.device == "cpu" else 1
        self.batch = max(1, speed.batch or BATCH.get(self.device, threads))
        self._flips = flips(self.serving.mirror_axes) if tta is not False else [()]
        if not model.weights:
            raise UsageError("the model holds no trained fold", where="--model", todo="train a fold first")
        self.planned: Plan | None = model.plan
        calls = None if speed.frames is None else -(-speed.frames // self.batch)
        lanes = min(threads, self.batch)
        task = Task((self.batch, self.serving.frames, *self.serving.tile_px), calls, lanes, tuple(self._flips))
        self._weights = Folds(self.serving, model.weights)
        self.chosen: Chosen = choose_runtime(speed.runtime, self._weights, self.device, speed.precision, task)
        self._lanes = Lanes(lanes) if lanes > 1 and self.chosen.runtime.side_by_side else None

    @property
    def networks(self) -> list[torch.nn.Module]:
        """The network of each fold; made when first asked for, where the runtime is not torch."""
        return self._weights.networks

    @property
    def plan(self) -> Plan:
        """The plan of a model that was planned by this program.

        Raises
        ------
        UsageError
            when the model is one of stock nnU-Net, which has none.
        """
        if self.planned is None:
            raise UsageError(
                "this model has no plan of ours", where=self.card.name, expected="a model trained by ercpseg"
            )
        return self.planned

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        folds: tuple[str, ...] | None = None,
        device: str = "auto",
        tta: bool | None = None,
        speed: Speed = PLAIN,
    ) -> Predictor:
        """Load a model folder or its zip, whose files are checked against their SHA-256; or one of stock nnU-Net.

        Raises
        ------
        UsageError, StorageError
            when it is no model, or not whole.
        """
        return cls(load_any(Path(model), folds), device=device, tta=tta, speed=speed)

    def predict(self, frame: Frame | NDArray[Any], *, probabilities: bool = False) -> Prediction:
        """Segment one frame: a :class:`Frame`, or an array (y, x) of uint8 or uint16 with devices dark.

        It is a still: a model of several frames sees it repeated. Frames of a series belong into a :meth:`stream`.
        """
        if not isinstance(frame, Frame):
            frame = Frame(name="frame", pixels=frame, bits=8 * frame.dtype.itemsize)
        return self.predict_prepared([self.prepare(frame)], probabilities=probabilities)[0]

    def stream(self, *, batch: int = 1, probabilities: bool = False) -> Stream:
        """A stream over this predictor; with ``batch`` above 1 frames of one size wait for each other."""
        return Stream(self, batch=batch, probabilities=probabilities)

    def prepare(self, frame: Frame) -> Prepared:
        """The part of predicting a frame that needs no network and may run in another thread.

        Raises
        ------
        UsageError
            when the pixels are no array (y, x) of uint8 or uint16.
        ResourceError
            when the memory is too small for the frame.
        """
        start = time.perf_counter()
        _check(frame.pixels)
        with _memory_is_told():
            values = self.serving.preparation
            stock = isinstance(values, StockPreparation)
            image, geometry = prepare_stock(frame.pixels, values) if stock else prepare(frame.pixels, values)  # type: ignore[arg-type]
        return Prepared(frame, image, geometry, time.perf_counter() - start)

    def predict_prepared(self, frames: Sequence[Prepared], *, probabilities: bool = False) -> list[Prediction]:
        """Segment prepared frames of one working size in one batch; on a CPU side by side.

        Raises
        ------
        ResourceError
            when the memory is too small for the batch.
        """
        if self._lanes is not None and len(frames) > 1:
            return self._lanes.map(lambda one: self._predict([one], probabilities)[0], frames)
        return self._predict(frames, probabilities)

    def _predict(self, frames: Sequence[Prepared], probabilities: bool) -> list[Prediction]:
        start = time.perf_counter()
        with _memory_is_told():
            logits = self.forward(self.inputs(frames))
            found = [finish_with_logits(one, f.geometry, self.serving) for one, f in zip(logits, frames, strict=True)]
            levels = [probabilities_of(native()) if probabilities else None for _, native in found]
        share = (time.perf_counter() - start) / len(frames)
        return [
            Prediction(frame.frame, bitmask, self.structures, frame.seconds + share, level)
            for frame, (bitmask, _), level in zip(frames, found, levels, strict=True)
        ]

    def inputs(self, frames: Sequence[Prepared]) -> NDArray[np.float32]:
        """The images (n, frames, y, x) of prepared frames of one working size; what stands alone is repeated."""
        images = [filled(frame.image, self.serving.frames) for frame in frames]
        return images[0][None] if len(images) == 1 else np.stack(images)

    def logits(self, pixels: NDArray[Any], before: Sequence[NDArray[Any]] = ()) -> tuple[Array, Geometry]:
        """Logits (heads, y, x) at working size, on the device (on a CPU of numpy), and the way back to native size.

        ``before``: the frames right before it in its series, the nearest first, for a model of several frames.
        """
        shown = (pixels, *before)[: self.serving.frames]
        each = [self.prepare(Frame(name="frame", pixels=one, bits=8 * one.dtype.itemsize)) for one in shown]
        image = np.concatenate([prepared.image for prepared in each])
        with _memory_is_told():
            return self.forward(filled(image, self.serving.frames)[None])[0], each[0].geometry

    def forward(self, images: NDArray[np.float32]) -> Array:
        """Images (n, frames, y, x) of one size → logits (n, heads, y, x), tiled and mirrored as planned, on the device."""
        weight = gaussian_stock if isinstance(self.serving.preparation, StockPreparation) else gaussian
        return predict_tiled_batch(on_device(images, self.device), self.serving.tile_px, self._forward, weight)

    def _forward(self, batch: Array) -> Array:
        """(n, frames, y, x) → mean logits (n, heads, y, x) over folds and flips.

        On a GPU the flips are in the same batch; on a CPU one after the other, which keeps what a pass works on in its
        cache (measured at 512²: 19 ms of CPU time a frame in batches of 1 or 2, 27 ms in batches of 4).
        """
        if self.chosen.mirrors:
            return self.chosen.runtime(batch)
        if self.device == "cpu" or len(self._flips) == 1:
            return mean_of_flips(batch, self.chosen.runtime, self._flips)
        import torch

        logits = self.chosen.runtime(torch.cat([batch.flip(flip) if flip else batch for flip in self._flips]))
        parts = torch.split(logits, batch.shape[0])
        return torch.stack([p.flip(flip) if flip else p for p, flip in zip(parts, self._flips, strict=True)]).mean(0)


def _check(pixels: NDArray[Any]) -> None:
    if pixels.ndim != 2 or not pixels.size or pixels.dtype not in (np.uint8, np.uint16):
        raise UsageError(
            f"the frame is {pixels.dtype} {pixels.shape}",
            where="predict",
            expected="an array (y, x) of uint8 or uint16",
        )


@contextmanager
def _memory_is_told() -> Iterator[None]:
    """Whatever a runtime calls memory that is too small becomes a ResourceError."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        todo = "use --device cpu or a smaller model"
        raise ResourceError("out of memory", where="prediction", todo=todo) from error
