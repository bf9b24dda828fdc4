"""A patient's frames as one multi-frame DICOM object (X-Ray Radiofluoroscopic Image Storage)."""

from __future__ import annotations

import hashlib
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from ercpseg.synthesis.courses import MM_PER_REFERENCE_PX, REFERENCE_SIZE
from ercpseg.synthesis.physics import BITS

MAGNIFICATION = 1.35
"""Detector plane over isocentre, so that ImagerPixelSpacing is not the patient's spacing (1.2 to 1.5 in C-arms)."""

FRAME_TIME_MS = 133.3
"""7.5 frames per second, a common pulse rate of ERCP fluoroscopy."""


def encode(frames: list[NDArray[np.uint16]], patient: str) -> bytes:
    """Frames (y, x) of 12 bits as a DICOM file, explicit VR little endian; all UIDs follow from ``patient``."""
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, XRayRadiofluoroscopicImageStorage

    size = frames[0].shape[0]
    spacing = MM_PER_REFERENCE_PX * MAGNIFICATION * REFERENCE_SIZE / size
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
    ds.ImagerPixelSpacing = [round(spacing, 6), round(spacing, 6)]
    ds.EstimatedRadiographicMagnificationFactor = MAGNIFICATION
    ds.FrameTime = FRAME_TIME_MS
    ds.NumberOfFrames = len(frames)
    ds.FrameIncrementPointer = 0x00181063  # FrameTime
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = frames[0].shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, BITS, BITS - 1
    ds.PixelRepresentation = 0
    ds.PixelData = np.stack(frames).astype("<u2").tobytes()
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
