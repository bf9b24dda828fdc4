"""A plan that learns some of a dataset's structures, in nnU-Net's words: its outputs keep the dataset's bits."""

from __future__ import annotations

import numpy as np

from ercpseg.documents.recipe import Recipe
from ercpseg.nnunet.convert import data_identifier, plans_json
from ercpseg.nnunet.labels import ErcpPlans, region_labels
from ercpseg.planner.budget import Budget
from ercpseg.planner.plan import make_plan
from ercpseg.structures import StructureSet
from tests.golden.planner.generate import ercp_like

FOUR = ("endoscope", "guidewire", "cbd", "stone")


def plan_of(*structures: str):
    recipe = Recipe.new(name="mine", title="T", set={"heads.structures": list(structures), "heads.parents": []})
    return make_plan(ercp_like(), recipe, Budget("cuda", 8.0))


def test_probabilities_become_the_datasets_bits() -> None:
    plan = plan_of("guidewire", "stone")
    plans = ErcpPlans(plans_json(plan, ercp_like(), "Dataset001_x"))
    whole = StructureSet(FOUR)
    dataset_json = {"labels": region_labels(whole), "regions_class_order": [1, 2, 4, 8], "channel_names": {"0": "x"}}
    manager = plans.get_label_manager(dataset_json)
    probabilities = np.zeros((2, 1, 2), np.float32)
    probabilities[0, 0, 0] = probabilities[1, 0, 1] = 0.9
    assert manager.convert_probabilities_to_segmentation(probabilities).tolist() == [[2, 8]]
    assert manager.num_segmentation_heads == 2
    all_of_them = ErcpPlans(plans_json(plan_of(*FOUR), ercp_like(), "Dataset001_x")).get_label_manager(dataset_json)
    assert all_of_them.num_segmentation_heads == 4


def test_the_regions_of_a_part_are_values_of_the_whole() -> None:
    part = StructureSet(("guidewire",), of=("endoscope", "guidewire"))
    assert region_labels(part) == {"background": 0, "guidewire": [2, 3]}


def test_stores_are_shared_only_by_those_who_learn_the_same() -> None:
    """The store says which frames show what is learnt."""
    assert data_identifier(plan_of("guidewire")) != data_identifier(plan_of("endoscope", "guidewire"))
    assert data_identifier(plan_of("guidewire")) == data_identifier(plan_of("guidewire"))
