"""The canonical files of a dataset in the workspace, written so that a kill at any moment leaves no lie behind."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.importers.ledger import Ledger
from ercpseg.storage.atomic import flush, remove_leftovers, same_content, write_bytes, write_chunks
from ercpseg.storage.tables import table_chunks
from ercpseg.storage.workspace import Workspace
from ercpseg.structures import StructureSet

if TYPE_CHECKING:
    from ercpseg.importers.cases import Case
    from ercpseg.importers.layout import Layout

COLUMNS = tuple(FrameRecord.model_fields)
"""Columns of ``frames.csv``."""
FRAMES, LABELS, LINES = "imagesTr", "labelsTr", "linesTr"


class CanonicalFolder:
    """``imagesTr/<frame>_0000.png``, ``labelsTr/<frame>.png``, ``linesTr/<frame>.json``, and the documents that list them.

    A file whose bytes would not change is left alone; its content is compared, not trusted. ``write`` may be called by
    several threads: waiting for the disk takes longer than everything else.
    """

    def __init__(self, workspace: Workspace, name: str):
        self._workspace = workspace
        self._name = name
        self._number: int | None = None
        self._clean = True
        self._lock = threading.Lock()

    def write(self, case: Case) -> None:
        """Write one case; the first one registers the dataset."""
        with self._lock:
            if self._number is None:
                self._number = self._workspace.register(self._name)
        raw, frame = self._workspace.raw_folder(self._name), case.record.frame
        self._replace(raw / FRAMES / f"{frame}_0000.png", case.image_png)
        self._replace(raw / LABELS / f"{frame}.png", case.label_png)
        lines = raw / LINES / f"{frame}.json"
        if case.lines_json is not None:
            self._replace(lines, case.lines_json)
        elif lines.exists():
            self._remove(lines)

    def finish(
        self,
        layout: Layout,
        structures: StructureSet,
        ledger: Ledger,
        notes: tuple[str, ...],
        *,
        identity: bool = False,
    ) -> Dataset:
        """Remove what is no longer part of the dataset, then write ``frames.csv`` and ``dataset.json``."""
        raw = self._workspace.raw_folder(self._name)
        self._keep_only(raw / FRAMES, "_0000.png", ledger.is_used)
        self._keep_only(raw / LABELS, ".png", ledger.is_used)
        self._keep_only(raw / LINES, ".json", ledger.is_used)
        flush(*(raw / name for name in (FRAMES, LABELS, LINES) if (raw / name).is_dir()))
        assert self._number is not None  # noqa: S101 - some frame is used, so write() was called
        counts, digest = ledger.counts(), hashlib.sha256((layout.hold_out_from or "").encode())
        for number, one in enumerate(ledger.digests()):
            digest.update(("\n" if number else "").encode() + one.encode())
        dataset = Dataset.new(
            name=self._name,
            nnunet_id=self._number,
            structures=structures.names,
            layout=layout.kind,
            hold_out_from=layout.hold_out_from,
            found=sum(counts.values()),
            annotation_files=ledger.count("annotation"),
            notes=notes,
            frames_sha256=digest.hexdigest(),
            **counts,
        )
        folder = self._workspace.dataset_folder(self._name)
        self._replace_table(folder / "frames.csv", COLUMNS, lambda: (r.model_dump() for r in ledger.records()))
        if identity:
            from ercpseg.importers.identity import COLUMNS as FINDINGS

            self._replace_table(
                folder / "identity.csv", FINDINGS, lambda: ({"frame": frame, **row} for frame, row in ledger.findings())
            )
        else:  # findings of an earlier import may be about other pixels
            (folder / "identity.csv").unlink(missing_ok=True)
        self._replace(folder / "dataset.json", dataset.to_json().encode())
        flush(folder)
        return dataset

    def _replace_table(
        self, path: Path, columns: Sequence[str], rows: Callable[[], Iterable[Mapping[str, Any]]]
    ) -> None:
        if not same_content(path, table_chunks(columns, rows())):
            self._about_to_change()
            write_chunks(path, table_chunks(columns, rows()), private=True)

    def _replace(self, path: Path, data: bytes) -> None:
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return
        self._about_to_change()
        write_bytes(path, data, durable=False)
        flush(path)  # the folder's list of names is flushed once, at the end

    def _keep_only(self, folder: Path, ending: str, wanted: Callable[[str], bool]) -> None:
        remove_leftovers(folder)
        if not folder.is_dir():
            return
        with os.scandir(folder) as entries:
            names = (entry.name for entry in entries if entry.name.endswith(ending))
            gone = [name for name in names if not wanted(name.removesuffix(ending))]
        for name in gone:
            self._remove(folder / name)

    def _remove(self, path: Path) -> None:
        self._about_to_change()
        path.unlink()

    def _about_to_change(self) -> None:
        with self._lock:
            if self._clean:
                (self._workspace.dataset_folder(self._name) / "dataset.json").unlink(missing_ok=True)
                self._clean = False
