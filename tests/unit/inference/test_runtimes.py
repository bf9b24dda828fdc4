"""Runtimes give the same logits, say by how much they differ, and fail in words."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch

from ercpseg.errors import UsageError
from ercpseg.inference import runtimes
from ercpseg.inference.predictor import Predictor, Speed
from tests.unit.inference.test_predictor import frame

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(make_model: Any) -> Any:
    return make_model(folds=2, augmentation__mirror_axes=[1])


@pytest.fixture(scope="module")
def plain(folder: Any) -> Predictor:
    return Predictor.load(folder, device="cpu")


def test_the_default_is_torch_in_single_precision(plain: Predictor) -> None:
    assert (plain.chosen.runtime.name, plain.chosen.difference) == ("torch", 0.0)
    assert plain.chosen.note == "torch float32 on cpu"


def test_onnxruntime_gives_the_same(folder: Any, plain: Predictor) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    other = Predictor.load(folder, device="cpu", speed=Speed(runtime="onnxruntime"))
    assert other.chosen.runtime.name == "onnxruntime"
    assert other.chosen.difference < 1e-4
    for i, size in enumerate([(64, 64), (40, 64)]):
        a, b = plain.logits(frame(i, size).pixels)[0], other.logits(frame(i, size).pixels)[0]
        assert torch.allclose(a, b, atol=1e-4)
    batch = [other.prepare(frame(i)) for i in range(3)]
    for a, b in zip(plain.predict_prepared(batch), other.predict_prepared(batch), strict=True):
        assert np.array_equal(a.bitmask, b.bitmask)


def test_bf16_says_how_far_off_it_is(folder: Any, plain: Predictor) -> None:
    other = Predictor.load(folder, device="cpu", speed=Speed(precision="bf16"))
    assert 0 < other.chosen.difference < 1
    a, b = plain.predict(frame(1)).bitmask, other.predict(frame(1)).bitmask
    assert (a == b).mean() > 0.95


def chosen(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], calls: int | None, installed: bool = True
) -> str:
    """What ``auto`` takes when a call takes so many seconds."""
    monkeypatch.setattr(runtimes, "_installed", lambda: installed)
    monkeypatch.setattr(runtimes, "measure", lambda runtime, *_: seconds[runtime.name])
    monkeypatch.setattr(
        runtimes,
        "build_onnx",
        lambda *_: runtimes.Chosen(type("R", (), {"name": "onnxruntime"})(), "onnxruntime", 1e-6),
    )
    task = runtimes.Task((1, 1, 8, 8), calls)
    return runtimes.choose_runtime("auto", [torch.nn.Conv2d(1, 2, 1)], CPU, "auto", task).runtime.name


@pytest.mark.parametrize(
    ("seconds", "calls", "installed", "expected"),
    [
        ({"torch": 0.04, "onnxruntime": 0.02}, 300, True, "onnxruntime"),
        ({"torch": 0.04, "onnxruntime": 0.05}, 300, True, "torch"),
        ({"torch": 0.04, "onnxruntime": 0.02}, 10, True, "torch"),  # 0.4 s of work is not worth a second of building
        ({"torch": 0.04, "onnxruntime": 0.02}, None, True, "torch"),  # nothing is known: the same bits everywhere
        ({"torch": 0.04, "onnxruntime": 0.02}, 300, False, "torch"),
    ],
)
def test_auto(
    seconds: dict[str, float], calls: int | None, installed: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(monkeypatch, seconds, calls, installed) == expected


@pytest.mark.parametrize(
    ("speed", "text"),
    [
        (Speed(runtime="tensorflow"), "expected auto, torch"),
        (Speed(precision="fp8"), "unknown precision"),
        (Speed(precision="fp16"), "fp16 on a CPU"),
        (Speed(runtime="onnxruntime", precision="bf16"), "computes in fp32"),
    ],
)
def test_what_makes_no_sense_is_refused(speed: Speed, text: str, folder: Any) -> None:
    with pytest.raises(UsageError, match=text):
        Predictor.load(folder, device="cpu", speed=speed)


def test_without_the_extra_it_says_what_to_install(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"ercpseg\[onnx\]"):
        Predictor.load(folder, device="cpu", speed=Speed(runtime="onnxruntime"))
