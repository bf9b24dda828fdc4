"""What all annotation formats have in common: names of structures, and a promise to draw a bitmask."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ercpseg.errors import DataError, InputRefused, UsageError
from ercpseg.structures import MAX_STRUCTURES, Bitmask, StructureSet

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


@dataclass
class Annotation:
    """The annotation of one frame, not read yet.

    ``draw(shape, structures)`` gives the bitmask (y, x) and notes, or raises :class:`InputRefused`; it may run on any
    thread. ``sources`` are its files, relative to the dataset's folder.
    """

    draw: Callable[[tuple[int, int], StructureSet], tuple[Bitmask, tuple[str, ...]]]
    sources: list[str] = field(default_factory=list)


def structure_name(label: str) -> str:
    """A label as a structure's name: lower case, ``_`` for everything but letters and digits, synonyms resolved.

    >>> [structure_name(t) for t in ("Guide-Wire", "Common bile duct", "Stone", "left lung")]
    ['guidewire', 'cbd', 'stone', 'left_lung']
    """
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return SYNONYMS.get(name, name)


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
