"""The workspace: names, numbers, the lock, and nnU-Net's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ercpseg.errors import DocumentError, StorageError, UsageError, WorkspaceBusy
from ercpseg.storage.workspace import ENVIRONMENT_VARIABLE, Workspace, check_name


def test_making_one_touches_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    assert workspace.names() == []
    assert not (tmp_path / "w").exists()


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    assert Workspace.default().root == tmp_path.resolve() / "ercpseg-workspace"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "env"))
    assert Workspace.default().root == tmp_path.resolve() / "env"
    assert Workspace.default("given").root == tmp_path.resolve() / "given"


def test_register_numbers_names_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert [workspace.register(name) for name in ("b", "a", "b")] == [1, 2, 1]
    assert Workspace(tmp_path).names() == ["a", "b"]
    assert workspace.raw_folder("a") == tmp_path.resolve() / "nnunet/raw/Dataset002_a"
    assert workspace.preprocessed_folder("b").name == workspace.results_folder("b").name == "Dataset001_b"


BAD = ["../x", "..", ".", "", "a/b", "a\\b", "/a", "-a", "_a", ".a", "a b", "a\n", "é", "a\0b", "a" * 61, "C:", "a.b"]


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_refused(name: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    for use in (check_name, workspace.register, workspace.dataset_folder, workspace.model_folder):
        with pytest.raises(UsageError):
            use(name)
    assert not (tmp_path / "w").exists()


def test_names_that_are_taken() -> None:
    for name in ("a", "A-1_b", "0", "a" * 60):
        assert check_name(name) == name


def test_a_damaged_index_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "workspace.json").write_text("{")
    with pytest.raises(DocumentError):
        Workspace(tmp_path).register("a")
    assert (tmp_path / "workspace.json").read_text() == "{"


@pytest.mark.parametrize("fails", [False, True])
def test_the_environment_is_restored(fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", "before")
    monkeypatch.delenv("nnUNet_results", raising=False)
    before = dict(os.environ)
    try:
        with Workspace(tmp_path).nnunet_environment(processes=0):
            inside = dict(os.environ)
            assert inside["nnUNet_raw"] == str(tmp_path.resolve() / "nnunet/raw")
            assert inside["nnUNet_results"] == str(tmp_path.resolve() / "nnunet/results")
            assert inside["nnUNet_n_proc_DA"] == "1"
            if fails:
                raise KeyError("inside")
    except KeyError:
        assert fails
    assert dict(os.environ) == before


OTHER = """
import sys
from ercpseg.errors import WorkspaceBusy
from ercpseg.storage.workspace import Workspace
try:
    with Workspace(sys.argv[1]).locked():
        print("got it", flush=True)
        sys.stdin.read()
except WorkspaceBusy as error:
    print(error.message)
    sys.exit(error.exit_code)
"""


def test_a_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w").locked():
        other = subprocess.run(
            [sys.executable, "-c", OTHER, str(tmp_path / "w")], capture_output=True, text=True, input="", check=False
        )
        assert other.returncode == 73, other.stderr
        assert f"process {os.getpid()}" in other.stdout
    with Workspace(tmp_path / "w").locked():
        pass
    assert not (tmp_path / "w/.lock-owner.json").exists()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"got it\n"
        with pytest.raises(WorkspaceBusy, match=f"process {other.pid}"), Workspace(tmp_path).locked():
            pytest.fail("two held it")
        # the loser must not have removed the holder's name
        assert (tmp_path / ".lock-owner.json").exists()
        other.kill()
    with Workspace(tmp_path).locked():
        pass


def test_the_lock_is_given_back_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Workspace(tmp_path).locked():
        raise KeyError
    with Workspace(tmp_path).locked():
        pass


@pytest.mark.parametrize("content", ["", "[]", '{"pid": "x"}', '{"pid": null, "host": 1}'])
def test_a_damaged_owner_file_is_no_obstacle(content: str, tmp_path: Path) -> None:
    with Workspace(tmp_path).locked():
        (tmp_path / ".lock-owner.json").write_text(content)
        with pytest.raises(WorkspaceBusy), Workspace(tmp_path).locked():
            pytest.fail("two held it")


def test_a_workspace_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught, Workspace(tmp_path / "file").locked():
        pytest.fail("locked a file")
    assert caught.value.exit_code == 74
    assert str(tmp_path / "file") in caught.value.message
