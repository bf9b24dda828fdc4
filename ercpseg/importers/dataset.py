"""Import: a folder of frames and annotations becomes canonical frames and bitmasks in the workspace."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from ercpseg.decoding.decoders import Decoders, borrow
from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.descriptor import Descriptor
from ercpseg.errors import DataError, InputRefused, UsageError
from ercpseg.importers.annotation import instance_key
from ercpseg.importers.canonical import CanonicalFolder
from ercpseg.importers.cases import Case, CaseMaker
from ercpseg.importers.frames import Pending, list_frames
from ercpseg.importers.layout import Layout, declared_of, enter, settle, understand
from ercpseg.importers.ledger import Annotated, Ledger, open_ledger
from ercpseg.importers.naming import Namer, frame_stem, name_key, private_stem
from ercpseg.importers.scan import Found
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.workspace import Workspace, check_name

LINE_WIDTH_PX = 3.0
"""Width at which lines are drawn unless another is stated."""
THREADS = 4
"""They wait for decoding children and for the disk; what they compute themselves (encoding, hashing) releases the GIL."""
WINDOW = 8
"""Frames in flight: bounds memory, and results are taken in order, so that threads change nothing."""


@dataclass(frozen=True)
class ImportOptions:
    """What a person may say about an import."""

    structures: tuple[str, ...] | None = None
    """Take these only; other labels are refused."""
    line_width_px: float = LINE_WIDTH_PX
    keep_names: bool = False
    """Frames of DICOM files are called by their file's stem instead of an id that tells nothing."""
    hold_out_from: str | None = None
    """``YYYY-MM-DD``: patients seen on this day or later are for testing only; a descriptor's day where None."""
    check_identity: bool = False
    """Look for burned-in text, too; its findings go into ``identity.csv``."""


def import_dataset(
    source: Path,
    workspace: Workspace,
    name: str,
    *,
    descriptor: Descriptor | None = None,
    options: ImportOptions = ImportOptions(),
    progress: Progress = SILENT,
) -> Dataset:
    """Bring a folder into the workspace as dataset ``name``; the caller holds the workspace's lock.

    Importing again is safe: unchanged frames keep their files, changed ones are replaced, files of frames that are gone
    are removed. ``dataset.json`` is written last and taken away before the first change, so where it is, all is whole.

    Raises
    ------
    UsageError
        when there is no such folder or the name cannot be used.
    DataError
        when the folder is not understood, or nothing in it is usable (with the most frequent reasons).
    StorageError
        when writing fails.
    """
    check_name(name)
    layout = understand(source, descriptor, options.line_width_px)
    if options.hold_out_from is not None:
        layout = replace(layout, hold_out_from=check_day(options.hold_out_from))
    folder = CanonicalFolder(workspace, name)
    with borrow() as decoders, open_ledger(workspace.scratch_folder()) as ledger:
        with progress.task("looking through the folder") as task:
            enter(source, layout, ledger, decoders, task)
        structures = settle(ledger, declared_of(descriptor, options.structures), source)
        maker = CaseMaker(layout, structures, decoders, options.check_identity)
        with progress.task("importing", ledger.count("frame")) as task:
            written = partial(_write, maker, folder)
            for step, keys, outcome in _outcomes(ledger, written, decoders, keep_names=options.keep_names):
                task.advance(step)
                if isinstance(outcome, Case):
                    ledger.add_record(outcome.record, keys, digest=outcome.digest, place=outcome.place)
                    for finding in outcome.findings:
                        ledger.add_finding(outcome.record.frame, finding)
                elif outcome is not None:
                    ledger.add_record(outcome, keys)
        ledger.refuse_duplicates()
        ledger.refuse_lonely()
        if not ledger.counts()["used"]:
            raise DataError(_nothing_usable(ledger), where=source)
        return folder.finish(layout, structures, ledger, _notes(layout, ledger), identity=options.check_identity)


def check_day(text: str) -> str:
    """The day itself.

    Raises
    ------
    UsageError
        when it is no day of the calendar.
    """
    try:
        return date.fromisoformat(text if len(text) == len("2024-01-31") else "").isoformat()
    except ValueError:
        raise UsageError(f"{text[:16]!r} is no day", where="--hold-out", expected="YYYY-MM-DD") from None


def _write(
    maker: CaseMaker, folder: CanonicalFolder, pending: Pending, stem: str, items: Sequence[Annotated]
) -> Case | FrameRecord:
    """Make a case and write it; runs on a thread of the pool."""
    case = maker.make(pending, stem, items)
    if isinstance(case, Case):
        folder.write(case)
    return case


class Seen(NamedTuple):
    """What would become of one frame, or of a file as a whole, and the structures that show in it."""

    record: FrameRecord
    structures: frozenset[str] = frozenset()


def survey(descriptor: Descriptor, root: Path, progress: Progress = SILENT) -> Iterator[Seen]:
    """A dry run: what would become of every frame and file below ``root``, with the structures that show in it.

    A descriptor without annotations is looked at for its frames alone.

    Raises
    ------
    DataError
        when a table of the descriptor cannot be used, or no structure is annotated where some should be.
    """
    layout = understand(root, descriptor, LINE_WIDTH_PX, annotated=False)
    with (
        tempfile.TemporaryDirectory(prefix="ercpseg-") as folder,
        borrow() as decoders,
        open_ledger(Path(folder) / "scratch") as ledger,
    ):
        with progress.task("looking through the folder") as task:
            enter(root, layout, ledger, decoders, task)
        structures = settle(ledger, declared_of(descriptor, None), root) if layout.formats else None
        maker = CaseMaker(layout, structures, decoders)
        with progress.task("looking at frames", ledger.count("frame")) as task:
            for step, keys, outcome in _outcomes(ledger, maker.look, decoders, keep_names=True):
                task.advance(step)
                if isinstance(outcome, FrameRecord):
                    ledger.add_record(outcome, keys)
                elif outcome is not None:
                    shown = structures.present(outcome.bitmask) if structures is not None else ()
                    ledger.add_record(outcome.record, keys, digest="\n".join(shown))
        ledger.refuse_duplicates()
        ledger.refuse_lonely()
        for record, shown_text in ledger.rows():
            if record.status != "ignored":
                yield Seen(record, frozenset(shown_text.split("\n")) - {""})


T = TypeVar("T")
Waiting = deque[tuple[tuple[str, ...], "Future[T | FrameRecord] | FrameRecord"]]


def _outcomes(
    ledger: Ledger,
    make: Callable[[Pending, str, Sequence[Annotated]], T | FrameRecord],
    decoders: Decoders,
    *,
    keep_names: bool,
) -> Iterator[tuple[int, tuple[str, ...], T | FrameRecord | None]]:
    """For every file in order and every frame in it: files finished, keys, what ``make`` made of it."""
    namer = Namer()
    waiting: Waiting[T] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="ercpseg-import") as pool:
        try:
            for stem, found, twins in ledger.frames():
                for listed in _listed(stem, found, namer, decoders, twins=twins, keep_names=keep_names):
                    if isinstance(listed, FrameRecord):
                        waiting.append(((name_key(frame_stem(stem, listed.index)),), listed))
                    else:
                        keys = _keys(stem, listed)
                        waiting.append((keys, pool.submit(make, listed, stem, ledger.items(keys))))
                    while len(waiting) > WINDOW:
                        yield 0, *_take(waiting)
                yield 1, (), None
            while waiting:
                yield 0, *_take(waiting)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _take(waiting: Waiting[T]) -> tuple[tuple[str, ...], T | FrameRecord]:
    keys, item = waiting.popleft()
    return keys, item.result() if isinstance(item, Future) else item


def _keys(stem: str, pending: Pending) -> tuple[str, ...]:
    """Everything that an annotation may call the frame."""
    name = name_key(frame_stem(stem, pending.index))
    instance = pending.about.instance
    return (name,) if instance is None else (name, instance_key(instance, pending.index))


def _listed(
    stem: str, found: Found, namer: Namer, decoders: Decoders, *, twins: bool, keep_names: bool
) -> Iterable[Pending | FrameRecord]:
    """The frames of a file; a file that shares its stem with another is not opened at all."""
    if twins:
        error = InputRefused("duplicate")
        return [
            FrameRecord(
                frame=namer.claim(stem, found.source),
                source=found.source,
                status="refused",
                code=error.code,
                reason=error.reason,
            )
        ]
    if found.kind == "dicom" and not keep_names:
        return list_frames(found, namer, decoders, lambda about: private_stem(about.instance or found.source))
    return list_frames(found, namer, decoders, lambda _: stem)


def _notes(layout: Layout, ledger: Ledger) -> tuple[str, ...]:
    notes = layout.notes()
    repeated = ledger.repeated_places()
    if repeated:
        notes += (f"In {repeated} series two frames have the same number, so their order is that of their names.",)
    unmasked = ledger.unmasked()
    if unmasked:
        notes += (f"{unmasked} frames have no mask file of some structures, which count as absent there.",)
    return notes


def _nothing_usable(ledger: Ledger) -> str:
    reasons: Sequence[str] = [f"{count} × {reason}" for count, reason in ledger.reasons(5)]
    return "nothing usable: " + ("; ".join(reasons) or "no frames were found")
