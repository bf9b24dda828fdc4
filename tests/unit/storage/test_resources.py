"""Recipes and descriptors that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from ercpseg.errors import UsageError
from ercpseg.storage import resources
from ercpseg.storage.resources import find_resource, resource_folder, resource_names


def test_names_lead_to_files() -> None:
    names = resource_names("plans")
    assert "auto" in names
    assert names == sorted(names)
    for name in names:
        assert find_resource("plans", name).is_file()


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("")
    assert find_resource("plans", str(own)) == own


@pytest.mark.parametrize("name", ["", "no-such", "../plans/auto", "auto.yaml", "a\0.yaml", "/etc/passwd", "x" * 5000])
def test_what_is_neither(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no recipe called") as caught:
        find_resource("plans", name)
    assert "auto" in caught.value.message, "the names there are"


def test_other_files_are_no_recipes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("a.txt", "folder.yaml"):
        with pytest.raises(UsageError):
            find_resource("plans", str(tmp_path / name))


def test_the_installed_copy_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "ercpseg"
    (tmp_path / "plans").mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    # without a checkout around it, a folder of that name is somebody else's
    assert resource_folder("plans") == package / "_plans"
    (tmp_path / "pyproject.toml").write_text("")
    assert resource_folder("plans") == tmp_path / "plans"
    (package / "_plans").mkdir(parents=True)
    (package / "_plans/only.yaml").write_text("")
    assert resource_folder("plans") == package / "_plans"
    assert resource_names("plans") == ["only"]
