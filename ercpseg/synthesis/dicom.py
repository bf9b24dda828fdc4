"""A patient's frames as one multi-frame DICOM object (X-Ray Radiofluoroscopic Image Storage)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from ercpseg.synthesis.frame import Spacing

FRAME_TIME_MS = 133.3
"""7.5 frames per second, a common pulse rate of ERCP fluoroscopy."""


@dataclass(frozen=True)
class Header:
    """What a patient's object says of itself: 8 to 16 ``bits`` are stored; ``inverted`` makes it MONOCHROME1."""

    patient: str
    bits: int
    inverted: bool
    spacing: Spacing | None
    frame_time_ms: float = FRAME_TIME_MS


def encode(frames: list[NDArray[np.uint16]], header: Header) -> bytes:
    """Canonical frames (y, x) as a DICOM file, explicit VR little endian; all UIDs follow from the patient's name."""
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, XRayRadiofluoroscopicImageStorage

    patient, size = header.patient, frames[0].shape[0]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = XRayRadiofluoroscopicImageStorage
    meta.MediaStorageSOPInstanceUID = UID(uid(patient, "instance", str(size), str(len(frames))))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(uid("ercpseg", "implementation"))
    ds = Dataset()
    ds.file_meta = meta
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.StudyDate = ds.ContentDate = "20000101"
    ds.StudyTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ""
    ds.Modality = "RF"
    ds.Manufacturer = "ercpseg synthesiser"
    ds.ReferringPhysicianName = ""
    ds.SeriesDescription = "synthetic ERCP"
    ds.PatientName = patient
    ds.PatientID = patient
    ds.PatientBirthDate = ""
    ds.PatientSex = ""
    ds.BodyPartExamined = "ABDOMEN"
    ds.StudyInstanceUID = uid(patient, "study")
    ds.SeriesInstanceUID = uid(patient, "series")
    ds.StudyID = "1"
    ds.SeriesNumber = 1
    ds.InstanceNumber = 1
    ds.PatientOrientation = ""
    ds.KVP = 75
    ds.RadiationSetting = "SC"
    ds.PixelIntensityRelationship = "DISP"
    if header.spacing is not None:
        grown = header.spacing.magnification
        ds.ImagerPixelSpacing = [round(mm * grown, 6) for mm in header.spacing.mm_per_px]
        ds.EstimatedRadiographicMagnificationFactor = round(grown, 5)
    ds.FrameTime = header.frame_time_ms
    ds.NumberOfFrames = len(frames)
    ds.FrameIncrementPointer = 0x00181063  # FrameTime
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if header.inverted else "MONOCHROME2"
    ds.Rows, ds.Columns = frames[0].shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, header.bits, header.bits - 1
    ds.PixelRepresentation = 0
    stored = np.stack(frames)
    stored = np.uint16(2**header.bits - 1) - stored if header.inverted else stored
    ds.PixelData = stored.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def uid(*parts: str) -> str:
    """A valid UID below 2.25 (the UUID root) that follows from ``parts``.

    >>> len(uid("s0p0001", "study")) <= 64 and uid("s0p0001", "study") != uid("s0p0002", "study")
    True
    """
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
