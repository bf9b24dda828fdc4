"""DICOM segmentation (PS3.3 A.51) of the frames of one file: BINARY, a segment per structure, overlaps kept.

highdicom builds the object for one frame of a stand-in: it takes X-ray images of before the enhanced ones (XA, RF) for
broken enhanced ones, and wants a frame of reference where there are several frames (its issues 200 and 284). The stand-in
is a computed radiograph of the same study; afterwards its class is replaced by the true one, and its frame by all frames
that show something. No frame of reference and no position is made up: a projection has none. See decision 0026.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ercpseg.export.codes import PRIVATE_SCHEME, PRIVATE_SCHEME_NAME, Code, coded
from ercpseg.export.dicom_object import (
    MANUFACTURER,
    MODEL,
    as_stated,
    identify,
    reference_of,
    software,
    tell_lossy,
    uid,
    write_object,
)
from ercpseg.export.protocol import Series, Shot
from ercpseg.structures import COLOURS, StructureSet

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER = 9601
_STAND_IN = "1.2.840.10008.5.1.4.1.1.1"  # Computed Radiography Image Storage
_TEMPORAL_POSITION, _FRAME_CONTENT = 0x00209128, 0x00209111


class DicomSeg:
    """``dicom-seg/<file>.dcm``: for archives and viewers that know segmentations, such as OHIF."""

    says = "DICOM segmentation of each DICOM file, a coded segment per structure, for OHIF and archives"
    suffix = ".dcm"
    folder = "dicom-seg"
    per: Literal["file", "series"] = "file"
    needs_pictures = False
    needs_module: str | None = None

    def write(self, path: Path, series: Series) -> None:
        """Write the object of one file.

        Raises
        ------
        InputRefused
            ``not-dicom``, or ``incomplete-header`` where the file does not say whose it is.
        StorageError
            when the disk is full or fails.
        """
        reference = reference_of(series)
        planes, shape, overlap = find_planes(series)
        bits = len(planes) * shape[0] * shape[1]
        with as_stated():
            data = _object(series, reference, planes, shape)
            data.SegmentsOverlap = "YES" if overlap else "NO"
            write_object(path, data, b"OB", packed(_masks(series, planes, shape)), (bits + 7) // 8)


@dataclass(frozen=True)
class Plane:
    """A structure in a frame: both by number, from 0."""

    shot: int
    segment: int


def find_planes(series: Series) -> tuple[list[Plane], tuple[int, int], bool]:
    """What there is to see, frame by frame; the size of the frames (y, x); whether any structures overlap.

    An object must have a plane: where nothing was found, the first structure of the first frame stands for it, empty.
    """
    planes: list[Plane] = []
    shape, overlap = (0, 0), False
    for number, shot in enumerate(series.shots):
        bitmask = series.bitmask(shot)
        shape = (bitmask.shape[0], bitmask.shape[1])
        overlap = overlap or bool((bitmask & (bitmask - np.uint8(1))).any())  # more than one bit
        found = int(np.bitwise_or.reduce(bitmask, axis=None))
        planes += [Plane(number, segment) for segment in range(len(series.structures)) if found >> segment & 1]
    return planes or [Plane(0, 0)], shape, overlap


def _masks(series: Series, planes: list[Plane], shape: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    """The pixels of the planes, in order; every label image is read once."""
    shots, at, bitmask = series.shots, -1, np.zeros(shape, np.uint8)
    for plane in planes:
        if plane.shot != at:
            at, bitmask = plane.shot, series.bitmask(shots[plane.shot])
        yield (bitmask >> plane.segment & 1).astype(np.bool_)


def packed(masks: Iterable[NDArray[np.bool_]]) -> Iterator[bytes]:
    """Bits without gaps between frames, the first pixel in the lowest bit of a byte (PS3.5 8.1.1).

    >>> b"".join(packed([np.array([True, False, True]), np.array([False] * 5 + [True])])).hex()
    '0501'
    """
    rest = np.zeros(0, np.bool_)
    for mask in masks:
        bits = np.concatenate([rest, mask.ravel()])
        whole = bits.size // 8 * 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        rest = bits[whole:]
    if rest.size:
        yield np.packbits(rest, bitorder="little").tobytes()


def _object(series: Series, reference: Mapping[str, str], planes: list[Plane], shape: tuple[int, int]) -> Any:
    """The object without its pixels."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    data = _of_one_frame(series, reference, shape)
    _rename_class(data, reference["SOPClassUID"])
    templates = list(data.PerFrameFunctionalGroupsSequence)
    shots = series.shots
    data.PerFrameFunctionalGroupsSequence = Sequence(
        _group(templates[plane.segment], plane.segment, shots[plane.shot], plane.shot) for plane in planes
    )
    data.NumberOfFrames = len(planes)
    organisation = uid("dimensions", data.SOPInstanceUID)
    for item in (*data.DimensionOrganizationSequence, *data.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation
    # Not a pointer at the number of the referenced frame, which is nested: highdicom's reader refuses that.
    index = Dataset()
    index.DimensionIndexPointer, index.FunctionalGroupPointer = _TEMPORAL_POSITION, _FRAME_CONTENT
    index.DimensionOrganizationUID = organisation
    index.DimensionDescriptionLabel = "Temporal Position Index"
    data.DimensionIndexSequence = Sequence([data.DimensionIndexSequence[0], index])
    del data.PixelData
    data.PatientOrientation = ""
    identify(data, reference)
    tell_lossy(data, reference)
    return data


def _group(template: Dataset, segment: int, shot: Shot, number: int) -> Dataset:
    """The functional groups of a plane, from those of its segment."""
    group = copy.deepcopy(template)
    content = group.FrameContentSequence[0]
    content.DimensionIndexValues = [segment + 1, number + 1]
    content.TemporalPositionIndex = number + 1
    if shot.index is not None:
        for derivation in group.DerivationImageSequence:
            for image in derivation.SourceImageSequence:
                image.ReferencedFrameNumber = shot.index + 1
    return group


def _of_one_frame(series: Series, reference: Mapping[str, str], shape: tuple[int, int]) -> Any:
    """The segmentation of one frame of a stand-in, in which everything is there. It knows no patient."""
    import highdicom as hd
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from pydicom.dataset import Dataset

    stand_in = Dataset()
    stand_in.SOPClassUID = _STAND_IN
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(stand_in, keyword, reference[keyword])
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(stand_in, keyword, "")
    stand_in.StudyDate = stand_in.StudyTime = stand_in.PatientOrientation = ""
    stand_in.Modality = "CR"
    stand_in.Rows, stand_in.Columns = shape
    stand_in.SamplesPerPixel, stand_in.PhotometricInterpretation = 1, "MONOCHROME2"
    stand_in.BitsAllocated, stand_in.BitsStored, stand_in.HighBit, stand_in.PixelRepresentation = 8, 8, 7, 0
    stand_in.PixelData = bytes(shape[0] * shape[1])
    lost = sum(len(file.lost) for file in series.files)
    private = [name for name in series.structures if coded(name).kind.scheme == PRIVATE_SCHEME]
    schemes = [CodingSchemeIdentificationItem(PRIVATE_SCHEME, name=PRIVATE_SCHEME_NAME)] if private else None
    made_from = (reference["SOPInstanceUID"], series.made_from)
    return hd.seg.Segmentation(
        source_images=[stand_in],
        pixel_array=np.ones((1, *shape, len(series.structures)), np.bool_),
        segmentation_type="BINARY",
        segment_descriptions=_segments(series.structures),
        series_instance_uid=uid("seg series", reference["SeriesInstanceUID"], *made_from),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid("seg", *made_from),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=software(),
        device_serial_number="0",
        content_label="ERCPSEG",
        content_description=f"{lost} frames could not be segmented" if lost else "AI research, not for diagnosis",
        series_description="ercpseg segmentation (AI research, not for diagnosis)",
        coding_schemes=schemes,
    )


def _segments(structures: StructureSet) -> list[Any]:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    algorithm = hd.AlgorithmIdentificationSequence(
        name="ercpseg", version=software(), family=codes.cid7162.ArtificialIntelligence
    )
    segments = []
    for number, name in enumerate(structures):
        category, kind, region = coded(name)
        segments.append(
            hd.seg.SegmentDescription(
                segment_number=number + 1,
                segment_label=name,
                segmented_property_category=_code(category),
                segmented_property_type=_code(kind),
                algorithm_type="AUTOMATIC",
                algorithm_identification=algorithm,
                anatomic_regions=None if region is None else [_code(region)],
                display_color=hd.color.CIELabColor.from_rgb(*COLOURS[number]),
            )
        )
    return segments


def _code(code: Code) -> Any:
    import highdicom as hd

    return hd.sr.CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def _rename_class(data: Dataset, sop_class: str) -> None:
    """Replace the stand-in's class by the true one wherever it is referred to."""
    for element in data:
        if element.VR == "SQ":
            for item in element.value:
                _rename_class(item, sop_class)
        elif element.keyword == "ReferencedSOPClassUID" and element.value == _STAND_IN:
            element.value = sop_class
