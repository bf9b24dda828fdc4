"""The steps of post-processing: small functions ``mask (y, x), numbers -> mask (y, x)``, and the table that names them.

All take and return boolean masks, leave their input as it is, and give an empty mask for an empty one. Components are
8-connected. Numbers with ``_px`` are pixels of the mask given; the plan holds them for its working size. Some steps take a
:class:`Scene` too, because they look at probabilities or at another structure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from ercpseg.geometry import components, morphology
from ercpseg.geometry.skeleton import length_px, local_widths_px, skeletonise
from ercpseg.postprocess.ends import drawn
from ercpseg.postprocess.scene import Scene, above
from ercpseg.postprocess.wires import complete_wire, keep_attached
from ercpseg.structures import Mask

SPUR_WIDTHS = 1.5
"""A branch of a skeleton that is shorter than so many widths of its line is a spur (science reference §3)."""


def open_close(mask: Mask, *, opening_px: float = 1, closing_px: float = 1) -> Mask:
    """Opening with a disk ``opening_px`` across, then closing with one ``closing_px`` across; 1 leaves a part out.

    Martin 2022: 10 and 70 px on a scope of about 50 px, that is 0.2 and 1.4 of its width. Never for a thin structure:
    the opening deletes every line narrower than its disk.
    """
    return morphology.closing(morphology.opening(mask, opening_px), closing_px)


def thin_back(mask: Mask, *, radius_px: float, square: float = 0) -> Mask:
    """Take a thickening of the training masks back (R23): erode by ``radius_px``, but never through the centre-line.

    What was learnt w + 2r wide comes out w wide; where a prediction is thinner than that its skeleton stays, so that no
    line breaks. ``square`` 1: they were thickened by squares of 2r + 1 (``preparation.dilate_kernel``), so that slanted lines
    grew by √2 r on either side; 0: by disks.
    """
    if radius_px < 0.5 or not mask.any():
        return mask.copy()
    # On frames smaller than the working size a radius of 1 becomes less; a mask has no thinner rim than a pixel.
    if square:
        return morphology.erode_square(mask, max(1, round(radius_px))) | skeletonise(mask)
    return morphology.erode(mask, max(1.0, radius_px)) | skeletonise(mask)


def redraw(mask: Mask, *, width_px: float) -> Mask:
    """The centre-line, drawn as wide as the structure was in training (R23); what sticks out of the mask is cut off."""
    if not mask.any():
        return mask.copy()
    return drawn(np.argwhere(skeletonise(mask)), width_px, mask.shape) & mask


def fill_holes(mask: Mask, *, max_area_px: float | None = None) -> Mask:
    """Fill holes; with ``max_area_px`` only those of at most so many pixels (the inside of a loop is no hole)."""
    labels, n = components.label_holes(mask)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    return mask | components.keep_labels(labels, areas <= (np.inf if max_area_px is None else max_area_px))


def keep_largest(mask: Mask) -> Mask:
    """Only the largest component."""
    return components.largest_component(mask)


def keep_relative(mask: Mask, *, min_frac: float, reach_px: float = 0) -> Mask:
    """Components of at least ``min_frac`` (0 to 1) times the area of the largest one, and those within ``reach_px`` of them.

    A structure that breaks leaves a piece across a short gap; what lies far from all of it is something else.
    """
    labels, n = components.label_components(mask)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    keep = areas >= min_frac * areas.max(initial=0)
    if reach_px > 0 and not keep.all():
        from scipy.ndimage import find_objects

        kept, rim, boxes = components.keep_labels(labels, keep), int(reach_px) + 1, find_objects(labels)
        for i in np.flatnonzero(~keep):  # each in its own box: the whole mask's distances would cost ten times as much
            box = tuple(slice(max(0, side.start - rim), side.stop + rim) for side in boxes[i])
            keep[i] = morphology.dilate(kept[box], reach_px)[labels[box] == i + 1].any()
    return components.keep_labels(labels, keep)


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


def hysteresis(mask: Mask, scene: Scene, *, low_frac: float = 0.3) -> Mask:
    """Follow the lines on through the pixels above ``low_frac`` times the threshold that hang together with them (R24).

    For wires: a faint stretch between two sure ones comes back, faint specks on their own do not. What is added is the
    centre-line of the faint stretch, as wide as the sure lines are: taking all its pixels would make every wire fat,
    which clDice does not see (measured: clDice + 0.025, Dice − 0.036). A step, not a second threshold, so that it may
    stand after the steps that drop specks: then it cannot invent a wire where none was left.
    """
    if scene.levels is None or not mask.any():
        return mask.copy()
    labels, n = components.label_components(mask | above(scene.levels, low_frac * scene.threshold))
    sure = np.zeros(n + 1, np.bool_)
    sure[labels[mask]] = True
    stretch = components.keep_labels(labels, sure[1:])
    width = float(np.median(local_widths_px(mask)))
    # What sticks out of a line by less than 1.5 widths is a spur of the skeleton, not a line that goes on.
    beyond = components.remove_small(skeletonise(stretch) & ~mask, SPUR_WIDTHS * width)
    return mask | (drawn(np.argwhere(beyond), width, mask.shape) & stretch)


def keep_inside(mask: Mask, scene: Scene, *, margin_px: float, min_inside_frac: float = 0.5) -> Mask:
    """Components that lie to at least ``min_inside_frac`` within ``margin_px`` of the other structure (R28).

    For stones in the duct. A frame that shows nothing of the other structure keeps everything: a missed duct says
    nothing about its stones.
    """
    if scene.other is None or not scene.other.any():
        return mask.copy()
    labels, n = components.label_components(mask)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    inside = np.bincount(labels[morphology.dilate(scene.other, margin_px)], minlength=n + 1)[1:]
    return components.keep_labels(labels, inside >= min_inside_frac * areas)


class Step(NamedTuple):
    """A step: its function, and what it takes besides mask and numbers.

    ``levels``: a :class:`Scene` with probabilities. ``other``: whether the step names another structure (``of``), whose
    mask the scene then holds. A step with neither takes no scene. ``within``: nothing that it sets lies outside the box
    around the mask, and a rim of one pixel of background is all that it has to know of the rest.
    """

    run: Callable[..., Mask]
    levels: bool = False
    other: Literal["never", "may", "must"] = "never"
    within: bool = False

    @property
    def looks(self) -> bool:
        """Whether the function takes a scene."""
        return self.levels or self.other != "never"


STEPS: dict[str, Step] = {
    "hysteresis": Step(hysteresis, levels=True),
    "thin_back": Step(thin_back, within=True),
    "redraw": Step(redraw),
    "open_close": Step(open_close),
    "fill_holes": Step(fill_holes, within=True),
    "complete_wire": Step(complete_wire, levels=True, other="may"),
    "keep_largest": Step(keep_largest, within=True),
    "keep_relative": Step(keep_relative, within=True),
    "remove_small": Step(remove_small, within=True),
    "remove_short": Step(remove_short, within=True),
    "keep_attached": Step(keep_attached, other="may"),
    "keep_inside": Step(keep_inside, other="must"),
}
"""Name → step. A new step is one function and one line here."""

LIMITS: dict[str, tuple[float, float]] = {
    "radius_px": (0, 64),
    "square": (0, 1),
    "width_px": (1, 1024),
    "opening_px": (1, 1024),
    "closing_px": (1, 1024),
    "max_area_px": (0, float("inf")),
    "min_frac": (0, 1),
    "min_area_px": (0, float("inf")),
    "min_length_px": (0, float("inf")),
    "low_frac": (0, 1),
    "max_gap_px": (0, 4096),
    "reach_px": (0, 4096),
    "max_angle_deg": (0, 180),
    "min_probability": (0, 1),
    "min_inside_frac": (0, 1),
    "margin_px": (0, 1024),
}
"""Smallest and largest value that makes sense, per number of a step."""
