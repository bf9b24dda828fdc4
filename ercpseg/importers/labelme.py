"""labelme JSON by a reader of our own (labelme itself is GPL and needs a window system).

``imagePath`` and ``imageData`` are never followed: the image file with the JSON's stem is the frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ercpseg.decoding.decoders import Decoders
from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import InputRefused
from ercpseg.importers import places, strokes
from ercpseg.importers.annotation import Context, Drawn, Item, LabelNames, check_known, check_shape
from ercpseg.importers.scan import Found
from ercpseg.importers.strokes import Pen
from ercpseg.structures import Mask

MAX_SIDE_PX = 1_000_000
MAX_MASK_CHARACTERS = 15 * 1024 * 1024
"""Text of one ``mask`` shape, which goes to a decoding child in one message."""
_POINTS_WANTED = {
    "rectangle": 2,
    "circle": 2,
    "line": 2,
    "linestrip": 2,
    "mask": 2,
    "polygon": 3,
    "oriented_rectangle": 4,
}


@dataclass
class _Drawing:
    """What a file holds, without its copy of the image."""

    shape: tuple[int, int]
    shapes: list[tuple[str, str, list[list[float]], str | None]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    points: int = 0


class Labelme:
    """One JSON file per frame, ``<path>/…/<stem>.json``. Shapes of one structure unite, structures overlap."""

    overlaps = True

    def __init__(self, spec: AnnotationSpec, names: LabelNames):
        self._spec, self._names = spec, names

    def claims(self, found: Found) -> bool:
        """Whether it is JSON below the stated path."""
        inside = places.below(found, self._spec) is not None and places.own_stem(found, self._spec) is not None
        return inside and places.has_suffix(found, ".json")

    def survey(self, found: Found, decoders: Decoders) -> Iterator[Item]:
        """One item, whose payload is all that drawing needs; none when the JSON is something else.

        Raises
        ------
        InputRefused
            ``bad-annotation`` when it is damaged, ``too-large`` above 1,000,000 points or 256 MiB,
            ``unknown-structure`` when a label can name no structure.
        """
        data = places.read_json(found)
        if not isinstance(data, dict) or not isinstance(data.get("shapes"), list):
            if places.is_named(found, self._spec):
                raise InputRefused("bad-annotation", "it holds no shapes")
            return
        drawing = self._parse(data, places.own_key(found, self._spec))
        payload = places.pack({"shape": drawing.shape, "shapes": drawing.shapes, "notes": drawing.notes})
        yield Item(places.own_key(found, self._spec), frozenset(shape[0] for shape in drawing.shapes), payload)

    def draw(self, found: Found, item: Item, context: Context) -> Drawn:
        """Draw the shapes.

        Raises
        ------
        InputRefused
            ``size-mismatch``, ``unknown-structure``, ``too-large``, or ``bad-annotation`` for a mask that cannot be read.
        """
        check_known(item.structures, context.structures)
        data = places.unpack(item.payload)
        height, width = data["shape"]
        check_shape((height, width), context.shape)
        pen = Pen(self._spec, context)
        for number, (structure, kind, points, mask) in enumerate(data["shapes"]):
            _draw(pen, structure, kind, np.array(points), f"shape {number}")
            if kind == "mask":
                _paste(pen, structure, np.array(points), _decode(mask, found, context))
        return pen.drawn(*(f"shapes that {text}: {count}" for text, count in data["notes"].items()))

    def _parse(self, data: dict[str, Any], key: str) -> _Drawing:
        height, width = data.get("imageHeight"), data.get("imageWidth")
        if not all(places.is_count(side, MAX_SIDE_PX) and side for side in (height, width)):
            raise InputRefused("bad-annotation", "imageHeight and imageWidth are missing")
        drawing = _Drawing((int(height or 0), int(width or 0)))
        named = data.get("imagePath")
        if isinstance(named, str) and named.strip() and places.frame_key(named, self._spec, is_file=True) != key:
            drawing.notes["were drawn on a file of another name, by what the file says"] = len(data["shapes"])
        strokes.check_count(len(data["shapes"]), strokes.MAX_SHAPES, "shapes")
        for number, item in enumerate(data["shapes"]):
            self._take(drawing, item, f"shape {number}")
        return drawing

    def _take(self, drawing: _Drawing, item: Any, what: str) -> None:
        if not isinstance(item, dict) or not isinstance(item.get("label"), str):
            raise InputRefused("bad-annotation", f"{what} has no label")
        structure, kind = places.structure_of(self._names, item["label"]), item.get("shape_type") or "polygon"
        if structure is None:
            drawing.notes["have a label that is left out"] += 1
        elif kind in ("point", "points"):
            drawing.notes["are points and have no area"] += 1
        elif not isinstance(kind, str) or kind not in _POINTS_WANTED:
            raise InputRefused("bad-annotation", f"{what} is of no known type")
        else:
            points = strokes.points_of(item.get("points"), what)
            drawing.points += len(points)
            strokes.check_count(drawing.points, strokes.MAX_POINTS, "points")
            if len(points) < _POINTS_WANTED[kind]:
                raise InputRefused("bad-annotation", f"{what} has {len(points)} points, {_POINTS_WANTED[kind]} needed")
            strokes.outside(points, drawing.shape, what)
            mask = item.get("mask")
            if kind != "mask":
                mask = None
            elif not isinstance(mask, str):
                raise InputRefused("bad-annotation", f"{what} is a mask without pixels")
            else:
                strokes.check_count(len(mask), MAX_MASK_CHARACTERS, "characters of a mask")
            drawing.shapes.append((structure, kind, points.tolist(), mask))


def _draw(pen: Pen, structure: str, kind: str, points: strokes.Points, what: str) -> None:
    if kind in ("line", "linestrip"):
        pen.line(structure, points, what)
    elif kind == "circle":  # centre and a point of the rim
        pen.disk(structure, points[0], float(np.hypot(*(points[1] - points[0]))))
    elif kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        pen.polygon(structure, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), what)
    elif kind != "mask":
        pen.polygon(structure, points, what)


def _decode(text: str, found: Found, context: Context) -> Mask:
    """The pixels of a ``mask`` shape, which are a PNG as base 64."""
    try:
        _, (mask,) = context.decoders.ask("inline-mask", found.file, "png", text=text)
    except InputRefused as error:
        raise InputRefused("bad-annotation", f"one of its masks is {error.code}") from error
    return mask.astype(bool, copy=False)


def _paste(pen: Pen, structure: str, points: strokes.Points, small: Mask) -> None:
    """A ``mask`` shape: a small PNG whose corners (inclusive) are the two points."""
    x0, y0 = (int(v) for v in np.floor(points.min(axis=0) + 0.5))
    x1, y1 = (int(v) for v in np.floor(points.max(axis=0) + 0.5))
    if small.shape != (y1 - y0 + 1, x1 - x0 + 1):
        raise InputRefused("bad-annotation", "a mask differs in size from its box")
    pen.paste(structure, small, top=y0, left=x0)
