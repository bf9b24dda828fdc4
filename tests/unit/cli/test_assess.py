"""``evaluate`` and ``report``."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ercpseg.storage.images import encode_png, write_png
from tests.unit.cli.command import leftovers, snapshot

STRUCTURES = ["endoscope", "guidewire", "cbd", "stone"]


def test_a_dataset_against_itself_is_perfect(command, tiny_folder, tmp_path) -> None:
    out = command.succeeds("evaluate", tiny_folder, tiny_folder, "--output", tmp_path / "scores")
    for text in ("structure", "Dice", "n", *STRUCTURES, "18 frames of 6 patients"):
        assert text in out
    for file in ("scores.json", "scores.csv"):
        assert f"wrote {tmp_path / 'scores' / file}\n" in out
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert list(scores["structures"]) == sorted(STRUCTURES)
    assert (scores["frames"], scores["patients"]) == (18, 6)
    with (tmp_path / "scores" / "scores.csv").open() as handle:
        table = list(csv.DictReader(handle))
    assert len(table) == 18 * 4
    assert {row["dice"] for row in table} == {"1", ""}
    assert not (tiny_folder / "scores.json").exists()


def test_a_predict_output_against_its_dataset(command, predicted, tiny_folder) -> None:
    before = snapshot(predicted)
    out = command.succeeds("evaluate", predicted, tiny_folder)
    assert f"wrote {predicted / 'scores.json'}\n" in out
    after = snapshot(predicted)
    assert set(after) - set(before) == {"scores.json", "scores.csv"}
    assert all(after[name] == entry for name, entry in before.items())
    # masks alone do as well, and an evaluated output is still one that predict may replace
    command.succeeds("evaluate", predicted / "masks", tiny_folder / "masks", "--output", predicted)
    assert leftovers(predicted) == []


@pytest.mark.parametrize(
    ("code", "text", "given"),
    [
        (2, "no such folder for PREDICTIONS", ("nothing", "truth")),
        (2, "no such folder for REFERENCE", ("out", "nothing")),
        (2, "no such folder for REFERENCE", ("out", "file")),
        (65, "no masks folder", ("out", "empty")),
        (65, "no masks folder", ("empty", "truth")),
        (65, "nothing to compare", ("out", "other")),
    ],
)
def test_nothing_to_compare(command, tmp_path, monkeypatch, code: int, text: str, given: tuple[str, str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_png(Path("out/masks/stone/a.png"), np.ones((5, 5), bool))
    write_png(Path("truth/masks/stone/a.png"), np.ones((5, 5), bool))
    write_png(Path("other/masks/stone/b.png"), np.ones((5, 5), bool))
    Path("empty").mkdir()
    Path("file").write_text("x")
    error = command.fails(code, "evaluate", *given)
    assert text in error
    assert "masks/" in error
    assert not list(tmp_path.rglob("scores.*"))


def test_a_damaged_mask_is_named(command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("out", "truth"):
        write_png(Path(folder) / "masks/stone/a.png", np.ones((5, 5), bool))
    Path("out/masks/stone/a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "out/masks/stone/a.png" in command.fails(65, "evaluate", "out", "truth")
    write_png(Path("out/masks/stone/a.png"), np.ones((5, 6), bool))
    assert "differ in size" in command.fails(65, "evaluate", "out", "truth")
    assert not list(tmp_path.rglob("scores.*"))


def test_report(command, trained, predicted, tiny_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.succeeds("report", "tiny", workspace=trained) == "wrote report.html\n"
    plain = Path("report.html").read_text()
    assert plain.lstrip().lower().startswith("<!doctype html>")
    for text in ("ercpseg: tiny", "batch_size", "fold 0"):
        assert text in plain
    command.succeeds("evaluate", predicted, tiny_folder)
    command.succeeds(
        *("report", tiny_folder, "full.html", "--predictions", predicted, "--reference", tiny_folder), workspace=trained
    )
    full = Path("full.html").read_text()
    assert full.count("data:image/png;base64,") > plain.count("data:image/png;base64,") + 4
    assert "http://" not in full.replace("http://www.w3.org", "")
    assert "https://" not in full


def test_report_while_a_fold_is_still_training(command, finished, tmp_path) -> None:
    from ercpseg.training.run import run_folder

    shutil.copytree(run_folder(finished, "tiny", "0"), run_folder(finished, "tiny", "1"))
    (run_folder(finished, "tiny", "1") / "run.json").unlink()
    command.succeeds("report", "tiny", tmp_path / "r.html", workspace=finished)
    assert "fold 1" in (tmp_path / "r.html").read_text()


def test_report_shows_what_was_predicted_under_another_name(
    command, trained, tiny_folder, tmp_path, monkeypatch
) -> None:
    """predict gives a hostile stem a safe name; report finds its masks all the same."""
    from ercpseg.pipeline import report as module

    monkeypatch.chdir(tmp_path)
    seen = []

    def spy(pixels, reference, prediction, names) -> bytes:
        seen.append((reference, prediction))
        return encode_png(pixels)

    monkeypatch.setattr("ercpseg.reporting.pictures.reference_over_prediction", spy)
    frame = min((tiny_folder / "images").iterdir())
    (Path("truth") / "images").mkdir(parents=True)
    shutil.copy(frame, Path("truth/images/a b.png"))
    for name in STRUCTURES:
        (Path("truth") / "masks" / name).mkdir(parents=True)
        shutil.copy(tiny_folder / "masks" / name / frame.name, Path("truth/masks") / name / "a b.png")
    command.succeeds("predict", "truth", "out", "--model", "tiny", workspace=trained)
    (path,) = Path("out/masks/endoscope").iterdir()
    assert path.stem != "a b"
    write_png(path, np.ones((96, 96), bool))
    command.succeeds("evaluate", "out", "truth")
    command.succeeds("report", "tiny", "r.html", "--predictions", "out", "--reference", "truth", workspace=trained)
    assert module.METRIC_SHOWN
    assert seen
    assert all(prediction["endoscope"].all() for _, prediction in seen)
    assert any(mask.any() for reference, _ in seen for mask in reference.values())


@pytest.mark.parametrize(
    ("code", "words", "text"),
    [
        (2, ["nope"], "there is no planned dataset 'nope' (at DATASET); expected one of: tiny"),
        (2, ["tiny", "r.html", "--predictions", "nope"], "were not evaluated (at nope); run ercpseg evaluate first"),
        (2, ["tiny", "r.html", "--predictions", "scored", "--reference", "nope"], "no such folder (at nope)"),
        (65, ["tiny", "r.html", "--predictions", "garbled"], "garbled/scores.json"),
        (65, ["tiny", "r.html", "--predictions", "torn"], "torn/scores.csv"),
        (74, ["tiny", "file/r.html"], "writing failed"),
        (74, ["tiny", "scored"], "writing failed"),
    ],
)
def test_reports_that_cannot_be(
    command, trained, tmp_path, monkeypatch, code: int, words: list[str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("scored", "garbled", "torn"):
        write_png(Path(folder) / "masks/stone/a.png", np.ones((5, 5), bool))
        command.succeeds("evaluate", folder, folder)
    Path("garbled/scores.json").write_text("{")
    Path("torn/scores.csv").write_text("frame,structure\na\n")
    Path("file").write_text("x")
    before = snapshot(tmp_path)
    assert text in command.fails(code, "report", *words, workspace=trained)
    assert snapshot(tmp_path) == before
