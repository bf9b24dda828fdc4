"""3D Slicer's segmentations, ``<path>/…/<stem>.seg.nrrd``: named segments in layers, which may overlap.

One slice is the frame of that stem, several are the frames of a stack or cine, ``<stem>_f0000`` and on. Rows and columns
are those of the file; where the patient lay plays no part, since the frames do not know it.
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
from ercpseg.importers.annotation import Context, Drawn, Item, LabelNames, check_known, check_shape
from ercpseg.importers.naming import frame_stem, name_key
from ercpseg.importers.scan import Found

_MARK = ".seg"


class SegNrrd:
    """One file per frame or per stack. The segments' names are looked up as labels."""

    overlaps = True

    def __init__(self, spec: AnnotationSpec, names: LabelNames):
        self._spec, self._names = spec, names

    def claims(self, found: Found) -> bool:
        """Whether it is called so; below a stated path, ``.nrrd`` is enough."""
        endings = (f"{_MARK}.nrrd", ".nrrd") if self._spec.path else (f"{_MARK}.nrrd",)
        inside = places.below(found, self._spec) is not None and places.own_stem(found, self._spec) is not None
        return inside and places.has_suffix(found, *endings)

    def survey(self, found: Found, decoders: Decoders) -> Iterator[Item]:
        """One item per slice, each of all segments.

        Raises
        ------
        InputRefused
            ``bad-annotation`` when it is no binary labelmap or lacks what names its segments, ``unknown-structure`` when a
            segment's name can name no structure, and what the decoder refuses.
        """
        reply, _ = decoders.ask("layers", found.file, "nrrd")
        slices, payload, structures = guarded(partial(self._read, reply))
        stem = places.own_stem(found, self._spec) or found.stem
        if not self._spec.suffix and stem.lower().endswith(_MARK):
            stem = stem[: -len(_MARK)]
        for number in range(slices):
            key = name_key(frame_stem(stem, number if slices > 1 else None))
            yield Item(key, structures, places.pack({**payload, "slice": number}))

    def draw(self, found: Found, item: Item, context: Context) -> Drawn:
        """Decode one slice.

        Raises
        ------
        InputRefused
            ``bad-label-value`` when a value belongs to no segment, ``size-mismatch``, ``unknown-structure``, and what the
            decoder refuses.
        """
        check_known(item.structures, context.structures)
        data = places.unpack(item.payload)
        if data["empty"]:
            return Drawn({name: np.zeros(context.shape, bool) for name in sorted(item.structures)})
        _, (planes,) = context.decoders.ask("layer-slice", found.file, "nrrd", number=data["slice"])
        if planes.ndim != 3 or planes.dtype.kind not in "iu":
            raise InputRefused("unreadable", "the decoder broke its promise")
        y, x = data["offset"]
        height, width = planes.shape[1:]
        if (y, x) == (0, 0):
            check_shape((height, width), context.shape)
        elif y < 0 or x < 0 or y + height > context.shape[0] or x + width > context.shape[1]:
            raise InputRefused("size-mismatch", f"cropped to {height} × {width} at ({y}, {x}), beyond the frame (y, x)")
        drawn = Drawn()
        left = [plane != 0 for plane in planes]
        for structure, value, layer in data["segments"]:
            if not 0 <= layer < len(planes):
                raise InputRefused("bad-annotation", "a layer is missing")
            part = planes[layer] == value
            left[layer] &= ~part
            if structure is not None:
                mask = np.zeros(context.shape, bool)
                mask[y : y + height, x : x + width] = part
                drawn.add(structure, mask)
        if any(rest.any() for rest in left):
            raise InputRefused("bad-label-value", "a value of the segmentation belongs to no segment")
        return drawn

    def _read(self, reply: dict[str, Any]) -> tuple[int, dict[str, Any], frozenset[str]]:
        """Number of slices, payload but for the slice, structures."""
        shape = [int(n) for n in reply["shape"]]
        first, y, x = (int(n) for n in reply["offset"])
        empty = all(n == 1 for n in shape)
        if first != 0 and not empty:
            raise InputRefused("bad-annotation", "slices are cut off, so it is not clear which frames are left")
        segments = [
            (places.structure_of(self._names, str(name)), int(value), int(layer))
            for name, value, layer in reply["segments"]
        ]
        structures = frozenset(name for name, _, _ in segments if name is not None)
        return shape[1], {"segments": segments, "offset": (y, x), "empty": empty}, structures
