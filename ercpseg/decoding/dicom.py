"""DICOM images, frame by frame, in constant memory. Native pixels are read here, compressed ones by ``codecs``.

Nothing is allocated by Rows × Columns before the bytes that the file really holds were counted. Stored values are kept:
no VOI window is applied, and the Modality LUT only when a dataset's descriptor asks for it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ercpseg.decoding import codecs
from ercpseg.decoding.dicom_file import BIG_ENDIAN, NATIVE, DicomFile, open_dicom
from ercpseg.decoding.dicom_header import Header
from ercpseg.decoding.dicom_pixels import check, in_lowest_bits, native_frame_bytes, native_samples, picture, rgb_of_ybr
from ercpseg.decoding.encapsulated import Fragment, group_fragments, read_fragments
from ercpseg.decoding.reading import Listing, Picture
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

MAX_FRAMES = 100_000
"""Frames of one file: 55 minutes of fluoroscopy, 30 frames a second."""


def listing(source: Source, *, modality_lut: bool = False) -> Listing:
    """The frames of a DICOM file; its header is read and checked now, its pixels when a frame is loaded.

    ``modality_lut`` has the Modality LUT or rescale applied to the values; without it the notes say that there is one.

    Raises
    ------
    InputRefused
        when the file as a whole cannot be used.
    Exception
        what zlib throws at damaged data.
    """
    file, size = open_dicom(source, apply_modality_lut=modality_lut)
    header = file.header
    check(header)
    lossy = codecs.is_lossy(file.syntax, lossless=header.lossless)
    about = replace(header.about, lossy=header.about.lossy or lossy)
    numbered = header.frames > 1
    if file.syntax in NATIVE:
        length = _native_frame_bytes(header, size)
        _check_count(header)
        return Listing(
            header.frames, lambda i: _load_native(file, header.pixels.offset + i * length, length), numbered, about
        )
    if header.pixels.length is not None:
        raise InputRefused("unreadable", "compressed pixel data without fragments")
    if header.palette is not None and lossy:
        raise InputRefused("unsupported-pixels", "a palette under lossy compression")
    with file.open() as handle:
        handle.seek(header.pixels.offset)
        groups = group_fragments(
            handle, size, header.frames, markers=file.syntax != codecs.RLE, extended=header.extended_offsets
        )
    _check_count(header)
    return Listing(header.frames, lambda i: _load_compressed(file, groups[i]), numbered, about)


def _check_count(header: Header) -> None:
    if header.frames > MAX_FRAMES:
        raise InputRefused("too-large", f"{header.frames} frames, limit {MAX_FRAMES}")


def _native_frame_bytes(header: Header, size: int) -> int:
    """Bytes of one native frame, after the declared total was compared with what is there (reliability D9)."""
    frame = native_frame_bytes(header)
    expected = frame * header.frames
    if header.pixels.length is None:
        raise InputRefused("unreadable", "fragments under an uncompressed transfer syntax")
    there = min(header.pixels.length, size - header.pixels.offset)
    if there < expected:
        raise InputRefused("truncated", f"{there} of {expected} bytes")
    if header.pixels.length > expected + expected % 2:
        raise InputRefused("surplus-data", f"{header.pixels.length} bytes, {expected} expected")
    return frame


def _load_native(file: DicomFile, offset: int, length: int) -> Picture:
    header = file.header
    big = file.syntax == BIG_ENDIAN
    swapped = big and header.bits_allocated == 8 and header.words  # bytes in words change places in pairs
    begin, end = (
        (offset - (offset - header.pixels.offset) % 2, offset + length) if swapped else (offset, offset + length)
    )
    with file.open() as handle:
        handle.seek(begin)
        data = handle.read(end - begin + (end - begin) % 2 if swapped else length)
    if swapped:
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()[offset - begin :][:length]
    if len(data) != length:
        raise InputRefused("truncated", f"{len(data)} of {length} bytes")
    return picture(native_samples(data, header, little_endian=not big), header, lossy=False)


def _load_compressed(file: DicomFile, fragments: tuple[Fragment, ...]) -> Picture:
    header = file.header
    with file.open() as handle:
        stream = read_fragments(handle, fragments)
    shape = (header.rows, header.columns, header.samples)
    samples = codecs.decode(file.syntax, stream, shape, header.bits_allocated, rgb=header.photometric == "RGB")
    if header.photometric in ("YBR_FULL", "YBR_FULL_422") and file.syntax in codecs.KEEP_CHROMA:
        samples = rgb_of_ybr(samples)
    if file.syntax == codecs.RLE:
        samples = in_lowest_bits(samples, header)
    elif header.high_bit != header.bits_stored - 1:
        raise InputRefused("unsupported-pixels", f"high bit {header.high_bit}, {header.bits_stored} bits, compressed")
    return picture(samples, header, lossy=file.syntax in codecs.LOSSY)
