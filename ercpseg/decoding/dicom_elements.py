"""Walk through a DICOM data set element by element: where its pixels are, and the bytes of the few elements that matter.

PS3.5, chapter 7. Sequences are followed with a list, not by recursion, and nothing is kept but what was asked for: a
hostile header takes time in proportion to its bytes and no memory. pydicom recurses into sequences, and it keeps every
item of them, which are thousands in an Enhanced XA run.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from ercpseg.errors import InputRefused

MAX_DEPTH = 64
"""Sequences within sequences. Standard objects have at most about ten."""
MAX_ELEMENTS = 1_000_000
"""Elements before the pixels, nested ones included: about two seconds. An Enhanced XA run has about 60 per frame."""
MAX_VALUE_BYTES = 8 * 1024 * 1024
"""Bytes of a value that is taken; a longer one counts as absent. Tables of offsets for 1,000,000 frames are as long."""
MAX_LISTED = 1024

PIXELS, FLOAT_PIXELS = 0x7FE00010, (0x7FE00008, 0x7FE00009)
SHARED, PER_FRAME = 0x52009229, 0x52009230
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_STREAMS = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV"))
LONG_VRS = _STREAMS | {b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}

Wanted = Mapping[tuple[int, int], frozenset[int]]
"""(tag of the enclosing sequence or 0, tag of a sequence) → the tags to take from its items."""


class Raw(NamedTuple):
    """A value as it is in the file. ``vr`` is empty where the file does not say."""

    vr: bytes
    data: bytes


class PixelElement(NamedTuple):
    """The element that holds the pixels: where its value begins, its length, None when it is undefined (compressed)."""

    tag: int
    vr: bytes
    offset: int
    length: int | None


@dataclass
class Elements:
    """What a walk has found."""

    values: dict[int, Raw] = field(default_factory=dict)
    """Of the wanted tags at the top, and of functional groups that hold for all frames."""
    listed: dict[int, list[Raw]] = field(default_factory=dict)
    """Of the wanted tags in other sequences, item after item."""
    mixed: set[int] = field(default_factory=set)
    """Wanted tags of functional groups whose values differ from frame to frame."""
    sequences: dict[int, int] = field(default_factory=dict)
    """Wanted sequences at the top → number of items."""
    overlays: set[int] = field(default_factory=set)
    """Groups 60xx."""
    private: int = 0
    """Elements of odd groups at the top."""
    pixels: PixelElement | None = None


@dataclass
class _Level:
    """Where the walk is: between the items of a sequence, within an item, or between fragments."""

    kind: str
    end: int | None
    sequence: int
    parent: int


def walk(
    handle: BinaryIO, size: int, *, top: frozenset[int], nested: Wanted, implicit: bool, little_endian: bool
) -> Elements:
    """Read elements up to the pixels, or the end of the file; ``handle`` stands at the first one.

    Parameters
    ----------
    handle, size
        The file, and how many bytes it has.
    top
        Tags to take from the top of the data set.
    nested
        Sequences to look into, and the tags to take from them.
    implicit, little_endian
        How elements are encoded.

    Raises
    ------
    InputRefused
        ``truncated`` when an element reaches beyond the file, ``unreadable`` when the structure is broken or too deep,
        ``too-large`` when there are too many elements.
    """
    return _Walk(handle, size, top, nested, "<" if little_endian else ">").run(implicit)


class _Walk:
    def __init__(self, handle: BinaryIO, size: int, top: frozenset[int], nested: Wanted, order: str):
        self._handle, self._size, self._top, self._nested = handle, size, top, nested
        self._at = handle.tell()
        self._levels: list[_Level] = []
        self._tag = struct.Struct(order + "HHL").unpack
        self._short = struct.Struct(order + "H").unpack
        self._long = struct.Struct(order + "L").unpack
        self._frames: dict[int, tuple[Raw, int]] = {}
        self._shared: dict[int, Raw] = {}
        self.found = Elements()

    def run(self, implicit: bool) -> Elements:
        for _ in range(MAX_ELEMENTS):
            self._leave()
            head = self._handle.read(8)
            if len(head) < 8:
                if self._levels or head:
                    raise InputRefused("truncated", "the header ends early")
                break
            group, element, length = self._tag(head)
            tag = group << 16 | element
            if self._levels and (group == 0xFFFE or self._levels[-1].kind != "item"):
                self._structure(tag, length)
            elif tag == _ITEM_END or self._element(tag, head, length, implicit):
                break
        else:
            raise InputRefused("too-large", f"more than {MAX_ELEMENTS} elements before the pixels")
        self._merge()
        return self.found

    def _leave(self) -> None:
        """Close the sequences and items of known length that end here."""
        levels = self._levels
        while levels and (end := levels[-1].end) is not None and self._at >= end:
            if self._at > end:
                raise InputRefused("unreadable", "an element is longer than what encloses it")
            levels.pop()

    def _structure(self, tag: int, length: int) -> None:
        """Items and delimiters: what stands between elements within a sequence."""
        level = self._levels[-1]
        self._at += 8
        if tag == _ITEM and level.kind == "sequence":
            if level.parent == 0 and level.sequence > 0:
                self.found.sequences[level.sequence] += 1
            self._enter("item", length, level.sequence, level.parent)
        elif tag == _ITEM and level.kind == "fragments" and length != _UNDEFINED:
            self._skip(length)
        elif level.end is None and tag == (_ITEM_END if level.kind == "item" else _SEQUENCE_END):
            self._levels.pop()
        else:
            raise InputRefused("unreadable", "a sequence is broken")

    def _enter(self, kind: str, length: int, sequence: int, parent: int) -> None:
        if len(self._levels) >= 2 * MAX_DEPTH:
            raise InputRefused("unreadable", f"more than {MAX_DEPTH} sequences within one another")
        end = None if length == _UNDEFINED else self._at + length
        if end is not None and end > self._size:
            raise InputRefused("truncated", "the header ends early")
        self._levels.append(_Level(kind, end, sequence, parent))

    def _skip(self, length: int) -> None:
        self._at += length
        if self._at > self._size:
            raise InputRefused("truncated", "the header ends early")
        self._handle.seek(self._at)

    def _element(self, tag: int, head: bytes, length: int, implicit: bool) -> bool:
        """Take an element or go past it; True at the pixels."""
        self._at += 8
        vr = b"" if implicit else head[4:6]
        if vr in LONG_VRS:
            extra = self._handle.read(4)
            if len(extra) < 4:
                raise InputRefused("truncated", "the header ends early")
            (length,) = self._long(extra)
            self._at += 4
        elif vr.isalpha() and vr.isupper():
            (length,) = self._short(head[6:8])
        else:
            vr = b""  # implicit, as it may be within a sequence of unknown VR (PS3.5 6.2.2)
        if not self._levels:
            if tag == PIXELS or tag in FLOAT_PIXELS:
                self.found.pixels = PixelElement(tag, vr, self._at, None if length == _UNDEFINED else length)
                return True
            if tag & 0x10000:
                self.found.private += 1
            elif 0x6000 <= tag >> 16 <= 0x60FF:
                self.found.overlays.add(tag >> 16)
        parent = self._levels[-1].sequence if self._levels else 0
        inside = self._nested.get((parent, tag))
        if inside is not None and not self._levels:
            self.found.sequences[tag] = 0
        if length == _UNDEFINED:
            streams = vr in _STREAMS or tag == PIXELS
            self._enter("fragments" if streams else "sequence", length, -1 if inside is None else tag, parent)
        elif inside is not None:
            self._enter("sequence", length, tag, parent)
        elif length <= MAX_VALUE_BYTES and self._wanted(tag, parent):
            self._take(tag, Raw(vr, self._handle.read(length)), length)
        else:
            self._skip(length)
        return False

    def _wanted(self, tag: int, parent: int) -> bool:
        if not self._levels:
            return tag in self._top
        return parent > 0 and tag in self._nested[self._levels[-1].parent, parent]

    def _take(self, tag: int, raw: Raw, length: int) -> None:
        self._at += length
        if len(raw.data) < length:
            raise InputRefused("truncated", "the header ends early")
        group = self._levels[-1].parent if self._levels else 0
        if not self._levels:
            self.found.values[tag] = raw
        elif group == SHARED:
            self._shared[tag] = raw
        elif group == PER_FRAME:
            first, count = self._frames.setdefault(tag, (raw, 0))
            self._frames[tag] = first, count + 1
            if raw.data != first.data:
                self.found.mixed.add(tag)
        elif len(values := self.found.listed.setdefault(tag, [])) < MAX_LISTED:
            values.append(raw)

    def _merge(self) -> None:
        """Functional groups (PS3.3 C.7.6.16): what holds for all frames stands in for what is not at the top."""
        frames = self.found.sequences.get(PER_FRAME, 0)
        self.found.mixed |= {tag for tag, (_, count) in self._frames.items() if count != frames}
        same = {tag: raw for tag, (raw, _) in self._frames.items() if tag not in self.found.mixed}
        self.found.values = {**self._shared, **same, **self.found.values}
        for tag in self.found.mixed:
            self.found.values.pop(tag, None)
