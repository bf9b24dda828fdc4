"""The elements that matter, by keyword, as plain numbers and text. pydicom's dictionary knows their tags and types.

A value that is not what its type says counts as absent: whoever needs it refuses the file then.
"""

from __future__ import annotations

import functools
import math
import struct
import warnings
from dataclasses import dataclass

from ercpseg.decoding.dicom_elements import PER_FRAME, SHARED, Elements, Raw

_TOP = """
    SpecificCharacterSet PatientID StudyInstanceUID SeriesInstanceUID SOPInstanceUID SOPClassUID Modality ImageType
    AcquisitionDate AcquisitionDateTime SeriesDate StudyDate AcquisitionNumber InstanceNumber
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns
    BitsAllocated BitsStored HighBit PixelRepresentation PresentationLUTShape ExtendedOffsetTable
    PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing PixelSpacingCalibrationType PixelAspectRatio
    EstimatedRadiographicMagnificationFactor DistanceSourceToDetector DistanceSourceToPatient
    FrameIncrementPointer FrameTime FrameTimeVector CineRate RecommendedDisplayFrameRate
    Manufacturer ManufacturerModelName DetectorID
    PixelIntensityRelationship LossyImageCompression BurnedInAnnotation RecommendedViewingMode
    RescaleSlope RescaleIntercept
    RedPaletteColorLookupTableDescriptor RedPaletteColorLookupTableData
    GreenPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableData
    BluePaletteColorLookupTableDescriptor BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData
"""
SHUTTER = (
    *("ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge"),
    *("ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter"),
    "VerticesOfThePolygonalShutter",
)
_SEQUENCES = {
    "ModalityLUTSequence": "LUTDescriptor LUTData",
    "MaskSubtractionSequence": "MaskOperation",
}
_FUNCTIONAL_GROUPS = {  # PS3.3 C.7.6.16.2 and C.8.19.6
    "PixelMeasuresSequence": "PixelSpacing",
    "PixelValueTransformationSequence": "RescaleSlope RescaleIntercept",
    "FrameDisplayShutterSequence": " ".join(SHUTTER),
    "FramePixelDataPropertiesSequence": "ImagerPixelSpacing",
    "ProjectionPixelCalibrationSequence": "ObjectPixelSpacingInCenterOfBeam",
    "XRayGeometrySequence": "DistanceSourceToIsocenter DistanceSourceToDetector",
}
_INTEGERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "US or SS": "H", "AT": "L"}
_FLOATS = {"FL": "f", "FD": "d"}
_TEXT = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT"}
_NUMBER = set("0123456789+-.eE")
MAX_TEXT_BYTES, MAX_NUMBERS_BYTES = 65536, 1024 * 1024


@dataclass(frozen=True)
class Tags:
    """The wanted tags: ``tag`` by keyword, ``vr`` by tag; ``top`` and ``nested`` as the walk wants them."""

    tag: dict[str, int]
    vr: dict[int, str]
    top: frozenset[int]
    nested: dict[tuple[int, int], frozenset[int]]


@functools.cache
def tags() -> Tags:
    """Look all keywords up, once."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    outer = _SEQUENCES | _FUNCTIONAL_GROUPS
    words = {*_TOP.split(), *outer, *" ".join(outer.values()).split()}
    tag = {word: int(tag_for_keyword(word) or 0) for word in words}

    def inside(table: dict[str, str], group: int) -> dict[tuple[int, int], frozenset[int]]:
        return {(group, tag[name]): frozenset(tag[word] for word in text.split()) for name, text in table.items()}

    nested = inside(_SEQUENCES, 0)
    for group in (SHARED, PER_FRAME):
        nested |= {(0, group): frozenset(), **inside(_FUNCTIONAL_GROUPS, group)}
    vr = {number: str(dictionary_VR(number)) for number in tag.values()}
    return Tags(tag, vr, frozenset(tag[word] for word in (*_TOP.split(), *SHUTTER)), nested)


class Values:
    """The values of one file, by keyword."""

    def __init__(self, elements: Elements, *, little_endian: bool):
        self.elements = elements
        self.little_endian = little_endian
        self._tags = tags()

    def __contains__(self, keyword: str) -> bool:
        return self._tags.tag[keyword] in self.elements.values

    def mixed(self, *keywords: str) -> bool:
        """Whether any of these differs from frame to frame."""
        return any(self._tags.tag[keyword] in self.elements.mixed for keyword in keywords)

    def items(self, keyword: str) -> int:
        """How many items a sequence has."""
        return self.elements.sequences.get(self._tags.tag[keyword], 0)

    def inside(self, keyword: str) -> list[Raw]:
        """The raw values from within sequences."""
        return self.elements.listed.get(self._tags.tag[keyword], [])

    def raw(self, keyword: str) -> bytes | None:
        """The bytes of a value."""
        found = self.elements.values.get(self._tags.tag[keyword])
        return None if found is None else found.data

    def texts(self, keyword: str) -> list[str]:
        """The parts of a text between backslashes."""
        data = self.raw(keyword)
        if data is None or len(data) > MAX_TEXT_BYTES:
            return []
        return [_clean(part) for part in data.decode("ascii", "replace").split("\\")]

    def word(self, keyword: str) -> str | None:
        """The only part of a text, in capitals; None when it is empty, or has several."""
        words = self.texts(keyword)
        return words[0].upper() if len(words) == 1 and words[0] else None

    def text(self, keyword: str) -> str | None:
        """A text as a whole, decoded by the file's character sets; None when it is empty."""
        data = self.raw(keyword)
        if not data or len(data) > MAX_TEXT_BYTES:
            return None
        if data.isascii() and b"\x1b" not in data:
            return _clean(data.decode("ascii")) or None
        text = decode_text(data, self.texts("SpecificCharacterSet"))
        return _clean(text.encode("utf-8", "backslashreplace").decode()) or None

    def numbers(self, keyword: str) -> list[float]:
        """All numbers of a value; an empty list when any of them is none."""
        found = self.elements.values.get(self._tags.tag[keyword])
        return [] if found is None else self.decode(keyword, found)

    def number(self, keyword: str) -> float | None:
        """The only number of a value, else None."""
        numbers = self.numbers(keyword)
        return numbers[0] if len(numbers) == 1 else None

    def integer(self, keyword: str) -> int | None:
        """The only integer of a value, else None."""
        number = self.number(keyword)
        return int(number) if number is not None and number == int(number) else None

    def pair(self, keyword: str) -> tuple[float, float] | None:
        """Two positive numbers, (y, x) for all spacings of the standard (PS3.3 10.7.1.3), else None."""
        numbers = self.numbers(keyword)
        return (numbers[0], numbers[1]) if len(numbers) == 2 and min(numbers) > 0 else None

    def decode(self, keyword: str, raw: Raw) -> list[float]:
        """The numbers of a raw value, by the type that the file states, else by that of the dictionary."""
        known = self._tags.vr[self._tags.tag[keyword]]
        stated = raw.vr.decode("ascii")
        vr = stated if stated in _INTEGERS or stated in _FLOATS or stated in _TEXT else known
        if vr in _TEXT:
            return _from_text(raw.data)
        code = _INTEGERS.get(vr) or _FLOATS.get(vr)
        if code is None or vr == "AT":
            return []
        size = struct.calcsize("<" + code)
        if len(raw.data) % size:
            return []
        values = struct.unpack(f"{'<' if self.little_endian else '>'}{len(raw.data) // size}{code}", raw.data)
        return [float(value) for value in values] if all(map(math.isfinite, values)) else []

    def points_to(self, keyword: str, target: str) -> bool:
        """Whether an AT element names the tag of ``target``."""
        order = "<" if self.little_endian else ">"
        data = self.raw(keyword) or b""
        tag = self._tags.tag[target]
        return len(data) % 4 == 0 and (tag >> 16, tag & 0xFFFF) in struct.iter_unpack(order + "HH", data)


def _from_text(data: bytes) -> list[float]:
    if len(data) > MAX_NUMBERS_BYTES:
        return []
    numbers = []
    for part in data.decode("ascii", "replace").split("\\"):
        text = _clean(part)
        try:
            number = float(text) if set(text) <= _NUMBER else math.nan
        except ValueError:
            return []
        if not math.isfinite(number):
            return []
        numbers.append(number)
    return numbers


def _clean(text: str) -> str:
    return text.strip().strip("\0").strip()


def decode_text(data: bytes, character_sets: list[str], *, name: bool = False) -> str:
    """Text that is not plain ASCII; ``name`` for a person's, whose parts begin anew in the first character set.

    pydicom warns about odd names of character sets, and may quote the file.
    """
    from pydicom.charset import convert_encodings, decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encodings = convert_encodings(character_sets or None)
        return str(PersonName(data, encodings) if name else decode_bytes(data, encodings, TEXT_VR_DELIMS))
