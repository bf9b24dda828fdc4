"""A contact sheet of a series: small overlays side by side on one page, to see in a moment where a cine goes wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ercpseg.export.protocol import Series
from ercpseg.frames.lettering import ink, text_coverage
from ercpseg.storage.images import write_png

MOST, TILE_PX, WIDEST = 60, 256, 8
"""Frames on a sheet, the long side of one, and how many stand side by side at most."""
COLOURED = 40
"""Difference between channels from which a pixel counts as drawn, not as X-ray."""
_GAP, _CAPTION_PX, _TITLE_PX, _PAPER = 6, 12, 16, 24


class ContactSheet:
    """``contact-sheets/<series>.png``: up to :data:`MOST` frames of a series, evenly spread."""

    says = "a page of small overlays of each series (files of one series, or of one folder)"
    suffix = ".png"
    folder = "contact-sheets"
    per: Literal["file", "series"] = "series"
    needs_pictures = True
    needs_module: str | None = None

    def write(self, path: Path, series: Series) -> None:
        """Write the sheet."""
        shots = series.shots
        chosen = [shots[i] for i in evenly(len(shots), MOST)]
        tiles = [
            (shot.name if shot.index is None else f"frame {shot.index}", shrink(series.picture(shot), TILE_PX))
            for shot in chosen
        ]
        title = f"{len(shots)} frames" if len(chosen) == len(shots) else f"{len(chosen)} of {len(shots)} frames"
        write_png(path, arrange(tiles, f"{series.name}: {title}"))


def evenly(count: int, most: int) -> list[int]:
    """Up to ``most`` of ``count`` numbers, evenly spread, the first and the last among them.

    >>> evenly(10, 4), evenly(3, 4)
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return list(range(count)) if count <= most else [round(i * (count - 1) / (most - 1)) for i in range(most)]


def shrink(picture: NDArray[np.uint8], long_px: int) -> NDArray[np.uint8]:
    """A picture (y, x, 3) made smaller by a whole factor: means of blocks, but a block with a line shows the line."""
    factor = math.ceil(max(picture.shape[:2]) / long_px)
    if factor == 1:
        return picture
    height, width = (math.ceil(side / factor) for side in picture.shape[:2])
    rows, columns = height * factor - picture.shape[0], width * factor - picture.shape[1]
    padded = np.pad(picture, ((0, rows), (0, columns), (0, 0)), mode="edge")
    blocks = padded.reshape(height, factor, width, factor, 3).swapaxes(1, 2).reshape(height, width, factor**2, 3)
    colour = blocks.max(-1) - blocks.min(-1)
    most = colour.argmax(-1)
    drawn = np.take_along_axis(colour, most[..., None], -1)[..., 0] > COLOURED
    line = np.take_along_axis(blocks, most[..., None, None], 2)[:, :, 0]
    return np.where(drawn[..., None], line, np.rint(blocks.mean(2))).astype(np.uint8)


def arrange(tiles: list[tuple[str, NDArray[np.uint8]]], title: str) -> NDArray[np.uint8]:
    """Tiles (name, picture) in rows under a title; names that do not fit are cut off at the front."""
    height = max(picture.shape[0] for _, picture in tiles)
    width = max(max(picture.shape[1] for _, picture in tiles), 60)
    columns = min(len(tiles), WIDEST, math.ceil(math.sqrt(len(tiles) * 1.4)))
    cell_y, cell_x = height + _CAPTION_PX + 2 * _GAP, width + _GAP
    head = _TITLE_PX + 2 * _GAP
    heading = _fitting(title, _TITLE_PX, columns * cell_x - _GAP)
    page = np.full((head + math.ceil(len(tiles) / columns) * cell_y, columns * cell_x + _GAP, 3), _PAPER, np.uint8)
    ink(page[_GAP:, _GAP:], heading, 245)
    for number, (name, picture) in enumerate(tiles):
        y, x = head + number // columns * cell_y, _GAP + number % columns * cell_x
        page[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        ink(page[y + height + 2 :, x:], _fitting(name, _CAPTION_PX, width), 200)
    return page


def _fitting(text: str, font_px: int, width: int) -> NDArray[np.uint8]:
    """The text, or as much of its end as fits: names of one series differ at the end."""
    shown = text
    while len(shown) > 1 and text_coverage(shown, font_px).shape[1] > width:
        shown = "…" + shown[2:] if shown.startswith("…") else "…" + shown[1:]
    return text_coverage(shown, font_px)
