"""Text in pictures: one line in Pillow's built-in font."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_PX = 7


@lru_cache(maxsize=256)
def text_coverage(text: str, font_px: int) -> NDArray[np.uint8]:
    """Coverage (y, x) uint8 of one line of text; read-only, since it is shared by a cache."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(font_px)
    _, _, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right) + 1, int(bottom) + 1))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=font)
    coverage = np.array(image)
    coverage.setflags(write=False)
    return coverage


def ink(area: NDArray[Any], coverage: NDArray[np.uint8], grey: int, strength: float = 1.0) -> None:
    """Mix text of one grey value into the top left of ``area`` (y, x, 3); what does not fit is cut off."""
    height, width = min(area.shape[0], coverage.shape[0]), min(area.shape[1], coverage.shape[1])
    part = area[:height, :width]
    share = coverage[:height, :width, None] * np.float32(strength / 255)
    part[:] = np.rint(part * (1 - share) + np.float32(grey) * share)


def strip(text: str, width: int, font_px: int) -> NDArray[np.uint8]:
    """A black strip (y, width, 3) with centred text, smaller where it would not fit, in two lines where it still does not."""
    lines, size = [text], font_px
    while size > SMALLEST_PX and text_coverage(text, size).shape[1] > width - 4:
        size -= 1
    if text_coverage(text, size).shape[1] > width - 4:
        words = text.split()
        lines = [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
    line_px = size + max(2, size // 3)
    picture = np.zeros((line_px * len(lines) + 2, width, 3), np.uint8)
    for number, line in enumerate(lines):
        coverage = text_coverage(line, size)
        left = max(0, (width - coverage.shape[1]) // 2)
        ink(picture[1 + number * line_px :, left:], coverage, 235)
    return picture
