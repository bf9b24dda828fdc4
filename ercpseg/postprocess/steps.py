"""The steps of post-processing: small functions ``mask (y, x), numbers -> mask (y, x)``, and the table that names them.

All take and return boolean masks, leave their input as it is, and give an empty mask for an empty one. Components are
8-connected. Numbers with ``_px`` are pixels of the mask given; the plan holds them for its working size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ercpseg.geometry import components, morphology
from ercpseg.geometry.skeleton import length_px, skeletonise
from ercpseg.structures import Mask


def open_close(mask: Mask, *, opening_px: float = 1, closing_px: float = 1) -> Mask:
    """Opening with a disk ``opening_px`` across, then closing with one ``closing_px`` across; 1 leaves a part out.

    Martin 2022: 10 and 70 px on a scope of about 50 px, that is 0.2 and 1.4 of its width. Never for a thin structure:
    the opening deletes every line narrower than its disk.
    """
    return morphology.closing(morphology.opening(mask, opening_px), closing_px)


def fill_holes(mask: Mask, *, max_area_px: float | None = None) -> Mask:
    """Fill holes; with ``max_area_px`` only those of at most so many pixels (the inside of a loop is no hole)."""
    filled = components.fill_holes(mask)
    if max_area_px is None:
        return filled
    holes = filled & ~mask
    # Holes are background, so their own components are 4-connected; holes that touch diagonally are two holes.
    from scipy.ndimage import label

    labels, n = label(holes, structure=components.FOUR, output=np.int32)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    return mask | components.keep_labels(labels, areas <= max_area_px)


def keep_largest(mask: Mask) -> Mask:
    """Only the largest component."""
    return components.largest_component(mask)


def keep_relative(mask: Mask, *, min_frac: float) -> Mask:
    """Components of at least ``min_frac`` (0 to 1) times the area of the largest one."""
    labels, n = components.label_components(mask)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    return components.keep_labels(labels, areas >= min_frac * areas.max(initial=0))


def remove_small(mask: Mask, *, min_area_px: float) -> Mask:
    """Components of at least ``min_area_px`` pixels."""
    return components.remove_small(mask, min_area_px)


def remove_short(mask: Mask, *, min_length_px: float) -> Mask:
    """Components whose skeleton is at least ``min_length_px`` long (between pixel centres, branches included).

    For wires: a fragment of wire is long for its area, a speck of noise is not.
    """
    from scipy.ndimage import find_objects

    labels, _ = components.label_components(mask)
    # Components do not touch, so the skeleton of all is the union of their skeletons.
    skeleton = skeletonise(mask)
    lengths = [
        length_px(skeleton[box] & (labels[box] == number)) for number, box in enumerate(find_objects(labels), start=1)
    ]
    return components.keep_labels(labels, np.array(lengths, np.float64) >= min_length_px)


STEPS: dict[str, Callable[..., Mask]] = {
    "open_close": open_close,
    "fill_holes": fill_holes,
    "keep_largest": keep_largest,
    "keep_relative": keep_relative,
    "remove_small": remove_small,
    "remove_short": remove_short,
}
"""Name → step. A new step is one function and one line here."""

LIMITS: dict[str, tuple[float, float]] = {
    "opening_px": (1, 1024),
    "closing_px": (1, 1024),
    "max_area_px": (0, float("inf")),
    "min_frac": (0, 1),
    "min_area_px": (0, float("inf")),
    "min_length_px": (0, float("inf")),
}
"""Smallest and largest value that makes sense, per number of a step."""
