"""The plans of fixed fingerprints stay as they are, so that a changed rule shows up in review as changed plans."""

from __future__ import annotations

import pytest

from ercpseg.documents.plan import Plan
from ercpseg.storage import documents
from tests.golden.planner.generate import FOLDER, RECIPES, plans, recipe_values

PLANS = plans()


@pytest.mark.parametrize("name", sorted(PLANS))
def test_the_plan_is_the_committed_one(name: str) -> None:
    committed = documents.load(FOLDER / f"{name}.json", Plan)
    now = PLANS[name]
    changed = {
        d.key: (committed.decision(d.key).value, d.value) for d in now.decisions if d != committed.decision(d.key)
    }
    assert changed == {}
    assert now == committed


def test_no_committed_plan_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(PLANS)


def test_what_every_recipe_plans_is_committed() -> None:
    committed, now = documents.load_json(RECIPES), recipe_values()
    assert list(committed) == list(now)
    changed = {
        f"{name}: {key}": (committed[name].get(key), value)
        for name, values in now.items()
        for key, value in values.items()
        if committed[name].get(key, "absent") != value
    }
    assert changed == {}
    assert committed == now
