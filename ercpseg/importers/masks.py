"""Masks as images: ``<path>/<structure>/…/<stem>.<ext>``; 0 is absent, anything else present."""

from __future__ import annotations

from collections.abc import Iterator

from ercpseg.decoding.decoders import Decoders
from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import InputRefused
from ercpseg.importers import places
from ercpseg.importers.annotation import Context, Drawn, Item, LabelNames, check_known, check_shape
from ercpseg.importers.scan import Found


class Masks:
    """One image per structure and frame; the payload is the structure, so two files for one of both can be told."""

    overlaps = True

    def __init__(self, spec: AnnotationSpec, names: LabelNames):
        self._spec, self._names = spec, names

    def claims(self, found: Found) -> bool:
        """Whether it lies in a folder of the stated path, and is no text."""
        parts = places.below(found, self._spec)
        inside = parts is not None and len(parts) >= 2 and found.ignored is None
        return inside and places.own_stem(found, self._spec) is not None

    def survey(self, found: Found, decoders: Decoders) -> Iterator[Item]:
        """One item, of the structure that the folder names; none when that is to be left out.

        Raises
        ------
        InputRefused
            ``unknown-structure`` when the folder can name no structure.
        """
        structure = places.structure_of(self._names, (places.below(found, self._spec) or ("",))[0])
        if structure is not None:
            yield Item(places.own_key(found, self._spec), frozenset({structure}), structure)

    def draw(self, found: Found, item: Item, context: Context) -> Drawn:
        """Decode the mask.

        Raises
        ------
        InputRefused
            ``bad-annotation`` when it is damaged or no image, ``size-mismatch``, ``unknown-structure``.
        """
        check_known(item.structures, context.structures)
        mask = places.read_pixels(found, "mask", context.decoders.mask)
        if mask.ndim != 2:
            raise InputRefused("bad-annotation", "its mask is no image")
        check_shape((mask.shape[0], mask.shape[1]), context.shape)
        return Drawn({item.payload: mask})
