"""Batches: which frames and patches are drawn, counter-based randomness, and a thread that prepares them ahead.

Batch *i* depends on (seed, i) only, so a resumed run draws what the undisturbed one would have drawn, and no state of a
random generator has to be saved. (nnU-Net's forked workers share one torch random state and cannot be resumed.)
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

from ercpseg.augmentation.build import training_transforms, validation_transforms
from ercpseg.augmentation.copies import Copies
from ercpseg.documents.plan import Plan
from ercpseg.errors import UsageError
from ercpseg.frames.windows import filled
from ercpseg.losses.compound import planned_extras
from ercpseg.nnunet.store import ErcpDataset

CROP_MARGIN = 1.25
"""Patches smaller than a frame are cut this much larger, so that rotation and shrinking pull in real pixels."""


class Source:
    """Frames to draw from, and which of them show what."""

    def __init__(self, data: ErcpDataset, structures: Iterable[str]):
        self.data = data
        self.names: list[str] = list(data.identifiers)
        self.showing = {
            name: [i for i, frame in enumerate(self.names) if data.index[frame].pixels.get(name, 0)]
            for name in structures
        }


class ErcpLoader(nnUNetDataLoader):
    """nnU-Net's loader with our sampling (R21).

    The last ``oversample_frac`` of a batch each show one structure, drawn by ``structure_share``; the others are drawn
    uniformly. A tiled frame is cut around a random pixel of that structure, jittered so that it is not always centred.

    With ``augmentation.multiply`` the frames drawn from are the training frames and so many copies of each, all alike often
    (:mod:`ercpseg.augmentation.copies`), and nothing but the place of the window is drawn besides.

    With ``synthetic`` frames the share ``sampling.synthetic_frac`` of all samples is drawn from them, in random places of
    the batch, so that both kinds are oversampled alike (R12).
    """

    def __init__(
        self,
        data: ErcpDataset,
        *,
        plan: Plan,
        label_manager: Any,
        transforms: Any,
        seed: int,
        random: bool = True,
        synthetic: ErcpDataset | None = None,
    ):
        values = plan.values
        patch = values.patch.size_px
        super().__init__(data, values.patch.batch_size, patch, patch, label_manager, transforms=transforms)
        self.patch = patch
        self.bits = {name: plan.structure_set.value(name) for name in plan.structure_set}
        self.values = values
        self.seed = seed
        self.random = random
        self.position = 0
        self.multiply = values.augmentation.multiply if random else 0
        self.copies = Copies(values.augmentation, plan.heads, seed=seed)
        self.own = Source(data, self.bits)
        self.synthetic = None if synthetic is None else Source(synthetic, self.bits)

    def generate_train_batch(self) -> dict[str, Any]:
        """Batch ``position``: data (n, frames, y, x) float32 and target (n, heads, y, x) bool; advances the position."""
        rng = np.random.default_rng([self.seed, self.position])
        # The library's transforms draw from the global generators; seeding both makes them a function of the position.
        np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
        torch.manual_seed(int(rng.integers(2**62)))
        sources = self._sources(rng)
        self.position += 1
        samples = [self._sample(slot, rng, source) for slot, source in enumerate(sources)]
        return {
            "data": torch.stack([s["image"] for s in samples]),
            "target": torch.stack([s["segmentation"] for s in samples]),
            "keys": [s["frame"] for s in samples],
            "copies": [s["copy"] for s in samples],
        }

    def _sources(self, rng: np.random.Generator) -> list[Source]:
        """Where each sample of the batch comes from."""
        sources = [self.own] * self.batch_size
        if self.synthetic is not None:
            count = synthetic_samples(self.position, self.batch_size, self.values.sampling.synthetic_frac)
            for slot in rng.permutation(self.batch_size)[:count]:
                sources[slot] = self.synthetic
        return sources

    def _sample(self, slot: int, rng: np.random.Generator, source: Source) -> dict[str, Any]:
        structure = self._structure(slot, rng, source)
        choices: Sequence[int] = source.showing[structure] if structure else range(len(source.names))
        frame = source.names[choices[int(rng.integers(len(choices)))]]
        image = source.data.load_window(frame, self.values.input.frames)
        bitmask = source.data.load_bitmask(frame).astype(np.int16)
        copy = int(rng.integers(self.multiply + 1)) if self.multiply else 0
        image, bitmask = self.copies(image, bitmask, frame, copy)
        size = self.patch
        if self.random and not self.multiply and self.values.patch.size_px != self.values.patch.tile_px:
            size = (round(size[0] * CROP_MARGIN), round(size[1] * CROP_MARGIN))
        corner = self._corner(bitmask[0], size, structure, rng)
        sample = {
            "image": torch.from_numpy(_cut(image, corner, size)),
            "segmentation": torch.from_numpy(_cut(bitmask, corner, size)),
        }
        sample = self.transforms(**sample)
        # After the transforms, so that a repeated frame is the very same picture in every channel, as in prediction.
        return {**sample, "image": filled(sample["image"], self.values.input.frames), "frame": frame, "copy": copy}

    def _structure(self, slot: int, rng: np.random.Generator, source: Source) -> str | None:
        if slot < round(self.batch_size * (1 - self.values.sampling.oversample_frac)):
            return None
        share = {s: w for s, w in self.values.sampling.structure_share.items() if w > 0 and source.showing.get(s)}
        if not share:
            return None
        weights = np.array(list(share.values()))
        return list(share)[int(rng.choice(len(share), p=weights / weights.sum()))]

    def _corner(
        self, bitmask: Any, size: tuple[int, int], structure: str | None, rng: np.random.Generator
    ) -> tuple[int, int]:
        """First pixel (y, x) of the patch; negative where padding begins before the frame."""
        shape = bitmask.shape
        # Centred when the frame fits, as prediction pads it.
        centred = [(n - p) // 2 for n, p in zip(shape, size, strict=True)]
        if not self.random and all(n <= p for n, p in zip(shape, size, strict=True)):
            return centred[0], centred[1]
        # What is cut beyond the patch is dropped again after the spatial transform, so it may lie outside the frame;
        # otherwise the border of the frame would hardly ever be seen.
        beyond = [(p - q) // 2 for p, q in zip(size, self.patch, strict=True)]
        low = [min(-m, n - p) for n, p, m in zip(shape, size, beyond, strict=True)]
        high = [max(0, n - p + m) for n, p, m in zip(shape, size, beyond, strict=True)]
        if structure and any(n > p for n, p in zip(shape, size, strict=True)):
            pixels = np.flatnonzero(bitmask & self.bits[structure])
            if len(pixels):
                y, x = np.unravel_index(int(pixels[int(rng.integers(len(pixels)))]), shape)
                jitter = [int(rng.integers(-p // 4, p // 4 + 1)) for p in size]
                wanted = (int(y) - size[0] // 2 + jitter[0], int(x) - size[1] // 2 + jitter[1])
                return _clip(wanted[0], low[0], high[0]), _clip(wanted[1], low[1], high[1])
        shift = self.values.augmentation.shift_frac if self.random and not self.multiply else 0.0
        corner = []
        for axis in range(2):
            if shape[axis] > size[axis]:
                corner.append(int(rng.integers(low[axis], high[axis] + 1)))
            else:
                reach = int(shift * size[axis])
                corner.append(centred[axis] + int(rng.integers(-reach, reach + 1)))
        return corner[0], corner[1]


def synthetic_samples(position: int, batch: int, frac: float) -> int:
    """How many of the ``batch`` samples of batch ``position`` are synthetic: over any number of batches ``frac`` of all.

    >>> [synthetic_samples(i, 2, 0.25) for i in range(4)], synthetic_samples(7, 4, 0.25)
    ([0, 1, 0, 1], 1)
    """
    # Rounded, for a share such as 0.1 is not exact: 29.999… of 300 samples are 30.
    before, after = (math.floor(round(count * batch * frac, 6)) for count in (position, position + 1))
    return after - before


class Ahead:
    """Draws batches from a loader in one background thread, in order, a few ahead.

    One thread, because the transforms draw from global generators; a failure in it is raised by :meth:`__next__`.
    """

    def __init__(self, loader: ErcpLoader, depth: int = 3):
        self.loader = loader
        self._queue: queue.Queue[Any] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ercpseg-batches", daemon=True)
        self._thread.start()

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> dict[str, Any]:
        item = self._queue.get()
        if isinstance(item, BaseException):
            self._queue.put(item)
            raise item
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                self._thread.join(0.05)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                item: Any = self.loader.generate_train_batch()
            except Exception as error:  # handed to the consumer, who raises it
                item = error
            while not self._stop.is_set():
                try:
                    self._queue.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if isinstance(item, Exception):
                return


def build_loaders(
    train: ErcpDataset,
    val: ErcpDataset,
    *,
    plan: Plan,
    label_manager: Any,
    seed: int,
    position: int,
    synthetic: Path | None = None,
) -> tuple[Ahead, list[dict[str, Any]]]:
    """Training batches from a thread, from batch ``position`` on, and the batches by which every epoch is judged.

    Frames of the store ``synthetic`` are drawn in training only.

    Raises
    ------
    UsageError
        when the plan mixes in synthetic frames and there are none: a training without them would not be the one planned.
    """
    values, common = plan.values, {"plan": plan, "label_manager": label_manager}
    if values.sampling.synthetic_frac > 0 and synthetic is None:
        raise UsageError(
            "the plan mixes in synthetic frames, and there are none here",
            where="sampling.synthetic_frac",
            todo="run ercpseg train, which makes them, or plan with --set sampling.synthetic_frac=0",
        )
    mixed = None if synthetic is None else ErcpDataset(str(synthetic))
    tubes, regions = planned_extras(values.loss, plan.heads)
    # Drawn before the thread starts: both use the global random generators.
    plain = validation_transforms(plan.heads, tubes=tubes, regions=regions)
    checking = ErcpLoader(val, transforms=plain, seed=seed + 1, random=False, **common)
    batches = [checking.generate_train_batch() for _ in range(values.schedule.validation_iterations)]
    transforms = plain
    if not values.augmentation.multiply:
        transforms = training_transforms(
            values.augmentation, plan.heads, values.patch.size_px, tubes=tubes, regions=regions
        )
    loader = ErcpLoader(train, transforms=transforms, seed=seed, synthetic=mixed, **common)
    loader.position = position
    return Ahead(loader), batches


def _cut(array: Any, corner: tuple[int, int], size: tuple[int, int]) -> Any:
    """A window (c, *size) of (c, y, x), zero where it reaches outside."""
    result = np.zeros((array.shape[0], *size), array.dtype)
    (y, x), (height, width) = corner, size
    top, left = max(0, y), max(0, x)
    bottom, right = min(array.shape[1], y + height), min(array.shape[2], x + width)
    if bottom > top and right > left:
        result[:, top - y : bottom - y, left - x : right - x] = array[:, top:bottom, left:right]
    return result


def _clip(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))
