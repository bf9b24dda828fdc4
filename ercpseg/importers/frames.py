"""The streaming reader: every frame of a file or folder in order, one at a time, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import InputRefused
from ercpseg.frames.frame import Frame
from ercpseg.importers.naming import Namer, patient_of
from ercpseg.importers.reading import Entry, Picture, guarded, load
from ercpseg.importers.scan import IGNORE_RULES, Found, scan


@dataclass(frozen=True)
class Pending:
    """A frame that was found and named, but not decoded."""

    name: str
    found: Found
    entry: Entry

    def frame(self, picture: Picture) -> Frame:
        """The canonical frame with this picture."""
        entry = self.entry
        return Frame(
            name=self.name,
            pixels=picture.pixels,
            bits=picture.bits,
            source=self.found.source,
            index=entry.index,
            patient=entry.patient or patient_of(self.found.stem),
            series=entry.series or (self.found.source if entry.index is not None else None),
            spacing_mm=entry.spacing_mm,
            notes=picture.notes,
        )

    def refused(self, error: InputRefused) -> FrameRecord:
        """The report's row when it cannot be used."""
        return FrameRecord(
            frame=self.name,
            source=self.found.source,
            index=self.entry.index,
            status="refused",
            code=error.code,
            reason=error.reason,
        )


def iter_frames(root: Path) -> Iterator[Frame | FrameRecord]:
    """Every frame of a file, or of a folder searched in depth, in natural order and constant memory.

    Yields a :class:`Frame` for each usable frame, and for everything else a :class:`FrameRecord` whose status is
    ``refused`` or ``ignored`` with code and reason. One bad file never stops the rest. A dataset folder (``images/``
    beside ``masks/``) is read from ``images/`` only.

    Raises
    ------
    UsageError
        when there is no such file or folder.
    """
    namer = Namer()
    for found in scan_frames(root):
        for pending in list_frames(found, namer):
            if isinstance(pending, FrameRecord):
                yield pending
                continue
            try:
                picture = load(pending.entry)
            except InputRefused as error:
                yield pending.refused(error)
                continue
            yield pending.frame(picture)


def count_hint(root: Path) -> int:
    """Number of files that :func:`iter_frames` will look into; multi-frame files count once."""
    return sum(found.kind is not None for found in scan_frames(root))


def scan_frames(root: Path) -> Iterator[Found]:
    """:func:`scan`, but in a dataset folder everything beside ``images/`` is ignored."""
    dataset = (root / "images").is_dir() and (root / "masks").is_dir()
    for found in scan(root):
        inside = not dataset or found.source.startswith("images/") or found.kind is None
        yield found if inside else Found(found.path, found.source, ignored="outside-layout")


def list_frames(found: Found, namer: Namer, stem: str | None = None) -> Iterator[Pending | FrameRecord]:
    """The frames that one file declares, named by ``stem`` (the file's own); or the row that says why there is none."""
    stem = stem or found.stem
    if found.ignored is not None:
        yield ignored_record(found)
        return
    try:
        if found.refused is not None or found.kind is None:
            raise InputRefused(found.refused or "unknown-format", found.detail)
        listed = guarded(lambda: _entries(found))
    except InputRefused as error:
        yield refused_record(found, error, namer.claim(stem, found.source))
        return
    for entry in listed:
        yield Pending(namer.claim(stem, found.source, entry.index), found, entry)


def ignored_record(found: Found) -> FrameRecord:
    """The report's row of an ignored file; it has no frame name."""
    code = found.ignored or "not-a-file"
    return FrameRecord(frame="", source=found.source, status="ignored", code=code, reason=IGNORE_RULES[code])


def refused_record(found: Found, error: InputRefused, name: str) -> FrameRecord:
    """The report's row of a file that was refused as a whole."""
    return FrameRecord(frame=name, source=found.source, status="refused", code=error.code, reason=error.reason)


def _entries(found: Found) -> Iterator[Entry]:
    if found.kind == "dicom":
        from ercpseg.importers import dicom

        return dicom.entries(found.path)
    from ercpseg.importers import images

    assert found.kind is not None  # noqa: S101 - for the type checker
    return images.entries(found.path, found.kind)
