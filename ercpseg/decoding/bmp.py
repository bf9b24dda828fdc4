"""BMP by Pillow."""

from __future__ import annotations

import io

import numpy as np

from ercpseg.decoding.images import Raster
from ercpseg.decoding.reading import check_size
from ercpseg.errors import InputRefused


def decode_bmp(data: bytes) -> Raster:
    """Decode a 1-, 4-, 8-, 16-, 24- or 32-bit BMP.

    Raises
    ------
    InputRefused
        when it is too large or ends early.
    """
    from PIL import Image

    if data[14:18] == b"\x0c\0\0\0":
        width, height = int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
    else:
        width = abs(int.from_bytes(data[18:22], "little", signed=True))
        height = abs(int.from_bytes(data[22:26], "little", signed=True))
    check_size(height, width)
    with Image.open(io.BytesIO(data), formats=["BMP"]) as image:
        try:
            if image.mode == "P":
                colours = image.getpalette("RGB") or []
                return Raster(np.asarray(image), palette=np.array(colours, np.uint8).reshape(-1, 3))
            if image.mode == "1":
                return Raster(np.asarray(image.convert("L")), step=255)
            pixels = np.asarray(image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB"))
        except OSError as error:
            raise InputRefused("truncated", "the BMP ends early") from error
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return Raster(pixels[..., :3], alpha=pixels[..., 3])
    return Raster(pixels)
