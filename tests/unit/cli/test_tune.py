"""``tune``: what it says and writes, that no frame is scored by a fold that saw it, going on, and growing stale."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ercpseg.documents.plan import Plan
from ercpseg.documents.tuning import Tuning
from ercpseg.errors import DataError
from ercpseg.pipeline.known import load_planned
from ercpseg.pipeline.learn import train
from ercpseg.pipeline.out_of_fold import INDEX, held_out
from ercpseg.pipeline.prepare import PlanOptions, plan
from ercpseg.pipeline.tune import tune
from ercpseg.storage import documents, images
from ercpseg.storage.models import load_model
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import run_folder
from tests.conftest import TINY
from tests.unit.cli.command import leftovers, snapshot

STRUCTURES = ("endoscope", "guidewire", "cbd", "stone")


@pytest.fixture(scope="module")
def _two_folds(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """``tiny`` in two folds of three patients each, both trained for an epoch."""
    space = Workspace(tmp_path_factory.mktemp("two-folds") / "w")
    pins = (*TINY, ("schedule.time_budget_s", None), ("schedule.epochs", 1), ("folds.count", 2))
    plan(tiny_folder, workspace=space, options=PlanOptions(time_budget_s=2, device="cpu", overrides=pins))
    for fold in (0, 1):
        train("tiny", fold, workspace=space)
    return space


@pytest.fixture(scope="module")
def _tuned(_two_folds: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("tuned") / "w"
    shutil.copytree(_two_folds.root, root)
    tune("tiny", workspace=root)
    return Workspace(root)


@pytest.fixture
def two_folds(_two_folds: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace whose two folds are trained."""
    return Workspace(shutil.copytree(_two_folds.root, tmp_path / "two"))


@pytest.fixture
def tuned(_tuned: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace that is tuned, too."""
    return Workspace(shutil.copytree(_tuned.root, tmp_path / "tuned"))


def splits(space: Workspace) -> list[dict[str, list[str]]]:
    return json.loads((space.preprocessed_folder("tiny") / "splits_final.json").read_text())


def tuning_of(space: Workspace) -> Tuning:
    return documents.load(space.tuning_file("tiny"), Tuning)


def model_plan(space: Workspace):
    return load_model(space.model_folder("tiny")).plan


def folder(space: Workspace, fold: str) -> Path:
    return run_folder(space, "tiny", fold) / "out-of-fold"


def test_tune_writes_what_it_says_and_a_second_time_does_nothing(command, two_folds) -> None:
    planned = (two_folds.dataset_folder("tiny") / "plan.json").read_bytes()
    out = command.succeeds("tune", "tiny", workspace=two_folds)
    for name, metric in zip(STRUCTURES, ("Dice", "clDice", "Dice", "object F1"), strict=True):
        assert any(line.split()[:1] == [name] and metric in line for line in out.splitlines())
        assert f"\n{name}: " in out
    assert "18 frames of 6 patients, each predicted by the fold that held it out\n" in out
    assert f"wrote {two_folds.tuning_file('tiny')}\n" in out
    assert f"model: {two_folds.model_folder('tiny')}\n" in out
    assert out.endswith("next: ercpseg predict INPUT OUTPUT --model tiny\n")
    found = tuning_of(two_folds)
    assert (found.folds, found.frames, found.patients, found.left_out) == (("0", "1"), 18, 6, 0)
    assert set(found.tuned) == set(STRUCTURES)
    assert leftovers(two_folds.root) == []
    # The plan is as it was, so the folds still count; the model's plan says what was tuned.
    assert (two_folds.dataset_folder("tiny") / "plan.json").read_bytes() == planned
    assert "trained already" in command.succeeds("train", "tiny", 0, workspace=two_folds)
    for key in ("postprocess.threshold", "postprocess.steps"):
        decision = model_plan(two_folds).decision(key)
        assert decision.by == "tuning"
        assert "18 frames of 6 patients" in decision.because
    before = snapshot(two_folds.root / "nnunet"), snapshot(two_folds.root / "datasets")
    again = command.succeeds("tune", "tiny", workspace=two_folds)
    assert again.startswith("tiny is tuned already; --restart would choose anew\n")
    assert before == (snapshot(two_folds.root / "nnunet"), snapshot(two_folds.root / "datasets"))


def test_every_frame_is_scored_by_the_fold_that_held_it_out(two_folds, monkeypatch) -> None:
    """Fails when a frame is predicted with weights that were trained on it, by whatever way it gets there."""
    from ercpseg.inference.predictor import Predictor

    raw = two_folds.raw_folder("tiny") / "imagesTr"
    frames = {images.read_png(p).tobytes(): p.name.removesuffix("_0000.png") for p in raw.glob("*.png")}
    predicted: list[tuple[str, str]] = []
    original = Predictor.logits

    def logits(self, pixels, *before):
        assert len(self.folds) == 1
        predicted.append((frames[pixels.tobytes()], self.folds[0]))
        return original(self, pixels, *before)

    monkeypatch.setattr(Predictor, "logits", logits)
    tune("tiny", workspace=two_folds)
    folds = splits(two_folds)
    assert sorted(frame for frame, _ in predicted) == sorted(frames.values())
    for frame, fold in predicted:
        assert frame in folds[int(fold)]["val"]
        assert frame not in folds[int(fold)]["train"]
    # And what was kept on the disk lies with the fold that made it.
    for fold in ("0", "1"):
        kept = {path.stem for path in folder(two_folds, fold).glob("*.png")}
        assert kept == set(folds[int(fold)]["val"])


def test_a_fold_whose_split_has_changed_is_left_out(command, two_folds) -> None:
    first, second = splits(two_folds)
    moved = second["val"][0]  # fold 0 trained on it
    changed = [
        {"train": [f for f in first["train"] if f != moved], "val": [*first["val"], moved]},
        {"train": [*second["train"], moved], "val": [f for f in second["val"] if f != moved]},
    ]
    path = two_folds.preprocessed_folder("tiny") / "splits_final.json"
    path.write_text(json.dumps(changed))
    error = command.fails(65, "tune", "tiny", workspace=two_folds)
    assert "no frame is held out" in error
    path.write_text(json.dumps([first, changed[1]]))
    ended = command("tune", "tiny", workspace=two_folds)
    assert ended.code == 0
    assert "fold 1 was trained on another split and is left out; train it again with --restart" in ended.err
    assert "9 frames left out" in ended.out


def test_frames_that_are_trained_on_or_kept_for_the_test_are_refused(two_folds) -> None:
    planned = load_planned(two_folds, "tiny")
    assert len(held_out(two_folds, planned, ("0", "1")).frames) == 18
    table = two_folds.dataset_folder("tiny") / "frames.csv"
    with table.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    test_frame = next(row for row in rows if row["frame"] == splits(two_folds)[1]["val"][0])
    test_frame["split"] = "test"
    with table.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(DataError, match="1 frames of fold 1 are trained on, kept for the test or held out twice"):
        held_out(two_folds, planned, ("0", "1"))
    # A validation that names frames of the training too: the split says that nothing is held out from it.
    first, second = splits(two_folds)
    (two_folds.preprocessed_folder("tiny") / "splits_final.json").write_text(
        json.dumps([{"train": first["train"], "val": [*first["val"], first["train"][0]]}, second])
    )
    with pytest.raises(DataError, match="in training and validation"):
        held_out(two_folds, planned, ("0",))


def test_without_a_trained_fold_it_says_what_to_do(command, workspace) -> None:
    before = snapshot(workspace.root)
    error = command.fails(2, "tune", "tiny", workspace=workspace)
    assert "no fold of tiny that holds frames out is trained (at DATASET)" in error
    assert error.endswith("run ercpseg train tiny 0 first")
    assert snapshot(workspace.root) == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["tiny", "--structures", "liver"], "there is no structure liver (at --structures); expected of endoscope"),
        (["tiny", "--structures", ""], "has an empty name"),
        (["tiny", "--fold", "1"], "fold 1 of tiny is not trained (at --fold); expected of 0"),
        (["tiny", "--fold", "0,,"], "'0,,' has an empty name (at --fold)"),
        (["tiny", "--device", "tpu"], "unknown device 'tpu'"),
        (["nope"], "there is no planned dataset 'nope'"),
    ],
)
def test_words_that_make_no_sense(command, finished, words: list[str], text: str) -> None:
    before = snapshot(finished.root)
    assert text in command.fails(2, "tune", *words, workspace=finished)
    assert snapshot(finished.root) == before


def test_one_fold_of_one_patient_settles_nothing_and_says_what_is_left_out(command, finished) -> None:
    out = command.succeeds("tune", "tiny", "--structures", "endoscope", workspace=finished)
    assert "3 frames of 1 patients" in out
    assert "15 frames left out, whose folds are not trained" in out
    found = tuning_of(finished)
    assert list(found.tuned) == ["endoscope"]
    assert not found.tuned["endoscope"].accepted
    assert "fewer than two patients show it" in found.tuned["endoscope"].why
    untouched = load_planned(finished, "tiny").plan.values.postprocess
    assert model_plan(finished).values.postprocess == untouched


def test_a_candidate_is_worth_what_prediction_and_evaluation_say(tuned) -> None:
    """By another way: every frame predicted as ``predict`` does, by the fold that held it out, scored as ``evaluate`` does."""
    from ercpseg.evaluation.aggregate import mean_of_patients, score_objects
    from ercpseg.evaluation.frame import score_frame
    from ercpseg.inference.predictor import Predictor
    from ercpseg.training.model import fold_model

    planned = load_planned(tuned, "tiny")
    low = dict.fromkeys(STRUCTURES, 0.05)  # after so little training nothing is found at 0.5
    decisions = [
        d.model_copy(update={"value": low}) if d.key == "postprocess.threshold" else d for d in planned.plan.decisions
    ]
    lowered = planned.plan.model_copy(update={"decisions": tuple(decisions)})
    scores = {name: [] for name in STRUCTURES}
    for fold in ("0", "1"):
        model = fold_model(tuned, planned.dataset, planned.plan, planned.fingerprint, fold)
        predictor = Predictor(replace(model, plan=Plan.parse(json.loads(lowered.to_json()))), device="cpu")
        for frame in splits(tuned)[int(fold)]["val"]:
            masks = predictor.predict(
                images.read_png(tuned.raw_folder("tiny") / "imagesTr" / f"{frame}_0000.png")
            ).masks
            truth = planned.dataset.structure_set.decode(
                images.read_png(tuned.raw_folder("tiny") / "labelsTr" / f"{frame}.png")
            )
            patient = frame.split("_")[0]
            for name in STRUCTURES:
                scored = score_frame(
                    reference=truth[name], prediction=masks[name], frame=frame, patient=patient, structure=name
                )
                scores[name].append(scored)
    found = tuning_of(tuned).tuned
    tried = {name: next(t.value for t in found[name].trials if t.label == "0.05") for name in STRUCTURES}
    assert tried["endoscope"] > 0.01
    for name, metric in (("endoscope", "dice"), ("guidewire", "cldice"), ("cbd", "dice")):
        mean = mean_of_patients([s.patient for s in scores[name]], [getattr(s, metric) for s in scores[name]])
        assert tried[name] == pytest.approx(mean.mean)
        assert (found[name].frames, found[name].patients) == (mean.frames, mean.patients)
    assert tried["stone"] == pytest.approx(score_objects(scores["stone"]).f1)


def write_levels(space: Workspace, fold: str, make) -> None:
    """Put other predictions of a fold in place of its own: ``make(truth masks)`` gives levels by structure."""
    index = json.loads((folder(space, fold) / INDEX).read_text())
    names = load_planned(space, "tiny").dataset.structure_set
    for frame in index["frames"]:
        truth = names.decode(images.read_png(space.raw_folder("tiny") / "labelsTr" / f"{frame}.png"))
        data = images.encode_png(np.concatenate([make(name, truth[name]) for name in names]))
        (folder(space, fold) / f"{frame}.png").write_bytes(data)
        index["frames"][frame] = hashlib.sha256(data).hexdigest()
    (folder(space, fold) / INDEX).write_text(json.dumps(index))


def test_what_is_better_is_accepted_and_used_by_predict(command, tuned, tiny_folder, tmp_path) -> None:
    # The endoscope is found with 0.30 where it is and 0.21 a pixel around it, everything else exactly as it is.
    def make(name: str, truth: np.ndarray) -> np.ndarray:
        if name != "endoscope":
            return np.where(truth, 190, 2).astype(np.uint8)
        around = np.pad(truth, 1)
        around = around[2:, 1:-1] | around[:-2, 1:-1] | around[1:-1, 2:] | around[1:-1, :-2]
        return np.where(truth, 60, np.where(around, 42, 2)).astype(np.uint8)

    for fold in ("0", "1"):
        write_levels(tuned, fold, make)
    out = command.succeeds("tune", "tiny", "--restart", workspace=tuned)
    assert "endoscope: Dice gains more than one standard error; now threshold 0.25, " in out
    found = tuning_of(tuned).tuned
    assert (found["endoscope"].accepted, found["endoscope"].threshold) == (True, 0.25)
    # At 0.5 nothing is found, at 0.25 everything; 0.2 would take the rim too, and 0.3 finds nothing again.
    assert (found["endoscope"].default_value, found["endoscope"].value) == (0.0, 1.0)
    assert found["guidewire"].value == found["cbd"].value == 1.0
    assert not any(
        trial.accepted for name in STRUCTURES[1:] for trial in found[name].trials if trial.stage == "threshold"
    )
    threshold = model_plan(tuned).decision("postprocess.threshold")
    assert threshold.value == {"endoscope": 0.25, "guidewire": 0.5, "cbd": 0.5, "stone": 0.5}
    assert "endoscope: Dice 0.000 → 1.000, gain 1.000 > standard error 0.000 (18 frames of 6 patients)" in (
        threshold.because
    )
    assert threshold.alternatives[0].value == dict.fromkeys(STRUCTURES, 0.5)
    command.succeeds("predict", tiny_folder / "images", tmp_path / "out", "--model", "tiny", workspace=tuned)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["plan_sha256"] == model_plan(tuned).sha256


def test_structures_that_are_not_named_keep_what_was_chosen(command, tuned) -> None:
    old = tuning_of(tuned)
    command.succeeds("tune", "tiny", "--structures", "stone,cbd", "--restart", workspace=tuned)
    assert tuning_of(tuned).tuned == old.tuned
    # On other folds nothing is kept.
    command.succeeds("tune", "tiny", "--structures", "stone", "--fold", "1", workspace=tuned)
    assert (list(tuning_of(tuned).tuned), tuning_of(tuned).folds) == (["stone"], ("1",))


def test_training_a_fold_makes_the_tuning_stale_and_says_so(command, tuned) -> None:
    assert model_plan(tuned).decision("postprocess.steps").by == "tuning"
    ended = command("train", "tiny", 1, "--restart", "--epochs", 2, workspace=tuned)
    assert ended.code == 0
    told = "the tuning of tiny does not count any more: fold 1 was trained since; run ercpseg tune tiny again"
    assert told in ended.err
    assert model_plan(tuned).decision("postprocess.steps").by == "rule"
    ended = command("tune", "tiny", workspace=tuned)
    assert "the tuning before this one does not count any more: fold 1 was trained since" in ended.err
    assert model_plan(tuned).decision("postprocess.steps").by == "tuning"


def test_a_stopped_tuning_goes_on_and_damaged_predictions_are_made_again(command, two_folds, monkeypatch) -> None:
    from ercpseg.inference.predictor import Predictor

    original, calls = Predictor.logits, []

    def logits(self, pixels, *before):
        calls.append(self.folds)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(self, pixels, *before)

    monkeypatch.setattr(Predictor, "logits", logits)
    assert command("tune", "tiny", workspace=two_folds).code == 75
    assert not two_folds.tuning_file("tiny").exists()
    kept = sorted(folder(two_folds, "0").glob("*.png"))
    assert len(kept) == 5
    kept[0].write_bytes(kept[0].read_bytes()[:-9])
    command.succeeds("tune", "tiny", workspace=two_folds)
    assert len(calls) == 6 + 18 - 4  # four of five were whole
