"""What a DICOM result must repeat of the image it belongs to: whose it is, of which study, and the image's own identity.

The only values of a header besides those of :mod:`ercpseg.decoding.dicom_about` that leave a decoding child. They go into
DICOM results and nowhere else: not into names, tables or messages.
"""

from __future__ import annotations

import datetime
import re
import warnings

from ercpseg.decoding.dicom_elements import walk
from ercpseg.decoding.dicom_file import elements_of
from ercpseg.decoding.dicom_values import MAX_TEXT_BYTES, decode_text
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

PATIENT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientIdentityRemoved", "DeidentificationMethod"),
)
STUDY = (
    *("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    *("StudyDescription", "PatientAge", "PatientSize", "PatientWeight"),
)
IMAGE = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)
KEYWORDS = (*PATIENT, *STUDY, *IMAGE)
NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
NEVER_GARBLED = (*NEEDED, "PatientName", "PatientID", "IssuerOfPatientID")
"""A result must not be filed under another patient: where one of these is not what its type allows, there is no result."""

_SEVERAL = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""Elements with a value for each of several compressions."""
# Parts that begin with 0 are against the rule, and there are devices that write them: the reference must be to what there is.
_UID = re.compile(r"(?=.{1,64}$)\d+(\.\d+)+")
_RULES = {  # PS3.5 6.2
    "UI": _UID,
    "TM": re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?"),
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]{1,16}"),
    "DS": re.compile(r"(?=.{1,16}$)[-+]?\d+(\.\d*)?([eE][-+]?\d+)?"),
    "SH": re.compile(r"[^\x00-\x1f\x7f\\�]{1,16}"),
    "LO": re.compile(r"[^\x00-\x1f\x7f\\�]{1,64}"),
    "PN": re.compile(r"(?=[^=]{0,64}(=[^=]{0,64}){0,2}$)[^\x00-\x1f\x7f\\�]+"),
}


def read_reference(source: Source) -> dict[str, str]:
    """Keyword → text of those :data:`KEYWORDS` that the file states; a garbled one that is not needed is left out.

    Raises
    ------
    InputRefused
        ``incomplete-header`` when one of :data:`NEEDED` is missing or of :data:`NEVER_GARBLED` garbled; what reading a
        header refuses.
    """
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tags = {keyword: int(tag_for_keyword(keyword) or 0) for keyword in (*KEYWORDS, "SpecificCharacterSet")}
    with elements_of(source) as (stream, encoding):
        found = walk(
            stream,
            encoding.size,
            top=frozenset(tags.values()),
            nested={},
            implicit=encoding.implicit,
            little_endian=encoding.little_endian,
        ).values
    raw = {keyword: found[tag].data for keyword, tag in tags.items() if tag in found}
    sets = [part.strip(" \0") for part in raw.pop("SpecificCharacterSet", b"").decode("ascii", "replace").split("\\")]
    values = {}
    for keyword, data in raw.items():
        vr = str(dictionary_VR(tags[keyword]))
        text = _text(data, sets, name=vr == "PN")
        if not text:
            continue
        several = text.split("\\") if keyword in _SEVERAL else [text]
        if all(_is(vr, part) for part in several):
            values[keyword] = text
        elif keyword in NEVER_GARBLED:
            raise InputRefused("incomplete-header", f"{keyword} is no {vr}")
    for keyword in NEEDED:
        if keyword not in values:
            raise InputRefused("incomplete-header", f"no {keyword}")
    return values


def _text(data: bytes, sets: list[str], *, name: bool) -> str:
    if len(data) > MAX_TEXT_BYTES:
        return "�"
    if data.isascii() and b"\x1b" not in data:
        return data.decode("ascii").strip(" \0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may quote the file
        return decode_text(data, sets if any(sets) else [], name=name).strip(" \0")


def _is(vr: str, text: str) -> bool:
    """Whether a text is what its type allows."""
    if vr == "DA":
        try:
            return text.isdigit() and len(text) == 8 and bool(datetime.date.fromisoformat(text))
        except ValueError:
            return False
    return _RULES[vr].fullmatch(text) is not None
