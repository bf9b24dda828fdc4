"""One structure in one frame: area, widths, length, course, components, contrast, place. Pure; lengths in native pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.fingerprint.flags import DEBRIS_PX, has_debris, has_small_holes, is_line, is_wide, line_width_px
from ercpseg.fingerprint.paths import Path, gaps_px, longest_paths, smooth, tortuosity
from ercpseg.fingerprint.place import Place, locate
from ercpseg.fingerprint.scope import straight_width_px
from ercpseg.structures import Mask

QUANTILES = 33
"""Widths kept per frame: enough for the 5th percentile, few enough that memory stays flat, equal for every frame."""
MAX_WIDTHS = 128
"""Skeleton pixels per frame, evenly spaced, at which the width is measured at most."""
MAX_AREAS = 64
"""Component areas kept per frame; from more, evenly spaced quantiles."""
COARSE_WIDTH_PX = 8.0
"""Wide structures are measured on every n-th pixel as long as they stay this wide. Measured on 120 arcs 10 to 70 px wide: the
median width stays within 1 %, the length becomes 2 % shorter."""
RING_PX = (3, 16)
"""Least and greatest thickness of the ring around a structure for its contrast."""
TUBULAR_ELONGATION = 5.0
"""Length / width from which gaps between pieces are looked for (the tubular family of the rules)."""


@dataclass(frozen=True)
class StructureMeasures:
    """One structure in one frame that shows it; lengths in native pixels.

    ``flags`` are doubts about its annotation, of :mod:`ercpseg.fingerprint.flags`. ``straight_width_px`` is the width
    where its centre-line is straight.
    """

    area_px: int
    foreground_frac: float
    outside_frac: float
    widths_px: NDArray[np.float64]
    length_px: float
    components: int
    component_areas_px: NDArray[np.float64]
    contrast_grey: float | None
    place: Place
    tortuosity: float | None = None
    gaps_px: tuple[float, ...] = ()
    straight_width_px: float | None = None
    flags: tuple[str, ...] = ()

    @property
    def width_px(self) -> float:
        """Median local width."""
        return float(np.median(self.widths_px))


@dataclass(frozen=True)
class _Course:
    """Widths, length and paths of a mask; ``paths`` in native pixels of the crop, the longest piece first."""

    widths_px: NDArray[np.float64]
    length_px: float
    paths: list[Path]
    tortuosity: float | None
    straight_width_px: float | None


def measure_structure(
    mask: Mask,
    pixels: NDArray[Any],
    field: Mask,
    *,
    noise_grey: float = 0.0,
    others: Mask | None = None,
    straight: bool = False,
) -> StructureMeasures:
    """Measure a structure whose ``mask`` (y, x) is not empty.

    Parameters
    ----------
    mask, pixels, field
        arrays (y, x) of one size: the structure, the canonical frame, the exposed field.
    noise_grey
        standard deviation of the frame's noise in grey values.
    others
        where other structures are (y, x).
    straight
        whether to measure the width of the straight part (the endoscope's).
    """
    from ercpseg.geometry.components import label_components
    from ercpseg.geometry.crop import bounding_box

    box = bounding_box(mask)
    if box is None:
        raise ValueError("the mask is empty; expected a structure that the frame shows")
    small = np.ascontiguousarray(mask[box])
    labels, components = label_components(small)
    areas = np.bincount(labels.ravel(), minlength=components + 1)[1:].astype(np.float64)
    course = _course(small, labels, straight)
    width = float(np.median(course.widths_px))
    total = int(areas.sum())
    inside = int(np.count_nonzero(small & field[box]))
    offset = (box[0].start, box[1].start)
    flags = ["speck"] if total <= 1 else []
    if has_debris(areas):
        flags.append("debris")
    if is_line(course.length_px, width):
        first = Path(course.paths[0].label, course.paths[0].points + offset)
        if is_wide(width, line_width_px(first, pixels, width, noise_grey, others)):
            flags.append("wide")
    elif has_small_holes(small):
        flags.append("holes")
    gaps: list[float] = []
    if components > 1 and course.length_px >= TUBULAR_ELONGATION * width:
        pieces = [path for path in course.paths if areas[path.label - 1] > DEBRIS_PX]
        gaps = gaps_px(pieces, labels, 1.5 * width + 2)
    return StructureMeasures(
        area_px=total,
        foreground_frac=inside / max(1, int(np.count_nonzero(field))),
        outside_frac=1 - inside / total,
        widths_px=np.quantile(course.widths_px, np.linspace(0, 1, QUANTILES)),
        length_px=course.length_px,
        components=components,
        component_areas_px=areas if len(areas) <= MAX_AREAS else np.quantile(areas, np.linspace(0, 1, MAX_AREAS)),
        contrast_grey=_contrast(mask, pixels, field, width),
        place=locate(small, offset, (mask.shape[0], mask.shape[1])),
        tortuosity=course.tortuosity,
        gaps_px=tuple(gaps),
        straight_width_px=course.straight_width_px,
        flags=tuple(flags),
    )


def _course(mask: Mask, labels: NDArray[np.int32], straight: bool) -> _Course:
    from ercpseg.geometry.skeleton import length_px, local_widths_px, skeletonise

    step = _coarse_step(mask)
    coarse = np.ascontiguousarray(mask[::step, ::step])
    skeleton = skeletonise(coarse)
    at = np.flatnonzero(skeleton)
    if not at.size:  # every n-th pixel may miss a structure of a few pixels
        return _Course(np.full(1, float(min(mask.shape))), 0.0, [], None, None)
    places = np.zeros(skeleton.shape, np.bool_)
    places.flat[at[:: max(1, math.ceil(len(at) / MAX_WIDTHS))]] = True
    widths = local_widths_px(coarse, places) * step
    paths = longest_paths(skeleton, labels[::step, ::step])
    along = paths[0].points
    shaft = straight_width_px(mask, smooth(along) * step, float(np.median(widths))) if straight else None
    return _Course(
        widths_px=widths,
        length_px=length_px(skeleton) * step,
        paths=[Path(path.label, path.points * step) for path in paths],
        tortuosity=tortuosity(paths[0]),
        straight_width_px=shaft,
    )


def _coarse_step(mask: Mask) -> int:
    """How many pixels may be skipped: area / half the rim is the mean width of a band."""
    rim = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    # The crop cuts off the rim at its own border; adding the box makes the width smaller, never greater.
    mean_width = 2 * np.count_nonzero(mask) / (rim + sum(mask.shape))
    return int(np.clip(mean_width / COARSE_WIDTH_PX, 1, 8))


def _contrast(mask: Mask, pixels: NDArray[Any], field: Mask, width_px: float) -> float | None:
    """Mean inside − mean of the ring around, in grey values; None where the field leaves no ring.

    The ring begins one pixel outside the mask, where the blurred edge ends, and is half as thick as the structure.
    """
    from scipy.ndimage import maximum_filter

    from ercpseg.geometry.crop import bounding_box

    thickness = int(np.clip(round(width_px / 2), *RING_PX))
    box = bounding_box(mask, thickness + 1)
    if box is None:
        return None
    step = 1 if width_px < 2 * RING_PX[1] else 2
    skip = (slice(None, None, step), slice(None, None, step))
    inside, image, exposed = mask[box][skip], pixels[box][skip], field[box][skip]
    near = maximum_filter(inside.view(np.uint8), size=3)
    far = maximum_filter(inside.view(np.uint8), size=2 * max(1, (thickness + 1) // step) + 1)
    ring = image[(far > near) & exposed]
    core = image[inside & exposed]
    if not ring.size or not core.size:
        return None
    return float(core.mean() - ring.mean())
