"""Structures, their bitmask, and the parents that are trained beside them.

A *structure* is a thing to segment. Structures overlap (a wire inside a duct inside the shadow of an endoscope), so
their label image is a **bitmask**: bit *i* is set where structure *i* is present. With the default four that is
endoscope 1, guidewire 2, cbd 4, stone 8. Eight structures at most, so that a bitmask is one byte.

A *parent* is a union that the network learns as an auxiliary output (LIP6 offer 2023: instruments as one label;
BraTS-style regions): ``instrument`` = endoscope ∪ guidewire, ``duct`` = cbd ∪ stone. Parents are never written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import UsageError

MAX_STRUCTURES = 8
DEFAULT_STRUCTURES = ("endoscope", "guidewire", "cbd", "stone")
PARENTS: dict[str, tuple[str, ...]] = {"instrument": ("endoscope", "guidewire"), "duct": ("cbd", "stone")}
COLOURS: tuple[tuple[int, int, int], ...] = (
    (64, 220, 96),
    (255, 72, 72),
    (80, 190, 255),
    (255, 214, 64),
    (216, 120, 255),
    (255, 150, 50),
    (120, 255, 220),
    (240, 160, 200),
)
"""RGB per bit, the same in every overlay and figure."""

Mask = NDArray[np.bool_]
Bitmask = NDArray[np.uint8]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class StructureSet:
    """An ordered set of up to eight structure names; the position is the bit.

    A part of a set keeps its bits: ``of`` names the whole, and the position in it is the bit.

    >>> s = StructureSet(("endoscope", "guidewire"))
    >>> s.value("guidewire"), s.parents
    (2, {'instrument': ('endoscope', 'guidewire')})
    >>> StructureSet(("guidewire",), of=("endoscope", "guidewire")).value("guidewire")
    2
    """

    names: tuple[str, ...]
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.of == self.names:
            object.__setattr__(self, "of", ())
        if self.of and list(self.names) != [name for name in StructureSet(self.of) if name in self.names]:
            raise UsageError(
                f"{', '.join(self.names)} are no part of {', '.join(self.of)}", expected="some of these in this order"
            )
        if not 1 <= len(self.names) <= MAX_STRUCTURES:
            raise UsageError(f"{len(self.names)} structures", expected=f"1 to {MAX_STRUCTURES}")
        if len(set(self.names)) != len(self.names):
            raise UsageError("a structure is named twice", where=", ".join(self.names))
        for name in self.names:
            if not _NAME.fullmatch(name) or name in PARENTS:
                raise UsageError(
                    f"{name!r} cannot name a structure",
                    expected="lower-case letters, digits and _, a letter first, at most 40 characters, no parent's name",
                )

    @classmethod
    def ordered(cls, names: Iterable[str]) -> StructureSet:
        """The default structures first in their fixed order, then the others by name.

        >>> StructureSet.ordered({"stone", "airway", "endoscope"}).names
        ('endoscope', 'stone', 'airway')
        """
        found = set(names)
        known = [n for n in DEFAULT_STRUCTURES if n in found]
        return cls(tuple(known + sorted(found - set(known))))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def value(self, name: str) -> int:
        """The bit of ``name`` as a number: 1, 2, 4, …"""
        return 1 << (self.of or self.names).index(name)

    @property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """The parents all of whose members are in this set."""
        return {p: members for p, members in PARENTS.items() if set(members) <= set(self.names)}

    def encode(self, masks: Mapping[str, Mask], shape: tuple[int, int]) -> Bitmask:
        """Masks (y, x) by structure name to one bitmask (y, x); a structure without a mask is absent."""
        bitmask = np.zeros(shape, np.uint8)
        for name, mask in masks.items():
            bitmask |= mask.astype(np.uint8) * np.uint8(self.value(name))
        return bitmask

    def decode(self, bitmask: Bitmask) -> dict[str, Mask]:
        """Bitmask (y, x) to one boolean mask (y, x) per structure."""
        return {name: (bitmask & self.value(name)) > 0 for name in self.names}

    def present(self, bitmask: Bitmask) -> tuple[str, ...]:
        """The structures that show anywhere in a bitmask."""
        bits = int(np.bitwise_or.reduce(bitmask, axis=None))
        return tuple(name for name in self.names if bits & self.value(name))

    def heads(self) -> dict[str, int]:
        """Output channels in order, structures then parents, each with the bits whose union it is."""
        heads = {name: self.value(name) for name in self.names}
        for parent, members in self.parents.items():
            heads[parent] = sum(self.value(m) for m in members)
        return heads


def channels(bitmask: NDArray[np.integer], heads: Mapping[str, int]) -> Mask:
    """Bitmask (…, y, x) to boolean channels (heads, …, y, x): a head is on where any of its bits is set."""
    return np.stack([(bitmask & bits) != 0 for bits in heads.values()])
