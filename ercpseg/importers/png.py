"""PNG by imagecodecs (libpng), which keeps 16 bits in colour too; palette indices by Pillow."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused
from ercpseg.importers.grey import exif_orientation
from ercpseg.importers.images import Raster
from ercpseg.importers.reading import check_size

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}


def decode_png(data: bytes) -> Raster:
    """Decode a PNG; only the chunks that make pixels reach the decoder, so the others cannot do harm or be quoted."""
    chunks = _chunks(data)
    header = chunks[0][1]
    if chunks[0][0] != b"IHDR" or len(header) != 13:
        raise InputRefused("unreadable", "the first chunk is no header")
    width, height = int.from_bytes(header[0:4], "big"), int.from_bytes(header[4:8], "big")
    depth, colour, interlaced = header[8], header[9], header[12] != 0
    check_size(height, width)
    if colour not in _DEPTHS or depth not in _DEPTHS[colour]:
        raise InputRefused("unreadable", "no such PNG type")
    if chunks[-1][0] != b"IEND" or all(name != b"IDAT" for name, _ in chunks):
        raise InputRefused("truncated", "chunks are missing")
    orientation = next((exif_orientation(body) for name, body in chunks if name == b"eXIf"), 1)
    if any(name not in _KEPT for name, _ in chunks):
        data = _rebuild(chunks)
    if colour == 3:
        indices, palette = _indices(data)
        return Raster(indices, palette=palette, orientation=orientation)
    if interlaced and depth <= 8:
        pixels = _by_pillow(data, colour)
    else:
        import imagecodecs

        try:
            pixels = np.asarray(imagecodecs.png_decode(data))
        except imagecodecs.PngError as error:
            short = "small" in str(error) or "enough" in str(error)  # libpng: the stream ends before the image does
            raise InputRefused("truncated" if short else "unreadable", "libpng gave up") from error
    if pixels.shape[:2] != (height, width):
        raise InputRefused("unreadable", "decoded size differs from the header")
    bits = 16 if pixels.dtype == np.uint16 else 8
    alpha = pixels[..., -1] if colour in (4, 6) else None
    samples = pixels[..., 0] if colour == 4 else pixels[..., :3] if colour == 6 else pixels
    step = 255 // (2**depth - 1) if colour == 0 and depth < 8 else 1
    return Raster(samples, alpha=alpha, step=step, bits=bits, orientation=orientation)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Names and bodies of all whole chunks up to IEND, without checking their sums (the decoder does)."""
    chunks, at = [], len(_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if at + 12 + length > len(data):
            break
        if name in _KEPT and zlib.crc32(data[at + 4 : at + 8 + length]) != int.from_bytes(
            data[at + 8 + length : at + 12 + length], "big"
        ):
            raise InputRefused("unreadable", "a checksum is wrong")
        chunks.append((name, data[at + 8 : at + 8 + length]))
        at += 12 + length
        if name == b"IEND":
            break
    if not chunks:
        raise InputRefused("truncated", f"{len(data)} bytes")
    return chunks


def _rebuild(chunks: list[tuple[bytes, bytes]]) -> bytes:
    out = [_SIGNATURE]
    for name, body in chunks:
        if name in _KEPT:
            out += [len(body).to_bytes(4, "big"), name, body, zlib.crc32(name + body).to_bytes(4, "big")]
    return b"".join(out)


def _indices(data: bytes) -> tuple[NDArray[Any], NDArray[Any]]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.mode != "P":
            raise InputRefused("unreadable", "the palette is missing")
        colours = image.getpalette("RGB") or []
        return np.asarray(image), np.array(colours, np.uint8).reshape(-1, 3)


def _by_pillow(data: bytes, colour: int) -> NDArray[Any]:
    """Interlaced 8-bit images: libpng through imagecodecs writes a warning to stderr for each."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image.convert({0: "L", 2: "RGB", 4: "LA", 6: "RGBA"}[colour]))
