"""Bounding boxes: most structures fill a small part of a frame, so the costly steps work on a crop."""

from __future__ import annotations

import numpy as np

from ercpseg.structures import Mask

Box = tuple[slice, slice]


def bounding_box(mask: Mask, margin: int = 0) -> Box | None:
    """The smallest box around the set pixels of ``mask`` (y, x), grown by ``margin`` pixels within the frame.

    Returns None when no pixel is set.

    >>> bounding_box(np.eye(5, dtype=bool)[:, ::-1] & (np.arange(5) > 2))
    (slice(0, 2, None), slice(3, 5, None))
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    height, width = mask.shape
    return (
        slice(max(0, top - margin), min(height, bottom + margin)),
        slice(max(0, left - margin), min(width, right + margin)),
    )


def require_mask(mask: Mask, name: str = "mask") -> None:
    """Raise ValueError unless ``mask`` is a boolean (y, x) array.

    A 0/255 image or a bitmask that is taken for a mask gives wrong numbers without an error, so it is refused here.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"{name} is {mask.dtype} of shape {mask.shape}; expected bool of shape (y, x)")


def require_same_shape(*, reference: Mask, prediction: Mask) -> None:
    """Raise ValueError unless both are boolean (y, x) arrays of one shape."""
    require_mask(reference, "reference")
    require_mask(prediction, "prediction")
    if reference.shape != prediction.shape:
        raise ValueError(f"reference is {reference.shape} and prediction {prediction.shape}; expected one shape (y, x)")
