"""A table of results that outlives an interruption."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ercpseg.errors import StorageError
from ercpseg.storage.kept import BATCH, keep


def test_what_was_put_is_there_next_time(tmp_path: Path) -> None:
    at = tmp_path / "new" / "kept.sqlite"
    with keep(at) as kept:
        kept.put("a", "1")
        kept.put("a", "2")
        kept.put("b", "ü")
    with keep(at) as kept:
        assert (kept.get("a"), kept.get("b"), kept.get("c")) == ("2", "ü", None)
    assert [path.name for path in at.parent.iterdir()] == ["kept.sqlite"]


def test_what_was_put_before_an_error_is_kept(tmp_path: Path) -> None:
    at = tmp_path / "kept.sqlite"
    with pytest.raises(KeyboardInterrupt), keep(at) as kept:
        kept.put("a", "1")
        raise KeyboardInterrupt
    with keep(at) as kept:
        assert kept.get("a") == "1"


def test_a_kill_costs_a_batch_at_most(tmp_path: Path) -> None:
    import subprocess
    import sys

    at = tmp_path / "kept.sqlite"
    code = (
        "import os, sys; from pathlib import Path; from ercpseg.storage.kept import keep\n"
        "with keep(Path(sys.argv[1])) as kept:\n"
        f"    [kept.put(str(i), 'x') for i in range({2 * BATCH} + 5)]\n"
        "    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(at)]).returncode == 9
    with keep(at) as kept:
        assert sum(kept.get(str(i)) == "x" for i in range(2 * BATCH + 5)) == 2 * BATCH


def test_what_nobody_asks_for_is_dropped(tmp_path: Path) -> None:
    at = tmp_path / "kept.sqlite"
    with keep(at) as kept:
        for key in "abc":
            kept.put(key, key)
    with keep(at) as kept:
        kept.get("a")
        kept.put("d", "d")
        kept.forget_others()
    with keep(at) as kept:
        assert [kept.get(key) for key in "abcd"] == ["a", None, None, "d"]


def test_several_threads_may_use_it(tmp_path: Path) -> None:
    with keep(tmp_path / "kept.sqlite") as kept, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: kept.put(str(i), str(i)), range(500)))
        assert list(pool.map(lambda i: kept.get(str(i)), range(500))) == [str(i) for i in range(500)]


@pytest.mark.parametrize("junk", [b"", b"junk" * 4000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_junk_is_thrown_away(tmp_path: Path, junk: bytes) -> None:
    at = tmp_path / "kept.sqlite"
    at.write_bytes(junk)
    with keep(at) as kept:
        assert kept.get("a") is None
        kept.put("a", "1")
    with keep(at) as kept:
        assert kept.get("a") == "1"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"), keep(tmp_path / "file" / "kept.sqlite"):
        pass
