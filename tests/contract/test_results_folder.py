"""Models of ours as results folders: stock nnU-Net opens them through the shim and gives the same masks."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ercpseg.nnunet.shim as shim
from ercpseg.errors import UsageError
from ercpseg.inference.predictor import Predictor
from ercpseg.nnunet.answer import AnsweringPlans
from ercpseg.pipeline.export import export_to
from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.resources import shipped_models
from tests.contract.stock_models import picture, stock_masks, stock_predictor, write_stock
from tests.unit.inference.conftest import make_model

__all__ = ["make_model"]
EQUAL = 0.9999


@pytest.fixture(scope="module", autouse=True)
def _shim() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_extTrainer", str(Path(shim.__file__).parent))
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights that come with the program: four structures that overlap, thresholds, steps, mirroring."""
    return export_to("light", tmp_path_factory.mktemp("nnunet") / "light", "nnunet").folder


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Synthetic frames of two sizes, one of them 16 bit."""
    from ercpseg.synthesis.dataset import synthesise

    root = tmp_path_factory.mktemp("frames")
    for size in (160, 250):
        synthesise(root / str(size), frames=2, patients=2, size=size, seed=5)
    found = sorted(root.rglob("images/*.png"))
    write_png(root / "deep.png", read_png(found[0]).astype(np.uint16) * 200)
    return [*found, root / "deep.png"]


@pytest.fixture(scope="module")
def opened(exported: Path) -> Any:
    return predictor(exported)


@pytest.fixture(scope="module")
def ours() -> Predictor:
    return Predictor.load(shipped_models()["light"], device="cpu")


def predictor(folder: Path, **options: Any) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return stock_predictor(folder, **options)


@pytest.mark.filterwarnings("ignore")
def test_the_same_masks_as_ours(opened: Any, ours: Predictor, frames: list[Path]) -> None:
    same = total = overlap = 0
    for path in frames:
        pixels = read_png(path)
        expected, found = ours.predict(pixels).bitmask, stock_masks(opened, pixels)
        same, total = same + int((expected == found).sum()), total + pixels.size
        overlap += int((found & (found - 1) > 0).sum())
        assert set(np.unique(found)) > {0}
    assert same / total >= EQUAL
    assert overlap > 0, "where structures overlap, both are in the mask"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("folds", "options"),
    [
        (2, {"augmentation__mirror_axes": [0, 1], "patch__tile_px": [32, 48], "patch__whole_frame": False}),
        (1, {"heads__structures": ["endoscope"], "heads__parents": []}),
        (1, {"input__frames": 3}),  # the frame is repeated
    ],
    ids=["tiles-folds-mirrors", "one-structure", "several-frames"],
)
def test_the_same_logits_and_masks_of_random_networks(
    make_model: Any, tmp_path: Path, folds: int, options: Any
) -> None:
    model = make_model(folds=folds, **options)
    folder = export_to(model, tmp_path / "out", "nnunet").folder
    names = tuple(str(number) for number in range(folds))
    ours, theirs = Predictor.load(model, device="cpu"), predictor(folder, folds=names)
    pixels = picture(4, (70, 90))
    logits, _ = ours.logits(pixels)
    expected, found = ours.predict(pixels).bitmask, stock_masks(theirs, pixels)
    undecided = float((np.abs(logits) < 0.05).any(0).mean())  # nnU-Net adds up in half precision
    assert (expected == found).mean() >= 1 - undecided
    assert undecided < 0.2
    assert len(np.unique(found)) > 1


def test_what_it_holds_is_what_nnunet_reads_and_loads_without_code(exported: Path) -> None:
    assert sorted(path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()) == [
        "dataset.json",
        "fold_0/checkpoint_final.pth",
        "plans.json",
    ]
    checkpoint = torch.load(exported / "fold_0/checkpoint_final.pth", weights_only=True)
    assert checkpoint["trainer_name"] == "ErcpTrainer"
    text = (exported / "plans.json").read_text() + (exported / "dataset.json").read_text()
    assert str(Path.home()) not in text
    labels = json.loads((exported / "dataset.json").read_text())
    assert labels["regions_class_order"] == [1, 2, 4, 8]


def test_what_nnunet_sends_to_its_processes_comes_back_as_ours(opened: Any) -> None:
    plans, configuration = pickle.loads(pickle.dumps((opened.plans_manager, opened.configuration_manager)))
    assert isinstance(plans, AnsweringPlans)
    assert configuration.preprocessor_class.__name__ == "ErcpPreprocessor"
    manager = plans.get_label_manager(opened.dataset_json)
    assert manager.serving.postprocess.steps


def test_a_stock_model_is_not_exported_to_stock(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has it already"):
        export_to(write_stock(tmp_path, steps=0), tmp_path / "out", "nnunet")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_nnunet_s_own_command(exported: Path, ours: Predictor, frames: list[Path], tmp_path: Path) -> None:
    """With its processes for preparing and writing."""
    for number, path in enumerate(frames[:3]):
        write_png(tmp_path / "in" / f"f{number}_0000.png", read_png(path))
    command = [str(Path(sys.executable).parent / "nnUNetv2_predict_from_modelfolder")]
    words = ["-i", tmp_path / "in", "-o", tmp_path / "out", "-m", exported, "-f", "0", "-device", "cpu"]
    done = subprocess.run(
        [*command, *map(str, words), "-npp", "1", "-nps", "1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for number, path in enumerate(frames[:3]):
        found = read_png(tmp_path / "out" / f"f{number}.png")
        assert (found == ours.predict(read_png(path)).bitmask).mean() >= EQUAL
