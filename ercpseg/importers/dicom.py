"""DICOM images, frame by frame, in constant memory. Native pixels are read here, compressed ones by ``codecs``.

Nothing is allocated by Rows × Columns before the bytes that the file really holds were counted. Stored values are kept:
neither the Modality LUT nor any VOI window is applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused
from ercpseg.importers import codecs
from ercpseg.importers.dicom_file import BIG_ENDIAN, NATIVE, DicomFile, open_dicom
from ercpseg.importers.dicom_header import Header
from ercpseg.importers.encapsulated import Fragment, group_fragments, read_fragments
from ercpseg.importers.grey import collapse
from ercpseg.importers.reading import Entry, Picture, check_size

_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def entries(path: Path) -> Iterator[Entry]:
    """The frames of a DICOM file; its header is read and checked now, its pixels when a frame is loaded.

    Raises
    ------
    InputRefused
        when the file as a whole cannot be used.
    Exception
        what pydicom throws at a damaged header.
    """
    file, size = open_dicom(path)
    header = file.header
    _check(header)
    index = range(header.frames) if header.frames > 1 else [None]
    if file.syntax in NATIVE:
        length = _native_frame_bytes(header, size)
        loads = (partial(_load_native, file, header.pixel_offset + i * length, length) for i in range(header.frames))
    else:
        if file.syntax not in codecs.DECODERS:
            raise InputRefused("unsupported-syntax")
        if header.length is not None:
            raise InputRefused("unreadable", "compressed pixel data without fragments")
        with file.open() as handle:
            handle.seek(header.pixel_offset)
            groups = group_fragments(
                handle, size, header.frames, markers=file.syntax != codecs.RLE, extended=header.extended_offsets
            )
        loads = (partial(_load_compressed, file, group) for group in groups)
    return (
        Entry(load, i, header.patient, header.series, header.spacing_mm) for i, load in zip(index, loads, strict=True)
    )


def _check(header: Header) -> None:
    """Refuse what is no grey 1- to 16-bit image before its pixels are looked at."""
    check_size(header.rows, header.columns)
    if header.frames < 1:
        raise InputRefused("unreadable", f"{header.frames} frames")
    if header.bits_allocated not in (8, 16) or not 1 <= header.bits_stored <= header.bits_allocated:
        raise InputRefused("unsupported-pixels", f"{header.bits_stored} of {header.bits_allocated} bits")
    if not header.bits_stored - 1 <= header.high_bit < header.bits_allocated:
        raise InputRefused("unsupported-pixels", f"high bit {header.high_bit}, {header.bits_stored} bits")
    grey = header.photometric in ("MONOCHROME1", "MONOCHROME2") and header.samples == 1
    whole = header.bits_stored == header.bits_allocated and not header.signed
    if not grey and not (header.photometric in _COLOUR and header.samples == 3 and whole):
        raise InputRefused("unsupported-pixels", f"photometric interpretation with {header.samples} samples per pixel")


def _native_frame_bytes(header: Header, size: int) -> int:
    """Bytes of one native frame, after the declared total was compared with what is there (reliability D9)."""
    frame = header.rows * header.columns * header.samples * header.bits_allocated // 8
    if header.photometric == "YBR_FULL_422":
        raise InputRefused("unsupported-pixels", "subsampled colour")
    expected = frame * header.frames
    if header.length is None:
        raise InputRefused("unreadable", "fragments under an uncompressed transfer syntax")
    there = min(header.length, size - header.pixel_offset)
    if there < expected:
        raise InputRefused("truncated", f"{there} of {expected} bytes")
    if header.length > expected + expected % 2:
        raise InputRefused("surplus-data", f"{header.length} bytes, {expected} expected")
    return frame


def _load_native(file: DicomFile, offset: int, length: int) -> Picture:
    header = file.header
    big = file.syntax == BIG_ENDIAN
    swapped = big and header.bits_allocated == 8 and header.words  # bytes in words change places in pairs
    begin, end = (
        (offset - (offset - header.pixel_offset) % 2, offset + length) if swapped else (offset, offset + length)
    )
    with file.open() as handle:
        handle.seek(begin)
        data = handle.read(end - begin + (end - begin) % 2 if swapped else length)
    if swapped:
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()[offset - begin :][:length]
    if len(data) != length:
        raise InputRefused("truncated", f"{len(data)} of {length} bytes")
    dtype = np.dtype("u1" if header.bits_allocated == 8 else ">u2" if big else "<u2")
    samples = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
    if header.samples == 1:
        samples = samples.reshape(header.rows, header.columns)
    elif header.planar:
        samples = np.moveaxis(samples.reshape(3, header.rows, header.columns), 0, -1)
    else:
        samples = samples.reshape(header.rows, header.columns, 3)
    if header.photometric == "YBR_FULL":
        samples = _ybr_to_rgb(samples)
    return _picture(samples >> (header.high_bit + 1 - header.bits_stored), header, lossy=False)


def _load_compressed(file: DicomFile, fragments: tuple[Fragment, ...]) -> Picture:
    header = file.header
    with file.open() as handle:
        stream = read_fragments(handle, fragments)
    shape = (header.rows, header.columns, header.samples)
    samples = codecs.decode(file.syntax, stream, shape, header.bits_allocated, rgb=header.photometric == "RGB")
    if file.syntax == codecs.RLE:
        if header.photometric == "YBR_FULL":
            samples = _ybr_to_rgb(samples)
        samples = samples >> (header.high_bit + 1 - header.bits_stored)
    elif header.high_bit != header.bits_stored - 1:
        raise InputRefused("unsupported-pixels", f"high bit {header.high_bit}, {header.bits_stored} bits, compressed")
    return _picture(samples, header, lossy=file.syntax in codecs.LOSSY)


def _picture(samples: NDArray[Any], header: Header, *, lossy: bool) -> Picture:
    """Stored samples to an unsigned grey frame, devices dark, within the bits stored."""
    bits, notes = header.bits_stored, list[str]()
    top, half = 2**bits - 1, 2 ** (bits - 1)
    if samples.dtype.kind == "i":  # a JPEG 2000 stream that knows its sign
        if not header.signed and samples.min() < 0:
            raise InputRefused("unsupported-pixels", "negative values where the header says unsigned")
        low = -half if header.signed else 0
        samples = (np.clip(samples.astype(np.int32), low, low + top) - low).astype(np.uint16)
    elif lossy and not header.signed:
        samples = np.minimum(samples, top)  # rounding may overshoot; masking would turn white into black
    else:
        samples = samples & top  # bits above may hold an overlay
        if header.signed:
            samples = samples ^ half  # two's complement + 2^(bits-1)
    if header.signed:
        notes.append(f"signed values shifted by {half}")
    samples = samples.astype(np.uint8 if bits <= 8 else np.uint16, copy=False)
    if samples.ndim == 3:
        samples, said = collapse(samples)
        notes += said
    if header.inverse:
        samples = samples.dtype.type(top) - samples
        notes.append("inverted to MONOCHROME2")
    return Picture(samples, bits, tuple(notes))


def _ybr_to_rgb(ybr: NDArray[Any]) -> NDArray[Any]:
    """YBR_FULL (PS3.3 C.7.6.3.1.2), 8 bit, to RGB."""
    y, cb, cr = (ybr[..., i].astype(np.float32) - (0 if i == 0 else 128) for i in range(3))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    clipped: NDArray[Any] = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return clipped
