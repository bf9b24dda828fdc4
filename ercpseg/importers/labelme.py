"""labelme JSON by a reader of our own (labelme itself is GPL and needs a window system).

``imagePath`` and ``imageData`` are never followed: the image file with the JSON's stem is the frame.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import DocumentError, InputRefused, StorageError
from ercpseg.geometry.drawing import draw_polyline, fill_disk, fill_polygon
from ercpseg.importers.annotation import Annotation, check_known, check_shape, structure_name
from ercpseg.importers.png import decode_png
from ercpseg.importers.reading import guarded
from ercpseg.storage.documents import load_json
from ercpseg.structures import Bitmask, Mask, StructureSet

LINE_WIDTH_PX = 3.0
"""Width at which lines are drawn unless another is stated."""
OUTSIDE_PX = 1.0
"""How far a point may lie outside of the image: labelme lets the mouse slip over the edge."""
NOT_STRUCTURES = {"background", "ignore"}
"""labelme's own examples write ``_background_`` and ``__ignore__`` for what is not labelled."""

_POINTS_WANTED = {
    "rectangle": 2,
    "circle": 2,
    "line": 2,
    "linestrip": 2,
    "mask": 2,
    "polygon": 3,
    "oriented_rectangle": 4,
}


@dataclass(frozen=True)
class Shape:
    """One drawn thing; ``points`` (n, 2) as (x, y)."""

    structure: str
    kind: str
    points: NDArray[np.float64]
    mask: str | None = None


@dataclass(frozen=True)
class Drawing:
    """A labelme file without its copy of the image."""

    shape: tuple[int, int]
    shapes: tuple[Shape, ...]
    notes: tuple[str, ...] = ()

    @property
    def structures(self) -> set[str]:
        """The structures it names."""
        return {shape.structure for shape in self.shapes}


def read_drawing(path: Path) -> Drawing | None:
    """Parse a labelme file; None when the JSON is something else.

    Raises
    ------
    InputRefused
        ``bad-annotation`` when it is damaged.
    """
    try:
        data = load_json(path)
    except (DocumentError, StorageError) as error:
        raise InputRefused("bad-annotation", error.what) from error
    if not isinstance(data, dict) or not isinstance(data.get("shapes"), list):
        return None
    return guarded(partial(_parse, data))


def annotation(drawing: Drawing | InputRefused, source: str, line_width_px: float) -> Annotation:
    """A promise to draw the file's shapes, or to say why they cannot be drawn."""
    return Annotation(partial(_draw, drawing, line_width_px), [source])


def _parse(data: dict[str, Any]) -> Drawing:
    height, width = data.get("imageHeight"), data.get("imageWidth")
    if not isinstance(height, int) or not isinstance(width, int) or height < 1 or width < 1:
        raise InputRefused("bad-annotation", "imageHeight and imageWidth are missing")
    shapes, notes = [], []
    for i, item in enumerate(data["shapes"]):
        if not isinstance(item, dict) or not isinstance(item.get("label"), str):
            raise InputRefused("bad-annotation", f"shape {i} has no label")
        structure, kind = structure_name(item["label"]), item.get("shape_type") or "polygon"
        if structure in NOT_STRUCTURES:
            notes.append(f"shape {i} is background")
        elif kind in ("point", "points"):
            notes.append(f"shape {i} is a point and has no area")
        elif kind not in _POINTS_WANTED:
            raise InputRefused("bad-annotation", f"shape {i} is of no known type")
        else:
            points = _points(item.get("points"), i, (height, width))
            if len(points) < _POINTS_WANTED[kind]:
                raise InputRefused(
                    "bad-annotation", f"shape {i} has {len(points)} points, {_POINTS_WANTED[kind]} needed"
                )
            mask = item.get("mask")
            shapes.append(Shape(structure, kind, points, mask if isinstance(mask, str) else None))
    return Drawing((height, width), tuple(shapes), tuple(notes))


def _points(raw: Any, i: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    if not isinstance(raw, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(v, int | float) and math.isfinite(v) for v in p)
        for p in raw
    ):
        raise InputRefused("bad-annotation", f"shape {i} has points that are not two numbers")
    points = np.array(raw, dtype=np.float64).reshape(-1, 2)
    low, high = -0.5 - OUTSIDE_PX, np.array([shape[1], shape[0]]) - 0.5 + OUTSIDE_PX
    if (points < low).any() or (points > high).any():
        raise InputRefused("bad-annotation", f"shape {i} lies more than {OUTSIDE_PX:g} px outside of the image")
    return points


def _draw(
    drawing: Drawing | InputRefused, line_width_px: float, shape: tuple[int, int], structures: StructureSet
) -> tuple[Bitmask, tuple[str, ...]]:
    if isinstance(drawing, InputRefused):
        raise InputRefused(drawing.code, drawing.detail)
    check_known(drawing.structures, structures)
    check_shape(drawing.shape, shape)
    masks: dict[str, Mask] = {}
    for item in drawing.shapes:
        try:
            mask = guarded(partial(_rasterise, item, shape, line_width_px))
        except InputRefused as error:
            raise InputRefused("bad-annotation", error.detail) from error
        masks[item.structure] = masks[item.structure] | mask if item.structure in masks else mask
    return structures.encode(masks, shape), drawing.notes


def _rasterise(item: Shape, shape: tuple[int, int], line_width_px: float) -> Mask:
    points = item.points
    if item.kind in ("line", "linestrip"):
        return draw_polyline(points, shape, line_width_px)
    if item.kind == "circle":  # centre and a point of the rim
        return fill_disk(points[0], float(np.hypot(*(points[1] - points[0]))), shape)
    if item.kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if item.kind == "mask":
        return _paste(item, shape)
    return fill_polygon(points, shape)


def _paste(item: Shape, shape: tuple[int, int]) -> Mask:
    """A ``mask`` shape: a small PNG whose corners (inclusive) are the two points."""
    if item.mask is None:
        raise InputRefused("bad-annotation", "a mask without pixels")
    small = decode_png(base64.b64decode(item.mask, validate=True)).samples
    small = small != 0 if small.ndim == 2 else (small != 0).any(axis=-1)
    x0, y0 = (int(v) for v in np.floor(item.points.min(axis=0) + 0.5))
    x1, y1 = (int(v) for v in np.floor(item.points.max(axis=0) + 0.5))
    if small.shape != (y1 - y0 + 1, x1 - x0 + 1):
        raise InputRefused("bad-annotation", "a mask differs in size from its box")
    mask = np.zeros(shape, bool)
    top, left = max(y0, 0), max(x0, 0)
    part = small[top - y0 :, left - x0 :][: shape[0] - top, : shape[1] - left]
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask
