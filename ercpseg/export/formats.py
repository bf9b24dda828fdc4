"""The table of output formats: what ``--format`` may name."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from ercpseg.errors import UsageError
from ercpseg.export.contact import ContactSheet
from ercpseg.export.dicom_sc import DicomSc
from ercpseg.export.dicom_seg import DicomSeg
from ercpseg.export.movie import Gif, Mp4
from ercpseg.export.nifti import Nifti
from ercpseg.export.npz import Npz
from ercpseg.export.nrrd import SegNrrd
from ercpseg.export.png import Masks
from ercpseg.export.protocol import FrameFormat, SeriesFormat
from ercpseg.structures import DEFAULT_STRUCTURES, StructureSet

ALWAYS = "png"
FRAME_FORMATS: dict[str, FrameFormat] = {
    ALWAYS: Masks(),
    "seg-nrrd": SegNrrd(),
    "nifti": Nifti(),
    "npz": Npz(),
}
"""Name → format, written frame by frame. ``png`` is always written, asked for or not."""
SERIES_FORMATS: dict[str, SeriesFormat] = {
    "contact-sheet": ContactSheet(),
    "gif": Gif(),
    "mp4": Mp4(),
    "dicom-seg": DicomSeg(),
    "dicom-sc": DicomSc(),
}
"""Name → format, written when all frames are there."""
FORMATS: dict[str, FrameFormat | SeriesFormat] = {**FRAME_FORMATS, **SERIES_FORMATS}


def chosen(text: str) -> tuple[str, ...]:
    """The formats that a comma-separated list names, in the order of the table.

    >>> chosen("png")
    ('png',)

    Raises
    ------
    UsageError
        for a name that is not in the table, or a format whose optional dependency is missing.
    """
    words = {word.strip() for word in text.split(",")}
    for word in sorted(words - set(FORMATS)):
        raise UsageError(f"unknown format {word[:16]!r}", where="--format", expected=", ".join(FORMATS))
    for name, format_ in SERIES_FORMATS.items():
        if name in words and format_.needs_module is not None and find_spec(format_.needs_module) is None:
            raise UsageError(f"{name} needs the package {format_.needs_module}", where="--format", todo=format_.says)
    return tuple(name for name in FORMATS if name in words | {ALWAYS})


def folders_of(names: Iterable[str]) -> tuple[str, ...]:
    """The folders below the output that formats write to, masks apart.

    >>> folders_of(["png", "npz", "gif"])
    ('probabilities', 'gif')
    """
    some = StructureSet(DEFAULT_STRUCTURES)
    frames = [f.folders(some)[0].split("/")[0] for n, f in FRAME_FORMATS.items() if n in names and n != ALWAYS]
    return (*frames, *(f.folder for n, f in SERIES_FORMATS.items() if n in names))
