"""Label maps: one image per frame whose values stand for structures by a stated table, as in nnU-Net's raw datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.decoders import Decoders
from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import DataError, InputRefused
from ercpseg.importers import places
from ercpseg.importers.annotation import Context, Drawn, Item, LabelNames, check_known, check_shape, plain_name
from ercpseg.importers.scan import Found

V = TypeVar("V", int, str)

MAX_VALUE = 65535


class LabelMaps:
    """``<path>/…/<stem>.<ext>``. 0 is background unless the table names it.

    A value may stand for several structures at once, as in a bitmask. A value of the word ``ignore`` counts as not
    declared, because pixels that are to be ignored cannot be kept.
    """

    def __init__(self, spec: AnnotationSpec, names: LabelNames):
        self._spec = spec
        self._table, background = table(names, spec.values or {})
        named = {value for values in self._table.values() for value in values}
        if any(not 0 <= value <= MAX_VALUE for value in named | background):
            raise DataError("a label's value is no number from 0 to 65535", where="values")
        self._declared = np.zeros(MAX_VALUE + 1, bool)
        self._declared[list(named | background | {0})] = True
        self.overlaps = has_overlaps(self._table)

    def claims(self, found: Found) -> bool:
        """Whether it lies below the stated path, or beside the frames with the stated suffix, and is no text."""
        return is_map(found, self._spec)

    def survey(self, found: Found, decoders: Decoders) -> Iterator[Item]:
        """One item, of all structures of the table."""
        yield Item(places.own_key(found, self._spec), frozenset(self._table))

    def draw(self, found: Found, item: Item, context: Context) -> Drawn:
        """Decode the label image.

        Raises
        ------
        InputRefused
            ``bad-label-value`` when a value is not declared, ``bad-annotation`` when the image is damaged or none,
            ``size-mismatch``, ``unknown-structure``.
        """
        check_known(self._table, context.structures)
        labels = places.read_pixels(found, "label image", context.decoders.labels)
        if labels.ndim != 2 or labels.dtype.kind not in "iub":
            raise InputRefused("bad-annotation", "its label image is no image of whole numbers")
        check_shape((labels.shape[0], labels.shape[1]), context.shape)
        _check_values(labels, self._declared)
        masks = {}
        for name, values in self._table.items():
            chosen = np.zeros(MAX_VALUE + 1, bool)
            chosen[list(values)] = True
            masks[name] = chosen[labels.astype(np.uint16, copy=False)]
        return Drawn(masks)


def table(names: LabelNames, words: Mapping[str, Iterable[V]]) -> tuple[dict[str, set[V]], set[V]]:
    """Structure → values, and the values of words that are left out, which are background.

    Raises
    ------
    DataError
        when a word can name no structure, or one value is both.
    """
    structures: dict[str, set[V]] = {}
    background: set[V] = set()
    for word, values in words.items():
        try:
            name = places.structure_of(names, word)
        except InputRefused as error:
            raise DataError("a word that cannot name a structure", where=word) from error
        if name is not None:
            structures.setdefault(name, set()).update(values)
        elif plain_name(word) != "ignore":
            background.update(values)
    if any(background & values for values in structures.values()):
        raise DataError("a value is both a structure and background", where="annotations")
    return structures, background


def has_overlaps(structures: Mapping[str, set[V]]) -> bool:
    """Whether a value stands for two structures or more."""
    values = [value for of_one in structures.values() for value in of_one]
    return len(set(values)) < len(values)


def is_map(found: Found, spec: AnnotationSpec) -> bool:
    """Whether a file is an annotation image by its place. Beside the frames, only a suffix can tell the two apart."""
    inside = places.below(found, spec) is not None and found.ignored is None
    return inside and bool(spec.path or spec.suffix) and places.own_stem(found, spec) is not None


def _check_values(labels: NDArray[np.integer], declared: NDArray[np.bool_]) -> None:
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high > MAX_VALUE:
        raise InputRefused("bad-label-value", f"value {low if low < 0 else high} is not declared")
    known = declared[labels.astype(np.uint16, copy=False)]
    if not known.all():
        wrong = labels[~known]
        raise InputRefused("bad-label-value", f"value {int(wrong.min())} is not declared ({len(wrong)} such pixels)")
