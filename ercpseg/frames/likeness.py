"""Which frames look alike: a perceptual hash of a frame, and a search for near-duplicates among many.

The hash asks 256 times whether the frame gets brighter from one place to the next: along 8 rows and down 8 columns, in
16 steps each, over the middle of the field. Only the order of grey values counts, so depth, brightness, contrast and
slight compression change few bits. The rim of the field and what is written beside it are left out, because round
fields on black would all look the same.

Source: the idea of the difference hash (dHash), with means over blocks inside the field. Measured on the 1,568 frames of
436 patients of MIQR-CC (arXiv 2601.16759): of 1.2 million pairs of different patients none is closer than 48 bits.
Successive frames of one film differ by at most 19. With 64 bits the closest of different patients differ by 2 or 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 64
"""Hexadecimal digits of a hash; 4 bits each."""
ALIKE_BITS = 31
"""Frames whose hashes differ in no more bits are near-duplicates. It also is what the search is built for: 32 unequal
bits are needed before every one of the 16 bands holds two."""
LINES, STEPS = 8, 16
MARGIN_FRAC = 0.15
"""Share of the field's box that is left out on each side: what remains lies inside a round field."""
COARSE_SIDE = 64
"""Cells per side to which a frame is averaged first."""
LARGE_SIDE_PX = 512
"""From twice this shorter side on only every n-th pixel is averaged."""
SMALL_FIELD_FRAC = 0.8
"""A field that is smaller than this in one direction is looked at alone, else black would be compared with black."""
BANDS, BAND_BITS = 16, 16

_TURNS = np.concatenate([5 * np.arange(LINES), 5 * np.arange(LINES) + 8])
_BAND_OF = (np.arange(STEPS) - _TURNS[:, None]) % STEPS
"""Question of each line that goes into each band: places far apart, whose answers tell little about each other."""
_ONES = np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8)).reshape(-1, 16).sum(axis=1, dtype=np.uint8)
"""Bits set in every 16-bit number. NumPy counts bits itself from 2.0 on."""

Codes = NDArray[np.uint64]
Indices = NDArray[np.intp]


def look(pixels: NDArray[Any]) -> str:
    """Perceptual hash of a canonical frame (y, x), uint8 or uint16, as 64 hexadecimal digits.

    Empty where most of what is looked at is flat: such frames would all look the same.
    """
    cells = _cells(pixels)
    top, bottom, left, right = _middle(cells)
    rows = _blocks(top, bottom, LINES) @ cells @ _blocks(left, right, STEPS + 1).T
    columns = _blocks(top, bottom, STEPS + 1) @ cells @ _blocks(left, right, LINES).T
    rises = np.concatenate([np.diff(rows, axis=1), np.diff(columns, axis=0).T])
    # Equal blocks of a flat area differ by rounding, which must not decide.
    least = 1e-9 * max(1.0, float(cells.max()))
    if np.count_nonzero(np.abs(rises) > least) < rises.size / 2:
        return ""
    return np.packbits(np.take_along_axis(rises > least, _BAND_OF, axis=1).T).tobytes().hex()


def distance(a: str, b: str) -> int:
    """Bits in which two hashes differ, 0 to 256.

    >>> distance("0" * 64, "0" * 62 + "81")
    2
    """
    return (int(a, 16) ^ int(b, 16)).bit_count()


def find_alike(looks: Sequence[str], groups: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of near-duplicates that join groups.

    With these pairs added, any two frames whose hashes differ in at most :data:`ALIKE_BITS` bits hang together. There are no
    more pairs than that takes: each joins two groups that hung together in no other way. All pairs are
    never compared: two hashes that differ in at most 31 bits differ in at most one bit of one of the 16 bands, so they
    share the rest of that band (multi-index hashing, Norouzi, Punjani and Fleet 2012).

    Parameters
    ----------
    looks
        hashes of :func:`look`; what is empty is like nothing.
    groups
        for every hash the number of the group that it is known to be in.

    Raises
    ------
    ValueError
        when a hash is not of 64 hexadecimal digits.
    """
    known = [i for i, text in enumerate(looks) if text]
    if not known:
        return []
    if any(len(looks[i]) != DIGITS for i in known):
        raise ValueError(f"a hash has not {DIGITS} hexadecimal digits")
    codes = np.frombuffer(bytes.fromhex("".join(looks[i] for i in known)), np.uint64).reshape(len(known), -1)
    _, labels = np.unique([groups[i] for i in known], return_inverse=True)
    return [(known[i], known[j]) for i, j in _Search(codes, labels.astype(np.int64)).run()]


class _Search:
    """Joins labels by pairs of near-duplicates, table by table."""

    def __init__(self, codes: Codes, labels: NDArray[np.int64]):
        self.codes = codes
        self.labels = labels
        self.parent = list(range(int(labels.max()) + 1))
        self.pairs: list[tuple[int, int]] = []

    def run(self) -> list[tuple[int, int]]:
        """Equal hashes first: a film that stands still is one group before anything is compared."""
        order = np.lexsort(self.codes.T)
        equal = (self.codes[order[1:]] == self.codes[order[:-1]]).all(axis=1)
        self._join(order[:-1][equal], order[1:][equal])
        bands = self.codes.view(np.uint16)
        for band in range(BANDS):
            for bit in range(BAND_BITS):
                self._search(bands[:, band] & np.uint16(~(1 << bit) & 0xFFFF))
        return self.pairs

    def _search(self, keys: NDArray[np.uint16]) -> None:
        """Compare the frames that share a key, unless they hang together already."""
        order = np.argsort(keys, kind="stable")
        order = order[self._undecided(keys[order], order)]
        key, codes, labels = keys[order], self.codes[order], self.labels[order]
        step, at = 1, np.arange(len(order))
        while (at := at[: np.searchsorted(at, len(order) - step)]).size:
            at = at[key[at] == key[at + step]]
            apart = at[labels[at] != labels[at + step]]
            alike = apart[_ones(codes[apart] ^ codes[apart + step]) <= ALIKE_BITS]
            if alike.size:
                self._join(order[alike], order[alike + step])
                labels = self.labels[order]
                # What a film has in one bucket is joined by neighbours; the rest need not be compared.
                at = at[self._undecided(key, order)[at]]
            step += 1

    def _undecided(self, keys: NDArray[np.uint16], order: Indices) -> NDArray[np.bool_]:
        """Where in the sorted ``keys`` a frame shares its key with a frame of another label."""
        if not len(keys):
            return np.zeros(0, np.bool_)
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        labels = self.labels[order]
        several = np.minimum.reduceat(labels, starts) != np.maximum.reduceat(labels, starts)
        return np.repeat(several, np.diff(np.append(starts, len(keys))))

    def _join(self, first: Indices, second: Indices) -> None:
        for i, j in zip(first.tolist(), second.tolist(), strict=True):
            a, b = self._root(int(self.labels[i])), self._root(int(self.labels[j]))
            if a != b:
                self.parent[max(a, b)] = min(a, b)
                self.pairs.append((i, j))
        roots = np.array([self._root(label) for label in range(len(self.parent))], np.int64)
        self.labels = roots[self.labels]

    def _root(self, label: int) -> int:
        while self.parent[label] != label:
            self.parent[label] = label = self.parent[self.parent[label]]
        return label


def _ones(words: Codes) -> NDArray[np.int64]:
    """Bits set in each row of ``words``."""
    return np.asarray(_ONES[words.view(np.uint16)].sum(axis=-1, dtype=np.int64))


def _cells(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Means of a frame (y, x) over 64 × 64 cells; whole numbers are summed, so every machine gets the same."""
    step = max(1, min(pixels.shape) // LARGE_SIDE_PX)
    pixels = pixels[::step, ::step]
    height, width = pixels.shape
    if min(height, width) < COARSE_SIDE:
        repeats = -(-COARSE_SIDE // min(height, width))
        pixels = pixels.repeat(repeats, axis=0).repeat(repeats, axis=1)
        height, width = pixels.shape
    y, x = _edges(height), _edges(width)
    sums = np.add.reduceat(np.add.reduceat(pixels, y[:-1], axis=0, dtype=np.uint32), x[:-1], axis=1, dtype=np.uint64)
    return np.asarray(sums / (np.diff(y)[:, None] * np.diff(x)[None, :]), np.float64)


@lru_cache(maxsize=64)
def _edges(side_px: int) -> Indices:
    return np.round(np.linspace(0, side_px, COARSE_SIDE + 1)).astype(np.intp)


def _middle(cells: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Top, bottom, left and right of what is looked at, in cells."""
    from ercpseg.frames.field import find_field
    from ercpseg.geometry.crop import bounding_box

    box = bounding_box(find_field(cells)) or (slice(0, COARSE_SIDE), slice(0, COARSE_SIDE))
    if min(s.stop - s.start for s in box) >= SMALL_FIELD_FRAC * COARSE_SIDE:
        box = (slice(0, COARSE_SIDE), slice(0, COARSE_SIDE))
    (top, bottom), (left, right) = ((s.start, s.stop) for s in box)
    y, x = MARGIN_FRAC * (bottom - top), MARGIN_FRAC * (right - left)
    return top + y, bottom - y, left + x, right - x


@lru_cache(maxsize=256)
def _blocks(start: float, stop: float, count: int) -> NDArray[np.float64]:
    """Weights (count, cell) that average ``count`` equal stretches between two places, in cells."""
    edges = np.linspace(start, stop, count + 1)
    cell = np.arange(COARSE_SIDE)
    overlap = np.minimum(cell + 1, edges[1:, None]) - np.maximum(cell, edges[:-1, None])
    weights = overlap.clip(0, 1)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)
