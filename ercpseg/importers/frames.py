"""The streaming reader: every frame of a file or folder in order, whatever the format, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ercpseg.decoding.decoders import CHILDREN, Decoders, Listed, borrow
from ercpseg.decoding.reading import Picture
from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import InputRefused
from ercpseg.frames.about import About
from ercpseg.frames.frame import Frame
from ercpseg.importers.naming import Namer, patient_of
from ercpseg.importers.scan import IGNORE_RULES, Found, scan

WINDOW = 6
"""Frames that are decoded ahead: bounds memory. Results are taken in order, so that threads change nothing."""
_ALWAYS_ONE = Listed(1, numbered=False, about=About())


@dataclass(frozen=True)
class Pending:
    """A frame that was found and named, but not decoded. ``index`` is its number in a file of several, else None."""

    name: str
    found: Found
    index: int | None
    about: About

    def decode(self, decoders: Decoders, *, modality_lut: bool = False) -> Picture:
        """Decode it.

        Raises
        ------
        InputRefused
            for whatever is wrong with it.
        """
        assert self.found.kind is not None  # noqa: S101 - what has no kind is never pending
        return decoders.frame(self.found.file, self.found.kind, self.index or 0, modality_lut=modality_lut)

    def frame(self, picture: Picture) -> Frame:
        """The canonical frame with this picture."""
        return Frame(
            name=self.name,
            pixels=picture.pixels,
            bits=picture.bits,
            source=self.found.source,
            index=self.index,
            patient=self.about.patient or patient_of(self.found.stem),
            series=self.about.series or (self.found.source if self.index is not None else None),
            about=self.about,
            notes=picture.notes,
            path=self.found.path,
            member=self.found.member,
        )

    def refused(self, error: InputRefused) -> FrameRecord:
        """The report's row when it cannot be used."""
        return replace_index(refused_record(self.found, error, self.name), self.index)


class FrameFolder:
    """The frames of a file, or of a folder searched in depth, in natural order. ``len()`` is the number of files to read.

    Iterating yields a :class:`Frame` for each usable frame, and for everything else a :class:`FrameRecord` whose status
    is ``refused`` or ``ignored`` with code and reason. One bad file never stops the rest. A dataset folder (``images/``
    beside ``masks/``) is read from ``images/`` only. The folder is scanned once, when this is made.

    Raises
    ------
    UsageError
        when there is no such file or folder.
    """

    def __init__(self, root: Path):
        self.root = root
        self._base = root if root.is_dir() else root.parent
        found = list[tuple[str, str, str | None]]()
        self._rest = dict[int, Found]()
        self._files = 0
        for number, one in enumerate(scan_frames(root)):
            # Three words per file: of a hundred thousand files only what is odd is kept in full.
            found.append((str(one.path.relative_to(self._base)), one.source, one.kind))
            if one.kind is None or one.member is not None:
                self._rest[number] = one
            self._files += one.kind is not None
        self._found = found

    def __len__(self) -> int:
        return self._files

    def files(self) -> Iterator[Found]:
        """Every file that was found."""
        for number, (path, source, kind) in enumerate(self._found):
            yield self._rest.get(number) or Found(self._base / path, source, kind=kind)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Frame | FrameRecord]:
        namer = Namer()
        waiting: deque[tuple[Pending | FrameRecord, Future[Picture] | None]] = deque()
        with borrow() as decoders, ThreadPoolExecutor(CHILDREN, thread_name_prefix="ercpseg-decode") as pool:
            try:
                for found in self.files():
                    for pending in list_frames(found, namer, decoders):
                        future = pool.submit(pending.decode, decoders) if isinstance(pending, Pending) else None
                        waiting.append((pending, future))
                        if len(waiting) >= WINDOW:
                            yield _take(*waiting.popleft())
                while waiting:
                    yield _take(*waiting.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _take(pending: Pending | FrameRecord, future: Future[Picture] | None) -> Frame | FrameRecord:
    if isinstance(pending, FrameRecord) or future is None:
        return pending  # type: ignore[return-value]  # only what is pending has a future
    try:
        return pending.frame(future.result())
    except InputRefused as error:
        return pending.refused(error)


def iter_frames(root: Path) -> Iterator[Frame | FrameRecord]:
    """Iterate over a :class:`FrameFolder`."""
    return iter(FrameFolder(root))


def scan_frames(root: Path) -> Iterator[Found]:
    """:func:`scan`, but in a dataset folder everything beside ``images/`` is ignored."""
    dataset = (root / "images").is_dir() and (root / "masks").is_dir()
    for found in scan(root):
        inside = not dataset or found.source.startswith("images/") or found.kind is None
        yield found if inside else replace(found, kind=None, ignored="outside-layout")


def list_frames(
    found: Found, namer: Namer, decoders: Decoders, stem_of: Callable[[About], str] | None = None
) -> Iterator[Pending | FrameRecord]:
    """The frames that one file declares, or the row that says why there is none.

    They are called by the file's stem, or by what ``stem_of`` makes of what the file says.
    """
    if found.ignored is not None:
        yield ignored_record(found)
        return
    try:
        listed = listed_frames(found, decoders)
    except InputRefused as error:
        stem = found.stem if stem_of is None else stem_of(About())
        yield refused_record(found, error, namer.claim(stem, found.source))
        return
    stem = found.stem if stem_of is None else stem_of(listed.about)
    for number in range(listed.count):
        index = number if listed.numbered else None
        yield Pending(namer.claim(stem, found.source, index), found, index, listed.about)


def listed_frames(found: Found, decoders: Decoders) -> Listed:
    """What a file declares; files that hold one frame by their format are not opened for it.

    Raises
    ------
    InputRefused
        when the file as a whole cannot be used.
    """
    if found.refused is not None or found.kind is None:
        raise InputRefused(found.refused or "unknown-format", found.detail)
    return _ALWAYS_ONE if found.kind in ("png", "jpeg", "bmp") else decoders.listing(found.file, found.kind)


def ignored_record(found: Found) -> FrameRecord:
    """The report's row of an ignored file; it has no frame name."""
    code = found.ignored or "not-a-file"
    return FrameRecord(frame="", source=found.source, status="ignored", code=code, reason=IGNORE_RULES[code])


def refused_record(found: Found, error: InputRefused, name: str) -> FrameRecord:
    """The report's row of a file that was refused as a whole."""
    return FrameRecord(frame=name, source=found.source, status="refused", code=error.code, reason=error.reason)


def replace_index(record: FrameRecord, index: int | None) -> FrameRecord:
    """The row of one frame of a file."""
    return record if index is None else record.model_copy(update={"index": index})
