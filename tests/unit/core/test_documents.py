"""What all documents share, and the plan's typed values."""

from __future__ import annotations

import json
import math
from typing import ClassVar

import pytest
from pydantic import Field, ValidationError

from ercpseg.documents.base import Document, Part
from ercpseg.documents.plan import Decision
from ercpseg.documents.recipe import Recipe
from ercpseg.documents.serving import Serving, serving_of
from ercpseg.errors import DocumentError
from tests.unit.core.plans import plan_of, sections, tiny_plan


class Inner(Part):
    length_px: float = Field(ge=0)


class Example(Document):
    SCHEMA: ClassVar[str] = "ercpseg.example/1"
    name: str
    count: int = 0
    inner: tuple[Inner, ...] = ()
    table: dict[str, float] = Field(default_factory=dict)


GOOD = {"schema": "ercpseg.example/1", "name": "a", "inner": [{"length_px": 1}], "table": {"b": 1.5, "a": 2}}


def test_a_trip_through_json() -> None:
    document = Example.parse(GOOD)
    assert Example.parse(json.loads(document.to_json())) == document


def test_documents_are_frozen() -> None:
    document = Example.parse(GOOD)
    with pytest.raises(ValidationError, match="frozen"):
        document.name = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        document.inner[0].length_px = 2  # type: ignore[misc]


def test_every_problem_is_reported_with_its_key() -> None:
    bad = {**GOOD, "name": 3, "count": "many", "inner": [{"length_px": 1}, {"length_px": -1, "colour": "red"}], "x": 1}
    with pytest.raises(DocumentError) as caught:
        Example.parse(bad, where="example.json")
    message = caught.value.message
    assert message.startswith("5 problem(s)")
    assert "(at example.json)" in message
    for key in ("name:", "count:", "inner.1.length_px:", "inner.1.colour:", "x:"):
        assert key in message, key


def test_the_schema_tag_comes_first() -> None:
    """A newer document is called newer, instead of being blamed for its unknown keys."""
    for tag in ("ercpseg.example/2", "ercpseg.plan/1", None, 1, ["ercpseg.example/1"]):
        with pytest.raises(DocumentError, match="schema is") as caught:
            Example.parse({**GOOD, "schema": tag, "unknown": 1})
        assert "'ercpseg.example/1'" in caught.value.message
        assert "unknown:" not in caught.value.message
    with pytest.raises(DocumentError, match="schema is"):
        Example.parse({key: value for key, value in GOOD.items() if key != "schema"})


def test_a_long_tag_is_cut() -> None:
    with pytest.raises(DocumentError) as caught:
        Example.parse({"schema": "x" * 100_000})
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("data", [None, [], "text", 1, [GOOD]])
def test_only_mappings_are_documents(data: object) -> None:
    with pytest.raises(DocumentError, match="mapping"):
        Example.parse(data)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers(number: float) -> None:
    with pytest.raises(DocumentError, match=r"inner\.0\.length_px"):
        Example.parse({**GOOD, "inner": [{"length_px": number}]})
    with pytest.raises(DocumentError, match=r"table\.a"):
        Example.parse({**GOOD, "table": {"a": number}})


@pytest.mark.parametrize("value", [math.nan, [1.0, math.inf], {"a": [{"b": -math.inf}]}])
def test_only_finite_numbers_where_any_value_may_stand(value: object) -> None:
    """They would be written as null, so that another document would come back."""
    recipe = {"schema": "ercpseg.recipe/1", "name": "a", "title": "b"}
    with pytest.raises(DocumentError, match=r"set\.x: .*finite"):
        Recipe.parse({**recipe, "set": {"x": value}})
    with pytest.raises(ValidationError, match="finite"):
        Decision(key="a.b", value=value, rule="pin", by="user", because="x", source="x")
    assert Recipe.parse({**recipe, "set": {"x": [1, 2.5, None, {"y": "nan"}]}}).pins["x"][3] == {"y": "nan"}


def test_equal_documents_give_equal_text_and_hash() -> None:
    turned = dict(reversed(GOOD.items())) | {"table": {"a": 2.0, "b": 1.5}}
    a, b = Example.parse(GOOD), Example.parse(turned)
    assert a.to_json() == b.to_json()
    assert a.sha256 == b.sha256
    assert a.to_json().endswith("}\n")
    assert a.sha256 != Example.parse({**GOOD, "count": 1}).sha256


def test_new_sets_the_tag() -> None:
    assert json.loads(Example.new(name="a").to_json())["schema"] == "ercpseg.example/1"


def test_the_plan_made_by_hand_has_typed_values() -> None:
    plan = tiny_plan()
    assert plan.values.patch.size_px == (64, 64)
    assert plan.heads == {"endoscope": 1, "guidewire": 2, "instrument": 3}
    assert plan.decision("network.name").value == "light-full"
    with pytest.raises(KeyError):
        plan.decision("network.nam")


def test_every_decision_is_needed() -> None:
    for key in sections():
        values = sections()
        del values[key]
        with pytest.raises(DocumentError, match=key.replace(".", r"\.")):
            _ = plan_of(values).values


@pytest.mark.parametrize("key", ["network.depth", "weather.today", "network", "network.", ".name", "network.name.x"])
def test_unknown_decisions_are_refused(key: str) -> None:
    with pytest.raises(DocumentError):
        _ = plan_of(sections() | {key: 1}).values


def test_a_second_decision_on_the_same_value_is_refused() -> None:
    """Else the one that is explained (the first) would not be the one that is used (the last)."""
    plan = tiny_plan()
    again = plan.decision("patch.batch_size").model_copy(update={"value": 7})
    twice = plan.model_copy(update={"decisions": (*plan.decisions, again)})
    with pytest.raises(DocumentError, match=r"patch\.batch_size"):
        _ = twice.values


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("patch.batch_size", 0),
        ("preparation.working_long_side_px", 4097),
        ("augmentation.apply_prob", 1.1),
        ("optimiser.name", "adam"),
        ("network.deep_supervision", -1),
        ("patch.size_px", [64]),
        ("schedule.epochs", 1.5),
        ("optimiser.learning_rate", "fast"),
    ],
)
def test_values_out_of_range_are_refused_with_their_key(key: str, value: object) -> None:
    with pytest.raises(DocumentError, match=key.replace(".", r"\.")):
        _ = plan_of(sections() | {key: value}).values


def test_values_do_not_change_a_plan() -> None:
    a, b = tiny_plan(), tiny_plan()
    _ = a.values
    assert a == b
    assert a.sha256 == b.sha256


def test_one_frame_is_not_written_so_that_older_documents_keep_their_hash() -> None:
    one, four = serving_of(tiny_plan()), serving_of(tiny_plan(input__frames=4))
    assert '"frames"' not in one.to_json()
    assert json.loads(four.to_json())["frames"] == 4
    assert Serving.parse(json.loads(one.to_json())) == one
    assert tiny_plan().values.input.frames == 1  # no decision on it, as in plans of before
