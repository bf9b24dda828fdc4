"""What we rely on in nnU-Net, so that an upgrade that changes it fails here and not in a training."""

from __future__ import annotations

import inspect
import os
from importlib import metadata

import pytest


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_version_is_inside_the_pin() -> None:
    major, minor, *_ = (int(n) for n in metadata.version("nnunetv2").split(".")[:2])
    assert (major, minor) == (2, 8)


def test_trainer_constructor_takes_what_our_subclass_names() -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from ercpseg.nnunet.trainer import ErcpTrainer

    expected = ["self", "plans", "configuration", "fold", "dataset_json", "device"]
    assert parameters(nnUNetTrainer.__init__) == expected
    assert parameters(ErcpTrainer.__init__) == expected


@pytest.mark.parametrize(
    "hook",
    [
        "initialize", "build_network_architecture", "_build_loss", "configure_optimizers", "set_deep_supervision_enabled",
        "plot_network_architecture", "_save_debug_information", "print_to_log_file", "do_split", "get_dataloaders",
        "on_train_start", "run_training", "train_step", "validation_step", "on_train_end", "save_checkpoint",
        "load_checkpoint", "perform_actual_validation",
    ],
)  # fmt: skip
def test_every_overridden_hook_exists_with_the_same_parameters(hook: str) -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from ercpseg.nnunet.trainer import ErcpTrainer

    assert hook in vars(ErcpTrainer)
    assert parameters(getattr(nnUNetTrainer, hook)) == parameters(getattr(ErcpTrainer, hook))


def test_nothing_else_of_the_trainer_is_overridden_by_accident() -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from ercpseg.nnunet.trainer import ErcpTrainer

    own = {name for name in vars(ErcpTrainer) if not name.startswith("__")}
    assert own - set(dir(nnUNetTrainer)) == {"run_folder", "_epoch", "_close_epoch", "_save", "_resume"}


def test_there_is_one_trainer_class() -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from ercpseg.nnunet.trainer import ErcpTrainer

    ours = [c for c in nnUNetTrainer.__subclasses__() if c.__module__.startswith("ercpseg")]
    assert ours == [ErcpTrainer]


def test_planning_api_takes_classes() -> None:
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    assert "fingerprint_extractor_class" in parameters(api.extract_fingerprint_dataset)
    assert "experiment_planner_class" in parameters(api.plan_experiment_dataset)


def test_paths_are_read_when_used(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from nnunetv2.paths import nnUNet_raw

    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "one"))
    assert os.fspath(nnUNet_raw) == str(tmp_path / "one")
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "two"))
    assert os.fspath(nnUNet_raw) == str(tmp_path / "two")


def test_preprocessor_hook() -> None:
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    from ercpseg.nnunet.preprocessor import ErcpPreprocessor

    assert parameters(DefaultPreprocessor.run_case_npy) == parameters(ErcpPreprocessor.run_case_npy)


def test_bit_or_keeps_what_painting_loses() -> None:
    import numpy as np
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    from ercpseg.nnunet.labels import BitmaskLabelManager, region_labels
    from ercpseg.structures import StructureSet

    labels = region_labels(StructureSet.ordered({"endoscope", "guidewire", "cbd", "stone"}))
    probability = np.array([0.9, 0.9, 0.1, 0.6]).reshape(4, 1, 1, 1)  # endoscope, guidewire and stone
    stock = LabelManager(labels, [1, 2, 4, 8]).convert_probabilities_to_segmentation(probability)
    ours = BitmaskLabelManager(labels, [1, 2, 4, 8]).convert_probabilities_to_segmentation(probability)
    assert int(stock.item()) == 8
    assert int(ours.item()) == 1 + 2 + 8


@pytest.mark.parametrize("count", [1, 2, 8])
def test_region_labels_are_what_nnunet_accepts(count: int) -> None:
    from ercpseg.nnunet.labels import BitmaskLabelManager, region_labels
    from ercpseg.structures import StructureSet

    structures = StructureSet(tuple(f"s{i}" for i in range(count)))
    manager = BitmaskLabelManager(region_labels(structures), [structures.value(s) for s in structures])
    assert manager.all_labels == list(range(2**count))


def test_our_plans_keep_our_key(workspace) -> None:
    from ercpseg.nnunet.labels import ErcpPlans
    from ercpseg.pipeline.known import load_planned
    from ercpseg.storage.documents import load_json

    plans = load_json(workspace.preprocessed_folder("tiny") / "ErcpPlans.json")
    assert ErcpPlans(plans).plan.sha256 == load_planned(workspace, "tiny").plan.sha256


def test_stock_nnunet_refuses_our_frames(workspace) -> None:
    """The preprocessor is named by our class, so that stock nnU-Net fails instead of preparing frames in another way."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(str(workspace.preprocessed_folder("tiny") / "ErcpPlans.json"))
    assert plans.get_configuration("2d").preprocessor_class is None
