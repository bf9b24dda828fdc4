"""What recipes and users may say of a network alone, and of further loss terms: checked before anything is built."""

from __future__ import annotations

from typing import Any

import pytest

from ercpseg.documents.plan import Plan
from ercpseg.documents.recipe import Recipe
from ercpseg.errors import DocumentError, UsageError
from ercpseg.networks import build_network
from ercpseg.networks.options import SPECS
from ercpseg.planner.budget import Budget
from ercpseg.planner.plan import make_plan
from ercpseg.planner.sizes import features_for
from tests.golden.planner.generate import franet_like, martin_like

CPU = Budget("cpu", 8.0, 600.0, 2)


def plan_with(user: dict[str, Any] | None = None, **pins: Any) -> Plan:
    recipe = Recipe.new(name="mine", title="T", set=pins)
    return make_plan(franet_like(), recipe, CPU, overrides=user)


def test_the_defaults_stand_in_the_plan() -> None:
    made = plan_with(**{"network.name": "fra-net"})
    assert made.values.network.options == {
        "encoder": "mobilenetv2_100",
        "attention": True,
        "recurrent": True,
        "steps": 3,
    }
    assert made.decision("network.options").by == "rule"
    assert plan_with(**{"network.name": "light"}).values.network.options == {}


def test_one_entry_or_the_whole() -> None:
    one = plan_with({"network.options.steps": 2}, **{"network.name": "fra-net"})
    assert one.values.network.options["steps"] == 2
    assert one.values.network.options["attention"] is True
    whole = plan_with(**{"network.name": "fra-net", "network.options": {"attention": False, "recurrent": False}})
    assert whole.values.network.options == {"attention": False, "recurrent": False}
    network = build_network(whole.values.network, len(whole.heads))
    assert sum(p.numel() for p in network.parameters()) < 6_000_000  # 9.5 million with both


@pytest.mark.parametrize(
    ("options", "where", "expected"),
    [
        ({"encoder": "vgg19"}, "network.options.encoder", "resnet34"),
        ({"steps": 9}, "network.options.steps", "from 1 to 5"),
        ({"attention": 1}, "network.options.attention", "true or false"),
        ({"blocks": 1}, "network.options", "encoder, attention"),
    ],
)
def test_mistakes_name_the_key_and_the_choices(options: dict[str, Any], where: str, expected: str) -> None:
    pins = {"network.name": "fra-net", "network.options": options}
    with pytest.raises(DocumentError) as by_recipe:
        plan_with(**pins)
    with pytest.raises(UsageError) as by_user:
        plan_with(pins)
    for error in (by_recipe.value, by_user.value):
        assert where in error.message
        assert expected in error.message
    assert "--set" in by_user.value.message


def test_an_entry_that_the_network_lacks() -> None:
    with pytest.raises(UsageError, match="no entry 'encoder'"):
        plan_with({"network.options.encoder": "resnet34"}, **{"network.name": "realtime"})


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"name": "dicee"}, "no loss called 'dicee'"),
        ({"name": "focal", "params": {"alpha": {"guidwire": 3.0}}}, "no head called 'guidwire'"),
        ({"name": "class-balance"}, "needs frequency"),
        ({"name": "dice", "weight": -1.0}, "from 0 to 1000"),
    ],
)
def test_a_wrong_term_is_refused_at_plan_time(term: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        plan_with(**{"loss.terms": [term]})
    with pytest.raises(UsageError, match=message):
        plan_with({"loss.terms": [term]})


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("edge_px", [32, 200, 512, 1024])
def test_every_network_gets_levels_it_can_have(name: str, edge_px: int) -> None:
    features = features_for(name, edge_px)
    low, high = SPECS[name].levels
    assert low <= len(features) <= high
    if edge_px >= 512 and name not in ("unet", "resenc"):
        assert features == SPECS[name].features


@pytest.mark.parametrize("name", SPECS)
def test_every_network_can_be_planned(name: str) -> None:
    for budget in (CPU, Budget("cuda", 16.0)):
        made = make_plan(martin_like(), Recipe.new(name="mine", title="T", set={"network.name": name}), budget)
        assert made.values.network.name == name
