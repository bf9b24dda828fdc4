"""Compressed DICOM pixel data: which bytes of the file belong to which frame, without reading them.

PS3.5 A.4: items of the offset table and the fragments, little endian, closed by a delimiter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ercpseg.errors import InputRefused

_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_STARTS = (b"\xff\xd8", b"\xff\x4f")  # SOI of JPEG and JPEG-LS, SOC of JPEG 2000
MAX_FRAGMENTS = 1_000_000


@dataclass(frozen=True)
class Fragment:
    """A piece of the stream: where its bytes are, and where its item begins, counted as offset tables count."""

    offset: int
    length: int
    item: int
    starts: bool
    """Whether it begins like a JPEG or JPEG 2000 stream."""


def group_fragments(
    handle: BinaryIO, size: int, frames: int, *, markers: bool, extended: Sequence[int] = ()
) -> list[tuple[Fragment, ...]]:
    """The fragments of each of ``frames`` frames; ``handle`` stands behind the element's header.

    ``markers`` says that every frame's stream begins with a marker (all syntaxes but RLE); ``extended`` is the Extended
    Offset Table, empty when there is none.

    Raises
    ------
    InputRefused
        ``truncated``, ``surplus-data`` or ``unreadable`` unless exactly ``frames`` frames are there.
    """
    table, fragments = _items(handle, size)
    if len(fragments) < frames:
        raise InputRefused("truncated", f"{len(fragments)} fragments for {frames} frames")
    starts = [i for i, fragment in enumerate(fragments) if fragment.starts] if markers else []
    if markers and len(starts) > frames:
        raise InputRefused("surplus-data", f"{len(starts)} streams for {frames} frames")
    offsets = list(extended) or table
    if frames == 1:
        if len(offsets) > 1:
            raise InputRefused("surplus-data", f"{len(offsets)} offsets for 1 frame")
        return [tuple(fragments)]
    if len(fragments) == frames:
        return [(fragment,) for fragment in fragments]
    if offsets:
        if len(offsets) != frames:
            code = "surplus-data" if len(offsets) > frames else "truncated"
            raise InputRefused(code, f"{len(offsets)} offsets for {frames} frames")
        where = {fragment.item: i for i, fragment in enumerate(fragments)}
        if any(offset not in where for offset in offsets) or offsets != sorted(set(offsets)) or offsets[0] != 0:
            raise InputRefused("unreadable", "the offset table does not fit the fragments")
        starts = [where[offset] for offset in offsets]
    elif not markers:
        raise InputRefused("surplus-data", f"{len(fragments)} fragments for {frames} frames, no offset table")
    if len(starts) != frames or starts[0] != 0:
        raise InputRefused("truncated", f"{len(starts)} streams for {frames} frames")
    ends = [*starts[1:], len(fragments)]
    return [tuple(fragments[a:b]) for a, b in zip(starts, ends, strict=True)]


def read_fragments(handle: BinaryIO, fragments: Sequence[Fragment]) -> bytes:
    """The stream of one frame."""
    parts = []
    for fragment in fragments:
        handle.seek(fragment.offset)
        parts.append(handle.read(fragment.length))
    return b"".join(parts)


def _items(handle: BinaryIO, size: int) -> tuple[list[int], list[Fragment]]:
    """The Basic Offset Table and all fragments; every length is checked against the file's size."""
    table: list[int] | None = None
    fragments: list[Fragment] = []
    base = 0
    while True:
        at = handle.tell()
        header = handle.read(8)
        if header[:4] == _DELIMITER or (not header and fragments):
            break  # some writers leave the delimiter out; the count of frames still has to fit
        length = int.from_bytes(header[4:8], "little")
        if len(header) < 8 or header[:4] != _ITEM or at + 8 + length > size:
            raise InputRefused("truncated", "the fragments end early")
        if table is None:
            content = handle.read(length)
            table = [int.from_bytes(content[i : i + 4], "little") for i in range(0, length - 3, 4)]
            base = at + 8 + length
            continue
        start = handle.read(min(length, 2))
        fragments.append(Fragment(at + 8, length, at - base, start in _STARTS))
        if len(fragments) > MAX_FRAGMENTS:
            raise InputRefused("too-large", f"more than {MAX_FRAGMENTS} fragments")
        handle.seek(at + 8 + length)
    return table or [], [fragment for fragment in fragments if fragment.length > 0]
