"""Every shipped recipe loads, plans on three fingerprints, and stands in the README; loading refuses what it must."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.recipe import Recipe
from ercpseg.errors import DocumentError, UsageError
from ercpseg.pipeline.pretrain import _pins
from ercpseg.planner.budget import Budget
from ercpseg.planner.pins import base_key
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipe_checks import check_recipe
from ercpseg.planner.recipes import expand, load_recipe
from ercpseg.planner.rules import KEYS
from ercpseg.storage import documents
from ercpseg.storage.resources import resource_folder, resource_names
from tests.docs.recipes import README, recipes_page
from tests.golden.planner.generate import chest_like, ercp_like, martin_like, steady

NAMES = resource_names("plans")


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_is_named_like_its_file(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.title


def whole(value: object, key: str, planned: object) -> object:
    """A pinned value as the plan holds it: one for all structures is one for each, and shares are counted."""
    if isinstance(planned, dict) and not isinstance(value, dict):
        return dict.fromkeys(planned, value)
    return planned if key == "loss.terms" else value


@pytest.mark.parametrize("make", [martin_like, ercp_like, chest_like])
@pytest.mark.parametrize("name", NAMES)
def test_it_plans(name: str, make: Callable[[], Fingerprint]) -> None:
    recipe, data = load_recipe(name), make()
    wanted = recipe.pins.get("heads.structures", list(data.structures))
    if not set(wanted) <= set(data.structures):
        with pytest.raises(DocumentError, match="are no structures of this dataset"):
            make_plan(data, recipe, Budget("cuda", 8.0), steady)
        return
    for budget in (Budget("cpu", 8.0, 600.0, 2), Budget("cuda", 8.0)):
        plan = make_plan(data, recipe, budget, steady)
        assert set(plan.values.heads.structures) == set(wanted)
        for key, value in recipe.pins.items():
            if key.count(".") == 1:
                decision = plan.decision(key)
                assert decision.by == "recipe"
                assert str(decision.value) == str(whole(value, key, decision.value))


VARIANTS = [f"{name}:{variant}" for name in NAMES for variant in load_recipe(name).variants]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_plans_something_else(name: str) -> None:
    base = name.split(":")[0]
    plan = make_plan(ercp_like(), load_recipe(name), Budget("cuda", 8.0))
    same = {
        "fra-net:alpha-100-gamma-2.5",
        "pishro:dl-cfl",
        "light-unet-synthetic-transfer:layers-7",
        "light-unet-synthetic-transfer:dice",
    }
    values = make_plan(ercp_like(), load_recipe(base), Budget("cuda", 8.0)).values
    assert (plan.values == values) == (name in same)
    assert plan.recipe == name


PARTS = {"schema", "cites", "claims", "set", "deviations", "unknown"}
REPRODUCING = {
    "ambrosini": "Ambrosini",
    "fra-net": "Zhou",
    "light-unet": "Gherardini",
    "light-unet-synthetic-transfer": "Gherardini",
    "lip6-cascade": "LIP6",
    "lip6-one-label": "LIP6",
    "lip6-two-labels": "LIP6",
    "martin-endoscope": "Martin",
    "martin-guidewire": "Martin",
    "nnunet": "Isensee",
    "nnunet-resenc-m": "Isensee",
    "pishro": "Pishro",
}
"""Recipe → what it reproduces; the others are ours."""
NO_FIGURES = {"lip6-cascade", "lip6-one-label", "lip6-two-labels", "nnunet", "nnunet-resenc-m"}
"""An offer prints no figure, and nnU-Net none of ERCP."""
METRIC = re.compile(r"\b(Dice|IoU|F1|precision|Hausdorff|distance)\b")
PLACE = re.compile(r"(table \d|figure \d|section \d(\.\d)?|abstract)\b")


def written(name: str) -> dict[str, Any]:
    """The file itself, without what it inherits."""
    found: dict[str, Any] = documents.load_yaml(resource_folder("plans") / f"{name}.yaml")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_has_its_six_parts(name: str) -> None:
    """Also those that are empty, so that nobody has to guess whether something was forgotten."""
    data = written(name)
    assert set(data) - {"name", "title", "extends", "variants"} == PARTS
    for part in ("cites", "deviations", "unknown"):
        lines = data[part]
        assert isinstance(lines, list) and len(set(lines)) == len(lines)
        assert all(isinstance(line, str) and len(line.split()) >= 3 for line in lines), part
    assert all(line.endswith(".") for part in ("deviations", "unknown") for line in data[part])
    recipe = load_recipe(name)
    assert {claim.variant for claim in recipe.claims} <= {None, *recipe.variants}
    told = [(claim.variant, claim.dataset, claim.metric, claim.where) for claim in recipe.claims]
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_sets_can_be(name: str) -> None:
    """Every key is a decision, every value of its type and range, every name a network's, loss's or step's: of each variant."""
    recipe = load_recipe(name)
    for pins in (recipe.pins, *(recipe.variant(variant).pins for variant in recipe.variants)):
        assert {base_key(key) for key in pins} <= set(KEYS)
        check_recipe(pins, where=name)
    for values in (written(name)["set"], *written(name).get("variants", {}).values()):
        assert all(value is None or value != "" for value in values.values())
    own = written(name)
    inherited = load_recipe(own["extends"]).pins if "extends" in own else {}
    again = {key for key, value in own["set"].items() if key in inherited and inherited[key] == value}
    assert again == set(), "it sets again what it inherits"


@pytest.mark.parametrize("name", NAMES)
def test_what_reproduces_a_paper_says_what_and_how_far(name: str) -> None:
    recipe = load_recipe(name)
    if name not in REPRODUCING:
        assert recipe.claims == (), "a figure of a paper needs a recipe that reproduces the paper"
        return
    assert any(REPRODUCING[name] in cite and re.search(r"\b(19|20)\d\d\b", cite) for cite in recipe.cites)
    assert recipe.set and recipe.deviations
    assert bool(recipe.unknown) == (name not in ("nnunet", "nnunet-resenc-m"))  # its source code leaves nothing open
    assert bool(recipe.claims) == (name not in NO_FIGURES)
    for claim in recipe.claims:
        assert METRIC.search(claim.metric), f"{claim.metric} names no metric"
        assert PLACE.match(claim.where or ""), f"{claim.metric} does not say where it is printed"
        assert re.search(r"\d", claim.value) and len(claim.dataset.split()) >= 1
        numbers = re.findall(r"\d+(?:\.\d+)?", claim.value)
        assert all(float(number) <= 100 for number in numbers)
    with_rows = {claim.variant for claim in recipe.claims}
    if name in ("pishro", "fra-net"):
        assert set(recipe.variants) <= with_rows, "a row of the table without its figure"


def test_losses_of_fine_tuning_differ_in_one_stage_or_in_both() -> None:
    dice, both, second = (
        load_recipe(f"light-unet-synthetic-transfer:{name}").pins
        for name in ("dice", "cross-entropy", "cross-entropy-fine-tuning")
    )
    assert dice == load_recipe("light-unet-synthetic-transfer").pins
    assert both["loss.terms"] == second["loss.terms"] == load_recipe("light-unet:cross-entropy").pins["loss.terms"]
    assert second["transfer.pretrain_terms"] == dice["loss.terms"]
    assert {key for key in both if both[key] != dice.get(key)} == {"loss.terms"}
    first = {
        name: _pins(make_plan(ercp_like(), load_recipe(f"light-unet-synthetic-transfer:{name}"), Budget("cuda", 8.0)))
        for name in ("dice", "cross-entropy", "cross-entropy-fine-tuning")
    }
    assert first["cross-entropy-fine-tuning"] == first["dice"]  # so that they share one training on synthetic frames
    assert [term["name"] for term in first["cross-entropy"]["loss.terms"]] == ["weighted-cross-entropy"]


def test_the_readme_is_the_generated_one() -> None:
    assert README.read_text(encoding="utf-8").splitlines() == recipes_page().splitlines(), "run `make docs-reference`"
    assert set(re.findall(r"^\| \[([\w-]+)\]\(", recipes_page(), re.MULTILINE)) == set(NAMES)


def write(folder: Path, name: str, body: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"schema: ercpseg.recipe/1\nname: {name}\ntitle: T\n{body}", encoding="utf-8")
    return path


def test_a_child_wins_and_auto_takes_back(tmp_path: Path) -> None:
    write(tmp_path, "a", "cites: [A]\nset: {patch.batch_size: 3, network.name: light, loss.focal_alpha.stone: 3.0}\n")
    write(tmp_path, "b", "extends: a\nset: {patch.batch_size: 4}\n")
    child = write(tmp_path, "c", "extends: b\ncites: [C]\nset: {network.name: auto, loss.focal_alpha: auto}\n")
    recipe = load_recipe(str(child))
    assert recipe.name == "c"
    assert recipe.pins == {"patch.batch_size": 4}
    assert recipe.cites == ("A", "C")


def test_a_file_may_extend_a_shipped_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", "extends: light\nset: {patch.batch_size: 4}\n")
    assert load_recipe(path).pins == {"network.name": "light", "patch.batch_size": 4}


def test_circles_and_long_chains_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", "extends: b\n")
    circle = write(tmp_path, "b", "extends: a\n")
    with pytest.raises(DocumentError, match="leads back to itself"):
        load_recipe(circle)
    write(tmp_path, "k", "set: {}\n")
    write(tmp_path, "l", "extends: k\n")
    write(tmp_path, "m", "extends: l\n")
    long = write(tmp_path, "n", "extends: m\n")
    with pytest.raises(DocumentError, match="in a row"):
        load_recipe(long)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("set: {optimiser.learning_rate: 1e-3}\n", r"write 1\.0e-3"),
        ("set: {augmentation.scale: [0.7, 1e1]}\n", "not a number"),
        ("set: {network.nmae: light}\n", "network.name"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path: Path, body: str, message: str) -> None:
    path = write(tmp_path, "bad", body)
    with pytest.raises(UsageError, match=message) as error:
        load_recipe(path)
    assert "bad.yaml" in error.value.message


def test_unknown_recipes_list_what_there_is() -> None:
    with pytest.raises(UsageError, match="auto"):
        load_recipe("nonsense")


def test_code_is_not_data(tmp_path: Path) -> None:
    path = write(tmp_path, "evil", "set: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(DocumentError, match="no valid YAML"):
        load_recipe(path)


def test_extends_cannot_reach_into_other_folders(tmp_path: Path) -> None:
    write(tmp_path, "secret", "set: {}\n")
    (tmp_path / "sub").mkdir()
    path = write(tmp_path / "sub", "child", "extends: ../secret\n")
    with pytest.raises(UsageError, match="no recipe called"):
        load_recipe(path)


def test_variants_by_hand(tmp_path: Path) -> None:
    write(tmp_path, "base", "cites: [A]\nset: {patch.batch_size: 3, loss.focal_alpha.stone: 3.0}\n")
    body = (
        "extends: base\nset: {network.name: light}\nclaims: [{dataset: D, metric: M, value: '1', variant: b}, "
        "{dataset: D, metric: M, value: '2'}]\nvariants:\n  a: {patch.batch_size: auto, loss.focal_alpha: 2.0}\n  b: {}\n"
    )
    path = write(tmp_path, "child", body)
    a, b = load_recipe(f"{path}:a"), load_recipe(f"{path}:b")
    assert a.pins == {"network.name": "light", "loss.focal_alpha": 2.0}
    assert (a.name, a.cites, a.variants) == ("child:a", ("A",), {})
    assert b.pins == load_recipe(path).pins
    assert [claim.value for claim in b.claims] == ["1"]
    assert expand(["auto", f"{path}:*"]) == ["auto", f"{path}:a", f"{path}:b"]
    assert expand(["fra-net:resnet*", "auto"]) == ["fra-net:resnet34", "fra-net:resnet50", "fra-net:resnet101", "auto"]
    with pytest.raises(UsageError, match="no variant of fra-net begins with 'densenet'"):
        expand(["fra-net:densenet*"])
    with pytest.raises(DocumentError, match="has no variant 'c'; expected a, b"):
        load_recipe(f"{path}:c")
    with pytest.raises(UsageError, match="has no variants"):
        expand(["light:*"])


@pytest.mark.parametrize("body", ["variants: {A B: {}}\n", "variants: {a: {network.nmae: light}}\n"])
def test_wrong_variants_are_refused(tmp_path: Path, body: str) -> None:
    with pytest.raises((DocumentError, UsageError)) as error:
        load_recipe(write(tmp_path, "bad", body))
    assert "bad.yaml" in error.value.message


def test_one_value_for_all_structures_and_counted_shares() -> None:
    pins = {
        "loss.focal_weight": 0.0,
        "loss.terms": [{"name": "class-balance", "params": {"frequency": "auto"}}],
        "postprocess.steps": [],
        "postprocess.threshold.stone": 0.3,
    }
    values = make_plan(ercp_like(), Recipe.new(name="mine", title="T", set=pins), Budget("cuda", 8.0)).values
    heads = ("endoscope", "guidewire", "cbd", "stone", "instrument", "duct")
    assert values.loss.focal_weight == dict.fromkeys(heads, 0.0)
    assert values.postprocess.steps == dict.fromkeys(heads[:4], ())
    assert values.postprocess.threshold == {"endoscope": 0.5, "guidewire": 0.5, "cbd": 0.5, "stone": 0.3}
    # foreground share × share of frames: 0.05 · 1, 0.0014 · 0.7, 0.027 · 0.9, 0.004 · 0.2; parents are sums
    shares = {
        "endoscope": 0.05,
        "guidewire": 0.00098,
        "cbd": 0.0243,
        "stone": 0.0008,
        "instrument": 0.05098,
        "duct": 0.0251,
    }
    assert values.loss.terms[0].params["frequency"] == pytest.approx(shares, rel=1e-3)


def test_some_structures_keep_the_bits_of_the_dataset() -> None:
    recipe = Recipe.new(name="mine", title="T", set={"heads.structures": ["guidewire", "stone"]})
    plan = make_plan(ercp_like(), recipe, Budget("cuda", 8.0))
    assert plan.heads == {"guidewire": 2, "stone": 8}
    assert plan.values.heads.of == ("endoscope", "guidewire", "cbd", "stone")
    assert set(plan.values.sampling.structure_share) == {"guidewire", "stone"}
    assert plan.fingerprint_sha256 == ercp_like().sha256
    for wrong in ([], ["stone", "guidewire"], ["catheter"], ["guidewire", "guidewire"]):
        with pytest.raises(UsageError, match="are no structures of this dataset"):
            make_plan(ercp_like(), load_recipe("auto"), Budget("cuda", 8.0), overrides={"heads.structures": wrong})
