"""Text and marks burned into a frame: names, dates and numbers that a console or a frame grabber wrote into the pixels.

Such text has thin strokes of one extreme grey that end within a pixel or two, and characters of like height side by
side. What is as thin in an X-ray frame (wires, the rings of an endoscope, bone) is softer or stands alone. So: what is
narrower than strokes are, and brighter or darker than its surround (a top-hat), in connected parts, chained to rows.
In the surround outside of the field nothing is expected at all, and a single bright part counts.

This is a check for a person to look at, no de-identification. Slanted and handwritten text, a few lone letters inside
the field and text fainter than :data:`CONTRAST` go unseen.

Source: connected parts chained by size and distance are the classic way to find text in pictures (Wu, Manmatha and
Riseman, IEEE PAMI 21(11), 1999). The numbers were set on ERCP, coronary and synthetic frames with text drawn on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ercpseg.frames.field import find_field
from ercpseg.geometry.components import EIGHT
from ercpseg.structures import Mask

CONTRAST = 40
"""Least height of a stroke above its surround, of 255 from the darkest to the brightest pixel of the frame."""
NOISE_SDS = 6.0
"""… and in standard deviations of the noise, which a top-hat lifts by four or so."""
STROKE_PX = 9
"""Window of the top-hat; strokes are narrower, which holds for text up to 60 px high."""
HEIGHT_PX = (5, 60)
"""Height of a character."""
CHARACTERS = 4
"""A row inside the field has at least so many: three rings of an endoscope may look like three characters."""
CHARACTERS_ALONG_Y = 6
"""The same for text that runs along y, which is rare."""
MARK_PX = 5
"""Least height and width of a single mark outside of the field."""
LEVELS = 3
"""The frame is looked at as it is, at half and at a quarter of its size, for larger text."""
LARGEST_SIDE_PX = 2048
"""Larger frames are reduced first."""
MOST_PARTS = 600
"""Parts that are chained at most, the brightest; their number enters squared."""
RUNS_PER_CHARACTER = 1.6
"""How often a line through text enters a stroke, per character of Latin text and digits."""
WORD_WIDTH = 15
"""Width of a part as a multiple of its height: small characters run together to words."""
WORD_GAP = 1.3
"""Gap between parts of a row as a multiple of their height."""
ROW_ASPECT = 1.5
"""A row is so many times longer than high …"""
ROW_HEIGHT = 2.2
"""… and at most so many times higher than its parts, so it does not climb."""
LEAST_RANGE = 64
"""In a frame whose greys span less than this part of its bits, steps of single greys would look like strokes."""
HOT_PIXELS = 30
"""So many of the brightest pixels may be defects; less text than that cannot be read."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class TextBox:
    """Rectangle (top, left, bottom, right) in pixels, bottom and right exclusive, that seems to hold burned-in text."""

    top: int
    left: int
    bottom: int
    right: int
    outside: bool
    """Most of it lies outside of the exposed field."""
    characters: int
    """A rough count; 1 for a single mark outside of the field: an arrow, a letter, the rest of a logo."""


class _Parts(NamedTuple):
    """Connected parts. ``low`` and ``high`` (n, 2) are the corners (y, x) of their boxes, high exclusive.

    ``runs`` (n, 2) counts how often lines along y and along x enter the part, ``peak`` (n,) is its brightest grey.
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    runs: NDArray[np.intp]
    peak: NDArray[np.intp]

    def take(self, which: NDArray[Any]) -> _Parts:
        return _Parts(self.low[which], self.high[which], self.runs[which], self.peak[which])

    def turned(self) -> _Parts:
        """The same with y and x exchanged."""
        return _Parts(self.low[:, ::-1], self.high[:, ::-1], self.runs[:, ::-1], self.peak)


def text_boxes(pixels: NDArray[Any], bits: int, field: Mask | None = None) -> tuple[TextBox, ...]:
    """Where a frame (y, x) of unsigned integers with ``bits`` seems to hold burned-in text, from top to bottom.

    Rows of text along x or y, light or dark, are found inside and outside of ``field`` (y, x; estimated when None),
    single bright marks only outside. Boxes that overlap are one.

    Raises
    ------
    ValueError
        when ``pixels`` is no (y, x) array of unsigned integers.
    """
    if pixels.ndim != 2 or pixels.dtype.kind != "u" or not pixels.size:
        raise ValueError(f"a frame of {pixels.dtype} {pixels.shape}; expected (y, x) unsigned integers")
    field = find_field(pixels) if field is None else field
    scale = min(-(-max(pixels.shape) // LARGEST_SIDE_PX), *pixels.shape)
    grey, exposed = _reduced(_grey(pixels, bits), scale), _thinned(field, scale)
    found = [(_times(box, scale), 1) for box in _marks(grey, exposed)]
    for _ in range(LEVELS):
        found += [(_times(box, scale), count) for box, count in _rows(grey, exposed)]
        if min(grey.shape) < 4 * HEIGHT_PX[1]:
            break
        grey, exposed, scale = _reduced(grey, 2), _thinned(exposed, 2), 2 * scale
    boxes = []
    for (top, left, bottom, right), count in _merged(found):
        outside = bool(np.mean(field[top:bottom, left:right]) < 0.5)
        if outside or count >= CHARACTERS:
            boxes.append(TextBox(top, left, bottom, right, outside, count))
    return tuple(sorted(boxes, key=lambda box: (box.top, box.left)))


def _times(box: Box, scale: int) -> Box:
    top, left, bottom, right = (scale * side for side in box)
    return top, left, bottom, right


def _grey(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """0 to 255 from the darkest to the brightest pixel; a few hot pixels are clipped."""
    rank = min(HOT_PIXELS, pixels.size)
    low, high = int(pixels.min()), int(np.partition(pixels, pixels.size - rank, axis=None)[-rank])
    grey = np.minimum(pixels, high).astype(np.float32)
    grey -= low
    grey *= 255 / max(high - low, 2**bits // LEAST_RANGE, 1)
    levels: NDArray[np.uint8] = grey.astype(np.uint8)
    return levels


def _reduced(grey: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Means of ``step`` × ``step`` pixels; what is left over at the ends is cut off."""
    if step == 1:
        return grey
    height, width = (side // step * step for side in grey.shape)
    sums = np.zeros((height // step, width // step), np.uint32)
    for y in range(step):
        for x in range(step):
            sums += grey[y:height:step, x:width:step]
    sums //= step * step
    return sums.astype(np.uint8)


def _thinned(mask: Mask, step: int) -> Mask:
    """Every ``step``-th pixel, of the shape of :func:`_reduced`."""
    height, width = (side // step * step for side in mask.shape)
    return mask[:height:step, :width:step]


def _marks(grey: NDArray[np.uint8], field: Mask) -> list[Box]:
    """Boxes of what is bright in the surround and does not touch the field."""
    if field.all():
        return []
    near = _windowed(field.view(np.uint8), np.maximum, 3).view(np.bool_)
    if near.all():
        return []
    labels, parts = _parts((grey > int(np.median(grey[~near])) + CONTRAST) & ~field, grey)
    touching = np.zeros(len(parts.peak) + 1, np.bool_)
    touching[labels[near]] = True
    large = (parts.high - parts.low >= MARK_PX).all(axis=1)
    return [_around(parts.take(np.array([i]))) for i in np.flatnonzero(large & ~touching[1:])]


def _rows(grey: NDArray[np.uint8], field: Mask) -> list[tuple[Box, int]]:
    """Boxes of text with their number of characters: light and dark, along x and along y."""
    threshold = max(CONTRAST, round(NOISE_SDS * _noise_sd(grey, field)))
    found = []
    for picture in (grey, ~grey):
        _, parts = _parts(_top_hat(picture) > threshold, picture)
        found += _chained(parts, 2)
        for (left, top, right, bottom), count in _chained(parts.turned(), CHARACTERS_ALONG_Y):
            found.append(((top, left, bottom, right), count))
    return found


def _noise_sd(grey: NDArray[np.uint8], field: Mask) -> float:
    """Standard deviation of white noise that would make neighbours differ as much as they do in the field."""
    steps = np.maximum(grey[:, 1:], grey[:, :-1]) - np.minimum(grey[:, 1:], grey[:, :-1])
    seen = np.cumsum(np.bincount(steps[field[:, 1:]], minlength=1))
    # |a - b| of two normal values has its median at 0.954 standard deviations.
    return float(np.searchsorted(seen, seen[-1] / 2)) / 0.954


def _top_hat(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is brighter than its surround and narrower than :data:`STROKE_PX`: the picture minus its opening."""
    return grey - _windowed(_windowed(grey, np.minimum, STROKE_PX), np.maximum, STROKE_PX)


def _windowed(grey: NDArray[np.uint8], extreme: np.ufunc, window: int) -> NDArray[np.uint8]:
    """Extreme over ``window`` × ``window`` pixels (odd); windows grow by doubling, so that few passes are needed."""
    spread = np.pad(grey, window // 2, mode="edge")
    for _ in range(2):
        width = 1
        while width < window:
            shift = min(width, window - width)
            spread, width = extreme(spread[shift:], spread[:-shift]), width + shift
        spread = spread.T
    return spread


def _parts(mask: Mask, grey: NDArray[np.uint8]) -> tuple[NDArray[np.int32], _Parts]:
    """Labels (y, x) of the 8-connected parts of ``mask`` from 1 on, and the parts in that order."""
    from scipy import ndimage

    labels, n = ndimage.label(mask, structure=EIGHT, output=np.int32)
    at = np.flatnonzero(mask)
    order = np.argsort(labels.ravel()[at], kind="stable")
    at = at[order]
    if not n:
        none = np.zeros((0, 2), np.intp)
        return labels, _Parts(none, none, none, none[:, 0])
    first = np.searchsorted(labels.ravel()[at], np.arange(1, n + 1))
    where = np.stack(np.divmod(at, mask.shape[1]), axis=1)
    padded = np.pad(mask, ((1, 0), (1, 0)))
    entered = np.stack([~padded[:-1, 1:].ravel()[at], ~padded[1:, :-1].ravel()[at]], axis=1)
    return labels, _Parts(
        np.minimum.reduceat(where, first),
        np.maximum.reduceat(where, first) + 1,
        np.add.reduceat(entered.astype(np.intp), first),
        np.maximum.reduceat(grey.ravel()[at], first).astype(np.intp),
    )


def _chained(parts: _Parts, fewest: int) -> list[tuple[Box, int]]:
    """Rows along x of at least ``fewest`` characters: parts of like height and grey, side by side."""
    from scipy.sparse.csgraph import connected_components

    height, width = (parts.high - parts.low).T
    fits = (height >= HEIGHT_PX[0]) & (height <= HEIGHT_PX[1]) & (width <= WORD_WIDTH * height)
    which = np.flatnonzero(fits)
    if len(which) > MOST_PARTS:
        which = which[np.argsort(-parts.peak[which], kind="stable")[:MOST_PARTS]]
    if not len(which):
        return []
    parts, height = parts.take(which), height[which]
    (top, left), (bottom, right) = parts.low.T, parts.high.T
    lower, higher = np.minimum.outer(height, height), np.maximum.outer(height, height)
    overlap = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
    gap = np.maximum.outer(left, left) - np.minimum.outer(right, right)
    linked = (2 * overlap >= lower) & (higher <= 2 * lower) & (gap <= WORD_GAP * higher)
    linked &= np.abs(np.subtract.outer(parts.peak, parts.peak)) <= CONTRAST
    _, row = connected_components(linked, directed=False)
    characters = np.bincount(row, np.maximum(1, parts.runs[:, 1] / height / RUNS_PER_CHARACTER))
    found = []
    for number in np.flatnonzero(np.round(characters) >= fewest):
        of = row == number
        box = _around(parts.take(of))
        tall, long = box[2] - box[0], box[3] - box[1]
        if long >= ROW_ASPECT * tall and tall <= ROW_HEIGHT * height[of].mean():
            found.append((box, round(float(characters[number]))))
    return found


def _around(parts: _Parts) -> Box:
    (top, left), (bottom, right) = parts.low.min(axis=0).tolist(), parts.high.max(axis=0).tolist()
    return top, left, bottom, right


def _merged(found: list[tuple[Box, int]]) -> list[tuple[Box, int]]:
    """One box for those that overlap, with the largest count."""
    boxes = list(found)
    merged: list[tuple[Box, int]] = []
    while boxes:
        (top, left, bottom, right), count = boxes.pop()
        near = [b for b in boxes if b[0][0] < bottom and b[0][2] > top and b[0][1] < right and b[0][3] > left]
        if not near:
            merged.append(((top, left, bottom, right), count))
            continue
        boxes = [b for b in boxes if b not in near]
        sides = np.array([(top, left, bottom, right), *(b[0] for b in near)])
        (top, left), (bottom, right) = sides[:, :2].min(axis=0).tolist(), sides[:, 2:].max(axis=0).tolist()
        boxes.append(((top, left, bottom, right), max(count, *(b[1] for b in near))))
        boxes += merged  # the larger box may reach some of those
        merged = []
    return merged
