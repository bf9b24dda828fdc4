"""What all annotation formats have in common: names of structures, what a file says of a frame, what is drawn of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.decoders import Decoders
from ercpseg.errors import DataError, InputRefused, UsageError
from ercpseg.importers.scan import Found
from ercpseg.structures import MAX_STRUCTURES, Bitmask, Mask, StructureSet

SYNONYMS: dict[str, str] = {
    "common_bile_duct": "cbd",
    "bile_duct": "cbd",
    "scope": "endoscope",
    "duodenoscope": "endoscope",
    "stones": "stone",
    "lithiasis": "stone",
    "wire": "guidewire",
    "guide_wire": "guidewire",
}
"""Other words for the default structures."""
NOT_STRUCTURES = {"background", "ignore"}
"""labelme's own examples write ``_background_`` and ``__ignore__`` for what is not labelled."""

Lines = dict[str, list[NDArray[np.float64]]]
"""Structure → centre-lines, each (n, 2) as (y, x) in pixels, pixel centres at whole numbers."""


@dataclass(frozen=True)
class Item:
    """What one annotation file says about one frame.

    ``key`` names the frame: :func:`ercpseg.importers.naming.name_key` of its name, or :func:`instance_key`. ``payload`` is
    the format's own text, given back when the frame is drawn; it is kept in a scratch file, not in memory.
    """

    key: str
    structures: frozenset[str]
    payload: str = ""


@dataclass(frozen=True)
class Context:
    """What drawing needs to know of the frame: its shape (y, x) and its spacing in the patient where that is known."""

    shape: tuple[int, int]
    structures: StructureSet
    decoders: Decoders
    spacing_mm: tuple[float, float] | None = None


@dataclass
class Drawn:
    """Masks (y, x), which may overlap, and the centre-lines of what was annotated as a line."""

    masks: dict[str, Mask] = field(default_factory=dict)
    lines: Lines = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def add(self, structure: str, mask: Mask) -> None:
        """Unite a mask with what the structure has."""
        self.masks[structure] = self.masks[structure] | mask if structure in self.masks else mask

    def join(self, other: Drawn) -> None:
        """Unite with what another file draws."""
        for structure, mask in other.masks.items():
            self.add(structure, mask)
        for structure, lines in other.lines.items():
            self.lines.setdefault(structure, []).extend(lines)
        self.notes += other.notes

    def bitmask(self, context: Context) -> Bitmask:
        """The bitmask (y, x)."""
        return context.structures.encode({name: m for name, m in self.masks.items() if m.any()}, context.shape)


class AnnotationFormat(Protocol):
    """One way to write annotations; made from an ``AnnotationSpec`` and :class:`LabelNames` by ``formats.FORMATS``."""

    overlaps: bool
    """Whether the format can say that two structures lie on one pixel. Where not, the import says so."""

    def claims(self, found: Found) -> bool:
        """Whether this file is such an annotation, by its place and name; nothing is opened."""

    def survey(self, found: Found, decoders: Decoders) -> Iterator[Item]:
        """What the file says about which frames.

        Raises
        ------
        InputRefused
            ``bad-annotation`` when it is damaged.
        """

    def draw(self, found: Found, item: Item, context: Context) -> Drawn:
        """Draw one item; called on any thread.

        Raises
        ------
        InputRefused
            when it cannot be drawn on a frame of this shape.
        """


class LabelNames:
    """From the words in files to structures, as a descriptor says or as they stand.

    >>> names = LabelNames({"cbd": ("Choledoque",)}, ignore=("text",))
    >>> [names.structure(word) for word in ("choledoque", "Guide-Wire", "Text", "_background_")]
    ['cbd', 'guidewire', None, None]
    """

    def __init__(self, labels: Mapping[str, Iterable[str]] | None = None, ignore: Iterable[str] = ()):
        self._table = {plain_name(word): name for name, words in (labels or {}).items() for word in (name, *words)}
        self._ignored = {plain_name(word) for word in ignore} | NOT_STRUCTURES

    @property
    def open(self) -> bool:
        """Whether any word may become a structure, since nobody said which there are."""
        return not self._table

    def structure(self, label: str) -> str | None:
        """The structure that a label means; None when it is to be left out."""
        word = plain_name(label)
        if word in self._table:
            return self._table[word]
        return None if word in self._ignored else SYNONYMS.get(word, word)


MAX_LABEL_CHARACTERS, MAX_LABEL_WORDS = 40, 3
_NUMBER_OF_A_PERSON = re.compile(r"\d{6}|(?<!\d)(19|20)\d\d(?!\d)")


def is_term(label: str) -> bool:
    """Whether a label looks like the name of a thing and not like free text, which may name a person.

    >>> [is_term(t) for t in ("Guide-Wire", "left lung", "stone_6539_b", "Muster, Eva", "Muster 1961", "see note of Dr X")]
    [True, True, True, False, False, False]
    """
    plain = all(c.isalnum() or c in " _-/." for c in label) and not _NUMBER_OF_A_PERSON.search(label)
    return plain and len(label) <= MAX_LABEL_CHARACTERS and len(label.split()) <= MAX_LABEL_WORDS


def plain_name(label: str) -> str:
    """Lower case, ``_`` for everything but letters and digits.

    >>> plain_name(" Côté droit-2")
    'cote_droit_2'
    """
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def structure_name(label: str) -> str:
    """A label as a structure's name, synonyms resolved.

    >>> [structure_name(t) for t in ("Guide-Wire", "Common bile duct", "Stone", "left lung")]
    ['guidewire', 'cbd', 'stone', 'left_lung']
    """
    name = plain_name(label)
    return SYNONYMS.get(name, name)


def instance_key(uid: str, frame: int | None) -> str:
    """The key of a frame by its DICOM instance instead of its name; ``frame`` from 0, None for single frames.

    >>> instance_key("1.2.3", 7)
    'instance:1.2.3:7'
    """
    return f"instance:{uid}:{'' if frame is None else frame}"


def structure_set(names: Iterable[str]) -> StructureSet:
    """The structures found, the default ones first.

    Raises
    ------
    DataError
        when there are none, more than eight, or one whose name cannot be used; names them.
    """
    found = sorted(set(names))
    if not found:
        raise DataError("no structure is annotated", todo="annotate at least one frame")
    if len(found) > MAX_STRUCTURES:
        raise DataError(
            f"{len(found)} structures: {', '.join(name[:40] for name in found[:40])}",
            expected=f"at most {MAX_STRUCTURES}",
            todo="merge or leave out some",
        )
    try:
        return StructureSet.ordered(found)
    except UsageError as error:
        raise DataError(error.what, where=error.where, expected=error.expected, todo="rename it") from error


def check_known(names: Iterable[str], structures: StructureSet) -> None:
    """Refuse an annotation that names a structure which the dataset does not have."""
    unknown = set(names) - set(structures)
    if unknown:
        raise InputRefused("unknown-structure", f"{len(unknown)} of its labels are none of {', '.join(structures)}")


def check_shape(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    """Refuse an annotation whose size (y, x) is not the frame's."""
    if shape != expected:
        raise InputRefused(
            "size-mismatch", f"annotation {shape[0]} × {shape[1]}, frame {expected[0]} × {expected[1]} (height × width)"
        )
