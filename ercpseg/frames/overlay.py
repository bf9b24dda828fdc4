"""A picture of a frame with the outlines of its structures, for people to look at.

Outlines lie *beside* a structure, never on it, so that a wire one pixel wide stays visible between its two lines; the
fill is faint and thin structures get none. The colour belongs to the bit (:data:`ercpseg.structures.COLOURS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.frames.lettering import ink, text_coverage
from ercpseg.structures import COLOURS, MAX_STRUCTURES, Mask

FILL_ALPHA = 0.1
"""Share of the colour inside a structure; overlapping structures share it, so that it never grows."""
THIN_PX = 9
"""Hardly a square of this side fits into a thin structure (long side 512): no fill, and never painted over."""
_THIN_LEFT_FRAC = 0.02
_SAMPLES = 16384

Picture = NDArray[np.uint8]


def overlay(
    pixels: NDArray[Any],
    masks: Mapping[str, Mask],
    names: Sequence[str],
    *,
    window: tuple[float, float] | None = None,
    legend: bool = True,
    scale: int = 1,
) -> Picture:
    """Draw ``masks`` over the frame ``pixels``.

    Parameters
    ----------
    pixels
        (y, x) uint8 or uint16.
    masks
        (y, x) boolean per structure; a structure of ``names`` that is left out counts as absent.
    names
        all structures in the order of their bits; the position gives the colour.
    window
        grey values shown as black and white; None takes robust percentiles of the picture.
    legend
        write the names into the emptiest corner (absent structures dimmed), if the picture has room for them.
    scale
        enlarge by this whole factor before drawing; 1 keeps the native size.

    Returns
    -------
    (scale·y, scale·x, 3) uint8, RGB.

    Raises
    ------
    ValueError
        when a mask is of another size than the frame, or names no structure of ``names``.
    """
    _check(pixels, masks, names, scale)
    grey = _grey(pixels, window)
    if scale > 1:
        grey = _enlarge(grey, scale)
        masks = {name: mask.repeat(scale, 0).repeat(scale, 1) for name, mask in masks.items()}
    long_side = max(grey.shape)
    thickness = 1 if long_side < 768 else 2
    thin_px = max(3, round(THIN_PX * long_side / 512))

    filled = np.zeros(grey.shape, np.uint8)
    protected = np.zeros(grey.shape, np.bool_)
    outlines: list[tuple[int, int, tuple[slice, slice], Mask]] = []
    for name, mask in masks.items():
        box = _box(mask, thickness)
        if box is None:
            continue
        bit = names.index(name)
        inside = mask[box]
        if _is_thin(inside, thin_px):
            protected[box] |= inside
        else:
            filled[box] |= inside.view(np.uint8) << np.uint8(bit)
        outlines.append((int(np.count_nonzero(inside)), bit, box, _dilate(inside, thickness) & ~inside))

    picture = _fill(grey, filled)
    for _, bit, box, outline in sorted(outlines, key=lambda o: (-o[0], o[1])):  # large first, so that small stay on top
        picture[box][outline & ~protected[box]] = COLOURS[bit]
    if legend:
        drawn = {bit for _, bit, _, _ in outlines}
        _draw_legend(picture, tuple(names), drawn, [(box, outline) for _, _, box, outline in outlines])
    return picture


def _check(pixels: NDArray[Any], masks: Mapping[str, Mask], names: Sequence[str], scale: int) -> None:
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or not pixels.size:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; expected (y, x) uint8 or uint16")
    if len(names) > MAX_STRUCTURES:
        raise ValueError(f"{len(names)} structures; expected at most {MAX_STRUCTURES}")
    if scale < 1:
        raise ValueError(f"scale is {scale}; expected 1 or more")
    for name, mask in masks.items():
        if name not in names:
            raise ValueError(f"{name!r} is not among the structures {', '.join(names)}")
        if mask.shape != pixels.shape or mask.dtype != np.bool_:
            raise ValueError(f"mask {name!r} is {mask.dtype} {mask.shape}; expected bool {pixels.shape}")


def _grey(pixels: NDArray[Any], window: tuple[float, float] | None) -> Picture:
    """(y, x) uint8 between black and white of the window, by a table over all grey values."""
    low, high = robust_window(pixels) if window is None else window
    values = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=np.float32)
    table = np.clip((values - low) * (255 / max(high - low, 1e-6)) + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(table[pixels])


def robust_window(pixels: NDArray[Any]) -> tuple[float, float]:
    """The 0.5 and 99.5 percentile of (y, x) ``pixels``, without the two extreme values.

    Collimated borders and burnt-out areas are constant; they would use up the window where most of a frame is border.

    >>> robust_window(np.array([[0, 0, 0, 0], [100, 200, 100, 255]], np.uint8))
    (100.0, 199.0)
    """
    step = max(1, int((pixels.size / _SAMPLES) ** 0.5))
    sample = pixels[::step, ::step]
    low, high = sample.min(), sample.max()
    inner = sample[(sample > low) & (sample < high)]
    if inner.size < sample.size // 20:
        return float(low), float(high)
    black, white = float(np.percentile(inner, 0.5)), float(np.percentile(inner, 99.5))
    return (black, white) if white > black else (float(low), float(high))


def _enlarge(grey: Picture, scale: int) -> Picture:
    from scipy import ndimage

    return np.asarray(ndimage.zoom(grey, scale, order=1, mode="nearest", grid_mode=True), np.uint8)


def _box(mask: Mask, margin: int) -> tuple[slice, slice] | None:
    """The bounding box of ``mask`` with a margin, so that what follows touches few pixels; None when empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + 1 + margin),
        slice(max(0, columns[0] - margin), columns[-1] + 1 + margin),
    )


def _dilate(mask: Mask, radius: int) -> Mask:
    """Dilation by a square of side 2·radius + 1 (shifts and ORs: faster than scipy for so small a radius)."""
    for _ in range(radius):
        wide = mask.copy()
        wide[:, 1:] |= mask[:, :-1]
        wide[:, :-1] |= mask[:, 1:]
        mask = wide.copy()
        mask[1:] |= wide[:-1]
        mask[:-1] |= wide[1:]
    return mask


def _is_thin(mask: Mask, side: int) -> bool:
    """Whether hardly any square of ``side`` pixels fits inside ``mask`` (erosion by doubling shifts)."""
    left = mask
    for axis in (0, 1):
        done = 1
        while done < side:
            step = min(done, side - done)
            if left.shape[axis] <= step:
                return True
            left = left[step:] & left[:-step] if axis == 0 else left[:, step:] & left[:, :-step]
            done += step
    return bool(np.count_nonzero(left) <= _THIN_LEFT_FRAC * np.count_nonzero(mask))


@lru_cache(maxsize=1)
def _fill_table() -> NDArray[np.uint32]:
    """RGBA as one number for every pair (bits, grey): the mean colour of the bits, mixed in faintly."""
    bits = np.arange(256)
    on = (bits[:, None] >> np.arange(MAX_STRUCTURES) & 1).astype(np.float32)
    colour = on @ np.asarray(COLOURS, np.float32) / np.maximum(on.sum(1, keepdims=True), 1)
    alpha = np.where(bits > 0, FILL_ALPHA, 0.0)[:, None, None]
    grey = np.arange(256, dtype=np.float32)[None, :, None]
    table = np.zeros((256, 256, 4), np.uint8)
    table[..., :3] = np.rint(grey * (1 - alpha) + colour[:, None] * alpha)
    return table.view(np.uint32).reshape(-1)


def _fill(grey: Picture, filled: NDArray[np.uint8]) -> Picture:
    index = filled.astype(np.uint16) << np.uint16(8) | grey
    rgba = _fill_table()[index].view(np.uint8).reshape(*grey.shape, 4)
    return np.ascontiguousarray(rgba[..., :3])


# -- legend --------------------------------------------------------------------------------------------------------


def _draw_legend(
    picture: Picture,
    names: tuple[str, ...],
    drawn: set[int],
    outlines: Sequence[tuple[tuple[slice, slice], Mask]],
) -> None:
    """Write the names into the corner where the fewest outlines are; nothing when they would take a third of a side."""
    height, width = picture.shape[:2]
    font_px = min(32, max(10, round(max(height, width) / 42)))
    texts = [text_coverage(name, font_px) for name in names]
    line = font_px + max(3, font_px // 3)
    pad = max(3, font_px // 3)
    block_height = line * len(names) + pad
    block_width = max(t.shape[1] for t in texts) + font_px + 3 * pad
    if 3 * block_height > height or 3 * block_width > width:
        return
    lines = np.zeros((height, width), np.bool_)
    for box, outline in outlines:
        lines[box] |= outline
    corners = [
        (slice(y, y + block_height), slice(x, x + block_width))
        for y in (height - block_height, 0)
        for x in (0, width - block_width)
    ]
    block = picture[min(corners, key=lambda corner: np.count_nonzero(lines[corner]))]
    block[:] = block // 3  # dark and see-through, so that light text reads on every frame
    for bit, text in enumerate(texts):
        y = pad // 2 + bit * line
        strength = 1.0 if bit in drawn else 0.4
        swatch = y + (line - font_px // 2) // 2
        block[swatch : swatch + font_px // 2, pad : pad + font_px] = [round(c * strength) for c in COLOURS[bit]]
        ink(block[y:, 2 * pad + font_px :], text, 245, strength)
