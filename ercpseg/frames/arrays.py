"""What numpy arrays and torch tensors both can, under one name, so that prediction on a CPU need not load torch.

On a CPU frames and logits are arrays of numpy from end to end; on a GPU they are tensors there, and only masks leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array of numpy or a tensor of torch; what is made of one is of its kind. No type says so that both would pass."""


def flipped(array: Array, axes: Sequence[int]) -> Array:
    """Mirrored along ``axes``; of numpy a view."""
    return np.flip(array, tuple(axes)) if isinstance(array, np.ndarray) else array.flip(axes)


def padded(array: Array, rows: tuple[int, int], columns: tuple[int, int], value: float = 0) -> Array:
    """``value`` around the last two axes: (before, after) rows and columns."""
    if not any((*rows, *columns)):
        return array
    if isinstance(array, np.ndarray):
        around = [(0, 0)] * (array.ndim - 2) + [rows, columns]
        return np.pad(array, around, constant_values=value)
    from torch.nn import functional

    return functional.pad(array, (*columns, *rows), value=value)


def as_single(array: Array) -> Array:
    """In single precision, wherever it is."""
    return array.astype(np.float32, copy=False) if isinstance(array, np.ndarray) else array.float()


def zeros(shape: Sequence[int], like: Array) -> Array:
    """Zeros in single precision, where ``like`` is."""
    if isinstance(like, np.ndarray):
        return np.zeros(shape, np.float32)
    import torch

    return torch.zeros(tuple(shape), device=like.device)


def moved(array: NDArray[Any], like: Array) -> Array:
    """An array of numpy to where ``like`` is."""
    if isinstance(like, np.ndarray):
        return array
    import torch

    return torch.from_numpy(array).to(like.device)


def on_device(array: NDArray[Any], device: str) -> Array:
    """An array of numpy as what is computed with on ``device``."""
    if device == "cpu":
        return array
    import torch

    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device == "cuda" else tensor.to(device)


def to_numpy(array: Array) -> NDArray[Any]:
    """As an array of numpy, taken off its device."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def bounds_below(array: Array, bounds: NDArray[np.float32]) -> NDArray[np.uint8]:
    """How many of the ``bounds``, ascending and at most 255, each value is above."""
    if isinstance(array, np.ndarray):
        return np.searchsorted(bounds, array).astype(np.uint8)
    import torch

    found = torch.bucketize(array, torch.from_numpy(bounds).to(array.device))
    return np.asarray(to_numpy(found.byte()), np.uint8)


def probability(logits: Array) -> Array:
    """The logistic function."""
    if isinstance(logits, np.ndarray):
        with np.errstate(over="ignore"):  # exp(100) is infinite in single precision, and the probability 0
            return 1 / (1 + np.exp(-logits))
    return logits.sigmoid()
