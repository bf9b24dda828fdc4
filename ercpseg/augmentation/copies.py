"""Altered copies of training frames, as many as the plan says and the same in every epoch (``augmentation.multiply``).

Papers that multiply their frames write the copies to disk before training. Here copy *k* of a frame is a function of (seed,
frame, *k*) and made when it is drawn: the set of pictures is the same finite one, a copy can be made again at any time, and
nothing has to be stored. Only the loader of training frames makes them, after the split, so none is of a held-out frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ercpseg.augmentation.build import random_transforms
from ercpseg.documents.plan import AugmentationValues

Image = NDArray[np.float32]
Labels = NDArray[np.int16]


class Copies:
    """Makes copies of whole frames by the plan's ranges of augmentation.

    Every range that is drawn anew for each sample otherwise (R18–R20) is drawn once for each copy, shift and mirroring
    included. Copy 0 is the frame as it is.
    """

    def __init__(self, values: AugmentationValues, heads: Mapping[str, int], *, seed: int):
        self.values, self.heads, self.seed = values, heads, seed

    def __call__(self, image: Image, bitmask: Labels, frame: str, number: int) -> tuple[Image, Labels]:
        """Copy ``number`` of ``frame``: image (c, y, x) and bitmask (1, y, x), of the same size.

        What is moved beyond the border is lost, and what comes in from outside is 0. Channels, which are frames of one
        series, are altered alike. The global random generators are left as they were.
        """
        if number == 0:
            return image, bitmask
        digest = hashlib.sha256(f"{self.seed}/{frame}/{number}".encode()).digest()
        rng = np.random.default_rng(np.frombuffer(digest, np.uint32))
        numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        try:
            # The library's transforms draw from the global generators, which belong to the batch.
            np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
            torch.manual_seed(int(rng.integers(2**62)))
            shape = (image.shape[1], image.shape[2])
            reach = (int(self.values.shift_frac * n) for n in shape)
            by = [int(rng.integers(-r, r + 1)) for r in reach]
            sample = {"image": _shifted(image, by), "segmentation": _shifted(bitmask, by)}
            for transform in random_transforms(self.values, self.heads, shape):
                sample = transform(**sample)
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            torch.set_rng_state(torch_state)
        return sample["image"].numpy(), sample["segmentation"].clamp_min(0).numpy()


def _shifted(array: NDArray[Any], by: Sequence[int]) -> torch.Tensor:
    """(c, y, x) moved down and right by so many pixels, 0 where nothing comes in."""
    result = np.zeros_like(array)
    to = tuple(slice(max(0, d), n + min(0, d)) for d, n in zip(by, array.shape[1:], strict=True))
    source = tuple(slice(max(0, -d), n + min(0, -d)) for d, n in zip(by, array.shape[1:], strict=True))
    result[:, to[0], to[1]] = array[:, source[0], source[1]]
    return torch.from_numpy(result)
