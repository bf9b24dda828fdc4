"""Overlays as DICOM secondary captures (PS3.3 A.8): pictures in colour that every viewer shows, also one without segmentations.

A strip below the picture says that this is research; it covers nothing of the frame. There is no spacing: what is drawn is
not to be measured.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused
from ercpseg.export.dicom_object import (
    MANUFACTURER,
    MODEL,
    NOT_FOR_DIAGNOSIS,
    as_stated,
    identify,
    reference_of,
    software,
    tell_lossy,
    uid,
    write_object,
)
from ercpseg.export.protocol import Series
from ercpseg.frames.lettering import strip

SERIES_NUMBER = 9602
MOST_PX = 65_535
"""Rows and Columns are unsigned numbers of two bytes."""
SINGLE, MULTIPLE = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4"
_IMPLEMENTATION = "2.25.291327413498532096352403265347093311587"
_FRAME_TIME, _PAGE_NUMBERS = 0x00181063, 0x00182001


class DicomSc:
    """``dicom-sc/<file>.dcm``: the overlays of one DICOM file as colour pictures, a frame each."""

    says = "DICOM secondary capture of each DICOM file, outlines drawn in, for archives without segmentations"
    suffix = ".dcm"
    folder = "dicom-sc"
    per: Literal["file", "series"] = "file"
    needs_pictures = True
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
        first = captioned(series.picture(series.shots[0]))
        with as_stated():
            data = _object(series, reference, (first.shape[0], first.shape[1]))
            write_object(path, data, b"OB", _pixels(series), first.size * len(series.shots))


def captioned(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (y, x, 3) with the strip below it."""
    height, width = picture.shape[:2]
    return np.concatenate([picture, strip(NOT_FOR_DIAGNOSIS, width, min(32, max(10, max(height, width) // 36)))])


def _pixels(series: Series) -> Iterator[bytes]:
    for shot in series.shots:
        yield captioned(series.picture(shot)).tobytes()


def _object(series: Series, reference: Mapping[str, str], shape: tuple[int, int]) -> Any:
    """The object without its pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    (file,) = series.files
    count = len(series.shots)
    if max(shape) > MOST_PX:
        raise InputRefused("not-this-format", f"a DICOM image has at most {MOST_PX} px a side")
    made_from = (reference["SOPInstanceUID"], series.made_from)
    now = datetime.datetime.now()
    data: Any = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.ImplementationClassUID = _IMPLEMENTATION
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MULTIPLE if count > 1 else SINGLE
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid("sc", *made_from)
    identify(data, reference)
    tell_lossy(data, reference)
    data.SeriesInstanceUID = uid("sc series", *made_from)
    data.SeriesNumber, data.InstanceNumber = SERIES_NUMBER, 1
    data.SeriesDescription = "ercpseg overlay (AI research, not for diagnosis)"
    data.Modality, data.Laterality, data.PatientOrientation = "OT", "", ""
    data.Manufacturer, data.ManufacturerModelName, data.SoftwareVersions = MANUFACTURER, MODEL, software()
    data.ConversionType = "WSD"
    data.ImageType = ["DERIVED", "SECONDARY"]
    data.ContentDate = data.InstanceCreationDate = now.strftime("%Y%m%d")
    data.ContentTime = data.InstanceCreationTime = now.strftime("%H%M%S")
    lost = f" {len(file.lost)} frames could not be segmented." if file.lost else ""
    data.DerivationDescription = f"Outlines of an automatic segmentation, drawn into the image.{lost}"
    # The frame is in the picture, and with it what was burned into the frame.
    data.BurnedInAnnotation = "NO" if file.burned_in is False else "YES"
    data.SourceImageSequence = [_source(series, reference)]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.Rows, data.Columns = shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    if count > 1:
        data.NumberOfFrames = count
        if file.frame_time_ms is not None:
            data.FrameTime, data.FrameIncrementPointer = f"{file.frame_time_ms:.6g}", _FRAME_TIME
        else:
            data.PageNumberVector, data.FrameIncrementPointer = list(range(1, count + 1)), _PAGE_NUMBERS
    return data


def _source(series: Series, reference: Mapping[str, str]) -> Any:
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    source: Any = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = (
        reference["SOPClassUID"],
        reference["SOPInstanceUID"],
    )
    if series.shots[0].index is not None:
        source.ReferencedFrameNumber = [shot.index + 1 for shot in series.shots if shot.index is not None]
    purpose: Any = Dataset()
    code = codes.DCM.SourceImageForImageProcessingOperation
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = code.value, "DCM", code.meaning
    source.PurposeOfReferenceCodeSequence = [purpose]
    return source
