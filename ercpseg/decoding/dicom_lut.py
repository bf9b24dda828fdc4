"""Look-up tables: the Modality LUT, applied only on request, and colour palettes. VOI windows are never applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.dicom_elements import Raw
from ercpseg.decoding.dicom_values import Values
from ercpseg.errors import InputRefused

_EXACT = 1e-6


@dataclass(frozen=True)
class Palette:
    """``colours`` (entries, 3) uint8 or uint16; the first one belongs to the stored value ``first``."""

    first: int
    colours: NDArray[Any]

    def look_up(self, stored: NDArray[Any]) -> NDArray[Any]:
        """(y, x) stored values to (y, x, 3); what is outside takes the colour of the end (PS3.3 C.7.6.3.1.5)."""
        index = np.clip(stored.astype(np.int32) - self.first, 0, len(self.colours) - 1)
        colours: NDArray[Any] = self.colours[index]
        return colours


@dataclass(frozen=True)
class ModalityLut:
    """What a file says about turning stored values into those of the modality (PS3.3 C.11.1).

    Either a table that begins at the stored value ``first``, or a line.
    """

    slope: float = 1.0
    intercept: float = 0.0
    first: int = 0
    entries: NDArray[Any] | None = None
    bits: int = 16

    @property
    def falls(self) -> bool:
        """Whether larger stored values become smaller."""
        if self.entries is not None:
            return bool(self.entries[-1] < self.entries[0])
        return self.slope < 0

    def table(self, bits: int, *, signed: bool) -> tuple[NDArray[np.uint16], int, str]:
        """Stored values, shifted to begin at 0, → values of the modality; their bits; what was done, for the notes.

        The values of the modality are kept when they are integers of 16 bits, negative ones shifted by 32768 as signed
        pixels are. Otherwise they are stretched over 16 bits, which keeps all of the at most 65536 apart.
        """
        stored = np.arange(2**bits, dtype=np.int64) - (2 ** (bits - 1) if signed else 0)
        if self.entries is not None:
            entries = self.entries[np.clip(stored - self.first, 0, len(self.entries) - 1)]
            return entries.astype(np.uint16), self.bits, "modality LUT applied"
        values = stored * self.slope + self.intercept
        whole = np.rint(values)
        exact = abs(self.slope) >= 1 - _EXACT and np.abs(values - whole).max() <= _EXACT
        if exact and whole.min() >= -32768 and whole.max() <= 65535:
            if whole.min() >= 0:
                return whole.astype(np.uint16), 16, "rescale applied"
            if whole.max() <= 32767:
                return (whole + 32768).astype(np.uint16), 16, "rescale applied, values shifted by 32768"
        low, high = float(values.min()), float(values.max())
        stretched = np.rint((values - low) * (65535 / (high - low))).astype(np.uint16)
        return stretched, 16, "rescale applied, values stretched over 16 bits"


def modality_lut(values: Values, *, signed: bool) -> ModalityLut | None:
    """The Modality LUT of a file, None when it has none, or one that changes nothing.

    Raises
    ------
    InputRefused
        when there is one, but not a sound one.
    """
    if values.items("ModalityLUTSequence"):
        descriptors, data = values.inside("LUTDescriptor"), values.inside("LUTData")
        if not descriptors or not data:
            raise InputRefused("unreadable", "the Modality LUT is incomplete")
        first, entries, bits = _entries(values, values.decode("LUTDescriptor", descriptors[0]), data[0], signed)
        return ModalityLut(first=first, entries=entries, bits=bits)
    if values.mixed("RescaleSlope", "RescaleIntercept"):
        raise InputRefused("unsupported-pixels", "the rescale differs from frame to frame")
    if "RescaleSlope" not in values and "RescaleIntercept" not in values:
        return None
    slope, intercept = values.number("RescaleSlope"), values.number("RescaleIntercept")
    if slope is None or intercept is None or slope == 0:
        raise InputRefused("unreadable", "the rescale is incomplete")
    return None if (slope, intercept) == (1, 0) else ModalityLut(slope, intercept)


def palette(values: Values, *, signed: bool) -> Palette:
    """The palette of an image in ``PALETTE COLOR``.

    Raises
    ------
    InputRefused
        when it is incomplete, damaged, or stored in segments.
    """
    if "SegmentedRedPaletteColorLookupTableData" in values:
        raise InputRefused("unsupported-pixels", "a palette in segments")
    channels, firsts = [], set()
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTable"
        descriptor, data = values.numbers(name + "Descriptor"), values.raw(name + "Data")
        if not descriptor or data is None:
            raise InputRefused("unreadable", "the palette is incomplete")
        first, entries, _ = _entries(values, descriptor, Raw(b"OW", data), signed)
        firsts.add(first)
        channels.append(entries)
    if len(firsts) > 1 or len({(len(entries), entries.dtype) for entries in channels}) > 1:
        raise InputRefused("unreadable", "the channels of the palette differ in length")
    return Palette(firsts.pop(), np.stack(channels, axis=-1))


def _entries(values: Values, descriptor: list[float], raw: Raw, signed: bool) -> tuple[int, NDArray[Any], int]:
    """First stored value, table, bits. Entries are words, or bytes packed in words (PS3.3 C.7.6.3.1.6, C.11.1.1)."""
    if len(descriptor) != 3:
        raise InputRefused("unreadable", "a look-up table has no descriptor")
    count, first, bits = (int(number) for number in descriptor)
    count = count % 65536 or 65536
    first = first - 65536 if signed and first > 32767 else first
    words = np.dtype("<u2" if values.little_endian else ">u2")
    if 1 <= bits <= 8 and len(raw.data) == count + count % 2:
        data = raw.data
        if not values.little_endian and raw.vr == b"OW":
            data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
        return first, np.frombuffer(data, np.uint8)[:count], bits
    if 1 <= bits <= 16 and len(raw.data) == 2 * count:
        table = np.frombuffer(raw.data, words).astype(np.uint16)
        if bits <= 8 and int(table.max()) <= 255:
            table = table.astype(np.uint8)
        return first, table, max(bits, int(table.max()).bit_length())
    raise InputRefused("unreadable", f"a look-up table of {len(raw.data)} bytes for {count} entries of {bits} bits")
