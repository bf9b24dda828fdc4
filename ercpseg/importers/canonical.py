"""The canonical files of a dataset in the workspace, written so that a kill at any moment leaves no lie behind."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.importers.layout import Layout
from ercpseg.storage.atomic import remove_leftovers, write_bytes
from ercpseg.storage.tables import encode_table
from ercpseg.storage.workspace import Workspace

COLUMNS = tuple(FrameRecord.model_fields)
"""Columns of ``frames.csv``."""


class CanonicalFolder:
    """``imagesTr/<frame>_0000.png`` and ``labelsTr/<frame>.png``, and the documents that list them.

    A file whose bytes would not change is left alone; its content is compared, not trusted.
    """

    def __init__(self, workspace: Workspace, name: str):
        self._workspace = workspace
        self._name = name
        self._number: int | None = None
        self._clean = True

    def write(self, frame: str, image_png: bytes, label_png: bytes) -> None:
        """Write one case; the first one registers the dataset."""
        if self._number is None:
            self._number = self._workspace.register(self._name)
        raw = self._workspace.raw_folder(self._name)
        self._replace(raw / "imagesTr" / f"{frame}_0000.png", image_png)
        self._replace(raw / "labelsTr" / f"{frame}.png", label_png)

    def finish(self, layout: Layout, records: list[FrameRecord], digests: dict[str, str]) -> Dataset:
        """Remove what is no longer part of the dataset, then write ``frames.csv`` and ``dataset.json``."""
        raw = self._workspace.raw_folder(self._name)
        self._keep_only(raw / "imagesTr", {f"{frame}_0000.png" for frame in digests})
        self._keep_only(raw / "labelsTr", {f"{frame}.png" for frame in digests})
        assert self._number is not None  # noqa: S101 - digests are not empty, so write() was called
        status = [record.status for record in records]
        dataset = Dataset.new(
            name=self._name,
            nnunet_id=self._number,
            structures=layout.structures.names,
            layout=layout.kind,
            found=len(records),
            used=status.count("used"),
            refused=status.count("refused"),
            ignored=status.count("ignored"),
            frames_sha256=hashlib.sha256("\n".join(sorted(digests.values())).encode()).hexdigest(),
        )
        folder = self._workspace.dataset_folder(self._name)
        table = encode_table(COLUMNS, (record.model_dump() for record in records))
        self._replace(folder / "frames.csv", table.encode())
        self._replace(folder / "dataset.json", dataset.to_json().encode())
        return dataset

    def _replace(self, path: Path, data: bytes) -> None:
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return
        self._about_to_change()
        write_bytes(path, data)

    def _keep_only(self, folder: Path, names: set[str]) -> None:
        remove_leftovers(folder)
        for path in folder.iterdir():
            if path.name not in names and path.suffix == ".png":
                self._about_to_change()
                path.unlink()

    def _about_to_change(self) -> None:
        if self._clean:
            (self._workspace.dataset_folder(self._name) / "dataset.json").unlink(missing_ok=True)
            self._clean = False
