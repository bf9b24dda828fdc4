"""Headers of NRRD, NIfTI and MetaImage files: what they hold, and where in the file.

Sources: NRRD format specification (Teem, rev. 5), NIfTI-1.1 and NIfTI-2 headers (nifti1.h, nifti2.h), MetaIO's
documentation of its tags. Everything that decides about pixels is read here and nowhere else, so that no second parser
can come to another result than the one that checked. A file never leads to another file.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from ercpseg.decoding.sniff import is_nifti
from ercpseg.errors import InputRefused

HEADER_BYTES = 1 << 20
"""A header that is longer is refused."""
VALUE_CHARACTERS = 10_000
"""Values of text fields are cut here."""
_MAX_AXES = 7


@dataclass(frozen=True)
class Header:
    """What a header declares. Axes are in the order of the file: the fastest first."""

    sizes: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    """Where the pixels begin: in the file, or in what it unpacks to when the file is packed as a whole."""
    packing: str = ""
    """``gzip`` or ``zlib`` when pixels are packed; empty when they lie open."""
    spacing: tuple[float, ...] = ()
    """Millimetres per axis, NaN where the header does not say."""
    image_axis: tuple[bool, ...] = ()
    """Whether each axis is one of space or time; the others hold channels, vectors, or layers."""
    fields: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _refuse(detail: str, code: str = "unsupported-pixels") -> NoReturn:
    raise InputRefused(code, detail)


def _refuse_detached() -> NoReturn:
    _refuse("the pixels are in another file, which is not followed; save both in one file", "unreadable")


def _checked(sizes: list[int]) -> tuple[int, ...]:
    if not 1 <= len(sizes) <= _MAX_AXES or any(not 1 <= n < 2**31 for n in sizes):
        _refuse(f"{len(sizes)} axes, or an empty one")
    return tuple(sizes)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").strip()[:VALUE_CHARACTERS]


# -- NRRD --------------------------------------------------------------------------------------------------------------

_NRRD_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_NRRD_TYPE = {name: code for code, names in _NRRD_TYPES.items() for name in names.split(", ")}
_NRRD_ENCODING = {"raw": "", "gzip": "gzip", "gz": "gzip"}
_NRRD_IMAGE_KINDS = {"domain", "space", "time", "???", "none"}
_MM = {"mm", "millimeter", "millimeters", "millimetre", "millimetres"}


def read_nrrd(head: bytes) -> Header:
    """The header of an NRRD file, which ends with an empty line.

    Raises
    ------
    InputRefused
        for a detached or repeated field, an encoding other than raw and gzip, or values that make no sense.
    """
    end = re.search(rb"\n\r?\n", head)
    if end is None:
        _refuse("the header has no end", "truncated")
    fields, pairs = dict[str, str](), dict[str, str]()
    for line in head[: end.start()].split(b"\n")[1:]:
        found = re.match(rb"([^:#][^:]*?)(:=|: ?)(.*)", line.rstrip(b"\r"))
        if found is None:
            continue
        name, value = _text(found[1]), _text(found[3])
        into = pairs if found[2] == b":=" else fields
        name = name if into is pairs else name.lower().replace("datafile", "data file").replace("eskip", "e skip")
        if name in into:
            _refuse("a field is repeated", "unreadable")
        into[name] = value
    if "data file" in fields:
        _refuse_detached()
    if any(fields.get(name, "0") != "0" for name in ("byte skip", "line skip")):
        _refuse("bytes to skip before the pixels")
    sizes = _checked([int(n) for n in fields["sizes"].split()])
    if len(sizes) != int(fields["dimension"]) or fields["type"] not in _NRRD_TYPE:
        _refuse("the number type, or the number of axes")
    code = _NRRD_TYPE[fields["type"]]
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower(), "")
    if not order and code not in ("i1", "u1"):
        _refuse("no byte order", "unreadable")
    if fields.get("encoding", "").lower() not in _NRRD_ENCODING:
        _refuse("an encoding other than raw and gzip")
    kinds = fields.get("kinds", " ".join(["domain"] * len(sizes))).split()
    if len(kinds) != len(sizes):
        _refuse("the number of kinds", "unreadable")
    return Header(
        sizes,
        np.dtype(order + code),
        end.end(),
        _NRRD_ENCODING[fields["encoding"].lower()],
        _nrrd_spacing(fields, len(sizes)),
        tuple(kind.lower() in _NRRD_IMAGE_KINDS for kind in kinds),
        {**pairs, **fields},
    )


def _nrrd_spacing(fields: dict[str, str], axes: int) -> tuple[float, ...]:
    units = re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))
    if any(unit and unit.lower() not in _MM for unit in units):
        return (np.nan,) * axes
    if "space directions" in fields:
        vectors = re.findall(r"none|\([^)]*\)", fields["space directions"])
        lengths = [
            np.nan if v == "none" else float(np.hypot.reduce([float(x) for x in v[1:-1].split(",")])) for v in vectors
        ]
    else:
        lengths = [float(value) for value in fields.get("spacings", "").split()]
    return tuple(lengths) if len(lengths) == axes else (np.nan,) * axes


# -- NIfTI -------------------------------------------------------------------------------------------------------------

_NIFTI_TYPE = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_NIFTI_COLOUR = (128, 2304)
_NIFTI_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_LAYOUT = {  # sizeof_hdr → where and what: dim, datatype, bitpix, pixdim, vox_offset, slope and intercept, units, forms, rows
    348: ("40 8h", "70 h", "72 h", "76 8f", "108 f", "112 2f", "123 B", "252 2h", "280 12f"),
    540: ("16 8q", "12 h", "14 h", "104 8d", "168 q", "176 2d", "500 i", "344 2i", "400 12d"),
}


def read_nifti(head: bytes, *, packed: bool) -> Header:
    """The header of a NIfTI-1 or NIfTI-2 file; ``packed`` when ``head`` was unpacked from a gzip stream.

    Raises
    ------
    InputRefused
        for detached pixels, scaled values, colour, or values that make no sense.
    """
    order = next((o for o in "<>" if struct.unpack(o + "i", head[:4])[0] in _LAYOUT), "")
    if not order or not is_nifti(head):
        _refuse("no NIfTI header", "unreadable")
    size = struct.unpack(order + "i", head[:4])[0]
    parts = (entry.split() for entry in _LAYOUT[size])
    dim, (kind,), (bits,), pixdim, (offset,), scale, (units,), forms, rows = (
        struct.unpack_from(order + code, head, int(at)) for at, code in parts
    )
    if b"ni" in head[344:346] or b"ni" in head[4:6]:
        _refuse_detached()
    if kind in _NIFTI_COLOUR:
        _refuse("colour samples", "colour")
    if kind not in _NIFTI_TYPE or bits != 8 * np.dtype(_NIFTI_TYPE[kind]).itemsize:
        _refuse(f"datatype {kind} of {bits} bits")
    if not 1 <= dim[0] <= 7 or not size + 4 <= offset < HEADER_BYTES or offset != int(offset):
        _refuse("the number of axes, or the place of the pixels", "unreadable")
    slope, intercept = scale
    unscaled = slope == 0 or np.isnan(slope) or (slope == 1 and intercept == 0)
    if not unscaled:
        _refuse("values are stored with a scale")
    millimetres = _NIFTI_UNIT_MM.get(units & 7, np.nan)
    sizes = _checked(list(dim[1 : dim[0] + 1]))
    plain = forms == (0, 0) or (forms[1] > 0 and rows[0] > 0)  # a program that did not know of geometry wrote it
    notes = ("the header does not say which axis is x; the fastest was taken",) if plain else ()
    return Header(
        sizes,
        np.dtype(order + _NIFTI_TYPE[kind]),
        int(offset),
        "gzip" if packed else "",
        tuple(abs(float(step)) * millimetres for step in pixdim[1 : len(sizes) + 1]),
        tuple(axis < 4 for axis in range(len(sizes))),
        notes=notes,
    )


# -- MetaImage ---------------------------------------------------------------------------------------------------------

_META_TYPE = {
    "MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_USHORT": "u2", "MET_SHORT": "i2", "MET_UINT": "u4", "MET_INT": "i4",
    "MET_ULONG_LONG": "u8", "MET_LONG_LONG": "i8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def read_meta(head: bytes) -> Header:
    """The header of a MetaImage file, whose last line is ``ElementDataFile``.

    Raises
    ------
    InputRefused
        for detached pixels, a repeated field, channels, or values that make no sense.
    """
    fields, at = dict[str, str](), 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", at)
        name, mark, value = head[at:end].partition(b"=")
        if end < 0 or not mark:
            _refuse("the header has no end", "truncated")
        if _text(name) in fields:
            _refuse("a field is repeated", "unreadable")
        fields[_text(name)], at = _text(value), end + 1
    if fields["ElementDataFile"].upper() != "LOCAL":
        _refuse_detached()
    if (
        fields.get("ObjectType", "Image") != "Image"
        or fields.get("HeaderSize", "0") != "0"
        or not _is(fields, "BinaryData")
    ):
        _refuse("no binary image, or a header of stated size")
    if int(fields.get("ElementNumberOfChannels", "1")) != 1:
        _refuse("several channels", "colour")
    sizes = _checked([int(n) for n in fields["DimSize"].split()])
    if len(sizes) != int(fields["NDims"]) or fields["ElementType"] not in _META_TYPE:
        _refuse("the number type, or the number of axes")
    big = _is(fields, "BinaryDataByteOrderMSB") or _is(fields, "ElementByteOrderMSB")
    spacing = [float(value) for value in fields.get("ElementSpacing", fields.get("ElementSize", "")).split()]
    return Header(
        sizes,
        np.dtype((">" if big else "<") + _META_TYPE[fields["ElementType"]]),
        at,
        "zlib" if _is(fields, "CompressedData") else "",
        tuple(spacing) if len(spacing) == len(sizes) else (np.nan,) * len(sizes),
        (True,) * len(sizes),
        fields,
    )


def _is(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "").lower() in ("true", "1")
