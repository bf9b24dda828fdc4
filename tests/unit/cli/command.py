"""The command line as tests use it: run a command in this process, look at its exit code and what it said."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ercpseg.cli.app import run
from ercpseg.storage.workspace import Workspace


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Command:
    """``command("train", "tiny", 0, workspace=space)`` runs it; ``command.fails(2, …)`` returns its error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]):
        self._capsys = capsys

    def __call__(self, *words: Any, workspace: Workspace | Path | None = None) -> Ended:
        self._capsys.readouterr()
        root = workspace.root if isinstance(workspace, Workspace) else workspace
        place = [] if root is None else ["--workspace", str(root)]
        code = run([*map(str, words), *place])
        ended = Ended(code, *self._capsys.readouterr())
        assert "Traceback" not in ended.out + ended.err
        return ended

    def succeeds(self, *words: Any, workspace: Workspace | Path | None = None) -> str:
        """Standard output of a command that must end with 0, without an error."""
        ended = self(*words, workspace=workspace)
        assert ended.code == 0, ended
        assert "error" not in ended.err
        return ended.out

    def fails(self, code: int, *words: Any, workspace: Workspace | Path | None = None) -> str:
        """The error of a command that must end with ``code``: one line, the last one, and nothing told as done."""
        ended = self(*words, workspace=workspace)
        assert ended.code == code, ended
        assert ended.out == ""
        assert [line for line in ended.err.splitlines() if line.startswith("error: ")] == ended.err.splitlines()[-1:]
        return ended.err.splitlines()[-1]


def environment() -> dict[str, str]:
    """The environment for a command in a process of its own."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


def process(*words: Any, **options: Any) -> subprocess.Popen[str]:
    """A command as a process of its own, its output piped as text."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment()} | options
    return subprocess.Popen([sys.executable, "-m", "ercpseg", *map(str, words)], **given)


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Modification time and SHA-256 of every file below ``folder``, but for the lock."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock")
    }


def leftovers(folder: Path) -> list[Path]:
    """Temporary files that were left behind."""
    return list(folder.rglob(".tmp-ercpseg-*"))
