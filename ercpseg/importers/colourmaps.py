"""Colour maps: one image per frame whose colours stand for structures by a stated table. Never the nearest colour."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ercpseg.decoding.decoders import Decoders
from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import DataError, InputRefused
from ercpseg.importers import places
from ercpseg.importers.annotation import Context, Drawn, Item, LabelNames, check_known, check_shape
from ercpseg.importers.labelmaps import has_overlaps, is_map, table
from ercpseg.importers.scan import Found


class ColourMaps:
    """``<path>/…/<stem>.<ext>``. Every pixel has a colour of the table or of the background, exactly.

    A lossy image (JPEG) hardly ever has, and is refused then: its colours would have to be guessed. A colour may stand for
    several structures at once. Black is background unless another is stated or the table names it.
    """

    def __init__(self, spec: AnnotationSpec, names: LabelNames):
        self._spec = spec
        words = {word: [_number(colour) for colour in colours] for word, colours in (spec.colours or {}).items()}
        self._table, self._background = table(names, words)
        named = {colour for colours in self._table.values() for colour in colours}
        stated = {_number(colour) for colour in spec.background}
        if "background" in spec.model_fields_set and stated & named:
            raise DataError("a colour is both a structure and background", where="annotations")
        self._background |= stated
        self.overlaps = has_overlaps(self._table)

    def claims(self, found: Found) -> bool:
        """Whether it lies below the stated path, or beside the frames with the stated suffix, and is no text."""
        return is_map(found, self._spec)

    def survey(self, found: Found, decoders: Decoders) -> Iterator[Item]:
        """One item, of all structures of the table."""
        yield Item(places.own_key(found, self._spec), frozenset(self._table))

    def draw(self, found: Found, item: Item, context: Context) -> Drawn:
        """Decode the colour image.

        Raises
        ------
        InputRefused
            ``bad-label-value`` when a colour is not declared, ``bad-annotation`` when the image is damaged or none,
            ``size-mismatch``, ``unknown-structure``.
        """
        check_known(self._table, context.structures)
        colours = places.read_pixels(found, "colour image", context.decoders.colours)
        if colours.ndim != 3 or colours.shape[2] != 3 or colours.dtype != np.uint8:
            raise InputRefused("bad-annotation", "its colour image is no image of 8-bit colours")
        check_shape((colours.shape[0], colours.shape[1]), context.shape)
        red, green, blue = (colours[..., i].astype(np.uint32) for i in range(3))
        numbers = red << 16 | green << 8 | blue
        masks = {name: np.isin(numbers, list(wanted)) for name, wanted in self._table.items()}
        known = np.isin(numbers, list(self._background))
        for mask in masks.values():
            known |= mask
        if not known.all():
            wrong, times = np.unique(numbers[~known], return_counts=True)
            most = int(times.argmax())
            raise InputRefused(
                "bad-label-value",
                f"{int(times.sum())} pixels of {len(wrong)} colours that are not declared, "
                f"most of them #{int(wrong[most]):06x} ({int(times[most])})",
            )
        return Drawn(masks)


def _number(colour: str) -> int:
    """``#rrggbb`` as one number."""
    return int(colour[1:], 16)
