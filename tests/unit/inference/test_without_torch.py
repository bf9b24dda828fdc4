"""Prediction on a CPU loads no torch where the network can be drawn, and writes what torch would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ercpseg.errors import UsageError
from ercpseg.frames.arrays import flipped
from ercpseg.frames.mirror import flips, mean_of_flips
from ercpseg.frames.prepare import Geometry
from ercpseg.frames.restore import odds, restore, restore_exclusive
from ercpseg.frames.tiles import gaussian_stock, predict_tiled_batch
from ercpseg.inference import devices
from ercpseg.inference.devices import choose_device
from ercpseg.inference.threads import thread_count
from ercpseg.postprocess.finish import probabilities_of
from ercpseg.storage.images import read_png, write_png
from tests.unit.inference.test_predictor import pixels

PREDICT = """
import json, sys
from ercpseg.cli.app import run
code = run(["predict", *sys.argv[1:], "--device", "cpu"])
print(json.dumps([code, "torch" in sys.modules]))
"""


def predicted(source: Path, output: Path, model: Path, *more: str) -> tuple[int, bool]:
    """Exit code of the command in a process of its own, and whether that loaded torch."""
    command = [sys.executable, "-c", PREDICT, str(source), str(output), "--model", str(model), *more]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "2"}
    )
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    return code, loaded


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for number, size in enumerate(((64, 64), (100, 80), (48, 64))):  # that of the model, larger and smaller ones
        write_png(folder / f"f{number}.png", pixels(number, size))
    return folder


def test_predict_loads_no_torch_and_writes_the_same(make_model: Any, source: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    steps = {
        "endoscope": [{"name": "keep_largest"}],
        "guidewire": [{"name": "hysteresis", "params": {"low_frac": 0.5}}],
    }
    model = make_model(folds=2, augmentation__mirror_axes=[0, 1], postprocess__steps=steps)
    for runtime, torch_is_loaded in (("auto", False), ("torch", True)):
        more = ("--runtime", runtime, "--format", "npz")
        assert predicted(source, tmp_path / runtime, model, *more) == (0, torch_is_loaded)
    run = json.loads((tmp_path / "auto" / "run.json").read_text())
    assert "without torch" in run["runtime"]
    assert 0 <= run["runtime_difference"] < 1e-4
    for number in range(3):
        one, other = (read_png(tmp_path / runtime / "labels" / f"f{number}.png") for runtime in ("auto", "torch"))
        assert one.any()
        assert (one == other).mean() > 0.999
        a, b = (np.load(next((tmp_path / r).glob(f"*/f{number}.npz"))) for r in ("auto", "torch"))
        for name in a.files:
            if a[name].dtype == np.float16:
                assert np.allclose(a[name], b[name], atol=2e-3)


def test_a_killed_run_goes_on_without_it_too(make_model: Any, source: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = make_model()
    predicted(source, tmp_path / "out", model)
    label = tmp_path / "out" / "labels" / "f1.png"
    before = label.read_bytes()
    label.unlink()
    assert predicted(source, tmp_path / "out", model) == (0, False)
    assert label.read_bytes() == before


def test_without_the_extra_torch_predicts(make_model: Any, source: Path, tmp_path: Path) -> None:
    blocked = "import sys; sys.modules['onnxruntime'] = None; sys.modules['onnx'] = None\n"
    code = (blocked + PREDICT).replace("from ercpseg", "import importlib.util\nfrom ercpseg", 1)
    code = code.replace("code = run(", "importlib.util.find_spec = lambda name: None\ncode = run(")
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "out"), "--model", str(make_model())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, True]


# -- arrays of numpy give what tensors give --------------------------------------------------------------------------


def both(*shape: int, seed: int = 0) -> tuple[np.ndarray, torch.Tensor]:
    array = np.random.default_rng(seed).standard_normal(shape, np.float32) * 3
    return array, torch.from_numpy(array.copy())


def test_tiles_and_mirrors() -> None:
    array, tensor = both(2, 1, 50, 37)
    ramp = np.arange(16, dtype=np.float32)

    def by_numpy(batch: np.ndarray) -> np.ndarray:
        return np.concatenate([batch, batch * ramp], 1)

    def by_torch(batch: torch.Tensor) -> torch.Tensor:
        return torch.cat([batch, batch * torch.from_numpy(ramp)], 1)

    wanted = flips((0, 1))
    found = predict_tiled_batch(array, (16, 16), lambda b: mean_of_flips(b, by_numpy, wanted), gaussian_stock)
    expected = predict_tiled_batch(tensor, (16, 16), lambda b: mean_of_flips(b, by_torch, wanted), gaussian_stock)
    assert found.shape == (2, 2, 50, 37)
    assert np.allclose(found, expected.numpy(), atol=1e-5)
    assert np.array_equal(flipped(array, (2, 3)), flipped(tensor, (2, 3)).numpy())


@pytest.mark.parametrize("box", [None, ((3, 27), (5, 37))])
@pytest.mark.parametrize("working", [(24, 32), (48, 64)])
def test_the_way_back(working: tuple[int, int], box: Any) -> None:
    geometry = Geometry((30, 40) if box else (24, 32), working, box)
    array, tensor = both(4, *working)
    bits, thresholds = {"a": 1, "b": 4, "c": 128}, {"a": 0.1, "b": 0.5, "c": 0.7}
    found, expected = restore(array, geometry, bits, thresholds), restore(tensor, geometry, bits, thresholds)
    assert found[0].dtype == expected[0].dtype == np.uint8
    assert len(np.unique(found[0])) > 4
    assert np.array_equal(found[0], expected[0])
    assert np.allclose(found[1], expected[1].numpy(), atol=1e-5)
    heads = {1: 1, 3: 2}
    found, expected = restore_exclusive(array, geometry, heads), restore_exclusive(tensor, geometry, heads)
    assert set(np.unique(found[0])) == {0, 1, 2}
    assert np.array_equal(found[0], expected[0])
    one, other = odds(found[1], geometry, heads), odds(expected[1], geometry, heads)
    assert one.shape == (2, *geometry.native)
    assert np.allclose(probabilities_of(one), probabilities_of(other), atol=1e-3)


def test_the_largest_logit_takes_the_pixel_and_the_first_of_equal_ones() -> None:
    logits = np.array([[[0, 5, 2, 1]], [[0, 1, 2, 3]], [[0, 1, 9, 3]]], np.float32)
    geometry = Geometry((1, 4), (1, 4))
    assert restore_exclusive(logits, geometry, {1: 1, 2: 2})[0].tolist() == [[0, 0, 2, 1]]


# -- devices and threads ---------------------------------------------------------------------------------------------


def test_torch_is_asked_for_a_gpu_wherever_there_may_be_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(devices, "Path", lambda _: tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not devices._may_have_gpu()
    (tmp_path / "nvidia0").touch()
    assert devices._may_have_gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"
    (tmp_path / "nvidia0").unlink()
    assert choose_device("auto") == "cpu"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert devices._may_have_gpu()
    with pytest.raises(UsageError, match="unknown device"):
        choose_device("tpu")


def test_threads_are_those_that_torch_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert thread_count() == 7
    monkeypatch.delitem(sys.modules, "torch")
    for said, expected in (("3", 3), ("4,2", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert thread_count() == expected
    for said in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert 1 <= thread_count() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("broken", ["onnx", "onnxruntime"])
def test_a_library_that_cannot_be_loaded_is_done_without(
    broken: str, make_model: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found, and importing it fails, as with an installation for another system: torch predicts."""
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / f"{broken}.py").write_text("raise ImportError('of another system')\n")
    model = make_model()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))
    assert predicted(source, tmp_path / "out", model) == (0, True)
    assert "cannot be loaded" in json.loads((tmp_path / "out" / "run.json").read_text())["runtime"]
