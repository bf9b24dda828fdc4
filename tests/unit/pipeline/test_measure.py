"""What a setting is worth: the Dice beside every metric that is not Dice, so that a gain by shrinking or fattening shows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ercpseg.pipeline.measure import Measurer, _score


@pytest.mark.parametrize(("metric", "beside"), [("object_f1", 2 / 3), ("cldice", 2 / 3), ("dice", None)])
def test_the_dice_is_measured_beside_other_metrics(metric: Any, beside: float | None) -> None:
    # A stone of 4 × 4 px of which half is drawn is found, and overlaps by 2 · 8 / (16 + 8).
    stone = np.zeros((12, 12), np.bool_)
    stone[4:8, 4:8] = True
    half = stone.copy()
    half[6:] = False
    figures = _score(stone, half, metric, surface=False)
    assert (figures.found, figures.objects) == (1, 1)
    held: Any = SimpleNamespace(frames=[SimpleNamespace(group=0)], groups=1)
    plan: Any = SimpleNamespace(structure_set=None)
    evidence = Measurer(held, plan)._evidence(metric, [figures], surface=False)
    assert (evidence.dice and evidence.dice.value) == (beside and pytest.approx(beside))
    if metric == "object_f1":
        assert evidence.score.value == 1.0
