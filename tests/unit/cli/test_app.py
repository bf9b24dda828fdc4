"""How errors become one line and an exit code, and how a process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ercpseg import errors
from ercpseg.cli.app import COMMANDS, run
from ercpseg.version import __version__
from tests.unit.cli.command import environment, process


def test_version(command) -> None:
    assert command.succeeds("--version") == f"ercpseg {__version__}\n"


def test_no_arguments_show_the_help(command) -> None:
    ended = command()
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("Usage: ercpseg")
    assert "ercpseg demo" in ended.err
    assert "error" not in ended.err.splitlines()[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(command, name: str) -> None:
    assert f"ercpseg {name}" in command.succeeds(name, "--help")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--nope"], ("No such option: --nope", "see ercpseg --help")),
        (["frobnicate"], ("frobnicate", "see ercpseg --help")),
        (["train", "a", "0", "--nope"], ("--nope", "see ercpseg train --help")),
        (["train", "a"], ("FOLD", "see ercpseg train --help")),
        (["train", "a", "0", "b"], ("(b)", "see ercpseg train --help")),
        (["train", "a", "0", "--epochs", "0"], ("--epochs", "1")),
        (["train", "a", "0", "--epochs", "many"], ("--epochs", "integer")),
        (["train", "a", "-1"], ("-1",)),
        (["predict", "a", "b"], ("there is no such file or folder",)),
        (["predict", "a\0b", "b", "--model", "c"], ("INPUT",)),
        (["plan-and-preprocess"], ("DATASET",)),
        (["plan-and-preprocess", "a", "--memory", "much"], ("--memory",)),
        (["evaluate", "a"], ("REFERENCE",)),
    ],
)
def test_a_command_line_that_makes_no_sense(command, words: list[str], expected: tuple[str, ...]) -> None:
    error = command.fails(2, *words)
    for text in expected:
        assert text in error


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make ``ercpseg plans NAME`` raise ``error``."""

    def raises(name: str) -> Any:
        raise error

    monkeypatch.setattr("ercpseg.planner.recipes.load_recipe", raises)


class OutOfMemoryError(RuntimeError):
    """What torch calls its own."""


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.UsageError("no", where="--x", expected="y", todo="z"), 2, "no (at --x); expected y; z"),
        (errors.DataError("no"), 65, "no"),
        (errors.DocumentError("no"), 65, "no"),
        (errors.InputRefused("truncated", "7 bytes"), 65, "truncated: 7 bytes"),
        (errors.ErcpsegError("no"), 70, "no"),
        (RuntimeError("secret of a patient"), 70, "this should not happen: RuntimeError"),
        (errors.ResourceError("no"), 71, "no"),
        (MemoryError(), 71, "out of memory"),
        (OutOfMemoryError("CUDA out of memory"), 71, "out of memory"),
        (errors.WorkspaceBusy("no"), 73, "no"),
        (errors.StorageError("no"), 74, "no"),
        (OSError(28, "No space left on device", "/some/file"), 74, "No space left on device (at /some/file)"),
        (PermissionError(13, "Permission denied"), 74, "Permission denied"),
        (OSError(36, "File name too long"), 2, "too long"),
        (errors.Interrupted("stopped", todo="go on"), 75, "stopped; go on"),
        (KeyboardInterrupt(), 75, "stopped; run the same command to go on"),
    ],
)
def test_every_error_is_one_line_and_its_exit_code(command, monkeypatch, error, code: int, text: str) -> None:
    failing(monkeypatch, error)
    message = command.fails(code, "plans", "any")
    assert text in message
    assert "secret" not in message


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(monkeypatch, capsys, place: int) -> None:

    failing(monkeypatch, RuntimeError("what happened"))
    words = ["plans", "any"]
    words.insert(place, "--debug")
    assert run(words) == 70
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "RuntimeError: what happened" in err
    assert run(["--debug", "--nope"]) == 2
    assert run(["--debug", "--version"]) == 0
    assert run(["--debug"]) == 2


def test_an_error_stays_one_line_whatever_a_file_is_called(command, monkeypatch) -> None:
    failing(monkeypatch, errors.DataError("bad\nerror: not me", where="a\x1b[31m[bold]b\r\n.png"))
    assert command.fails(65, "plans", "any") == "error: bad error: not me (at a\ufffd[31m[bold]b .png)"


# -- as a process ----------------------------------------------------------------------------------------------------


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from ercpseg.cli.app import COMMANDS, run; run(['--help']); [run([c, '--help']) for c in COMMANDS];"
        "sys.exit(str([m for m in ('torch', 'numpy', 'nnunetv2', 'pandas', 'matplotlib') if m in sys.modules]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert ended.stderr == "[]\n"


def test_a_process_ends_with_the_exit_code_and_says_nothing_else() -> None:
    with process("--version") as good, process("train", "nothing", 0, "--workspace", "/nonexistent/w") as bad:
        assert good.communicate() == (f"ercpseg {__version__}\n", "")
        out, err = bad.communicate()
    assert (good.returncode, bad.returncode) == (0, 2)
    assert out == ""
    assert err.startswith("error: there is no planned dataset 'nothing'")
    assert err.count("\n") == 1


def test_output_that_nobody_takes_is_an_io_failure_without_a_traceback() -> None:
    with Path("/dev/full").open("w") as full, process("plans", stdout=full) as into_full:
        _, err = into_full.communicate()
        assert into_full.returncode == 74
        assert "Traceback" not in err
        assert "Exception ignored" not in err
    with process("plans") as into_closed:
        assert into_closed.stdout is not None
        into_closed.stdout.close()
        assert into_closed.stderr is not None
        err = into_closed.stderr.read()
    assert into_closed.returncode == 74
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_a_terminal_without_our_signs_does_not_end_a_run() -> None:
    with process("plans", env=environment() | {"PYTHONIOENCODING": "ascii"}) as ascii_only:
        out, err = ascii_only.communicate()
    assert (ascii_only.returncode, err) == (0, "")
    assert "recipe" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_outside_of_training(number: signal.Signals) -> None:
    code = (
        "import sys, time, ercpseg.cli, ercpseg.planner.recipes as r\n"
        "def wait(name):\n  print('ready', flush=True)\n  time.sleep(60)\n"
        "r.load_recipe = wait\nsys.argv = ['ercpseg', 'plans', 'x']\nercpseg.cli.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "ready\n"
        waiting.send_signal(number)
        _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 75
    assert err == "error: stopped; run the same command to go on\n"


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_every_command_has_the_threads_sleep_unless_told_otherwise(monkeypatch, given, kept) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    assert run(["plans", "list"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == kept
