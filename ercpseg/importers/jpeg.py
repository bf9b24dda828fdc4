"""JPEG by Pillow, and the header of any JPEG or JPEG-LS stream."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from ercpseg.errors import InputRefused
from ercpseg.importers.grey import exif_orientation
from ercpseg.importers.images import Raster
from ercpseg.importers.reading import check_size

_FRAME_MARKERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
_BARE_MARKERS = {0x01, 0xD8, *range(0xD0, 0xD8)}
_APPLICATION_KEPT = {0xE0, 0xEE}  # JFIF and Adobe say how colours are coded; the others may hold anything


@dataclass(frozen=True)
class JpegHeader:
    """What the first frame header says. ``marker`` is C0 baseline, C1 extended, C3 lossless, F7 JPEG-LS, …"""

    height: int
    width: int
    precision: int
    components: int
    marker: int
    orientation: int
    complete: bool
    """Whether an end marker follows the first scan: decoders fill up what is missing with grey and say nothing."""
    stripped: bytes
    """The stream without EXIF, profiles and comments."""


def read_header(data: bytes) -> JpegHeader:
    """Walk the markers up to the first scan.

    Raises
    ------
    InputRefused
        when there is no frame header.
    """
    at, orientation, kept, frame = 2, 1, [data[:2]], None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE_MARKERS:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xDA, 0xD9):
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        if marker in _FRAME_MARKERS and len(body) >= 6 and frame is None:
            frame = (marker, body[0], int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[5])
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = exif_orientation(body[6:])
        if not (0xE0 <= marker <= 0xEF and marker not in _APPLICATION_KEPT) and marker != 0xFE:
            kept.append(data[at:end])
        at = end
    if frame is None:
        raise InputRefused("truncated" if at >= len(data) else "unreadable", "no JPEG frame header")
    marker, precision, height, width, components = frame
    kept.append(data[at:])
    complete = data.find(b"\xff\xd9", at) >= 0  # inside a scan, FF is always followed by 00 or a restart marker
    return JpegHeader(height, width, precision, components, marker, orientation, complete, b"".join(kept))


def decode_jpeg(data: bytes) -> Raster:
    """Decode an 8-bit grey or colour JPEG file."""
    from PIL import Image

    header = read_header(data)
    check_size(header.height, header.width)
    if header.precision != 8 or header.marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
        raise InputRefused("unsupported-pixels", f"JPEG of {header.precision} bits, process {header.marker:02X}")
    if header.components not in (1, 3):
        raise InputRefused("colour", f"{header.components} channels")
    with Image.open(io.BytesIO(header.stripped), formats=["JPEG"]) as image:
        try:
            samples = np.asarray(image)
        except OSError as error:  # Pillow's only word for a stream that ends early
            raise InputRefused("truncated", "the JPEG stream ends early or is damaged") from error
    return Raster(samples, orientation=header.orientation, lossy=True)
