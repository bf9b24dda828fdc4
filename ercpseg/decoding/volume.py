"""NRRD, NIfTI and MetaImage files as X-ray frames, masks, and label images. The third axis, if any, numbers the frames.

Axis order: the fastest axis of the file is x, the second is y, so that a picture gives the same array as in PNG. The
byte counts are compared before anything is allocated; what is packed is unpacked with a cap.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding import volume_headers
from ercpseg.decoding.reading import Listing, Picture, check_size
from ercpseg.decoding.sniff import gunzip_head, is_nifti
from ercpseg.decoding.source import Source
from ercpseg.decoding.volume_headers import HEADER_BYTES, Header
from ercpseg.errors import InputRefused
from ercpseg.frames.about import About

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
"""Pixels of one packed file, which have to be in memory as a whole. What is not packed is read slice by slice."""
_MAX_RATIO = 1032  # of deflate
_CHUNK = 1 << 20


def listing(source: Source) -> Listing:
    """The slices of a file, each a frame.

    Raises
    ------
    InputRefused
        when the file as a whole cannot be used.
    """
    volume = _Volume(source)
    spacing = volume.spacing_mm
    about = About(spacing_mm=spacing, spacing_source="UNKNOWN" if spacing else None)
    return Listing(volume.count, lambda i: _picture(volume.plane(i), volume.header), volume.count > 1, about)


def read_plane(source: Source) -> NDArray[Any]:
    """The one image of a file as labels (y, x): uint8, uint16 or int32, none negative.

    Raises
    ------
    InputRefused
        ``bad-annotation`` for several slices and for values that are no labels, else as for frames.
    """
    volume = _Volume(source)
    if volume.count != 1:
        raise InputRefused("bad-annotation", f"{volume.count} slices where one image is expected")
    labels = _integers(volume.plane(0), "bad-annotation")
    if labels.min() < 0:
        raise InputRefused("bad-annotation", "negative values")
    return labels


def read_volume(source: Source) -> tuple[NDArray[Any], dict[str, str]]:
    """All numbers of a file, every axis kept, the file's fastest axis last; and the text fields of its header.

    The array is uint8, uint16 or int32. NRRD fields have lower-case names (``type``, ``sizes``, ``kinds``); its
    key/value pairs keep theirs (``Segment0_Name``). Values are cut at ``volume_headers.VALUE_CHARACTERS``; they are
    text of the file, and may name a patient. NIfTI has no such fields.

    Raises
    ------
    InputRefused
        when the numbers are not whole, the file is damaged, or holds more than :data:`MAX_UNPACKED_BYTES`.
    """
    header = read_header(source)
    length = math.prod(header.sizes) * header.dtype.itemsize
    _check_bytes(source, header, length)
    if length > MAX_UNPACKED_BYTES:
        raise InputRefused("too-large", f"{length} bytes, limit {MAX_UNPACKED_BYTES}")
    data = _unpack(source, header, length) if header.packing else _read(source, header.offset, length)
    array = np.frombuffer(data, header.dtype).reshape(header.sizes[::-1])
    return _integers(array, "unsupported-pixels"), header.fields


def read_header(source: Source) -> Header:
    """The header of a file of any of the three formats, told apart by content.

    Raises
    ------
    InputRefused
        when there is none, or it cannot be used.
    """
    with source.open() as stream:
        head = stream.read(HEADER_BYTES)
    try:
        if head.startswith(b"NRRD"):
            return volume_headers.read_nrrd(head)
        if head.startswith(b"\x1f\x8b"):
            return volume_headers.read_nifti(gunzip_head(head), packed=True)
        return volume_headers.read_nifti(head, packed=False) if is_nifti(head) else volume_headers.read_meta(head)
    except (KeyError, ValueError, struct.error) as error:
        raise InputRefused("unreadable", "a field of the header is missing or no number") from error


class _Volume:
    """The slices (y, x) of one file."""

    def __init__(self, source: Source):
        self.header = header = read_header(source)
        self._source = source
        first = next((axis for axis, size in enumerate(header.sizes) if header.image_axis[axis] or size > 1), 0)
        axes = [axis for axis in range(first + 2, len(header.sizes)) if header.sizes[axis] > 1]
        if len(header.sizes) < first + 2 or not all(header.image_axis[axis] for axis in (first, first + 1, *axes)):
            raise InputRefused(
                "colour" if len(header.sizes) == 3 else "unsupported-pixels", "an axis of channels or layers"
            )
        if len(axes) > 1:
            raise InputRefused("unsupported-pixels", f"{len(axes)} axes beside those of an image")
        self._width, self._height = header.sizes[first : first + 2]
        check_size(self._height, self._width)
        self.count = header.sizes[axes[0]] if axes else 1
        self._plane_bytes = self._width * self._height * header.dtype.itemsize
        _check_bytes(source, header, self.count * self._plane_bytes)
        self._first = first
        self._unpacked: memoryview | None = None

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """(y, x); None when the header does not say, or says 1 for both, which is what writers put when they do not know."""
        x, y = self.header.spacing[self._first : self._first + 2]
        return (y, x) if all(np.isfinite(s) and s > 0 for s in (x, y)) and (x, y) != (1.0, 1.0) else None

    def plane(self, number: int) -> NDArray[Any]:
        begin, length = number * self._plane_bytes, self._plane_bytes
        if self.header.packing:
            if self._unpacked is None:  # kept for the next slice: deflate has no way into the middle
                self._unpacked = memoryview(_unpack(self._source, self.header, self.count * length))
            data: Any = self._unpacked[begin : begin + length]
        else:
            data = _read(self._source, self.header.offset + begin, length)
        return np.frombuffer(data, self.header.dtype).reshape(self._height, self._width)


def _check_bytes(source: Source, header: Header, length: int) -> None:
    """Compare what the header declares with the size of the file (reliability D9)."""
    if header.packing:
        if length > MAX_UNPACKED_BYTES:
            raise InputRefused("too-large", f"{length} bytes when unpacked, limit {MAX_UNPACKED_BYTES}")
        if length > _MAX_RATIO * source.size:
            raise InputRefused("truncated", f"{source.size} bytes cannot hold {length}")
        return
    there = source.size - header.offset
    if there < length:
        raise InputRefused("truncated", f"{there} of {length} bytes")
    if there > length:
        raise InputRefused("surplus-data", f"{there} bytes, {length} expected")


def _read(source: Source, offset: int, length: int) -> bytes:
    with source.open() as stream:
        stream.seek(offset)
        data = stream.read(length)
    if len(data) != length:
        raise InputRefused("truncated", f"{len(data)} of {length} bytes")
    return data


def _unpack(source: Source, header: Header, length: int) -> bytearray:
    """Exactly ``length`` bytes of pixels; the stream must end there, and its checksum must hold."""
    out = bytearray(length)
    view, at = memoryview(out), 0
    with source.open() as stream:
        try:
            for piece in _gunzip(stream, header) if header.packing == "gzip" else _inflate(stream, header):
                if at + len(piece) > length:
                    raise InputRefused("surplus-data", f"more than {length} bytes")
                view[at : at + len(piece)] = piece
                at += len(piece)
        except EOFError as error:
            raise InputRefused("truncated", "the packed stream ends early") from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise InputRefused("unreadable", "the packed stream is damaged") from error
    if at != length:
        raise InputRefused("truncated", f"{at} of {length} bytes")
    return out


def _gunzip(stream: BinaryIO, header: Header) -> Any:
    whole = stream.read(2) == b"\x1f\x8b"  # a .nii.gz is packed with its header
    stream.seek(0 if whole else header.offset)
    with gzip.GzipFile(fileobj=stream) as unpacked:
        if whole and len(unpacked.read(header.offset)) != header.offset:
            raise EOFError
        while piece := unpacked.read(_CHUNK):
            yield piece


def _inflate(stream: BinaryIO, header: Header) -> Any:
    stream.seek(header.offset)
    packer, data = zlib.decompressobj(), stream.read(_CHUNK)
    while not packer.eof:
        if not data:
            raise EOFError
        yield packer.decompress(data, _CHUNK)
        data = packer.unconsumed_tail or packer.unused_data or stream.read(_CHUNK)
    if data:
        raise InputRefused("surplus-data", "bytes after the packed stream")


def _integers(samples: NDArray[Any], code: str) -> NDArray[Any]:
    """Whole numbers as uint8, uint16 or int32; refuses with ``code`` what is not whole or does not fit."""
    kind = samples.dtype.kind + str(samples.dtype.itemsize)
    if kind in ("u1", "u2"):
        return samples.astype(samples.dtype.newbyteorder("="))
    if kind[0] == "f" and not (np.isfinite(samples).all() and (samples == np.rint(samples)).all()):
        raise InputRefused(code, "values are not whole numbers")
    if samples.min() < -(2**31) or samples.max() >= 2**31:
        raise InputRefused(code, "values of more than 31 bits")
    return samples.astype(np.int32)


def _picture(samples: NDArray[Any], header: Header) -> Picture:
    """Non-negative whole numbers of at most 16 bits, whatever they are stored as.

    Unlike DICOM, these formats do not say how many bits count, so there is no middle by which negative values (CT, or a
    subtracted run) could be shifted: they are refused.
    """
    pixels, notes = _integers(samples, "unsupported-pixels"), list(header.notes)
    if pixels.min() < 0:
        raise InputRefused("unsupported-pixels", "negative values")
    if pixels.max() > 65535:
        raise InputRefused("unsupported-pixels", "values of more than 16 bits")
    if header.dtype.kind != "u" or header.dtype.itemsize > 2:
        word = {"f": "floating-point", "i": "signed"}.get(header.dtype.kind, "unsigned")
        notes.append(f"whole numbers stored as {8 * header.dtype.itemsize} bit {word}")
    narrow = header.dtype.itemsize == 1
    return Picture(pixels.astype(np.uint8 if narrow else np.uint16), 8 if narrow else 16, tuple(notes))
