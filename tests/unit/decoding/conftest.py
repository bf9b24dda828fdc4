"""Small inputs, made here: frames with a known pattern, and DICOM files of every kind, read in this process."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ercpseg.decoding import formats
from ercpseg.decoding.reading import Listing, Picture
from ercpseg.decoding.sniff import HEAD_BYTES, sniff
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused


def ramp(height=6, width=5, dtype=np.uint8, step=7):
    """Values 0, step, 2·step, … row by row: no two neighbours are equal."""
    return (np.arange(height * width).reshape(height, width) * step).astype(dtype)


def smooth(bits, height=64, width=48):
    """A frame that lossy codecs keep well, over the full range of ``bits``."""
    y, x = np.mgrid[0 : 1 : complex(height), 0 : 1 : complex(width)]
    return np.rint((x + y) / 2 * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def dicom_dataset(pixels, *, frames=1, syntax=None, photometric="MONOCHROME2", signed=False, stored=None, **elements):
    """A minimal XA image. ``pixels`` is an array (its bytes are the pixel data) or a list of compressed frames."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage

    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = XRayAngiographicImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID = "1.2.3", "1.2.3.1", "PAT-7"
    shape = elements.pop("shape", None) or (pixels.shape[1:] if frames > 1 else pixels.shape)
    allocated = elements.pop("allocated", None) or pixels.dtype.itemsize * 8
    data.Rows, data.Columns = shape[:2]
    data.SamplesPerPixel = 3 if len(shape) == 3 else 1
    if len(shape) == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = photometric
    data.BitsAllocated, data.BitsStored = allocated, stored or allocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(signed)
    if frames > 1:
        data.NumberOfFrames = frames
    if isinstance(pixels, list):
        data.PixelData = encapsulate(pixels)
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
    else:
        raw = pixels.tobytes()
        data.PixelData = raw + b"\0" * (len(raw) % 2)
        data["PixelData"].VR = "OW" if allocated > 8 else "OB"
    for tag, (vr, value) in elements.pop("add", {}).items():
        data.add_new(tag, vr, value)
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def items(*contents: dict) -> list:
    """A sequence: one item per dictionary of keyword → value; nested lists of dictionaries are sequences too."""
    import pydicom

    sequence = []
    for content in contents:
        item = pydicom.Dataset()
        for keyword, value in content.items():
            nested = isinstance(value, list) and value and isinstance(value[0], dict)
            setattr(item, keyword, items(*value) if nested else value)
        sequence.append(item)
    return sequence


@pytest.fixture
def make_dicom(tmp_path) -> Callable[..., Path]:
    def make(pixels, name="a.dcm", **options) -> Path:
        path = tmp_path / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns about the odd values that some tests want
            dicom_dataset(pixels, **options).save_as(path, enforce_file_format=True)
        return path

    return make


def list_frames(path: Path, **options) -> Listing:
    """What the reader of a file's format lists; its format is told by its content."""
    source = Source(path)
    with source.open() as stream:
        kind = sniff(stream.read(HEAD_BYTES), source.size)
    if kind is None:
        raise InputRefused("unknown-format")
    return formats.listing(source, kind, **options)


@pytest.fixture
def listing() -> Callable[..., Listing]:
    """The listing of a file."""
    return list_frames


@pytest.fixture
def about():
    """The facts that a file states beside its pixels."""
    return lambda path: list_frames(path).about


@pytest.fixture
def read():
    """All frames of a file: a Picture each, or the InputRefused that stands for it."""

    def get(path, **options) -> list[Picture | InputRefused]:
        found = list_frames(path, **options)
        frames: list[Picture | InputRefused] = []
        for number in range(found.count):
            try:
                frames.append(formats.frame(found, number))
            except InputRefused as error:
                frames.append(error)
        return frames

    return get


@pytest.fixture
def one(read):
    """The only frame of a file."""

    def get(path, **options) -> Picture:
        (frame,) = read(path, **options)
        assert isinstance(frame, Picture), frame
        return frame

    return get


@pytest.fixture
def code(read):
    """The code by which a file, or its only frame, is refused."""

    def get(path, **options) -> str:
        try:
            (frame,) = read(path, **options)
        except InputRefused as error:
            return error.code
        assert isinstance(frame, InputRefused), "was accepted"
        return frame.code

    return get
