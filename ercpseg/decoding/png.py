"""PNG by imagecodecs (libpng), which keeps 16 bits in colour too; palette indices and interlaced 8 bits by Pillow."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.grey import exif_orientation, sole_orientation, xmp_orientation
from ercpseg.decoding.images import Raster
from ercpseg.decoding.reading import check_size
from ercpseg.errors import InputRefused

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_DECODED = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_MAX_TEXT = 1 << 20
_READ = _DECODED | {b"tRNS", b"eXIf", b"acTL"}


def decode_png(data: bytes) -> Raster:
    """Decode a PNG; only the chunks that make pixels reach the decoder, so the others cannot do harm or be quoted.

    Gamma, colour profiles and significant bits are not applied: what is stored is what counts.

    Raises
    ------
    InputRefused
        for a wrong checksum, a missing chunk, too little data, an animation, or too large a picture.
    """
    chunks = _chunks(data)
    names = [name for name, _ in chunks]
    header = chunks[0][1]
    if names[0] != b"IHDR" or len(header) != 13 or names.count(b"IHDR") > 1 or names.count(b"PLTE") > 1:
        raise InputRefused("unreadable", "the header is missing or repeated")
    width, height = int.from_bytes(header[0:4], "big"), int.from_bytes(header[4:8], "big")
    depth, colour, interlaced = header[8], header[9], header[12] != 0
    check_size(height, width)
    if colour not in _DEPTHS or depth not in _DEPTHS[colour] or header[10:12] != b"\0\0" or header[12] > 1:
        raise InputRefused("unreadable", "no such PNG type")
    if names[-1] != b"IEND" or b"IDAT" not in names:
        raise InputRefused("truncated", "chunks are missing")
    first, count = names.index(b"IDAT"), names.count(b"IDAT")
    if any(name != b"IDAT" for name in names[first : first + count]):
        raise InputRefused("unreadable", "the image data is not in one piece")
    other = {name: body for name, body in reversed(chunks) if name not in _DECODED}  # the first of each
    if b"acTL" in other:
        raise InputRefused("unsupported-pixels", "an animation")
    texts = [body for name, body in chunks if name in (b"tEXt", b"zTXt", b"iTXt")]
    elsewhere = next(filter(None, map(_text_orientation, texts)), 0)
    orientation = sole_orientation(exif_orientation(other.get(b"eXIf", b"")), elsewhere)
    if not _DECODED.issuperset(names):
        data = _rebuild(chunks)
    if colour == _PALETTE:
        pixels, palette = _indices(data)
        return Raster(
            pixels,
            alpha=_palette_alpha(pixels, other.get(b"tRNS")),
            palette=palette,
            orientation=orientation,
        )
    pixels = _by_pillow(data, colour) if interlaced and depth <= 8 else _by_libpng(data)
    if pixels.shape[:2] != (height, width) or pixels.dtype != (np.uint16 if depth == 16 else np.uint8):
        raise InputRefused("unreadable", "decoded size differs from the header")
    samples = pixels[..., 0] if colour == _GREY_ALPHA else pixels[..., :3] if colour == _RGB_ALPHA else pixels
    step = 255 // (2**depth - 1) if colour == _GREY and depth < 8 else 1
    in_alpha = colour in (_GREY_ALPHA, _RGB_ALPHA)
    return Raster(
        samples,
        alpha=pixels[..., -1] if in_alpha else _key_alpha(samples, step, other.get(b"tRNS")),
        step=step,
        bits=16 if depth == 16 else 8,
        orientation=orientation,
    )


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Names and bodies of all whole chunks up to IEND; the sums of those that are made use of are checked."""
    chunks, at = [], len(_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if at + 12 + length > len(data):
            break
        if name in _READ and zlib.crc32(data[at + 4 : at + 8 + length]) != int.from_bytes(
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
        if name in _DECODED:
            out += [len(body).to_bytes(4, "big"), name, body, zlib.crc32(name + body).to_bytes(4, "big")]
    return b"".join(out)


def _text_orientation(body: bytes) -> int:
    """Orientation in a text chunk: XMP, or the EXIF block in hexadecimal digits that ImageMagick writes; 0 when none."""
    keyword, _, text = body.partition(b"\0")
    try:
        if keyword == b"XML:com.adobe.xmp":  # iTXt: packed or not, method, language, translated keyword, text
            packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
            return xmp_orientation(zlib.decompressobj().decompress(text, _MAX_TEXT) if packed else text)
        if keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
            if text[:1] == b"\0":  # zTXt; a tEXt begins with a line end
                text = zlib.decompressobj().decompress(text[1:], _MAX_TEXT)
            return exif_orientation(bytes.fromhex(b"".join(text.split()[2:]).decode("ascii")))
    except (zlib.error, ValueError):
        pass
    return 0


def _palette_alpha(indices: NDArray[Any], table: bytes | None) -> NDArray[np.uint8] | None:
    """Transparency of a palette (tRNS): one alpha per index, 255 for those that are not named."""
    if table is None:
        return None
    alpha = np.full(256, 255, np.uint8)
    alpha[: len(table[:256])] = np.frombuffer(table[:256], np.uint8)
    chosen: NDArray[np.uint8] = alpha[indices]
    return chosen


def _key_alpha(samples: NDArray[Any], step: int, key: bytes | None) -> NDArray[np.uint8] | None:
    """Transparency of grey or RGB (tRNS): the one stored value that is transparent, two bytes per channel."""
    if key is None:
        return None
    if len(key) != (2 if samples.ndim == 2 else 6):
        raise InputRefused("unreadable", "the transparent colour does not fit the header")
    values = np.frombuffer(key, ">u2").astype(np.int32) * step
    hit = samples == values[0] if samples.ndim == 2 else (samples == values).all(axis=-1)
    return np.where(hit, np.uint8(0), np.uint8(255))


def _indices(data: bytes) -> tuple[NDArray[Any], NDArray[Any]]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.mode != "P":
            raise InputRefused("unreadable", "the palette is missing")
        colours = image.getpalette("RGB") or []
        return np.asarray(image), np.array(colours, np.uint8).reshape(-1, 3)


def _by_libpng(data: bytes) -> NDArray[Any]:
    import imagecodecs

    try:
        return np.asarray(imagecodecs.png_decode(data))
    except imagecodecs.PngError as error:
        short = "small" in str(error) or "enough" in str(error)  # libpng: the stream ends before the image does
        raise InputRefused("truncated" if short else "unreadable", "libpng gave up") from error


def _by_pillow(data: bytes, colour: int) -> NDArray[Any]:
    """Interlaced 8-bit images: libpng through imagecodecs writes a warning to stderr for each."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image.convert({_GREY: "L", _RGB: "RGB", _GREY_ALPHA: "LA", _RGB_ALPHA: "RGBA"}[colour]))
