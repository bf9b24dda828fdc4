"""Every shipped recipe loads, plans on three fingerprints, and stands in the README; loading refuses what it must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ercpseg.errors import DocumentError, UsageError
from ercpseg.planner.budget import Budget
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.storage.resources import resource_folder, resource_names
from tests.golden.planner.generate import chest_like, ercp_like, martin_like, steady

NAMES = resource_names("plans")


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_is_named_like_its_file(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.title


@pytest.mark.parametrize("make", [martin_like, ercp_like, chest_like])
@pytest.mark.parametrize("name", NAMES)
def test_it_plans(name: str, make: object) -> None:
    recipe = load_recipe(name)
    if any(key.count(".") > 1 or isinstance(value, dict) for key, value in recipe.pins.items()) and make is chest_like:
        pytest.skip("pins values of single structures that this dataset lacks")
    assert callable(make)
    for budget in (Budget("cpu", 8.0, 600.0, 2), Budget("cuda", 8.0)):
        plan = make_plan(make(), recipe, budget, steady)
        for key, value in recipe.pins.items():
            if key.count(".") == 1:
                assert plan.decision(key).by == "recipe"
                assert str(plan.decision(key).value) == str(value)


def test_the_readme_has_a_row_per_recipe() -> None:
    text = (resource_folder("plans") / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[([\w-]+)\]\(", text, re.MULTILINE)) == set(NAMES)


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
