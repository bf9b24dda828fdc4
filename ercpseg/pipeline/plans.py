"""Plans by the words that people use for them: a dataset of the workspace, a plan.json, a model folder or its zip."""

from __future__ import annotations

from pathlib import Path

from ercpseg.documents.plan import Plan
from ercpseg.errors import UsageError
from ercpseg.pipeline.known import known_name
from ercpseg.storage import documents
from ercpseg.storage.models import read_plan
from ercpseg.storage.workspace import Workspace


def find_plan(what: str, workspace: Workspace, *, where: str = "DATASET") -> Plan:
    """The plan of a dataset's name (or folder), of a ``plan.json``, or of a model.

    Raises
    ------
    UsageError
        when there is none; lists the planned datasets.
    DocumentError, StorageError
        when a file is no plan, or a model is damaged.
    """
    path, name = Path(what), known_name(what, workspace)
    if name in workspace.names():
        file = workspace.dataset_folder(name) / "plan.json"
        if file.exists():
            return documents.load(file, Plan)
    if what and path.is_file() and path.suffix == ".json":
        return documents.load(path, Plan)
    if what and (path.is_file() or (path / "model.json").is_file()):
        return read_plan(path)
    if what and (path / "plan.json").is_file():
        return documents.load(path / "plan.json", Plan)
    known = [n for n in workspace.names() if (workspace.dataset_folder(n) / "plan.json").exists()]
    raise UsageError(
        f"there is no plan of {what[:200]!r}",
        where=where,
        expected=f"a plan.json, a model, or a planned dataset ({', '.join(known) or 'none yet'})",
        todo="run ercpseg plan-and-preprocess first, or give its --workspace",
    )
