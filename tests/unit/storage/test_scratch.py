"""The throw-away table: private, gone afterwards, and an error of ours when the disk fails."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ercpseg.errors import StorageError
from ercpseg.storage.atomic import TEMPORARY_PREFIX, remove_leftovers
from ercpseg.storage.scratch import scratch

SCHEMA = "CREATE TABLE t(x TEXT);"


def test_it_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with scratch(tmp_path / "s", SCHEMA) as table:
        table.execute("INSERT INTO t VALUES('a')")
        (path,) = (tmp_path / "s").iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.name.startswith(TEMPORARY_PREFIX)  # so that remove_leftovers takes it after a kill
        assert table.execute("SELECT x FROM t").fetchall() == [("a",)]
    assert list((tmp_path / "s").iterdir()) == []


def test_it_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch(tmp_path, SCHEMA):
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}1").write_bytes(b"x")
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_table_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError), scratch(tmp_path, SCHEMA) as table:
        table.execute("INSERT INTO nothing VALUES(1)")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError), scratch(tmp_path / "file", SCHEMA):
        pass
