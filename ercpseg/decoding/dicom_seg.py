"""DICOM segmentations (PS3.3 A.51 and C.8.20): which bits are which segment of which image, and the bits themselves.

By pydicom rather than highdicom: of the object only its segments and references are needed, while highdicom checks all of
it and refuses objects for the lack of what has no meaning for projections (a frame of reference, plane positions). The
byte count is compared before anything is read. Only uncompressed little-endian objects are read, which is what writers of
segmentations make; compressed ones are refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.reading import check_size
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

SEGMENTATION, LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
MAX_FRAMES = 100_000
MAX_SEGMENTS = 1000
MAX_LABEL_CHARACTERS = 256
_WANTED = """
    SOPClassUID SegmentationType SegmentSequence ReferencedSeriesSequence SharedFunctionalGroupsSequence
    PerFrameFunctionalGroupsSequence NumberOfFrames Rows Columns SamplesPerPixel BitsAllocated BitsStored
    PixelRepresentation
"""
_PIXEL_DATA = (0xE0, 0x7F, 0x10, 0x00)


@dataclass(frozen=True)
class Plane:
    """One frame of a segmentation: its segment (None in a label map), and the image that it lies on.

    ``uid`` is an index into ``Segmentation.uids``; None where the object does not say. ``frame`` counts from 0; None for
    an image as a whole.
    """

    segment: int | None
    uid: int | None
    frame: int | None


@dataclass(frozen=True)
class Segmentation:
    """What an object declares. ``bits`` per pixel: 1 (BINARY), 8 or 16 (LABELMAP)."""

    rows: int
    columns: int
    bits: int
    segments: tuple[tuple[int, str], ...]
    uids: tuple[str, ...]
    planes: tuple[Plane, ...]
    images: tuple[int, ...]
    """Images that the object as a whole refers to, as indices into ``uids``."""
    offset: int
    """Where the pixels begin."""


def read_segmentation(source: Source) -> Segmentation | None:
    """Read all but the pixels; None when the object is no segmentation.

    Raises
    ------
    InputRefused
        ``bad-annotation`` when it is fractional, or does not say what is what; ``truncated`` and ``surplus-data`` when
        the pixels are not as many as declared; ``unsupported-syntax``; ``too-large``.
    Exception
        what pydicom throws at damaged data.
    """
    import pydicom

    with source.open() as stream:
        try:
            data: Any = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_WANTED.split())
        except pydicom.errors.InvalidDicomError:  # no preamble; all objects of this kind are younger than that rule
            return None
        if data.get("SOPClassUID") not in (SEGMENTATION, LABEL_MAP):
            return None
        if str(data.file_meta.get("TransferSyntaxUID")) not in SYNTAXES:
            raise InputRefused("unsupported-syntax", "the segmentation is compressed or big-endian")
        bits = _bits(data)
        rows, columns = int(data.Rows), int(data.Columns)
        check_size(rows, columns)
        groups = data.get("PerFrameFunctionalGroupsSequence") or ()
        count = int(data.get("NumberOfFrames") or 0)
        if count != len(groups) or not 0 <= count <= MAX_FRAMES:
            raise InputRefused(
                "bad-annotation", f"{count} frames declared, {len(groups)} described, limit {MAX_FRAMES}"
            )
        offset = _check_pixels(stream, source.size, (count * rows * columns * bits + 7) // 8)
    segments = _segments(data)
    shared = next(iter(data.get("SharedFunctionalGroupsSequence") or ()), None)
    uids: dict[str, int] = {}
    planes = tuple(_plane(group, shared, uids, labelmap=bits > 1) for group in groups)
    images = tuple(dict.fromkeys(uids.setdefault(uid, len(uids)) for uid in _images(data)))
    return Segmentation(rows, columns, bits, segments, tuple(uids), planes, images, offset)


def read_plane(
    source: Source, segmentation_shape: tuple[int, int], bits: int, offset: int, number: int
) -> NDArray[Any]:
    """Frame ``number``, from 0: bool (y, x) of 1 bit, uint8 or uint16 of more.

    Bits are packed across frames without gaps, the first pixel in the lowest bit of a byte (PS3.5 8.1.1).
    """
    rows, columns = segmentation_shape
    check_size(rows, columns)
    first = number * rows * columns * bits
    last = first + rows * columns * bits
    with source.open() as stream:
        stream.seek(offset + first // 8)
        data = stream.read((last + 7) // 8 - first // 8)
    if len(data) != (last + 7) // 8 - first // 8:
        raise InputRefused("truncated", f"{len(data)} bytes of a frame")
    if bits == 1:
        unpacked = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return unpacked[first % 8 :][: rows * columns].reshape(rows, columns).astype(bool)
    dtype = np.dtype("<u2" if bits == 16 else "u1")
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("=")).reshape(rows, columns)


def _bits(data: Any) -> int:
    """Bits per pixel, after the type of the segmentation was found to be one that is read."""
    kind, bits = data.get("SegmentationType"), int(data.BitsAllocated)
    if kind == "FRACTIONAL":
        raise InputRefused("bad-annotation", "a fractional segmentation; save it as a binary one")
    if (kind == "BINARY" and bits != 1) or (kind == "LABELMAP" and bits not in (8, 16)) or kind not in _KINDS:
        raise InputRefused("bad-annotation", f"no segmentation of {bits} bits is known")
    if int(data.get("SamplesPerPixel", 1)) != 1 or int(data.get("PixelRepresentation", 0)) != 0:
        raise InputRefused("bad-annotation", "pixels of a segmentation are signed, or several per place")
    if int(data.get("BitsStored", bits)) != bits:
        raise InputRefused("bad-annotation", f"{data.BitsStored} of {bits} bits are stored")
    return bits


_KINDS = ("BINARY", "LABELMAP")


def _check_pixels(stream: BinaryIO, size: int, expected: int) -> int:
    """Where the pixels begin; ``stream`` stands at their element, or at the end when there is none."""
    head = stream.read(12)
    if not head and expected == 0:
        return 0
    if tuple(head[:4]) != _PIXEL_DATA:
        raise InputRefused("truncated", "no pixel data")
    explicit = head[4:6] in (b"OB", b"OW")
    length = int.from_bytes(head[8:12] if explicit else head[4:8], "little")
    offset = stream.tell() - (0 if explicit else 4)
    if length == 0xFFFFFFFF:
        raise InputRefused("unsupported-syntax", "the segmentation is compressed")
    if min(length, size - offset) < expected:
        raise InputRefused("truncated", f"{min(length, size - offset)} of {expected} bytes")
    if length > expected + expected % 2:
        raise InputRefused("surplus-data", f"{length} bytes, {expected} expected")
    return offset


def _segments(data: Any) -> tuple[tuple[int, str], ...]:
    described = list(data.get("SegmentSequence") or ())
    if len(described) > MAX_SEGMENTS:
        raise InputRefused("too-large", f"{len(described)} segments, limit {MAX_SEGMENTS}")
    segments = {int(item.SegmentNumber): str(item.SegmentLabel)[:MAX_LABEL_CHARACTERS] for item in described}
    if len(segments) != len(described):
        raise InputRefused("bad-annotation", "two segments have one number")
    return tuple(segments.items())


def _plane(group: Any, shared: Any, uids: dict[str, int], *, labelmap: bool) -> Plane:
    segment = None
    if not labelmap:
        identified = _inside(group, shared, "SegmentIdentificationSequence")
        numbers = [int(item.ReferencedSegmentNumber) for item in identified]
        if len(numbers) != 1:
            raise InputRefused("bad-annotation", "a frame belongs to no segment, or to several")
        segment = numbers[0]
    sources = itertools.chain.from_iterable(
        item.get("SourceImageSequence") or () for item in _inside(group, shared, "DerivationImageSequence")
    )
    named = set(itertools.chain.from_iterable(map(_named, sources)))
    if len(named) > 1:
        raise InputRefused("bad-annotation", "a frame of the segmentation lies on several images")
    if not named:
        return Plane(segment, None, None)
    uid, frame = named.pop()
    return Plane(segment, uids.setdefault(uid, len(uids)), frame)


def _named(source: Any) -> Iterator[tuple[str, int | None]]:
    """The frames, from 0, that an item names; the image as a whole when it names none."""
    uid = str(source.ReferencedSOPInstanceUID)
    frames = source.get("ReferencedFrameNumber")
    if frames is None or frames == "":
        yield uid, None
        return
    for frame in [frames] if isinstance(frames, int) else frames:
        if int(frame) < 1:
            raise InputRefused("bad-annotation", f"frame number {int(frame)}; the first is 1")
        yield uid, int(frame) - 1


def _inside(group: Any, shared: Any, keyword: str) -> Iterable[Any]:
    """A functional group of a frame, or the one that holds for all frames."""
    own = group.get(keyword)
    return own or (shared.get(keyword) if shared is not None else None) or ()


def _images(data: Any) -> Iterator[str]:
    for series in data.get("ReferencedSeriesSequence") or ():
        for instance in series.get("ReferencedInstanceSequence") or ():
            yield str(instance.ReferencedSOPInstanceUID)
