"""Values of options: durations, pins, memory."""

from __future__ import annotations

import pytest

from ercpseg.cli.options import parse_duration
from ercpseg.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("30m", 1800), ("30min", 1800), ("1h30m", 5400), ("1h 30m", 5400), ("0.5h", 1800), (None, None)],
)
def test_durations(text: str | None, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "30", "abc", "0s", "0h0m", "-5m", "5 minutes", "1d", "h", "1e3s", "nan", "inf", "9" * 30 + "h", "9999h9"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="for example 45s, 30m or 1h30m") as caught:
        parse_duration(text)
    assert caught.value.where == "--time-budget"


@pytest.mark.parametrize("command_name", [("train", "tiny", "0"), ("plan-and-preprocess", "tiny"), ("demo", "out")])
def test_a_bad_duration_touches_nothing(command, command_name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "'soon' is no duration" in command.fails(2, *command_name, "--time-budget", "soon")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("memory", ["0", "-1", "nan", "inf"])
def test_memory_is_a_number_above_zero(command, tiny_folder, tmp_path, memory: str) -> None:
    assert "--memory" in command.fails(
        2, "plan-and-preprocess", tiny_folder, "--memory", memory, workspace=tmp_path / "w"
    )
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("pin", "text"),
    [
        ("patch.batch_size", "expected section.key=value"),
        ("=2", "no decision is called ''"),
        ("patch.batchsize=2", "expected patch.batch_size"),
        ("patch.batch_size=[", "'[' is no value (at --set patch.batch_size)"),
        ("patch.batch_size=2020-01-01", "is no value"),
        ("schedule.time_budget_s=.nan", "is no value"),
        ("schedule.time_budget_s=.inf", "is no value"),
        ("patch.batch_size=!!python/name:os.system", "is no value"),
        ("optimiser.learning_rate=1e-3", "write 1.0e-3"),
    ],
)
def test_a_pin_that_makes_no_sense_is_refused_before_anything_is_read(
    command, tiny_folder, tmp_path, pin: str, text: str
) -> None:
    assert text in command.fails(2, "plan-and-preprocess", tiny_folder, "--set", pin, workspace=tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_no_more_layers_can_learn_than_there_are(command, tiny_folder, tmp_path) -> None:
    pins = ("--set", "transfer.scheme=deepest", "--set", "transfer.layers=999")
    said = command.fails(2, "plan-and-preprocess", tiny_folder, *pins, "--device", "cpu", workspace=tmp_path / "w")
    assert "transfer.layers" in said and "which are all" in said
