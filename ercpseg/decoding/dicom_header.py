"""What the header of a DICOM image says, as plain numbers: how its pixels are stored, and the facts beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from ercpseg.decoding.dicom_about import about
from ercpseg.decoding.dicom_elements import FLOAT_PIXELS, PixelElement, walk
from ercpseg.decoding.dicom_lut import ModalityLut, Palette, modality_lut, palette
from ercpseg.decoding.dicom_values import Values, tags
from ercpseg.errors import InputRefused
from ercpseg.frames.about import About

_CLASSES = "1.2.840.10008.5.1.4.1.1."
NO_PICTURES = frozenset(_CLASSES + end for end in ("30", "66.3", "66.4", "66.7", "66.8", "481.2"))
"""Parametric map, segmentations and their kin, RT dose (PS3.4 B.5): they have pixels that look like frames."""
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "ObjectPixelSpacingInCenterOfBeam")


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
    """Whether frames have to be inverted for devices to be dark."""
    palette: Palette | None
    modality: ModalityLut | None
    """The Modality LUT when it is to be applied."""
    lossless: bool
    """Whether the header says that there never was lossy compression."""
    about: About
    notes: tuple[str, ...]
    """What is to be said of every frame."""
    extended_offsets: tuple[int, ...]
    pixels: PixelElement

    @property
    def words(self) -> bool:
        """Whether the pixels are words (OW), which is what an implicit file means."""
        return self.pixels.vr in (b"", b"OW")


def read_header(
    handle: BinaryIO, size: int, *, implicit: bool, little_endian: bool, apply_modality_lut: bool
) -> Header:
    """Read a data set up to its pixels; ``handle`` stands at its first element, ``size`` is where the bytes end.

    Raises
    ------
    InputRefused
        when it holds no image, a required field is missing, or it is damaged.
    """
    wanted = tags()
    elements = walk(handle, size, top=wanted.top, nested=wanted.nested, implicit=implicit, little_endian=little_endian)
    values = Values(elements, little_endian=little_endian)
    if (values.text("SOPClassUID") or "") in NO_PICTURES:
        raise InputRefused("not-an-image", "a segmentation, dose or map, whose numbers are no grey values")
    if elements.pixels is None:
        raise InputRefused("truncated" if "Rows" in values else "not-an-image", "no pixel data")
    if elements.pixels.tag in FLOAT_PIXELS:
        raise InputRefused("unsupported-pixels", "floating-point pixels")
    return _header(values, elements.pixels, apply_modality_lut)


def _header(values: Values, pixels: PixelElement, apply_modality_lut: bool) -> Header:
    rows, columns = _required(values, "Rows"), _required(values, "Columns")
    frames = _required(values, "NumberOfFrames", 1)
    signed = _required(values, "PixelRepresentation") == 1
    photometric = values.word("PhotometricInterpretation") or ""
    bits_stored = _required(values, "BitsStored")
    facts = about(values, frames, rows, columns)
    notes = _notes(values)
    if facts.modality == "other":
        notes += ("its class says that this is no X-ray projection",)
    modality, falls = None, False
    if photometric.startswith("MONOCHROME"):
        modality, falls, note = _modality(values, facts, signed=signed, apply=apply_modality_lut)
        notes += note
    table = values.raw("ExtendedOffsetTable") or b""
    return Header(
        rows=rows,
        columns=columns,
        samples=_required(values, "SamplesPerPixel"),
        planar=_required(values, "PlanarConfiguration", 0) == 1,
        frames=frames,
        bits_allocated=_required(values, "BitsAllocated"),
        bits_stored=bits_stored,
        high_bit=_required(values, "HighBit", bits_stored - 1),
        signed=signed,
        photometric=photometric,
        inverse=_inverse(values, photometric) != falls,
        palette=palette(values, signed=signed) if photometric == "PALETTE COLOR" else None,
        modality=modality,
        lossless=values.word("LossyImageCompression") == "00",
        about=facts,
        notes=notes,
        extended_offsets=tuple(int.from_bytes(table[i : i + 8], "little") for i in range(0, len(table) - 7, 8)),
        pixels=pixels,
    )


def _inverse(values: Values, photometric: str) -> bool:
    """Whether the smallest value is white. An image says so once or twice, but it is inverted once.

    PS3.3 C.7.6.1: PresentationLUTShape INVERSE shall accompany MONOCHROME1, and IDENTITY everything else; it repeats
    the photometric interpretation and does not act on top of it. A file that says only one of the two is inverted.
    """
    return photometric == "MONOCHROME1" or values.word("PresentationLUTShape") == "INVERSE"


def _modality(
    values: Values, facts: About, *, signed: bool, apply: bool
) -> tuple[ModalityLut | None, bool, tuple[str, ...]]:
    """The Modality LUT to apply, whether frames change their polarity because of it, and what is to be said.

    Where it is part of what is displayed, a falling one turns black into white, whether it is applied here or not
    (an applied one has turned the values already). Of XA and RF it leads from values for display back to intensities
    of X-rays (PS3.3 C.8.7.1.1.2): the stored values are what is displayed.
    """
    try:
        found = modality_lut(values, signed=signed)
    except InputRefused:
        if apply:
            raise
        return None, False, ("modality LUT not understood and not applied",)
    if found is None:
        return None, False, ()
    displayed = facts.modality not in ("XA", "RF")
    flips = found.falls and displayed != apply
    notes = () if apply else ("modality LUT not applied",)
    return found if apply else None, flips, notes + (("polarity by the modality LUT, which falls",) if flips else ())


def _notes(values: Values) -> tuple[str, ...]:
    notes = []
    if values.mixed(*_SPACINGS):
        notes.append("the spacing differs from frame to frame, so it is unknown")
    aspect = values.numbers("PixelAspectRatio")
    known = any(keyword in values for keyword in (*_SPACINGS, "NominalScannedPixelSpacing"))
    if len(aspect) == 2 and min(aspect) > 0 and aspect[0] != aspect[1] and not known:
        notes.append(f"pixels are not square: {aspect[0]:g} high, {aspect[1]:g} wide")
    return tuple(notes)


def _required(values: Values, keyword: str, default: int | None = None) -> int:
    """An integer; ``default`` where it is absent or empty."""
    if not (values.raw(keyword) or b"").strip(b" \0") and default is not None:
        return default
    number = values.integer(keyword)
    if number is None:
        raise InputRefused("unreadable", f"the header lacks {keyword}")
    return number
