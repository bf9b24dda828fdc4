"""``import``: bring a dataset into the workspace, and nothing more."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ercpseg.documents.dataset import Dataset
from ercpseg.errors import DataError, UsageError
from ercpseg.pipeline.known import Located, load_records, locate, record_of
from ercpseg.progress import SILENT, Progress
from ercpseg.storage import documents
from ercpseg.storage.tables import iter_table
from ercpseg.storage.workspace import Workspace

if TYPE_CHECKING:
    from ercpseg.importers.dataset import ImportOptions


@dataclass(frozen=True)
class Imported:
    """A dataset that is in the workspace now, and the folder of its documents."""

    dataset: Dataset
    folder: Path


def import_folder(
    dataset: str | Path,
    *,
    name: str | None = None,
    root: Path | None = None,
    workspace: Workspace | str | Path | None = None,
    options: ImportOptions | None = None,
    progress: Progress = SILENT,
) -> Imported:
    """Import a folder or what a descriptor describes; see :func:`ercpseg.importers.dataset.import_dataset`.

    Raises
    ------
    DataError
        when nothing in the folder can be used.
    WorkspaceBusy
        when another run holds the workspace.
    """
    from ercpseg.importers.dataset import ImportOptions

    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    located = locate(dataset, name, space, root)
    if located.folder is None:
        raise UsageError(
            "this dataset is in the workspace already", where="DATASET", expected="a folder or a descriptor"
        )
    with space.locked():
        made = bring_in(space, located, options or ImportOptions(), progress)
    return Imported(made, space.dataset_folder(located.name))


def bring_in(space: Workspace, located: Located, options: ImportOptions, progress: Progress) -> Dataset:
    """Import what was located, or load what the workspace has of it; the caller holds the workspace.

    Raises
    ------
    DataError
        when an import did not finish, or nothing can be used.
    """
    from ercpseg.importers.dataset import import_dataset

    path = space.dataset_folder(located.name) / "dataset.json"
    if located.folder is not None:
        _check_same(space, located.name, located.folder)
        return import_dataset(
            located.folder, space, located.name, descriptor=located.descriptor, options=options, progress=progress
        )
    if not path.exists():
        raise DataError("the import of this dataset did not finish", where=located.name, todo="give its folder again")
    return documents.load(path, Dataset)


def _check_same(space: Workspace, name: str, source: Path) -> None:
    """Refuse a folder that shares no file with the dataset of this name: it would replace it and its model.

    Raises
    ------
    UsageError
        for another folder under a name that is taken.
    """
    if name not in space.names() or not (space.dataset_folder(name) / "dataset.json").exists():
        return
    from ercpseg.importers.frames import scan_frames

    used = [record.source for record in load_records(space, name) if record.status == "used"]
    if not used or any(_there(source, known) for known in used):
        return
    if any(found.kind is not None for found in scan_frames(source)):
        raise UsageError(
            f"the name {name} is taken by a dataset of which no file is in this folder",
            where=source,
            todo="give another name with --name",
        )


def _there(folder: Path, source: str) -> bool:
    """Whether a file is still there; of a packed file, its zip."""
    path = folder / source
    return path.exists() or any(parent.is_file() for parent in path.parents if parent.is_relative_to(folder))


def frequent_reasons(folder: Path, most: int) -> list[tuple[int, str, str]]:
    """Count, code and reason of the most frequent refusals of an import."""
    rows = Counter(
        (row["code"], row["reason"]) for row in iter_table(folder / "frames.csv") if row["status"] == "refused"
    )
    return [(count, code, reason) for (code, reason), count in rows.most_common(most)]


def identity_summary(folder: Path) -> tuple[list[tuple[int, str, str]], list[str]]:
    """Frames, kind and what it is of every kind of finding of an import with ``check_identity``, and what to do.

    Raises
    ------
    StorageError
        when ``identity.csv`` is not there: the import did not look.
    """
    from ercpseg.importers.identity import IdentityReport

    records = (record_of(row) for row in iter_table(folder / "frames.csv"))
    report = IdentityReport.of(records, iter_table(folder / "identity.csv"))
    return [(count, kind, what) for count, kind, what in report.table()], report.advice()
