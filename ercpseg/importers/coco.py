"""COCO instances: one JSON file for many frames, objects as polygons or run-length masks.

Of an image only ``id``, ``file_name``, ``height`` and ``width`` are read; ``file_name`` is compared with the names of
frames and never opened. COCO counts from the corner of the first pixel, so 0.5 is taken off polygons: a pixel belongs to
an object when its centre lies inside or on the outline. pycocotools walks along the outline instead, so its masks of the
same polygon differ in some pixels along the outline, on either side of it alike. Several polygons of one object are
united; holes need a run-length mask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from ercpseg.decoding.decoders import Decoders
from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import InputRefused
from ercpseg.importers import places, rle, strokes
from ercpseg.importers.annotation import Context, Drawn, Item, LabelNames, check_known, check_shape
from ercpseg.importers.scan import Found
from ercpseg.importers.strokes import Pen

CENTRE_PX = 0.5
"""Where the centre of the first pixel lies in COCO's coordinates."""
_PARTS = ("images", "annotations", "categories")


class Coco:
    """JSON files below the stated path. An image without objects is annotated: nothing is there."""

    overlaps = True

    def __init__(self, spec: AnnotationSpec, names: LabelNames):
        self._spec, self._names = spec, names

    def claims(self, found: Found) -> bool:
        """Whether it is JSON below the stated path."""
        return places.below(found, self._spec) is not None and places.has_suffix(found, ".json")

    def survey(self, found: Found, decoders: Decoders) -> Iterator[Item]:
        """One item per image, in their order. Nothing when the JSON is something else.

        Objects that cannot be drawn, and images of one name, refuse their own frame, when it is drawn; whatever leaves it
        open what belongs to which frame refuses the file.

        Raises
        ------
        InputRefused
            ``bad-annotation`` when it is damaged or an id is unknown or there twice, ``unknown-structure`` when a category
            can name no structure, ``too-large`` above 256 MiB.
        """
        data = places.read_json(found)
        if not isinstance(data, dict) or not all(isinstance(data.get(part), list) for part in _PARTS):
            if places.is_named(found, self._spec):
                raise InputRefused("bad-annotation", "it lacks images, annotations or categories")
            return
        categories = {id_: entry.get("name") for id_, entry in _by_id(data, "categories").items()}
        images = _by_id(data, "images")
        objects: dict[int | str, list[dict[str, Any]]] = {}
        for number, entry in enumerate(data["annotations"]):
            image, category = (_id(entry, key) for key in ("image_id", "category_id"))
            if image not in images or category not in categories:
                raise InputRefused("bad-annotation", f"annotation {number} refers to an unknown id")
            objects.setdefault(image, []).append(entry)
        used = {_id(entry, "category_id") for entries in objects.values() for entry in entries}
        structures = {id_: places.structure_of(self._names, categories[id_]) for id_ in used}
        keys = {id_: self._key(entry, number) for number, (id_, entry) in enumerate(images.items())}
        times, done = Counter(keys.values()), set()
        for id_, key in keys.items():
            if times[key] == 1:
                yield _item(key, images[id_], objects.get(id_, []), structures)
            elif key not in done:
                done.add(key)
                yield Item(key, frozenset(), places.pack_refusal("duplicate", f"{times[key]} images of one name"))

    def draw(self, found: Found, item: Item, context: Context) -> Drawn:
        """Draw the objects of one image.

        Raises
        ------
        InputRefused
            ``duplicate``, ``size-mismatch``, ``unknown-structure``, ``too-large``, or ``bad-annotation`` for an object
            that has no outline and no mask, or a damaged one.
        """
        data = places.unpack(item.payload)
        check_known(item.structures, context.structures)
        height, width = data["shape"]
        check_shape((height, width), context.shape)
        pen = Pen(self._spec, context)
        for number, (structure, segmentation) in enumerate(data["objects"]):
            what = f"object {number}"
            if isinstance(segmentation, dict):
                _check_size(segmentation.get("size"), context.shape)
                pen.paste(structure, rle.decode(segmentation.get("counts"), context.shape))
            else:
                for points in _polygons(segmentation, what):
                    pen.polygon(structure, points, what)
        left_out = data["left_out"]
        return pen.drawn(*([f"objects that have a label that is left out: {left_out}"] if left_out else []))

    def _key(self, image: dict[str, Any], number: int) -> str:
        if not isinstance(image.get("file_name"), str):
            raise InputRefused("bad-annotation", f"image {number} has no file_name")
        return places.frame_key(image["file_name"], self._spec, is_file=True)


def _item(
    key: str, image: dict[str, Any], entries: list[dict[str, Any]], structures: dict[int | str, str | None]
) -> Item:
    shape = image.get("height"), image.get("width")
    if not all(places.is_count(side) for side in shape):
        return Item(key, frozenset(), places.pack_refusal("bad-annotation", "the image has no height and width"))
    objects = [
        (structure, entry.get("segmentation"))
        for entry in entries
        if (structure := structures[_id(entry, "category_id")]) is not None
    ]
    try:
        payload = places.pack({"shape": shape, "objects": objects, "left_out": len(entries) - len(objects)})
    except InputRefused as error:
        return Item(key, frozenset(), places.pack_refusal(error.code, error.detail))
    return Item(key, frozenset(structure for structure, _ in objects), payload)


def _by_id(data: dict[str, Any], part: str) -> dict[int | str, dict[str, Any]]:
    entries = {_id(entry, "id"): entry for entry in data[part]}
    if len(entries) != len(data[part]):
        raise InputRefused("bad-annotation", f"an id is there twice among {part}")
    return entries


def _id(entry: Any, key: str) -> int | str:
    id_ = entry.get(key) if isinstance(entry, dict) else None
    if type(id_) is not int and not isinstance(id_, str):
        raise InputRefused("bad-annotation", f"an entry has no {key}")
    return id_


def _check_size(size: Any, shape: tuple[int, int]) -> None:
    if not isinstance(size, list) or len(size) != 2 or not all(places.is_count(side) for side in size):
        raise InputRefused("bad-annotation", "a mask without its size")
    check_shape((size[0], size[1]), shape)


def _polygons(segmentation: Any, what: str) -> Iterator[strokes.Points]:
    """Each flat list x, y, x, y, … as (n, 2), moved to where pixel centres are whole numbers."""
    if not isinstance(segmentation, list) or not segmentation:
        raise InputRefused("bad-annotation", f"{what} has neither outline nor mask, perhaps only a box")
    strokes.check_count(
        sum(len(flat) for flat in segmentation if isinstance(flat, list)), 2 * strokes.MAX_POINTS, "numbers"
    )
    for flat in segmentation:
        if not isinstance(flat, list) or len(flat) < 6 or len(flat) % 2 or not all(map(strokes.is_number, flat)):
            raise InputRefused("bad-annotation", f"{what} has an outline that is no list of three points or more")
        yield np.array(flat, np.float64).reshape(-1, 2) - CENTRE_PX
