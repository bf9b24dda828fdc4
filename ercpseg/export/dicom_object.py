"""What DICOM results have in common: whose they are, that they are research, their UIDs, and their bytes.

The patient and the study are copied from the source object into the result, because that is what files it under the right
patient; they go nowhere else. UIDs follow from the source's UIDs and from what the result was made from: the same result
has the same UIDs, so that an archive that gets it twice keeps it once.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from ercpseg.decoding.decoders import borrow
from ercpseg.decoding.dicom_reference import PATIENT, STUDY
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused
from ercpseg.export.protocol import Series
from ercpseg.storage.atomic import write_chunks
from ercpseg.version import __version__

MANUFACTURER, MODEL = "ercpseg", "ercpseg"
NOT_FOR_DIAGNOSIS = "AI RESEARCH - NOT FOR DIAGNOSIS"
_EVEN_IF_EMPTY = {  # type 2 of the modules Patient and General Study
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
}
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_MAX_BYTES = 2**32 - 2
_PIXELS = struct.Struct("<HH2s2xI")


def reference_of(series: Series) -> dict[str, str]:
    """What a result must repeat of the file that ``series`` comes from; see :mod:`ercpseg.decoding.dicom_reference`.

    Raises
    ------
    InputRefused
        ``not-dicom`` where the frames are from another format, or from no file; ``incomplete-header``.
    """
    (file,) = series.files
    if file.path is None:
        raise InputRefused("not-dicom")
    with borrow() as decoders:
        try:
            return decoders.reference(Source(file.path, file.member))
        except OSError as error:
            raise InputRefused("unreadable", error.strerror or "it is gone") from error


@contextlib.contextmanager
def as_stated() -> Iterator[None]:
    """Have pydicom take values as they are: they were checked, and its warnings quote what it does not like."""
    from pydicom.config import disable_value_validation

    with disable_value_validation():
        yield


def identify(data: Any, reference: Mapping[str, str]) -> None:
    """Copy patient and study into a data set, in UTF-8."""
    data.SpecificCharacterSet = "ISO_IR 192"
    removed = {"PatientIdentityRemoved", "DeidentificationMethod"}
    for keyword in (*PATIENT, *STUDY):
        stated = keyword in reference and (keyword not in removed or removed <= reference.keys())
        if stated or keyword in _EVEN_IF_EMPTY:
            setattr(data, keyword, reference[keyword] if stated else "")


def tell_lossy(data: Any, reference: Mapping[str, str]) -> None:
    """Say that the source was compressed with loss, where it says so in full (PS3.3 C.7.6.1.1.5)."""
    stated = {keyword: reference.get(keyword) for keyword in _LOSSY}
    if stated["LossyImageCompression"] == "01" and all(stated.values()):
        for keyword, value in stated.items():
            setattr(data, keyword, value)
    else:
        data.LossyImageCompression = "00"


def uid(*parts: str) -> str:
    """A UID below 2.25 (that of UUIDs, which needs no registration) that follows from ``parts``.

    >>> uid("a", "b") == uid("a", "b") != uid("ab")
    True
    """
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def write_object(path: Path, data: Any, vr: bytes, pixels: Iterable[bytes], length: int) -> None:
    """Write a data set without pixels, then ``length`` bytes of them, never holding all; explicit VR little endian.

    Raises
    ------
    InputRefused
        ``too-large`` when the pixels do not fit one object.
    StorageError
        when the disk is full or fails.
    """
    if length + length % 2 > _MAX_BYTES:
        raise InputRefused("too-large", f"{length} bytes of pixels, limit of an object {_MAX_BYTES}")
    write_chunks(path, _chunks(data, vr, pixels, length))


def _chunks(data: Any, vr: bytes, pixels: Iterable[bytes], length: int) -> Iterator[bytes]:
    from pydicom import dcmwrite

    buffer = BytesIO()
    dcmwrite(buffer, data, enforce_file_format=True)
    yield buffer.getvalue()
    yield _PIXELS.pack(0x7FE0, 0x0010, vr, length + length % 2)
    yield from pixels
    yield bytes(length % 2)


def software() -> str:
    """For SoftwareVersions."""
    return __version__
