"""Stored DICOM samples to a canonical frame: one grey channel, unsigned, devices dark.

One policy for all encodings: the same picture as MONOCHROME1 or 2, of 8 to 16 bits, signed or not, compressed or not,
gives the same array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.dicom_header import Header
from ercpseg.decoding.grey import collapse
from ercpseg.decoding.reading import Picture, check_size
from ercpseg.errors import InputRefused

Samples = NDArray[Any]
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def check(header: Header) -> None:
    """Refuse what is no grey 2- to 16-bit image before its pixels are looked at.

    Raises
    ------
    InputRefused
        ``unsupported-pixels`` or ``too-large``.
    """
    check_size(header.rows, header.columns)
    if header.frames < 1:
        raise InputRefused("unreadable", f"{header.frames} frames")
    allocated, stored = header.bits_allocated, header.bits_stored
    if allocated not in (8, 16, 32) or not 2 <= stored <= min(16, allocated):  # one bit makes a mask, not an X-ray
        raise InputRefused("unsupported-pixels", f"{stored} of {allocated} bits")
    if not stored - 1 <= header.high_bit < allocated:
        raise InputRefused("unsupported-pixels", f"high bit {header.high_bit}, {stored} bits")
    one = header.samples == 1 and header.photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    whole = stored == allocated and not header.signed
    if not one and not (header.photometric in _COLOUR and header.samples == 3 and whole):
        raise InputRefused("unsupported-pixels", f"photometric interpretation with {header.samples} samples per pixel")
    if header.photometric.startswith("YBR") and allocated != 8:
        raise InputRefused("unsupported-pixels", f"luma and chroma of {allocated} bits")


def native_frame_bytes(header: Header) -> int:
    """Bytes of one uncompressed frame.

    Raises
    ------
    InputRefused
        ``unsupported-pixels`` when pixels cannot be paired as subsampled colour needs.
    """
    if header.photometric == "YBR_FULL_422":
        if header.columns % 2 or header.planar:
            raise InputRefused("unsupported-pixels", f"subsampled colour, {header.columns} columns")
        return header.rows * header.columns * 2
    return header.rows * header.columns * header.samples * header.bits_allocated // 8


def native_samples(data: bytes, header: Header, *, little_endian: bool) -> Samples:
    """The bytes of one uncompressed frame as samples, (y, x) or RGB (y, x, 3), the value in the lowest bits."""
    dtype = np.dtype(f"{'<' if little_endian else '>'}u{header.bits_allocated // 8}")
    samples = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
    shape = (header.rows, header.columns)
    if header.photometric == "YBR_FULL_422":
        return rgb_of_ybr(_upsampled(samples).reshape(*shape, 3))
    if header.samples == 1:
        samples = samples.reshape(shape)
    elif header.planar:
        samples = np.moveaxis(samples.reshape(3, *shape), 0, -1)
    else:
        samples = samples.reshape(*shape, 3)
    return rgb_of_ybr(samples) if header.photometric == "YBR_FULL" else in_lowest_bits(samples, header)


def in_lowest_bits(samples: Samples, header: Header) -> Samples:
    """Shift by what HighBit says; what is above the value stays and is masked later."""
    shift = header.high_bit + 1 - header.bits_stored
    return samples >> shift if shift else samples


def picture(samples: Samples, header: Header, *, lossy: bool) -> Picture:
    """Stored samples to a canonical frame."""
    bits, notes = header.bits_stored, list(header.notes)
    half = 2 ** (bits - 1)
    samples = _unsigned(samples, header, lossy=lossy)
    if header.palette is not None:
        stored = samples.astype(np.int32) - (half if header.signed else 0)
        samples, said = collapse(header.palette.look_up(stored))
        return Picture(samples, 8 * samples.itemsize, (*notes, "palette resolved", *said))
    if samples.ndim == 3:
        samples, said = collapse(samples)
        notes += said
    elif header.modality is not None:
        table, bits, done = header.modality.table(bits, signed=header.signed)
        samples = table[samples]
        notes.append(done)
    elif header.signed:
        notes.append(f"signed values shifted by {half}")
    samples = samples.astype(np.uint8 if bits <= 8 else np.uint16, copy=False)
    if header.inverse:
        samples = samples.dtype.type(2**bits - 1) - samples
        notes.append("inverted to MONOCHROME2")
    return Picture(samples, bits, tuple(notes))


OVERSHOOT = 8
"""Lossy compression may overshoot the largest value by an eighth of it (measured: 116 of 1023 in a 12-bit JPEG)."""


def _unsigned(samples: Samples, header: Header, *, lossy: bool) -> Samples:
    """Within the bits stored, unsigned: signed values are shifted by half the range.

    Raises
    ------
    InputRefused
        ``unsupported-pixels`` when values need more bits than the header says are stored, and it names no overlay there.
    """
    top, half = 2**header.bits_stored - 1, 2 ** (header.bits_stored - 1)
    if samples.dtype.kind == "i":  # a JPEG 2000 stream that knows its sign
        if not header.signed and samples.min() < 0:
            raise InputRefused("unsupported-pixels", "negative values where the header says unsigned")
        low = -half if header.signed else 0
        wide = samples.astype(np.int32)
        room = top // OVERSHOOT if lossy else 0
        _check_depth((wide < low - room) | (wide > low + top + room))
        return (np.clip(wide, low, low + top) - low).astype(np.uint16)
    if lossy and not header.signed:
        _check_depth(samples > top + top // OVERSHOOT)
        samples = np.minimum(samples, top)  # rounding may overshoot; masking would turn white into black
    else:
        if samples.dtype.itemsize * 8 > header.bits_stored and not header.about.overlays:
            above = samples >> header.bits_stored
            if header.signed:  # the sign may be continued upwards
                sign = (samples >> (header.bits_stored - 1)) & 1
                _check_depth((above != 0) & (above != sign * _continued(samples, header)))
            else:
                _check_depth(above != 0)
        samples = samples & top  # bits above may hold an overlay
        if header.signed:
            samples = samples ^ half  # two's complement + 2^(bits-1)
    return samples.astype(np.uint16) if samples.itemsize > 2 else samples


def _continued(samples: Samples, header: Header) -> int:
    """What stands above the bits stored of a negative value that fills its word."""
    shift = header.high_bit + 1 - header.bits_stored
    return int((1 << (min(8 * samples.dtype.itemsize, header.bits_allocated) - shift - header.bits_stored)) - 1)


def _check_depth(beyond: NDArray[np.bool_]) -> None:
    if beyond.any():
        raise InputRefused("unsupported-pixels", "values need more bits than the header says are stored")


def _upsampled(pairs: NDArray[Any]) -> NDArray[Any]:
    """YBR_FULL_422: two luma, then the chroma of both, to three samples per pixel."""
    y1, y2, cb, cr = pairs.reshape(-1, 4).T
    return np.stack([y1, cb, cr, y2, cb, cr], axis=-1)


def rgb_of_ybr(ybr: NDArray[Any]) -> NDArray[Any]:
    """YBR_FULL (PS3.3 C.7.6.3.1.2), (y, x, 3), 8 bit, to RGB."""
    y, cb, cr = (ybr[..., i].astype(np.float32) - (0 if i == 0 else 128) for i in range(3))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    clipped: NDArray[Any] = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return clipped
