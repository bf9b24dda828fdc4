"""What a workspace holds, found by the words that people use for it: a name or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.descriptor import Descriptor
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Plan
from ercpseg.errors import DataError, UsageError
from ercpseg.storage import documents
from ercpseg.storage.resources import find_resource, resource_names
from ercpseg.storage.tables import iter_table
from ercpseg.storage.workspace import Workspace, check_name

DESCRIPTOR_SUFFIXES = {".yaml", ".yml"}


REQUEST = "plan-request.json"
"""What a finished plan answered; written last, so that a plan without it was interrupted."""


@dataclass(frozen=True)
class Planned:
    """A planned dataset. ``fresh`` is False when everything was there already."""

    dataset: Dataset
    fingerprint: Fingerprint
    plan: Plan
    folder: Path
    fresh: bool


@dataclass(frozen=True)
class Located:
    """What a person means by DATASET: its name, and where to import it from (None: the workspace has it)."""

    name: str
    folder: Path | None = None
    descriptor: Descriptor | None = None


def locate(dataset: str | Path, name: str | None, workspace: Workspace, root: Path | None = None) -> Located:
    """A folder, a descriptor file, a name that the workspace knows, or a descriptor that comes with ercpseg.

    ``root`` is the folder that a descriptor's paths start from; without it, that of the descriptor file.

    Raises
    ------
    UsageError
        when there is no such dataset, or a root is missing.
    DocumentError
        when the descriptor does not follow its schema.
    """
    path, text = Path(dataset), str(dataset)
    if text and path.is_dir():
        if root is not None:
            raise UsageError("a folder needs no --root", where="--root", expected="a descriptor as DATASET")
        return Located(check_name(name or path.resolve().name), path.resolve())
    if path.suffix in DESCRIPTOR_SUFFIXES and path.is_file():
        return _described(path, name, root or path.resolve().parent)
    if text in workspace.names() and name in (None, text) and root is None:
        return Located(text)
    if text in resource_names("datasets"):
        if root is None:
            raise UsageError(
                "this descriptor comes with ercpseg, the data do not",
                where="--root",
                expected="the folder that holds your copy",
                todo=f"see how to get one: ercpseg datasets show {text}",
            )
        return _described(find_resource("datasets", text), name, root)
    known = ", ".join(workspace.names()) or "none yet"
    raise UsageError(
        f"there is no dataset {text[:200]!r}",
        where="DATASET",
        expected=f"a folder, a descriptor, a name the workspace knows ({known}) or one of ercpseg datasets",
    )


def _described(path: Path, name: str | None, root: Path) -> Located:
    if not root.is_dir():
        raise UsageError("no such folder", where=f"--root {root}")
    from ercpseg.importers.descriptors import load_descriptor

    descriptor = load_descriptor(path)
    return Located(check_name(name or descriptor.name), root.resolve(), descriptor)


def known_name(dataset: str | Path, workspace: Workspace) -> str:
    """The name of a dataset that is called by it, by its folder or by its descriptor."""
    known, path = workspace.names(), Path(dataset)
    if str(dataset) in known or not str(dataset):
        return str(dataset)
    if path.is_dir() and path.resolve().name in known:
        return path.resolve().name
    if path.suffix in DESCRIPTOR_SUFFIXES and path.is_file():
        from ercpseg.importers.descriptors import load_descriptor

        return load_descriptor(path).name
    return str(dataset)


def load_records(workspace: Workspace, name: str) -> list[FrameRecord]:
    """The rows of the import report.

    Raises
    ------
    DataError
        when it is no such report.
    """
    path = workspace.dataset_folder(name) / "frames.csv"
    try:
        return [record_of(row) for row in iter_table(path)]
    except ValueError as error:
        raise DataError("this is no report of an import", where=path, todo="give the dataset's folder again") from error


def record_of(row: Mapping[str, str]) -> FrameRecord:
    """A row of the report as it was written: what is empty is absent, but for the two columns that are always text."""
    always = ("frame", "source")
    return FrameRecord.model_validate({key: value for key, value in row.items() if value or key in always})


def used_records(workspace: Workspace, dataset: Dataset) -> list[FrameRecord]:
    """The used frames, each with the split that it belongs to."""
    from ercpseg.planner.hold_out import apply_hold_out

    used = [record for record in load_records(workspace, dataset.name) if record.status == "used"]
    return apply_hold_out(used, dataset.hold_out_from) if dataset.hold_out_from else used


def trainable(used: list[FrameRecord]) -> list[FrameRecord]:
    """The frames that planning and training may see: all but those held out for testing.

    Raises
    ------
    DataError
        when nothing is left.
    """
    records = [record for record in used if record.split != "test"]
    if not records:
        raise DataError("every usable frame is held out for testing", where="split", expected="frames to train on")
    return records


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
    if not (folder / REQUEST).exists():
        raise UsageError(
            f"the plan of {name[:64]!r} is not finished", where="DATASET", todo="run ercpseg plan-and-preprocess again"
        )
    return Planned(
        documents.load(folder / "dataset.json", Dataset),
        documents.load(folder / "fingerprint.json", Fingerprint),
        documents.load(folder / "plan.json", Plan),
        folder,
        fresh=False,
    )
