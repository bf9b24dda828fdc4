"""One compressed DICOM frame to samples, strictly by transfer syntax, all with imagecodecs.

pydicom with Pillow cannot decode lossless JPEG, JPEG-LS and 12-bit JPEG, which X-ray systems like; imagecodecs can,
releases the GIL and warns nobody, so frames decode on threads. The size inside the stream is compared with the header
before the decoder, which allocates by it, sees a byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.jpeg import read_header
from ercpseg.decoding.jpeg_scans import HUFFMAN, PROGRESSIVE, decode_whole
from ercpseg.errors import InputRefused

Samples = NDArray[Any]
_JPEG = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"
JPEG_8BIT, JPEG_12BIT = _JPEG + "50", _JPEG + "51"


def decode(syntax: str, stream: bytes, shape: tuple[int, int, int], bits_allocated: int, *, rgb: bool) -> Samples:
    """Decode one frame to (y, x) or (y, x, 3), unsigned or signed, values as stored.

    ``shape`` is (y, x, samples per pixel) of the header; ``rgb`` says that the header calls the samples RGB.

    Raises
    ------
    InputRefused
        when the stream does not fit the header, ends early, or the syntax has no decoder.
    Exception
        what the decoder throws at damaged data.
    """
    decoder = DECODERS.get(syntax)
    if decoder is None:
        raise InputRefused("unsupported-syntax")
    try:
        samples = decoder(stream, shape, bits_allocated, rgb)
    except ImportError:  # imagecodecs can be built without this codec
        from ercpseg.decoding import stand_in

        samples = stand_in.decode(syntax, stream, shape, bits_allocated)
    if samples.shape != (shape if shape[2] > 1 else shape[:2]):
        raise InputRefused("unreadable", "decoded size differs from the header")
    return samples


def _check(found: tuple[int, int, int], shape: tuple[int, int, int]) -> None:
    if found != shape:
        raise InputRefused("unreadable", "size in the compressed stream differs from the header")


def _jpeg(stream: bytes, shape: tuple[int, int, int], _: int, rgb: bool) -> Samples:
    import imagecodecs

    header = read_header(stream)
    _check((header.height, header.width, header.components), shape)
    if header.marker == 0xF7:
        raise InputRefused("unreadable", "JPEG-LS under another transfer syntax")
    if not header.complete:
        raise InputRefused("truncated", "the compressed stream has no end")
    # RGB without a JFIF or Adobe marker: libjpeg would take the samples for YCbCr
    plain = rgb and header.components == 3 and not any(m in stream[:4096] for m in (b"JFIF\0", b"Adobe"))
    if header.marker not in HUFFMAN - {PROGRESSIVE}:  # no syntax that is understood has progressive streams
        raise InputRefused("unsupported-syntax", f"JPEG process {header.marker:02X}")
    return decode_whole(
        stream, lambda data: np.asarray(imagecodecs.jpeg8_decode(data, colorspace="RGB" if plain else None))
    )


def _jpeg_ls(stream: bytes, shape: tuple[int, int, int], _: int, __: bool) -> Samples:
    import imagecodecs

    header = read_header(stream)
    _check((header.height, header.width, header.components), shape)
    if header.marker != 0xF7:
        raise InputRefused("unreadable", "the stream is no JPEG-LS")
    if not header.complete:  # CharLS notices, but may take seconds of counting zeros to do so
        raise InputRefused("truncated", "the compressed stream has no end")
    return np.asarray(imagecodecs.jpegls_decode(stream))


def _jpeg_2000(stream: bytes, shape: tuple[int, int, int], _: int, __: bool) -> Samples:
    import imagecodecs

    at = stream.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(stream) < at + 42:
        raise InputRefused("unreadable", "no JPEG 2000 header")
    width, height, left, top = (int.from_bytes(stream[at + i : at + i + 4], "big") for i in (8, 12, 16, 20))
    components = int.from_bytes(stream[at + 40 : at + 42], "big")
    _check((height - top, width - left, components), shape)
    return np.asarray(imagecodecs.jpeg2k_decode(stream, numthreads=1))


def _rle(stream: bytes, shape: tuple[int, int, int], bits_allocated: int, _: bool) -> Samples:
    import imagecodecs

    height, width, samples = shape
    segments = samples * bits_allocated // 8
    offsets = [int.from_bytes(stream[i : i + 4], "little") for i in range(0, 4 * (segments + 1), 4)]
    if len(stream) < 64 or offsets[0] != segments or offsets[1:] != sorted(offsets[1:]) or offsets[1] != 64:
        raise InputRefused("unreadable", "the RLE header does not fit")
    ends = [*offsets[2:], len(stream)]
    for start, end in zip(offsets[1:], ends, strict=True):
        # PackBits holds at most 128 bytes in two: less than that cannot be the whole segment
        if end > len(stream) or (end - start) * 64 < height * width:
            raise InputRefused("truncated", "an RLE segment is too short")
    dtype = np.dtype(f"<u{bits_allocated // 8}")
    try:
        flat = np.frombuffer(imagecodecs.dicomrle_decode(stream, dtype), dtype)
    except imagecodecs.DicomrleError as error:
        raise InputRefused("truncated", "an RLE segment does not fill the frame") from error
    if flat.size != height * width * samples:
        raise InputRefused("truncated", f"{flat.size} of {height * width * samples} samples")
    planes = flat.astype(dtype.newbyteorder("="), copy=False).reshape(samples, height, width)
    return planes[0] if samples == 1 else np.ascontiguousarray(np.moveaxis(planes, 0, -1))


DECODERS: dict[str, Callable[[bytes, tuple[int, int, int], int, bool], Samples]] = {
    JPEG_8BIT: _jpeg,
    JPEG_12BIT: _jpeg,
    _JPEG + "57": _jpeg,  # lossless, any predictor
    _JPEG + "70": _jpeg,  # lossless, first-order prediction: the usual one of X-ray systems
    _JPEG + "80": _jpeg_ls,
    _JPEG + "81": _jpeg_ls,
    _JPEG + "90": _jpeg_2000,
    _JPEG + "91": _jpeg_2000,
    _JPEG + "201": _jpeg_2000,  # high-throughput JPEG 2000
    _JPEG + "202": _jpeg_2000,
    _JPEG + "203": _jpeg_2000,
    RLE: _rle,
}
"""Transfer syntax → decoder."""

LOSSY = frozenset({JPEG_8BIT, JPEG_12BIT, _JPEG + "81", _JPEG + "91", _JPEG + "203"})
"""Syntaxes whose values may overshoot the bits stored."""
KEEP_CHROMA = frozenset(DECODERS) - {JPEG_8BIT, JPEG_12BIT, _JPEG + "57", _JPEG + "70"}
"""Syntaxes whose decoders leave luma and chroma as they are; libjpeg makes RGB of them."""


def is_lossy(syntax: str, *, lossless: bool) -> bool:
    """Whether a syntax has lost something; some can do both, then ``lossless`` is what the header says."""
    return syntax in (JPEG_8BIT, JPEG_12BIT) or (syntax in LOSSY and not lossless)


_REFUSED = (  # beginning of a syntax, why
    (_JPEG + "10", "video (MPEG-2, H.264, H.265): export single frames"),
    (_JPEG + "11", "JPEG XL"),
    ("1.2.840.10008.1.2.7.", "video (SMPTE ST 2110): export single frames"),
    (_JPEG + "9", "JPIP or multi-component JPEG 2000: the pixels are elsewhere or in layers"),
    (_JPEG + "20", "JPIP: the pixels are elsewhere"),
    (_JPEG + "5", "a retired JPEG process"),
    (_JPEG + "6", "a retired JPEG process"),
    ("1.2.840.10008.1.2.8.", "frames deflated one by one"),
    ("1.2.840.10008.", "no syntax of X-ray images"),
)


def why_refused(syntax: str) -> str:
    """What is known of a syntax without decoder, for the report; never its text, which is the file's."""
    return next((why for beginning, why in _REFUSED if syntax.startswith(beginning)), "a private one")
