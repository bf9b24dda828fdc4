"""Atomic writes: whatever call fails, a name holds all of the old or all of the new, and nothing temporary stays."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ercpseg.errors import StorageError
from ercpseg.storage import atomic

OLD, NEW = b"old" * 1000, b"new" * 2000


class Faults:
    """Counts the calls that change the disk and makes the ``fail_at``-th fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException):
        self.calls: list[str] = []
        self.fail_at = 0
        self.error = error
        for owner, name in [
            (os, "fsync"),
            (os, "open"),
            (os, "replace"),
            (Path, "rename"),
            (Path, "mkdir"),
            (Path, "open"),
        ]:
            monkeypatch.setattr(owner, name, self._wrap(getattr(owner, name), f"{owner.__name__}.{name}"))
        monkeypatch.setattr(atomic, "open", self._wrap(open, "open"), raising=False)

    def _wrap(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.count(name)
            result = function(*args, **kwargs)
            return Handle(result, self) if name in ("Path.open", "open") else result

        return wrapped

    def count(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self.fail_at:
            raise self.error

    @contextlib.contextmanager
    def at(self, number: int) -> Iterator[None]:
        """Fail at call ``number`` from here on (0 = never)."""
        self.calls, self.fail_at = [], number
        try:
            yield
        finally:
            self.fail_at = 0


class Handle:
    """A file whose disk is full after half of what is written."""

    def __init__(self, handle: Any, faults: Faults):
        self.handle, self.faults = handle, faults

    def write(self, data: bytes) -> int:
        self.handle.write(data[: len(data) // 2])
        self.handle.flush()
        self.faults.count("write")
        return self.handle.write(data[len(data) // 2 :])  # type: ignore[no-any-return]

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.handle.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handle, name)


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_write_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/file"
    atomic.write_bytes(path, OLD)
    atomic.write_bytes(path, NEW)
    assert atomic.read_bytes(path) == NEW
    assert names(path.parent) == ["file"]


def test_the_data_are_flushed_before_the_name_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults(monkeypatch, full())
    with faults.at(0):
        atomic.write_bytes(tmp_path / "file", NEW)
    assert faults.calls == ["open", "write", "os.fsync", "os.replace", "os.open", "os.fsync"]


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_anywhere(
    number: int, kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    faults = Faults(monkeypatch, full() if kind is OSError else kind())
    with faults.at(number), pytest.raises(StorageError if kind is OSError else kind) as caught:
        atomic.write_bytes(path, NEW)
    # calls 1 to 4 come before the name is given; after it (5, 6) the new content is there, and whole
    assert path.read_bytes() == (OLD if number <= 4 else NEW)
    assert names(tmp_path) == ["file"]
    if isinstance(caught.value, StorageError):
        assert caught.value.exit_code == 74
        assert "No space left on device" in caught.value.message
        assert str(path) in caught.value.message


def test_files_may_be_flushed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults(monkeypatch, full())
    with faults.at(0):
        for name in ("a", "b"):
            atomic.write_bytes(tmp_path / name, NEW, durable=False)
        assert "os.fsync" not in faults.calls
        assert "os.replace" in faults.calls, "a kill still leaves all or nothing"
    with faults.at(0):
        atomic.flush(tmp_path / "a", tmp_path / "b", tmp_path)
    assert faults.calls == ["Path.open", "os.fsync"] * 2 + ["os.open", "os.fsync"]
    for number in range(1, 5):
        with faults.at(number), pytest.raises(StorageError, match="flushing failed: No space left"):
            atomic.flush(tmp_path / "a", tmp_path)
    with pytest.raises(StorageError):
        atomic.flush(tmp_path / "missing")


def test_the_beginning_of_a_file(tmp_path: Path) -> None:
    atomic.write_bytes(tmp_path / "file", NEW)
    assert atomic.read_bytes(tmp_path / "file", 4) == NEW[:4]


def test_a_full_disk(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with pytest.raises(StorageError, match="No space left"):
        atomic.append_line(Path("/dev/full"), "x" * 10)


def test_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file/sub").mkdir(parents=True)
    with pytest.raises(StorageError):
        atomic.write_bytes(tmp_path / "file", NEW)
    (tmp_path / "plain").write_bytes(OLD)
    with pytest.raises(StorageError):
        atomic.write_bytes(tmp_path / "plain/file", NEW)
    with pytest.raises(StorageError):
        atomic.read_bytes(tmp_path / "missing")
    assert names(tmp_path) == ["file", "plain"]


def test_append_line(tmp_path: Path) -> None:
    for line in ("a", "é"):
        atomic.append_line(tmp_path / "logs/log", line)
    assert (tmp_path / "logs/log").read_text("utf-8") == "a\né\n"


def fill(path: Path, content: bytes) -> None:
    with atomic.new_folder(path) as folder:
        for name in ("a", "b"):
            (folder / name).write_bytes(content)


def content(path: Path) -> set[bytes]:
    return {p.read_bytes() for p in path.iterdir()}


def test_new_folder_replaces_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep/model"
    fill(path, OLD)
    (path / "extra").write_bytes(b"")
    fill(path, NEW)
    assert names(path) == ["a", "b"]
    assert content(path) == {NEW}
    assert names(path.parent) == ["model"]


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), full()])
def test_an_exception_inside_changes_nothing(existing: bool, error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "model"
    if existing:
        fill(path, OLD)
    with (
        pytest.raises(StorageError if isinstance(error, OSError) else type(error)),
        atomic.new_folder(path) as folder,
    ):
        (folder / "a").write_bytes(NEW)
        raise error
    assert names(tmp_path) == (["model"] if existing else [])
    if existing:
        assert content(path) == {OLD}


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_a_folder_that_fails_anywhere(
    number: int, kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dangerous moment is the second renaming: the old folder has left its name, the new one has not come."""
    path = tmp_path / "model"
    fill(path, OLD)
    faults = Faults(monkeypatch, full() if kind is OSError else kind())
    with faults.at(0):
        fill(tmp_path / "other", NEW)
    assert faults.calls[0] == "Path.mkdir"
    (tmp_path / "other/a").unlink(), (tmp_path / "other/b").unlink(), (tmp_path / "other").rmdir()

    def fill_plainly() -> None:
        with atomic.new_folder(path) as folder:
            # not through Path.open, so that only the folder's own calls are counted
            os.mkdir(folder / "sub")  # noqa: PTH102

    with faults.at(number), pytest.raises(StorageError if kind is OSError else kind):
        fill_plainly()
    # mkdir, rename (old away), rename (new in), open, fsync
    monkeypatch.undo()
    if number <= 3:
        assert content(path) == {OLD}
    else:
        assert names(path) == ["sub"]
    assert names(tmp_path) == ["model"]


def test_leftovers_go_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / f"{atomic.TEMPORARY_PREFIX}1").write_bytes(b"")
    (tmp_path / f"{atomic.TEMPORARY_PREFIX}2/sub").mkdir(parents=True)
    (tmp_path / "keep").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    (tmp_path / f"sub/{atomic.TEMPORARY_PREFIX}3").write_bytes(b"")
    atomic.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["keep", "sub"]
    assert len(names(tmp_path / "sub")) == 1, "only directly inside"
    atomic.remove_leftovers(tmp_path / "missing")


WRITER = """
import sys
from pathlib import Path
from ercpseg.storage.atomic import write_bytes
path, i = Path(sys.argv[1]), 0
while True:
    i += 1
    write_bytes(path, bytes([i % 256]) * 2_000_000)
    print(i, flush=True)
"""


def test_a_kill_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for delay in (0.001, 0.004, 0.009):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        data = path.read_bytes()
        assert len(data) == 2_000_000
        assert len(set(data)) == 1
    atomic.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["file"]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, example B.1
    assert atomic.sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
