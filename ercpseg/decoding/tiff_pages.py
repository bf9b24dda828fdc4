"""The pages of a TIFF file: one walk along the chain of image file directories (TIFF 6.0 section 2; BigTIFF).

tifffile finds page *n* by walking from the first, and keeps all tags of all pages. For a cine of thousands of pages
that is quadratic when each frame is asked for by itself; here only the places are kept.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from ercpseg.errors import InputRefused

MAX_PAGES = 100_000
_MAX_TAGS = 4096
_MAX_TEXT = 1 << 20
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _DESCRIPTION = 254, 255, 270
_REDUCED, _TRANSPARENCY = 1, 4
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}


@dataclass(frozen=True)
class Pages:
    """Where the directories of the full-size images are, and what the first says about the whole stack."""

    offsets: tuple[int, ...]
    declared: int
    """How many images the description of the first page declares (ImageJ, tifffile); 0 when it does not."""
    composite: bool
    """Whether pages are the colour channels of one image (ImageJ, OME)."""


def find_pages(stream: BinaryIO, size: int) -> Pages:
    """Walk the chain. Thumbnails and transparency masks are left out; SubIFDs are not in the chain.

    Raises
    ------
    InputRefused
        ``truncated`` when the chain leads out of the file, ``unreadable`` when it runs in a circle or holds no image.
    """
    walk = _Walk(stream, size)
    offsets, seen, at, text = list[int](), set[int](), walk.first, b""
    while at:
        if at in seen:
            raise InputRefused("unreadable", "the pages run in a circle")
        if len(seen) >= MAX_PAGES:
            raise InputRefused("too-large", f"more than {MAX_PAGES} pages")
        seen.add(at)
        tags, following = walk.directory(at)
        kind = walk.number(tags.get(_NEW_SUBFILE_TYPE))
        reduced = kind & (_REDUCED | _TRANSPARENCY) or walk.number(tags.get(_SUBFILE_TYPE)) == 2
        if not reduced:
            text = text if offsets else walk.text(tags.get(_DESCRIPTION))
            offsets.append(at)
        at = following
    if not offsets:
        raise InputRefused("unreadable", "no page")
    return Pages(tuple(offsets), _declared(text), _composite(text))


class _Walk:
    """Reads directories of one file in its byte order and offset size."""

    def __init__(self, stream: BinaryIO, size: int):
        self._stream, self._size = stream, size
        head = self._read(0, 16 if size >= 16 else 8)
        self._order = "<" if head[:2] == b"II" else ">"
        self._big = struct.unpack(self._order + "H", head[2:4])[0] == 43
        if self._big and (len(head) < 16 or struct.unpack(self._order + "HH", head[4:8]) != (8, 0)):
            raise InputRefused("unreadable", "no BigTIFF header")
        (self.first,) = struct.unpack(self._order + ("Q" if self._big else "I"), head[8:16] if self._big else head[4:8])

    def _read(self, at: int, count: int) -> bytes:
        if at + count > self._size:
            raise InputRefused("truncated", "a page lies outside the file")
        self._stream.seek(at)
        data = self._stream.read(count)
        if len(data) != count:
            raise InputRefused("truncated", "a page lies outside the file")
        return data

    def directory(self, at: int) -> tuple[dict[int, tuple[int, int, bytes]], int]:
        """Tags (code → type, count, value or offset as bytes) and the place of the next directory."""
        entry, head, tail = ("HHQ8s", 8, 8) if self._big else ("HHI4s", 2, 4)
        count = int.from_bytes(self._read(at, head), "little" if self._order == "<" else "big")
        if not 1 <= count <= _MAX_TAGS:
            raise InputRefused("unreadable", f"{count} tags in a page")
        length = count * struct.calcsize(self._order + entry)
        data = self._read(at + head, length + tail)
        entries = struct.iter_unpack(self._order + entry, data[:length])
        (following,) = struct.unpack(self._order + ("Q" if self._big else "I"), data[length:])
        return {code: (kind, number, value) for code, kind, number, value in entries}, following

    def number(self, tag: tuple[int, int, bytes] | None) -> int:
        """Value of a tag that holds one whole number; 0 when it is absent or of another type."""
        if tag is None or tag[1] != 1 or tag[0] not in _SIZES:
            return 0
        return int.from_bytes(tag[2][: _SIZES[tag[0]]], "little" if self._order == "<" else "big")

    def text(self, tag: tuple[int, int, bytes] | None) -> bytes:
        """Value of an ASCII tag, as far as it lies in the file."""
        if tag is None or tag[0] not in (1, 2):
            return b""
        if tag[1] <= len(tag[2]):
            return tag[2][: tag[1]]
        at = int.from_bytes(tag[2], "little" if self._order == "<" else "big")
        return self._read(at, min(tag[1], _MAX_TEXT)) if at + min(tag[1], _MAX_TEXT) <= self._size else b""


def _declared(text: bytes) -> int:
    """ImageJ writes ``images=n``; tifffile writes the shape, and says so when the stack has one directory only."""
    if text.startswith(b"ImageJ="):
        found = re.search(rb"^images=(\d{1,9})\s*$", text, re.MULTILINE)
        return int(found[1]) if found else 0
    if text.startswith(b'{"shape":') and b'"truncated": true' in text:
        try:
            shape = [int(n) for n in json.loads(text.rstrip(b"\0"))["shape"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            return 0
        return max(1, shape[0] if len(shape) == 3 else 2 * MAX_PAGES)
    return 0


def _composite(text: bytes) -> bool:
    channels = re.search(rb"^channels=(\d{1,9})\s*$", text, re.MULTILINE) if text.startswith(b"ImageJ=") else None
    if channels and int(channels[1]) > 1:
        return re.search(rb"^mode=(composite|color)\s*$", text, re.MULTILINE) is not None
    samples = re.search(rb'<Pixels [^>]*SizeC="(\d{1,9})"', text) if b"<OME" in text[:2048] else None
    return samples is not None and int(samples[1]) > 1
