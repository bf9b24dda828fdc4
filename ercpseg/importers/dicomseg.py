"""DICOM segmentations (SEG): binary segments, which may overlap, or a label map; told by content, not by name.

Each frame of the object says on which image it lies (Derivation Image Sequence); frames are known by the UID of their
instance and, in a multi-frame image, by their number. An object none of whose frames says so lies on the one image that
it refers to as a whole; where there are several, it is refused. Images that the object refers to and has no frame for show
nothing: empty frames are left out of such objects as a rule. A segment without frames is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ercpseg.decoding.decoders import Decoders
from ercpseg.decoding.reading import guarded
from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import InputRefused
from ercpseg.importers import places
from ercpseg.importers.annotation import Context, Drawn, Item, LabelNames, check_known, check_shape, instance_key
from ercpseg.importers.scan import Found

_UID_CHARACTERS = frozenset("0123456789.")
_MAX_UID = 64


class DicomSeg:
    """DICOM files below the stated path. The segments' labels are looked up."""

    overlaps = True

    def __init__(self, spec: AnnotationSpec, names: LabelNames):
        self._spec, self._names = spec, names

    def claims(self, found: Found) -> bool:
        """Whether it is DICOM below the stated path. What kind of DICOM, only its content tells."""
        inside = places.below(found, self._spec) is not None and places.own_stem(found, self._spec) is not None
        return inside and found.kind == "dicom"

    def survey(self, found: Found, decoders: Decoders) -> Iterator[Item]:
        """One item per image, or per frame of an image, that the object is about; none when it is no segmentation.

        Each item is of all segments of the object: those that have no frame there are empty there.

        Raises
        ------
        InputRefused
            ``bad-annotation`` when it is fractional or does not say what is what, ``truncated``, ``surplus-data``,
            ``unsupported-syntax``, ``unknown-structure`` when a label can name no structure.
        """
        reply, _ = decoders.ask("segments", found.file, "dicom")
        if "segmentation" not in reply:
            if places.is_named(found, self._spec):
                raise InputRefused("bad-annotation", "it is no segmentation")
            return
        yield from guarded(partial(self._items, reply["segmentation"]))

    def draw(self, found: Found, item: Item, context: Context) -> Drawn:
        """Read the frames of the segments on one image.

        Raises
        ------
        InputRefused
            ``bad-label-value`` when a value of a label map is not described, ``size-mismatch``, ``unknown-structure``, and
            what the decoder refuses.
        """
        check_known(item.structures, context.structures)
        data = places.unpack(item.payload)
        rows, columns = shape = data["shape"]
        check_shape((rows, columns), context.shape)
        if found.file.size != data["size"]:
            raise InputRefused("unreadable", "the file has changed")
        drawn = Drawn({name: np.zeros(context.shape, bool) for name in sorted(item.structures)})
        for number, segment in data["planes"]:
            where = {"rows": rows, "columns": columns, "bits": data["bits"], "offset": data["offset"], "number": number}
            _, (plane,) = context.decoders.ask("segment-plane", found.file, "dicom", **where)
            if list(plane.shape) != shape:
                raise InputRefused("unreadable", "the decoder broke its promise")
            if segment is None:
                _take_labels(drawn, plane, data["segments"])
            elif (structure := dict(data["segments"])[segment]) is not None:
                drawn.add(structure, plane.astype(bool, copy=False))
        return drawn

    def _items(self, seg: dict[str, Any]) -> list[Item]:
        segments = [(int(number), places.structure_of(self._names, str(label))) for number, label in seg["segments"]]
        structures = frozenset(name for _, name in segments if name is not None)
        uids = [_uid(uid) for uid in seg["uids"]]
        numbers = {number for number, _ in segments}
        fixed = {
            "shape": (int(seg["rows"]), int(seg["columns"])),
            "bits": int(seg["bits"]),
            "offset": int(seg["offset"]),
            "size": int(seg["size"]),
            "segments": segments,
        }
        planes: dict[tuple[str, int | None], list[tuple[int, int | None]]] = {}
        for number, (segment, uid, frame) in enumerate(seg["planes"]):
            if segment is not None and segment not in numbers:
                raise InputRefused("bad-annotation", "a frame belongs to a segment that is not described")
            image = _only_image(seg["images"]) if uid is None else int(uid)
            planes.setdefault((uids[image], frame), []).append((number, segment))
        met = {uid for uid, _ in planes}
        for image in seg["images"]:
            if uids[image] not in met:
                planes[uids[image], None] = []
        for of_one in planes.values():
            if len({segment for _, segment in of_one}) != len(of_one):
                raise InputRefused("bad-annotation", "two frames are of one segment on one image")
        return [
            Item(instance_key(uid, frame), structures, places.pack({**fixed, "planes": of_one}))
            for (uid, frame), of_one in planes.items()
        ]


def _take_labels(drawn: Drawn, plane: Any, segments: list[tuple[int, str | None]]) -> None:
    """Masks of a label map's frame, in which 0 is no segment unless one is called so."""
    known = plane == 0
    for number, structure in segments:
        part = plane == number
        known |= part
        if structure is not None:
            drawn.add(structure, part)
    if not known.all():
        raise InputRefused("bad-label-value", f"value {int(plane[~known].min())} is no segment's")


def _only_image(images: list[int]) -> int:
    if len(images) != 1:
        raise InputRefused("bad-annotation", f"its frames do not say on which of {len(images)} images they lie")
    return int(images[0])


def _uid(text: Any) -> str:
    if not isinstance(text, str) or not 0 < len(text) <= _MAX_UID or not _UID_CHARACTERS.issuperset(text):
        raise InputRefused("bad-annotation", "a reference to an image is no UID")
    return text
