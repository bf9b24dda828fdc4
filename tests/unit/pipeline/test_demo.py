"""The demo, very small: it makes everything it promises, and never touches what it did not make."""

from __future__ import annotations

import pytest

from ercpseg.errors import UsageError, WorkspaceBusy
from ercpseg.pipeline.demo import MARKER, DemoSize, demo
from ercpseg.storage.tables import read_table
from ercpseg.storage.workspace import Workspace

SIZE = DemoSize(
    frames=12, patients=6, unseen_frames=4, unseen_patients=2, size=64, epochs=1, time_budget_s=2
)  # fmt: skip


def test_from_nothing_to_a_scored_report(tmp_path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / MARKER).write_text("of an earlier demo")
    (tmp_path / "d" / "predictions").mkdir()
    (tmp_path / "d" / "predictions" / "old").write_text("x")
    made = demo(tmp_path / "d", SIZE)
    assert made.report == tmp_path / "d" / "report.html"
    assert made.report.stat().st_size > 10_000
    assert made.scores.frames == 4
    assert set(made.scores.structures) == {"endoscope", "guidewire", "cbd", "stone"}
    assert [timing.stage for timing in made.timings] == [
        *("synthesise", "plan and preprocess", "train", "predict", "evaluate")
    ]
    assert (tmp_path / "d" / "predictions" / "scores.csv").is_file()
    assert not (tmp_path / "d" / "predictions" / "old").exists()
    used = [row for row in read_table(tmp_path / "d" / "predictions" / "frames.csv") if row["status"] == "used"]
    assert sorted(row["source"].rpartition(".")[2] for row in used) == ["dcm", "dcm", "png", "png"]
    patients = {row["frame"].split("_")[0] for row in used}
    training = {p.name.split("_")[0] for p in (tmp_path / "d" / "data" / "training" / "images").iterdir()}
    assert len(patients) == 2
    assert not patients & training


def test_what_a_demo_did_not_make_is_left_alone(tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="give the demo a folder of its own"):
        demo(tmp_path / "mine", SIZE)
    with pytest.raises(UsageError, match="this is a file"):
        demo(tmp_path / "mine" / "thesis.txt", SIZE)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_second_demo_does_not_clear_what_the_first_is_making(tmp_path) -> None:
    (tmp_path / MARKER).write_text("")
    (tmp_path / "data").write_text("in the making")
    with Workspace(tmp_path).locked(), pytest.raises(WorkspaceBusy):
        demo(tmp_path, SIZE)
    assert (tmp_path / "data").read_text() == "in the making"
