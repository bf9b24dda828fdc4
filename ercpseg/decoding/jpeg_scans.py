"""Whether a JPEG stream holds the whole picture: decoders fill up with grey what is missing, and say nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused

HUFFMAN = frozenset({0xC0, 0xC1, 0xC2, 0xC3})
"""Processes of which :func:`decode_whole` can tell whether all is there; of arithmetic coding nobody can."""
PROGRESSIVE, LOSSLESS = 0xC2, 0xC3
_MARKER = re.compile(rb"\xff+[^\x00\xff]", re.DOTALL)
_NOISE = bytes.fromhex("5ac396a53c69") * 40
_BARE_MARKERS = {0x01, 0xD8, *range(0xD0, 0xD8)}


def decode_whole(data: bytes, decode: Callable[[bytes], NDArray[Any]]) -> NDArray[Any]:
    """Decode a stream of a Huffman-coded process, and make sure that nothing of the picture is missing.

    It is decoded a second time with noise at the end of every piece of entropy-coded data: behind the last block of a
    piece nobody reads it, and where blocks are missing it changes the picture. Pieces that are lost as a whole are told by
    the number and order of the restart markers, lost scans of a progressive stream by the bits that no scan brings.
    What is changed, not missing, cannot be seen, nor a hole whose rest is taken for just as many blocks (one of a hundred):
    JPEG has no checksum. A few losses within a scan of a progressive stream,
    which refines what is there already, go unseen too.

    Raises
    ------
    InputRefused
        ``truncated`` when blocks are missing.
    """
    samples = decode(data)
    scans = take_apart(data)
    if not scans.restarts_fit or not scans.complete or not np.array_equal(samples, decode(scans.with_noise)):
        raise InputRefused("truncated", "parts of the JPEG stream are missing")
    return samples


@dataclass
class Scans:
    """What a walk over all markers has found."""

    with_noise: bytes = b""
    """The stream with noise before every marker that ends entropy-coded data."""
    interval: int = 0
    """Blocks between restart markers; 0 without."""
    blocks: int | None = None
    """Blocks of the first scan, where it is a sequential one of all components."""
    restarts: list[list[int]] = field(default_factory=list)
    """Numbers of the restart markers, scan by scan."""
    bits: dict[tuple[int, int], int] = field(default_factory=dict)
    """Progressive: (component, coefficient) → the lowest bit that a scan has brought; −1 where scans do not follow."""
    components: int = 0
    """Progressive: components of the picture."""

    @property
    def complete(self) -> bool:
        """Whether the scans of a progressive stream bring every bit of every coefficient that they begin with."""
        known = {component for component, _ in self.bits}
        return len(known) == self.components and not any(self.bits.values())

    @property
    def restarts_fit(self) -> bool:
        """Whether restart markers count up from 0, and whether the first scan has as many as it must."""
        in_order = all(number == place % 8 for scan in self.restarts for place, number in enumerate(scan))
        if not self.interval or self.blocks is None or not self.restarts:
            return in_order
        return in_order and len(self.restarts[0]) == math.ceil(self.blocks / self.interval) - 1


def take_apart(data: bytes) -> Scans:
    """Walk over all markers of a stream."""
    scans, pieces, frame = Scans(), [data[:2]], b""
    at = 2
    while at + 1 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE_MARKERS:
            end = at + (1 if marker == 0xFF else 2)
        elif marker == 0xD9:
            break
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        pieces.append(data[at:end])
        at = end
        if marker in HUFFMAN and not frame:
            frame = bytes([marker]) + body
        elif marker == 0xDD:
            scans.interval = int.from_bytes(body[:2], "big")
        elif marker == 0xDA:
            if not scans.restarts:
                scans.blocks = _blocks(frame, body)
            if frame[:1] == bytes([PROGRESSIVE]):
                _follow(scans, frame, body)
            at = _entropy_coded(data, at, pieces, scans)
    scans.with_noise = b"".join(pieces) + data[at:]
    return scans


def _entropy_coded(data: bytes, at: int, pieces: list[bytes], scans: Scans) -> int:
    """One scan's data, with noise before every marker; where the next marker that is no restart begins."""
    numbers: list[int] = []
    scans.restarts.append(numbers)
    while (match := _MARKER.search(data, at)) is not None:
        marker = data[match.end() - 1]
        pieces += [data[at : match.start()], _NOISE]
        if not 0xD0 <= marker <= 0xD7:
            return match.start()
        numbers.append(marker - 0xD0)
        pieces.append(data[match.start() : match.end()])
        at = match.end()
    return at


def _follow(scans: Scans, frame: bytes, scan: bytes) -> None:
    """Enter which bits of which coefficients a progressive scan brings (ISO/IEC 10918-1, G.1.1.1)."""
    scans.components = frame[6] if len(frame) > 6 else 0
    count = scan[0] if scan else 0
    if len(scan) < 4 + 2 * count:
        scans.bits[-1, 0] = -1
        return
    first, last, approximation = scan[1 + 2 * count : 4 + 2 * count]
    before, now = approximation >> 4, approximation & 15
    for component in scan[1 : 1 + 2 * count : 2]:
        for coefficient in range(first, min(last, 63) + 1):
            known = scans.bits.get((component, coefficient))
            follows = (known is None) if before == 0 else known == before == now + 1
            scans.bits[component, coefficient] = now if follows else -1


def _blocks(frame: bytes, scan: bytes) -> int | None:
    """Blocks (MCUs; ISO/IEC 10918-1, A.2) of a sequential scan that holds all components, else None."""
    if len(frame) < 7 or frame[0] == PROGRESSIVE or not scan or scan[0] != frame[6]:
        return None
    height, width = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
    factors = [(part >> 4, part & 15) for part in frame[8::3]][: frame[6]]
    if len(factors) != frame[6] or not all(h and v for h, v in factors):
        return None
    side = 1 if frame[0] == LOSSLESS else 8
    # A scan of one component has blocks of one data unit, whatever its sampling factors say.
    across, down = (1, 1) if len(factors) == 1 else (max(h for h, _ in factors), max(v for _, v in factors))
    return math.ceil(width / (side * across)) * math.ceil(height / (side * down))
