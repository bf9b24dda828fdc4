"""Figures by sequence, by hand, and the report that shows them."""

from __future__ import annotations

from typing import Any

import pytest

from ercpseg.documents.comparison import Candidate, CandidateRun, Comparison, Paired, Verdict
from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.scores import METRICS, FrameScore
from ercpseg.pipeline.compare_metrics import metric_rows
from ercpseg.pipeline.compare_sequences import sequence_rows, sequences_of
from ercpseg.reporting.study import study_markdown


def record(frame: str, patient: str | None, series: str | None) -> FrameRecord:
    return FrameRecord(
        frame=frame, source=frame, status="used", patient=patient, series=series, height_px=10, width_px=20
    )


USED = [record("b1", "p", "s2"), record("a1", "p", "s1"), record("a2", "p", "s1"), record("c1", "q", None)]
USED += [record("c2", "q", None), record("d1", None, None)]


def score(frame: str, dice: float | None, predicted: int = 0, hit: int = 0) -> FrameScore:
    values = dict.fromkeys(METRICS, None) | {"dice": dice}
    return FrameScore(
        frame=frame, patient="x", structure="wire", reference_px=4, prediction_px=predicted, intersection_px=hit,
        reference_objects=1, prediction_objects=1, matched_objects=0, **values,
    )  # fmt: skip


def test_sequences_are_series_then_patients_in_the_order_of_names() -> None:
    """Two series of one patient are two; where no series is known the patient is one, and a frame alone is itself."""
    expected = {"a1": "T1", "a2": "T1", "b1": "T2", "c1": "T3", "c2": "T3", "d1": "T4"}
    assert sequences_of(USED) == expected
    assert sequences_of(list(reversed(USED))) == expected


def test_rows_by_hand() -> None:
    """T1: Dice 0.2 and 0.4 over two trainings of a1, 0.6 of a2; T3: 0.8, and c2 has none. T2 and T4 were not held out."""
    scores = [score("c1", 0.8, 10, 4), score("a1", 0.2, 20, 0), score("a1", 0.4, 0, 0), score("a2", 0.6, 1, 1)]
    scores += [score("c2", None, 200, 0)]
    rows = list(sequence_rows({"auto": {"wire": scores}}, USED))
    dice = [(r["sequence"], r["first_frame"], r["mean"], r["sd"], r["frames"]) for r in rows if r["metric"] == "dice"]
    assert dice == [
        ("T1", "a1", 0.4, pytest.approx(0.163299, abs=1e-6), 2),
        ("T3", "c1", 0.8, 0.0, 1),
        ("mean", "", 0.6, pytest.approx(0.2), 3),
    ]
    # Of 200 px: 20, 0 and 0 too many in T1; 6 and all 200 in T3.
    extra = {r["sequence"]: r["mean"] for r in rows if r["metric"] == "fp_frac"}
    assert extra == pytest.approx({"T1": 0.1 / 3, "T3": (0.03 + 1) / 2, "mean": (0.1 / 3 + 0.515) / 2}, abs=1e-6)
    nowhere = [r for r in rows if r["metric"] == "cldice"]
    assert [(r["mean"], r["frames"]) for r in nowhere] == [(None, 0)] * 3


def comparison(*recipes: str) -> Comparison:
    def candidate(name: str) -> Candidate:
        run = CandidateRun(
            seed=1, fold="0", plan_sha256="", epochs=1, iterations=2, seconds=1, parameters=687474, folder="f"
        )
        return Candidate(recipe=name, given=name, recipe_sha256="", network="light", forward_ms=71.04, runs=(run,))

    def paired(name: str, value: float, difference: float) -> Paired:
        return Paired(
            recipe=name, scope="structure", name="wire", metric="dice", value=value, difference=difference,
            low=difference, high=difference, frames=3, patients=2,
        )  # fmt: skip

    return Comparison.new(
        dataset="data", study="mine", folds=(0, 1), time_budget_s=90.0, device="cpu", seeds=(1,), fingerprint_sha256="",
        splits_sha256="", frames=3, patients=2, families={"wire": "large"},
        candidates=[candidate(name) for name in recipes],
        rows=[paired(name, 0.5 + i / 10, i / 10) for i, name in enumerate(recipes)],
        winners={"overall": Verdict(recipe=recipes[0], clear=False, because="Nothing.")}, warnings=("Few.",),
    )  # fmt: skip


def test_the_report_holds_the_form_of_printed_tables() -> None:
    scores: dict[str, Any] = {
        "first": {"wire": [score("a1", 0.2), score("c1", 0.8, 10, 4)]},
        "b|d": {"wire": [score("a1", 0.4), score("c1", 0.6)]},
    }
    text = study_markdown(comparison(*scores), list(metric_rows(scores)), list(sequence_rows(scores, USED)))
    lines = text.splitlines()
    assert "# Study mine" in lines
    assert (
        "data, folds 0, 1: 1 min 30 s on cpu for each training, 1 seed. 3 frames, 2 patients held out, scored at "
        in text
    )
    assert "| wire | dice | 0.500 | 0.600: +0.100 (+0.100 to +0.100) |" in lines
    assert "| first | light | 687,474 | 71.0 | 2 |  |" in lines
    assert any(line.startswith("| b\\|d | 0.500 ± 0.100 | – |") for line in lines)
    assert "| sequence | first frame | n | first: Dice | b\\|d: Dice | first: FP % | b\\|d: FP % |" in lines
    assert lines[-3:] == [
        "| T1 | a1 | 1 | 0.200 | 0.400 | 0.00 | 0.00 |",
        "| T3 | c1 | 1 | 0.800 | 0.600 | 3.00 | 0.00 |",
        "| mean |  | 2 | 0.500 | 0.500 | 1.50 | 0.00 |",
    ]


def test_hundreds_of_patients_are_left_to_the_table() -> None:
    used = [record(f"f{i:03d}", f"p{i}", None) for i in range(61)]
    scores = {"first": {"wire": [score(r.frame, 0.5) for r in used]}}
    text = study_markdown(comparison("first"), list(metric_rows(scores)), list(sequence_rows(scores, used)))
    assert "61 sequences: see `sequences.csv`." in text
    assert "T61" not in text
