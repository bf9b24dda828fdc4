"""What a workspace holds, found by the words that people use for it: a name or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Plan
from ercpseg.errors import DataError, UsageError
from ercpseg.storage import documents
from ercpseg.storage.tables import read_table
from ercpseg.storage.workspace import Workspace, check_name


@dataclass(frozen=True)
class Planned:
    """A planned dataset. ``fresh`` is False when everything was there already."""

    dataset: Dataset
    fingerprint: Fingerprint
    plan: Plan
    folder: Path
    fresh: bool


def locate(dataset: str | Path, name: str | None, workspace: Workspace) -> tuple[Path | None, str]:
    """(folder or None, name) of what a person calls a dataset."""
    path = Path(dataset)
    if str(dataset) and path.is_dir():
        return path.resolve(), check_name(name or path.resolve().name)
    if str(dataset) in workspace.names() and name in (None, str(dataset)):
        return None, str(dataset)
    known = ", ".join(workspace.names()) or "none yet"
    raise UsageError(
        f"there is no dataset {str(dataset)[:200]!r}",
        where="DATASET",
        expected=f"a folder, or a name the workspace knows ({known})",
    )


def known_name(dataset: str | Path, workspace: Workspace) -> str:
    """The name of a dataset that is called by it or by its folder."""
    known, path = workspace.names(), Path(dataset)
    if str(dataset) not in known and str(dataset) and path.is_dir() and path.resolve().name in known:
        return path.resolve().name
    return str(dataset)


def load_records(workspace: Workspace, name: str) -> list[FrameRecord]:
    """The rows of the import report."""
    path = workspace.dataset_folder(name) / "frames.csv"
    always = ("frame", "source")  # text, if empty: what is not a frame has no name
    try:
        return [
            FrameRecord.model_validate({key: value if key in always else value or None for key, value in row.items()})
            for row in read_table(path)
        ]
    except ValueError as error:
        raise DataError("this is no report of an import", where=path, todo="give the dataset's folder again") from error


def load_planned(workspace: Workspace, name: str) -> Planned:
    """The documents of a planned dataset.

    Raises
    ------
    UsageError
        when it is not there or not planned.
    """
    names = workspace.names()
    if name not in names or not (workspace.dataset_folder(name) / "plan.json").exists():
        known = ", ".join(names) or "none yet"
        raise UsageError(
            f"there is no planned dataset {name[:64]!r}",
            where="DATASET",
            expected=f"one of: {known}",
            todo="run ercpseg plan-and-preprocess first, or give its --workspace",
        )
    folder = workspace.dataset_folder(name)
    return Planned(
        documents.load(folder / "dataset.json", Dataset),
        documents.load(folder / "fingerprint.json", Fingerprint),
        documents.load(folder / "plan.json", Plan),
        folder,
        fresh=False,
    )
