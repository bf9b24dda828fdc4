"""The scores of a small committed scene stay what they were; ``generate.py`` makes both."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from ercpseg.evaluation.folders import read_mask
from ercpseg.evaluation.run import evaluate
from ercpseg.storage.tables import read_table

HERE = Path(__file__).parent


def flat(value: Any, key: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in flat(part, f"{key}/{name}").items()}
    return {key: value}


def test_scores_are_what_they_were(tmp_path: Path) -> None:
    evaluate(HERE / "prediction", HERE / "reference", output=tmp_path)
    got, expected = (flat(json.loads((f / "scores.json").read_text())) for f in (tmp_path, HERE / "expected"))
    assert got.keys() == expected.keys()
    numbers = {k for k, v in expected.items() if isinstance(v, float)}
    assert {k: got[k] for k in numbers} == pytest.approx({k: expected[k] for k in numbers}, rel=1e-9)
    assert {k: v for k, v in got.items() if k not in numbers} == {k: v for k, v in expected.items() if k not in numbers}
    assert read_table(tmp_path / "scores.csv") == read_table(HERE / "expected" / "scores.csv")


def test_the_generator_makes_the_committed_masks(tmp_path: Path) -> None:
    runpy.run_path(str(HERE / "generate.py"))["write_inputs"](tmp_path)
    made = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*.png"))
    assert made == sorted(p.relative_to(HERE) for p in HERE.rglob("*.png"))
    for path in made:
        assert (read_mask(tmp_path / path) == read_mask(HERE / path)).all()


def test_what_the_scene_shows_is_what_was_drawn() -> None:
    # Read by hand from generate.py, so that a regenerated file cannot hide a wrong score.
    s = json.loads((HERE / "expected" / "scores.json").read_text())
    assert (s["missing"], s["unmatched"], s["frames"], s["patients"]) == (["p4_a"], ["p5_a"], 4, 3)
    stone, wire = s["structures"]["stone"], s["structures"]["guidewire"]
    assert (stone["present"], stone["predicted"], stone["missed"], stone["invented"]) == (2, 3, 0, 1)
    # Stones: 3 drawn; found the first of p1_a and that of p3_a; the other of p1_a is missed, p1_b has one too many.
    o = stone["objects"]
    assert (o["true_positives"], o["false_positives"], o["false_negatives"]) == (2, 1, 1)
    assert (wire["present"], wire["missed"]) == (4, 1)
    assert s["per_patient"]["p2"]["guidewire"]["hd_px"] == 80.0  # missed: the diagonal of 48 × 64
    assert s["per_patient"]["p2"]["stone"]["dice"] is None
