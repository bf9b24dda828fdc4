"""Datasets by name or folder, and the report of an import as it is read back."""

from __future__ import annotations

import shutil

import pytest

from ercpseg.errors import DataError, UsageError
from ercpseg.pipeline.known import Located, known_name, load_planned, load_records, locate
from ercpseg.pipeline.prepare import PlanOptions, plan
from tests.conftest import TINY


def test_a_folder_comes_first_and_gives_its_name(workspace, tiny_folder, tmp_path, monkeypatch) -> None:
    assert locate(tiny_folder, None, workspace) == Located("tiny", tiny_folder.resolve())
    assert locate(str(tiny_folder), "other", workspace) == Located("other", tiny_folder.resolve())
    assert locate("tiny", None, workspace) == Located("tiny")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert locate("tiny", None, workspace) == Located("tiny", tmp_path.resolve() / "tiny")
    assert known_name("tiny", workspace) == "tiny"
    assert known_name(tiny_folder, workspace) == "tiny"
    assert known_name("other", workspace) == "other"


@pytest.mark.parametrize("dataset", ["nope", "", "/nonexistent/folder", "a\0b"])
def test_neither_a_folder_nor_a_name(workspace, dataset: str) -> None:
    with pytest.raises(UsageError, match=r"a folder, a descriptor, a name the workspace knows \(tiny\)"):
        locate(dataset, None, workspace)
    with pytest.raises(UsageError, match="there is no planned dataset"):
        load_planned(workspace, dataset)


def test_a_dataset_with_other_files_in_it(workspace, tiny_folder, tmp_path) -> None:
    """A file that is ignored has a row, and that row has no frame."""
    folder = shutil.copytree(tiny_folder, tmp_path / "with-notes")
    (folder / "README.md").write_text("notes")
    planned = plan(folder, workspace=workspace, options=PlanOptions(device="cpu", time_budget_s=2, overrides=TINY))
    assert (planned.dataset.used, planned.dataset.ignored) == (18, 1)
    (ignored,) = [record for record in load_records(workspace, "with-notes") if record.status == "ignored"]
    assert (ignored.frame, ignored.source, ignored.code) == ("", "README.md", "sidecar")


def test_a_damaged_report_is_no_fault_of_ours(workspace) -> None:
    table = workspace.dataset_folder("tiny") / "frames.csv"
    table.write_text(table.read_text().replace(",used,", ",loved,"))
    with pytest.raises(DataError, match="no report of an import"):
        load_records(workspace, "tiny")
