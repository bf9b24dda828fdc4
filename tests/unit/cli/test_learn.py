"""``train``: what it says, going on after every kind of stop."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from ercpseg.storage.arrays import load_arrays
from ercpseg.training.run import read_history, run_folder
from tests.unit.cli.command import leftovers, process, snapshot


def weights(space) -> dict[str, np.ndarray]:
    return load_arrays(run_folder(space, "tiny", "0") / "weights.safetensors")[0]


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


def test_train_writes_what_it_says_and_a_second_time_does_nothing(command, workspace, trained) -> None:
    out = command.succeeds("train", "tiny", 0, workspace=workspace)
    assert "fold 0: 2 epochs, 6 iterations in " in out
    assert "validation Dice" in out
    folder = run_folder(workspace, "tiny", "0")
    for file in ("log.jsonl", "curve.png", "validation/summary.json", "run.json"):
        assert f"wrote {folder / file}\n" in out
        assert (folder / file).is_file()
    model = workspace.root / "models" / "tiny"
    assert f"model: {model}\n" in out
    assert out.endswith("next: ercpseg predict INPUT OUTPUT --model tiny\n")
    assert sorted(p.name for p in model.iterdir()) == ["SHA256SUMS", "fold_0.safetensors", "model.json", "plan.json"]
    assert not list(folder.glob("state-*"))
    assert same(weights(workspace), weights(trained))  # the command and the library train the same
    before = snapshot(folder)
    again = command.succeeds("train", "tiny", 0, workspace=workspace)
    assert again.startswith("fold 0 of tiny is trained already; --restart would train it anew\n")
    assert snapshot(folder) == before
    assert leftovers(workspace.root) == []


def test_a_dataset_is_known_by_its_folder_too(command, finished, tiny_folder, monkeypatch) -> None:
    assert "trained already" in command.succeeds("train", tiny_folder, 0, workspace=finished)
    monkeypatch.chdir(tiny_folder)
    assert "trained already" in command.succeeds("train", ".", 0, workspace=finished)


@pytest.mark.parametrize("fold", ["6", "7", "abc", "", "²", "٣", "0.0", "9" * 5000, "ALL", "../0"])
def test_folds_that_do_not_exist(command, finished, fold: str) -> None:
    before = snapshot(finished.root)
    error = command.fails(2, "train", "tiny", fold, workspace=finished)
    assert "there is no fold" in error
    assert "(at FOLD); expected 0 to 5, or all" in error
    assert snapshot(finished.root) == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--device", "tpu"], "unknown device 'tpu' (at --device); expected auto, cpu, cuda or mps"),
        (["--epochs", "2", "--time-budget", "3s"], "contradict each other; give one of them"),
        (["--time-budget", "0s"], "'0s' is no duration"),
    ],
)
def test_options_that_make_no_sense(command, finished, words: list[str], text: str) -> None:
    before = snapshot(finished.root)
    assert text in command.fails(2, "train", "tiny", 0, *words, workspace=finished)
    assert snapshot(finished.root) == before


def test_a_dataset_that_is_not_planned(command, workspace, tmp_path) -> None:
    error = command.fails(2, "train", "nope", 0, workspace=workspace)
    assert error.endswith(
        "there is no planned dataset 'nope' (at DATASET); expected one of: tiny; "
        "run ercpseg plan-and-preprocess first, or give its --workspace"
    )
    assert "one of: none yet" in command.fails(2, "train", "tiny", 0, workspace=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_planned_device_that_is_not_here(command, workspace, monkeypatch) -> None:
    from ercpseg.pipeline import learn

    def without_gpu(name: str) -> str:
        from ercpseg.errors import UsageError

        raise UsageError("there is no CUDA device", where="--device", todo="use --device cpu")

    monkeypatch.setattr(learn, "resolve_device", without_gpu)
    assert "use --device cpu" in command.fails(2, "train", "tiny", 0, workspace=workspace)


# -- stopping --------------------------------------------------------------------------------------------------------


def signal_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> None:
    """Send this process a signal in the middle of a training step."""
    from ercpseg.nnunet.trainer import ErcpTrainer

    original, counter = ErcpTrainer.train_step, itertools.count(1)

    def train_step(self, batch):
        if next(counter) == step:
            os.kill(os.getpid(), number)
        return original(self, batch)

    monkeypatch.setattr(ErcpTrainer, "train_step", train_step)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_goes_on_with_the_same_command(command, workspace, trained, monkeypatch, number) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        signal_at(patch, 2, number)
        error = command.fails(75, "train", "tiny", 0, workspace=workspace)
    assert error == "error: training was stopped and saved; run the same command to go on"
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not (run_folder(workspace, "tiny", "0") / "run.json").exists()
    assert "fold 0: 2 epochs, 6 iterations" in command.succeeds("train", "tiny", 0, workspace=workspace)
    assert same(weights(workspace), weights(trained))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_stop_while_validating_costs_no_training(command, workspace, trained, monkeypatch, error) -> None:
    def stopped(*words, **options):
        raise error

    def never(self, batch):
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr("ercpseg.nnunet.trainer.validate", stopped)
        assert command("train", "tiny", 0, workspace=workspace).code == (75 if error is KeyboardInterrupt else 70)
    with monkeypatch.context() as patch:
        patch.setattr("ercpseg.nnunet.trainer.ErcpTrainer.train_step", never)
        assert "2 epochs, 6 iterations" in command.succeeds("train", "tiny", 0, workspace=workspace)
    assert same(weights(workspace), weights(trained))
    assert [row["epoch"] for row in read_history(run_folder(workspace, "tiny", "0"))] == [0, 1]


def test_a_stopped_restart_is_not_taken_for_the_run_before_it(command, finished, trained, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        signal_at(patch, 4, signal.SIGINT)
        error = command.fails(75, "train", "tiny", 0, "--restart", workspace=finished)
    assert "without --restart to go on" in error
    # the model of the run before still predicts
    assert (finished.root / "models" / "tiny" / "fold_0.safetensors").is_file()
    assert "fold 0: 2 epochs" in command.succeeds("train", "tiny", 0, workspace=finished)
    assert same(weights(finished), weights(trained))


def wait_for(path: Path, running, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.stat().st_size):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def stop_and_go_on(command, space, number: int, epochs: int) -> tuple[int, str, float]:
    """Train in a process, send it a signal after its first epoch, then finish with the same command."""
    words = ("train", "tiny", 0, "--epochs", epochs, "--workspace", space.root)
    with process(*words) as running:
        wait_for(run_folder(space, "tiny", "0") / "log.jsonl", running)
        start = time.monotonic()
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
    took = time.monotonic() - start
    assert not (run_folder(space, "tiny", "0") / "run.json").exists()
    assert f"fold 0: {epochs} epochs" in command.succeeds(*words)
    assert [row["epoch"] for row in read_history(run_folder(space, "tiny", "0"))] == list(range(epochs))
    assert leftovers(run_folder(space, "tiny", "0")) == []
    return running.returncode, err, took


def test_ctrl_c_in_a_process_that_trains(command, workspace) -> None:
    code, err, took = stop_and_go_on(command, workspace, signal.SIGINT, 8)
    assert code == 75
    assert err.endswith("error: training was stopped and saved; run the same command to go on\n")
    assert "Traceback" not in err
    assert took < 20  # one step, one checkpoint, the end of the interpreter


@pytest.mark.slow
def test_sigterm_to_a_process_that_trains(command, workspace) -> None:
    code, err, _ = stop_and_go_on(command, workspace, signal.SIGTERM, 15)
    assert code == 75
    assert err.endswith("error: training was stopped and saved; run the same command to go on\n")


@pytest.mark.slow
def test_a_killed_training_finishes_with_the_same_command(command, workspace) -> None:
    code, _, _ = stop_and_go_on(command, workspace, signal.SIGKILL, 15)
    assert code == -signal.SIGKILL
