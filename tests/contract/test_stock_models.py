"""Models that stock nnU-Net trained: the same masks as nnU-Net's own predictor, and nothing unsafe is ever loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ercpseg.errors import DataError, DocumentError, ErcpsegError, StorageError, UsageError
from ercpseg.inference.predictor import Predictor
from ercpseg.nnunet.stock import find_stock, load_stock
from tests.contract.stock_models import PLAIN, REGIONS, painted, picture, stock_masks, stock_predictor, write_stock

EQUAL = 0.9999


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stock(tmp_path_factory.mktemp("stock"), folds=("0", "1"), steps=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("options", "values", "folds"),
    [
        ({"labels": PLAIN}, (1, 2), ("0", "1")),
        ({"labels": REGIONS, "network": "ResidualEncoderUNet"}, (1, 2), ("0",)),
        ({"labels": PLAIN, "masked": True, "patch": (32, 64)}, (1, 2), ("0",)),
        ({"labels": REGIONS, "scheme": "CTNormalization"}, (1, 2), ("0",)),
    ],
    ids=["labels-two-folds", "regions-residual", "masked-norm", "regions-ct"],
)
def test_the_same_masks_as_nnunet(options: Any, values: tuple[int, ...], folds: Any, tmp_path: Path) -> None:
    """Frames that fit one tile, need several, and are cut to what is not zero; mirrored four ways."""
    folder = write_stock(tmp_path, folds=folds, **options)
    oracle, ours = stock_predictor(folder, folds=folds), Predictor.load(folder, device="cpu")
    same = total = 0
    shown: set[int] = set()
    for seed, (size, border) in enumerate([((64, 64), 0), ((100, 90), 0), ((80, 130), 9)]):
        pixels = picture(seed, size, border)
        expected, got = stock_masks(oracle, pixels), painted(ours.predict(pixels).bitmask, values)
        same, total = same + int((expected == got).sum()), total + pixels.size
        shown |= set(np.unique(expected).tolist())
    assert same / total >= EQUAL
    assert len(shown) > 1, "a model that says the same everywhere proves nothing"


def test_names_become_safe_and_the_card_says_what_is_not_known(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")
    assert predictor.structures.names == ("scope", "guide_wire")
    assert predictor.card.frames == 5
    assert predictor.card.patients is None
    assert [entry.epochs for entry in predictor.card.folds] == [10, 10]
    with pytest.raises(UsageError, match="no plan of ours"):
        _ = predictor.plan


def test_probabilities_are_those_of_the_softmax(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu", tta=False)
    pixels = picture(3, (64, 64))
    logits, _ = predictor.logits(pixels)
    found = predictor.predict(pixels, probabilities=True).probabilities
    assert found is not None
    assert np.allclose(found, torch.from_numpy(logits).softmax(0)[1:].numpy(), atol=2e-3)


@pytest.mark.parametrize("depth", [0, 1])
def test_the_folder_of_the_dataset_and_a_zip_of_it_give_the_same(model: Path, depth: int, tmp_path: Path) -> None:
    expected = Predictor.load(model, device="cpu")
    zipped = shutil.make_archive(str(tmp_path / "m"), "zip", [model, model.parent][depth])
    again = Predictor.load(zipped, device="cpu")
    beside = Predictor.load(model.parent, device="cpu")
    assert again.sha256 == beside.sha256 == expected.sha256
    pixels = picture(1, (70, 64))
    assert np.array_equal(again.predict(pixels).bitmask, expected.predict(pixels).bitmask)
    assert Predictor.load(model, folds=("1",), device="cpu").folds == ("1",)
    with pytest.raises(UsageError, match=r"no fold 4"):
        Predictor.load(model, folds=("4",), device="cpu")


def test_an_unfinished_fold_is_left_out_and_said(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "copy"))
    (folder / "fold_1" / "checkpoint_final.pth").rename(folder / "fold_1" / "checkpoint_best.pth")
    for path in (folder, Path(shutil.make_archive(str(tmp_path / "m"), "zip", folder))):
        caplog.clear()
        predictor = Predictor.load(path, device="cpu")
        assert predictor.folds == ("0",)
        assert predictor.card.training_data.endswith("fold 1 left out: not finished (no checkpoint_final.pth)")
        assert [record.getMessage() for record in caplog.records] == [
            "fold 1 left out: not finished (no checkpoint_final.pth)"
        ]
    with pytest.raises(UsageError, match=r"no fold 1 .*expected of 0; finish the training of fold 1"):
        Predictor.load(folder, folds=("1",), device="cpu")
    (folder / "fold_0" / "checkpoint_final.pth").rename(folder / "fold_0" / "checkpoint_latest.pth")
    with pytest.raises(UsageError, match=r"no fold with a checkpoint.*finish the training of fold 0, 1"):
        Predictor.load(folder, device="cpu")


def test_which_of_several_models_is_meant_is_not_guessed(model: Path, tmp_path: Path) -> None:
    for name in ("nnUNetTrainer__nnUNetPlans__2d", "nnUNetTrainer__nnUNetResEncUNetMPlans__2d"):
        shutil.copytree(model, tmp_path / name)
    with pytest.raises(UsageError, match=r"2 models.*nnUNetPlans__2d, nnUNetTrainer__nnUNetResEncUNetMPlans__2d"):
        Predictor.load(tmp_path, device="cpu")
    assert Predictor.load(tmp_path / "nnUNetTrainer__nnUNetPlans__2d", device="cpu").folds == ("0", "1")


def test_prediction_imports_no_nnunet(model: Path) -> None:
    code = (
        "import sys, numpy as np\nfrom ercpseg import Predictor\n"
        f"Predictor.load({str(model)!r}, device='cpu').predict(np.full((64, 64), 9, np.uint8))\n"
        "sys.exit(any(m.split('.')[0] in ('nnunetv2', 'matplotlib', 'skimage') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- what is refused -------------------------------------------------------------------------------------------------


def changed(model: Path, target: Path, **changes: Any) -> Path:
    """A copy whose plans or dataset differ; keys are paths with double underscores."""
    folder = Path(shutil.copytree(model, target / "copy"))
    for name in ("plans", "dataset"):
        path = folder / f"{name}.json"
        content = json.loads(path.read_text())
        for key, value in changes.items():
            first, *rest = key.split("__")
            if first != name:
                continue
            place = content
            for part in rest[:-1]:
                place = place[part]
            place[rest[-1]] = value
        path.write_text(json.dumps(content))
    return folder


CONFIGURATION = "plans__configurations__2d__"


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        (
            {CONFIGURATION + "architecture__network_class_name": "os.system"},
            DocumentError,
            "its network is not known; choose from PlainConvUNet, ResidualEncoderUNet [(]at",
        ),
        ({CONFIGURATION + "architecture__arch_kwargs__conv_op": "os.system"}, DocumentError, "not on the list"),
        (
            {CONFIGURATION + "architecture__arch_kwargs__nonlin": "builtins.eval"},
            DocumentError,
            "nonlin is not known; choose",
        ),
        ({CONFIGURATION + "patch_size": [8, 8, 8]}, UsageError, "3D model"),
        ({CONFIGURATION + "spacing": [0.3, 0.3]}, UsageError, "spacing in mm"),
        ({CONFIGURATION + "normalization_schemes": ["Mine"]}, DocumentError, "choose from ZScore"),
        ({"dataset__channel_names": {"0": "r", "1": "g", "2": "b"}}, UsageError, "3 channels"),
        ({"dataset__labels": {"background": 0, **{f"l{i}": i for i in range(1, 10)}}}, UsageError, "9 labels"),
        ({"dataset__labels": {"background": 0, "a": 2}}, DocumentError, "not numbered"),
        ({"plans__ercpseg": {}}, UsageError, "plans of ercpseg"),
        ({CONFIGURATION + "architecture__arch_kwargs__features_per_stage": [8, 16, 64]}, StorageError, "do not fit"),
    ],
)
def test_a_model_that_cannot_be_run_is_refused_in_words(
    changes: dict[str, Any], kind: type[Exception], text: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=text):
        Predictor.load(changed(model, tmp_path, **changes), device="cpu")


class Payload:
    """Unpickling this would write a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_checkpoint_with_code_is_refused_and_not_run(model: Path, tmp_path: Path) -> None:
    folder, trace = Path(shutil.copytree(model, tmp_path / "copy")), tmp_path / "ran"
    torch.save({"network_weights": {}, "trainer_name": Payload(trace)}, folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(DataError, match="more than weights") as caught:
        Predictor.load(folder, device="cpu")
    assert caught.value.exit_code == 65
    assert not trace.exists()


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_torn_checkpoint(model: Path, size: int, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "copy"))
    path = folder / "fold_0" / "checkpoint_final.pth"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ErcpsegError):
        Predictor.load(folder, device="cpu")


def test_what_is_no_stock_model_is_left_to_the_other_reader(tmp_path: Path) -> None:
    assert find_stock(tmp_path) is None
    (tmp_path / "plans.json").write_text("{}")
    assert find_stock(tmp_path) is None
    (tmp_path / "dataset.json").write_text("[]")
    files = find_stock(tmp_path)
    assert files is not None
    with pytest.raises(DocumentError, match="no mapping"):
        load_stock(files)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in "ab":
            archive.writestr(f"{name}/plans.json", "{}")
            archive.writestr(f"{name}/dataset.json", "{}")
    with pytest.raises(UsageError, match="2 models"):
        find_stock(tmp_path / "two.zip")
