"""The few header fields that decide how DICOM pixels are read. The only place that calls pydicom.

pydicom warns through :mod:`warnings` about every odd value, and may quote it. ``warnings.catch_warnings`` changes state
of the whole process, so all calls happen under one lock, on the thread that lists the files, never on decoding threads;
values leave this module as plain numbers and text. What pydicom says to its logger meanwhile is dropped: it may quote
the file.
"""

from __future__ import annotations

import logging
import math
import struct
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from ercpseg.errors import InputRefused

_LOCK = threading.Lock()
_SILENT = threading.local()
_KEYWORDS = [
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PresentationLUTShape",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelSpacingCalibrationType",
    "ExtendedOffsetTable",
]
_PIXEL_DATA, _FLOAT_PIXELS = 0x7FE00010, (0x7FE00008, 0x7FE00009)
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"UN")


@dataclass(frozen=True)
class Header:
    """Plain values of one DICOM image."""

    rows: int
    columns: int
    samples: int
    planar: bool
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    inverse: bool
    patient: str | None
    series: str | None
    spacing_mm: tuple[float, float] | None
    extended_offsets: tuple[int, ...]
    pixel_offset: int
    length: int | None
    """Bytes of native pixel data; None for compressed (undefined-length) pixel data."""
    words: bool
    """Whether the value representation is OW."""


def read_header(handle: BinaryIO, *, implicit: bool, little_endian: bool) -> Header:
    """Read a data set up to its pixels; ``handle`` stands at its first element.

    Raises
    ------
    InputRefused
        when it holds no image, or a required field is missing.
    Exception
        whatever pydicom throws at damaged data.
    """
    import pydicom

    tags = [tag for keyword in _KEYWORDS if (tag := pydicom.datadict.tag_for_keyword(keyword)) is not None]
    logging.getLogger("pydicom").addFilter(_not_ours)  # adding it again changes nothing
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _SILENT.now = True
        try:
            return _read(pydicom.filereader, handle, tags, implicit, little_endian)
        except (EOFError, struct.error) as error:
            raise InputRefused("truncated", "the header ends early") from error
        finally:
            _SILENT.now = False


def _not_ours(record: logging.LogRecord) -> bool:
    return not getattr(_SILENT, "now", False)


def _read(filereader: Any, handle: BinaryIO, tags: list[int], implicit: bool, little_endian: bool) -> Header:
    data = filereader.read_dataset(
        handle,
        is_implicit_VR=implicit,
        is_little_endian=little_endian,
        stop_when=lambda tag, vr, length: tag == _PIXEL_DATA or tag in _FLOAT_PIXELS,
        specific_tags=tags,
    )
    values = {keyword: _value(data, keyword) for keyword in _KEYWORDS}
    offset, length, words = _pixel_element(handle, little_endian, declared=values["Rows"] is not None)
    return _header(values, offset, length, words)


def _value(data: Any, keyword: str) -> Any:
    """The value of an element; what pydicom cannot convert counts as absent (required fields are refused then)."""
    try:
        return data.get(keyword)
    except (ValueError, TypeError, ArithmeticError, LookupError, NotImplementedError):
        return None


def _pixel_element(handle: BinaryIO, little_endian: bool, *, declared: bool) -> tuple[int, int | None, bool]:
    """Where the pixels begin, how many bytes there are (None: compressed), and whether they are words."""
    order = "little" if little_endian else "big"
    head = handle.read(12)
    tag = int.from_bytes(head[0:2], order) << 16 | int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
    if len(head) < 8:
        raise InputRefused("truncated" if declared else "not-an-image", "no pixel data")
    if tag in _FLOAT_PIXELS:
        raise InputRefused("unsupported-pixels", "floating-point pixels")
    if tag != _PIXEL_DATA:
        raise InputRefused("not-an-image", "no pixel data")
    explicit = head[4:6] in _LONG_VRS
    raw = head[8:12] if explicit else head[4:8]
    offset = handle.tell() - (0 if explicit else len(head) - 8)
    length = int.from_bytes(raw, order)  # type: ignore[arg-type]
    return offset, None if length == 0xFFFFFFFF else length, not explicit or head[4:6] == b"OW"


def _header(values: dict[str, Any], offset: int, length: int | None, words: bool) -> Header:
    bits_stored = _number(values, "BitsStored")
    uids = [_text(values[key]) for key in ("StudyInstanceUID", "SeriesInstanceUID")]
    table = values["ExtendedOffsetTable"]
    return Header(
        rows=_number(values, "Rows"),
        columns=_number(values, "Columns"),
        samples=_number(values, "SamplesPerPixel"),
        planar=_number(values, "PlanarConfiguration", 0) == 1,
        frames=_number(values, "NumberOfFrames", 1) or 1,
        bits_allocated=_number(values, "BitsAllocated"),
        bits_stored=bits_stored,
        high_bit=_number(values, "HighBit", bits_stored - 1),
        signed=_number(values, "PixelRepresentation") == 1,
        photometric=_text(values["PhotometricInterpretation"]) or "",
        inverse=_text(values["PhotometricInterpretation"]) == "MONOCHROME1"
        or _text(values["PresentationLUTShape"]) == "INVERSE",
        patient=_text(values["PatientID"]),
        series="/".join(uid for uid in uids if uid) or None,
        spacing_mm=spacing_mm(
            _pair(values["PixelSpacing"]),
            _pair(values["ImagerPixelSpacing"]),
            _text(values["PixelSpacingCalibrationType"]),
        ),
        extended_offsets=tuple(int.from_bytes(table[i : i + 8], "little") for i in range(0, len(table) - 7, 8))
        if isinstance(table, bytes)
        else (),
        pixel_offset=offset,
        length=length,
        words=words,
    )


def spacing_mm(
    pixel: tuple[float, float] | None, imager: tuple[float, float] | None, calibration: str | None
) -> tuple[float, float] | None:
    """The spacing (y, x) in the patient, only where the header shows that it was calibrated; else None, never a guess.

    PS3.3 10.7.1.3: PixelSpacing counts when it carries a calibration type, or when it is smaller than the detector's
    (ImagerPixelSpacing), which shows that magnification was corrected. Larger than the detector's is impossible.

    >>> spacing_mm((0.2, 0.2), (0.3, 0.3), None), spacing_mm((0.3, 0.3), (0.3, 0.3), None), spacing_mm((0.2, 0.2), None, None)
    ((0.2, 0.2), None, None)
    """
    if pixel is None:
        return None
    calibrated = calibration in ("FIDUCIAL", "GEOMETRY")
    corrected = imager is not None and pixel[0] < imager[0] and pixel[1] < imager[1]
    return pixel if calibrated or corrected else None


def _number(values: dict[str, Any], key: str, default: int | None = None) -> int:
    value = values[key]
    if value is None or value == "":
        if default is None:
            raise InputRefused("unreadable", f"the header lacks {key}")
        return default
    return int(value)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value).strip().encode("utf-8", "backslashreplace").decode()
    return text or None


def _pair(value: Sequence[Any] | None) -> tuple[float, float] | None:
    try:
        y, x = (float(v) for v in value or ())
    except (TypeError, ValueError):
        return None
    return (y, x) if math.isfinite(y) and math.isfinite(x) and y > 0 and x > 0 else None
