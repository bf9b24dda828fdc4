"""One run at a time in a folder, without a trace of it; the workspace's lock is tested with the workspace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ercpseg.errors import WorkspaceBusy
from ercpseg.storage.lock import LOCK, OWNER, locked

HOLD = """
import sys
from pathlib import Path
from ercpseg.storage.lock import locked
with locked(Path(sys.argv[1]), "folder", "another", keep=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("before", [[], ["a"], ["a", "a/b"]])
def test_what_was_made_for_the_lock_alone_is_gone_and_nothing_else(tmp_path: Path, before: list[str]) -> None:
    for name in before:
        (tmp_path / name).mkdir()
    with locked(tmp_path / "a/b/c", "folder", "another", keep=False):
        assert names(tmp_path / "a/b/c") == {LOCK, OWNER}
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == before


def test_what_was_written_meanwhile_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "a/b", "folder", "another", keep=False):
        (tmp_path / "a/b/mine").write_text("x")
        raise KeyError
    assert names(tmp_path / "a/b") == {"mine"}


def test_a_second_one_is_refused_and_leaves_the_first_alone(tmp_path: Path) -> None:
    words = ("output folder", "another OUTPUT")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for _ in range(2):
            with (
                pytest.raises(WorkspaceBusy, match=f"output folder .at process {other.pid} on .*another OUTPUT"),
                locked(tmp_path, *words, keep=False),
            ):
                pytest.fail("two held it")
        other.kill()
        other.wait()
        assert names(tmp_path) == {LOCK, OWNER}, "what the killed one left is in nobody's way"
        with locked(tmp_path, *words, keep=False):
            pass
    assert names(tmp_path) == set()
