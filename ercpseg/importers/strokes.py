"""Outlines and lines of an annotation file, drawn on a frame within limits; labelme, COCO and polylines use it.

Points are (n, 2) as (x, y) with pixel centres at whole numbers, as :mod:`ercpseg.geometry.drawing` has them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import InputRefused
from ercpseg.geometry.drawing import effort, paint_polygon, paint_polyline
from ercpseg.importers.annotation import Context, Drawn
from ercpseg.structures import Mask

LINE_WIDTH_PX = 3.0
"""Width at which lines are drawn unless another is stated."""
OUTSIDE_PX = 1.0
"""How far a point may lie outside of the image: labelme lets the mouse slip over the edge."""
MAX_POINTS = 1_000_000
"""Points of all shapes on one frame."""
MAX_SHAPES = 10_000
"""Shapes on one frame."""
MAX_EFFORT = 10**9
"""What drawing all shapes of one frame may cost, in pixels touched (about ten seconds)."""

Points = NDArray[np.float64]


def points_of(raw: Any, what: str) -> Points:
    """A parsed list of [x, y] as an array (n, 2).

    Raises
    ------
    InputRefused
        ``bad-annotation`` when it is anything else, ``too-large`` above :data:`MAX_POINTS`.
    """
    if not isinstance(raw, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and is_number(pair[0]) and is_number(pair[1]) for pair in raw
    ):
        raise InputRefused("bad-annotation", f"{what} has points that are not two numbers")
    check_count(len(raw), MAX_POINTS, "points")
    return np.array(raw, dtype=np.float64).reshape(-1, 2)


def is_number(value: Any) -> bool:
    """Whether a parsed value is a finite number; ``true`` is none, nor is an integer that no float can hold."""
    if type(value) is int:
        return abs(value) < 2**53
    return isinstance(value, float) and math.isfinite(value)


def check_count(count: int, most: int, what: str) -> None:
    """Refuse more than ``most`` of something."""
    if count > most:
        raise InputRefused("too-large", f"{count} {what}, limit {most}")


def outside(points: Points, shape: tuple[int, int], what: str) -> bool:
    """Whether points lie outside of an image (y, x), by at most :data:`OUTSIDE_PX`.

    Raises
    ------
    InputRefused
        ``bad-annotation`` when one lies farther outside.
    """
    low, high = -0.5, np.array([shape[1], shape[0]]) - 0.5
    if (points < low - OUTSIDE_PX).any() or (points > high + OUTSIDE_PX).any():
        raise InputRefused("bad-annotation", f"{what} lies more than {OUTSIDE_PX:g} px outside of the image")
    return bool((points < low).any() or (points > high).any())


class Pen:
    """Draws what one item of an annotation says; :meth:`drawn` hands it over. All methods refuse what costs too much."""

    def __init__(self, spec: AnnotationSpec, context: Context):
        self._spec, self._context = spec, context
        self._drawn = Drawn()
        self._cost = self._shapes = self._cut = self._vanished = self._widened = 0

    def polygon(self, structure: str, points: Points, what: str) -> None:
        """Fill a closed outline; what lies outside of the image, by a pixel at most, is cut off."""
        self._cut += outside(points, self._context.shape, what)
        self._spend(effort(points, self._context.shape))
        self._vanished += not paint_polygon(self._mask(structure), points)

    def disk(self, structure: str, centre: Points, radius_px: float) -> None:
        """Fill a circle about ``centre`` (x, y)."""
        point = centre.reshape(1, 2)
        self._spend(effort(point, self._context.shape, radius_px))
        self._vanished += not paint_polyline(self._mask(structure), point, 2 * radius_px)

    def line(self, structure: str, points: Points, what: str) -> None:
        """Draw an open line at the stated width, and keep it as a centre-line."""
        self._cut += outside(points, self._context.shape, what)
        width, pixel_size = self._width()
        if width < max(pixel_size):
            width = max(pixel_size)  # a thinner line may pass between all pixel centres
            self._widened += 1
        height, breadth = self._context.shape
        points = np.clip(points, -0.5, (breadth - 0.5, height - 0.5))
        self._spend(effort(points, self._context.shape, width / min(pixel_size) / 2))
        paint_polyline(self._mask(structure), points, width, pixel_size)
        self._drawn.lines.setdefault(structure, []).append(np.ascontiguousarray(points[:, ::-1]))

    def paste(self, structure: str, part: Mask, top: int = 0, left: int = 0) -> None:
        """Add a small mask (y, x) whose first pixel lies at (``top``, ``left``); what lies outside is cut off."""
        self._spend(part.size)
        height, width = self._context.shape
        part = part[max(-top, 0) :, max(-left, 0) :][: max(height - max(top, 0), 0), : max(width - max(left, 0), 0)]
        rows, columns = (
            slice(max(top, 0), max(top, 0) + part.shape[0]),
            slice(max(left, 0), max(left, 0) + part.shape[1]),
        )
        self._mask(structure)[rows, columns] |= part
        self._vanished += not part.any()

    def drawn(self, *notes: str) -> Drawn:
        """What was drawn, with what is to be said of it."""
        said = [
            (self._cut, "reach over the edge and are cut"),
            (self._vanished, "cover no pixel"),
            (self._widened, "are lines thinner than a pixel, drawn one pixel wide"),
        ]
        self._drawn.notes = (*notes, *(f"shapes that {text}: {count}" for count, text in said if count))
        return self._drawn

    def _mask(self, structure: str) -> Mask:
        return self._drawn.masks.setdefault(structure, np.zeros(self._context.shape, bool))

    def _spend(self, cost: int) -> None:
        self._shapes += 1
        self._cost += cost
        check_count(self._shapes, MAX_SHAPES, "shapes")
        check_count(self._cost, MAX_EFFORT, "pixels to draw")

    def _width(self) -> tuple[float, tuple[float, float]]:
        """The width of lines, and the size (y, x) of a pixel in the same unit."""
        if self._spec.width_mm is None:
            return self._spec.width_px or LINE_WIDTH_PX, (1.0, 1.0)
        if self._context.spacing_mm is None:
            raise InputRefused("bad-annotation", "its lines have a width in mm, but the frame's spacing is not known")
        return self._spec.width_mm, self._context.spacing_mm
