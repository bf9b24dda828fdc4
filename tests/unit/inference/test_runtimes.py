"""Runtimes give the same logits, say by how much they differ, and fail in words."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from ercpseg.errors import UsageError
from ercpseg.inference import runtimes
from ercpseg.inference.predictor import Predictor, Speed
from tests.unit.inference.test_predictor import frame


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
        assert np.allclose(a, b, atol=1e-4)
    batch = [other.prepare(frame(i)) for i in range(3)]
    for a, b in zip(plain.predict_prepared(batch), other.predict_prepared(batch), strict=True):
        assert np.array_equal(a.bitmask, b.bitmask)


def test_bf16_says_how_far_off_it_is(folder: Any, plain: Predictor) -> None:
    other = Predictor.load(folder, device="cpu", speed=Speed(precision="bf16"))
    assert 0 < other.chosen.difference < 1
    a, b = plain.predict(frame(1)).bitmask, other.predict(frame(1)).bitmask
    assert (a == b).mean() > 0.95


def chosen(
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[str, float],
    calls: int | None,
    installed: bool = True,
    *,
    drawable: bool = False,
    difference: float = 1e-6,
) -> tuple[str, list[str]]:
    """What ``auto`` takes when a call takes so many seconds, and the runtimes that it built for it."""
    built = []

    def builder(name: str) -> Any:
        def build(*_: Any) -> runtimes.Chosen:
            built.append(name)
            return runtimes.Chosen(type("R", (), {"name": name})(), name, difference)

        return build

    monkeypatch.setattr(runtimes, "_installed", lambda: installed)
    monkeypatch.setattr(runtimes, "measure", lambda runtime, *_: seconds[runtime.name])
    monkeypatch.setattr(runtimes, "difference", lambda *_: difference)
    monkeypatch.setattr(runtimes, "RUNTIMES", {name: builder(name) for name in runtimes.RUNTIMES})
    folds: Any = type("F", (), {"drawable": drawable, "parameters": 700_000})()
    found = runtimes.choose_runtime("auto", folds, "cpu", "auto", runtimes.Task((1, 1, 8, 8), calls))
    return found.runtime.name, built


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
def test_auto_where_torch_has_to_export_the_graph(
    seconds: dict[str, float], calls: int | None, installed: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(monkeypatch, seconds, calls, installed)[0] == expected


@pytest.mark.parametrize(
    ("seconds", "calls", "difference", "expected", "built"),
    [
        ({"onnxruntime": 0.02}, 1, 1e-6, "onnxruntime", ["onnxruntime"]),
        ({"onnxruntime": 0.02}, 2900, 1e-6, "onnxruntime", ["onnxruntime"]),  # 58 s: not worth loading torch
        ({"onnxruntime": 0.02, "torch": 0.03}, 3100, 1e-6, "onnxruntime", ["onnxruntime", "torch"]),
        ({"onnxruntime": 0.02, "torch": 0.01}, 3100, 1e-6, "torch", ["onnxruntime", "torch"]),
        ({"onnxruntime": 0.02, "torch": 0.017}, 3100, 1e-6, "onnxruntime", ["onnxruntime", "torch"]),  # not clearly
        (
            {"onnxruntime": 0.02, "torch": 0.03},
            1,
            1.0,
            "torch",
            ["onnxruntime", "torch"],
        ),  # the graph is not to be trusted
        ({"onnxruntime": 0.02, "torch": 0.03}, 1, float("nan"), "torch", ["onnxruntime", "torch"]),
        ({"torch": 0.03}, None, 1e-6, "torch", ["torch"]),
    ],
)
def test_auto_where_the_graph_is_drawn(
    seconds: dict[str, float],
    calls: int | None,
    difference: float,
    expected: str,
    built: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert chosen(monkeypatch, seconds, calls, drawable=True, difference=difference) == (expected, built)


def test_a_network_that_nobody_draws_is_exported_by_torch(make_model: Any) -> None:
    pytest.importorskip("onnxruntime")
    folder = make_model(network__name="martin", network__deep_supervision=0)
    plain = Predictor.load(folder, device="cpu")
    other = Predictor.load(folder, device="cpu", speed=Speed(runtime="onnxruntime"))
    assert "of torch" in other.chosen.note
    assert np.allclose(plain.logits(frame(0).pixels)[0], other.logits(frame(0).pixels)[0], atol=1e-4)


def test_a_graph_that_is_drawn_says_how_far_its_sums_are_apart(folder: Any) -> None:
    pytest.importorskip("onnxruntime")
    drawn = Predictor.load(folder, device="cpu", speed=Speed(runtime="onnxruntime")).chosen
    assert 0 < drawn.difference < 1e-4
    assert "without torch, logits within" in drawn.note


def test_where_torch_is_asked_it_mirrors_as_the_graph_does(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(runtimes, "LOOK_S", 0.0)
    monkeypatch.setattr(runtimes, "MEASURE_S", 0.0)
    monkeypatch.setattr(
        runtimes, "measure", lambda runtime, *_: 1.0 if runtime.name == "onnxruntime" else 0.6
    )  # a pass; there are two
    found = Predictor.load(folder, device="cpu", speed=Speed(runtime="auto", frames=10)).chosen
    assert found.runtime.name == "onnxruntime"
    assert found.note.endswith("of torch; 1000.0 ms against 1200.0 ms")
    assert 0 < found.difference < 1e-4


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


def test_a_cold_call_alone_does_not_tell_how_fast_a_runtime_is(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter([0.2, 0.02, 0.02])
    clock = [0.0]

    def call(batch: Any) -> Any:
        clock[0] += next(calls)
        return batch

    runtime: Any = call
    monkeypatch.setattr(runtimes.time, "perf_counter", lambda: clock[0])
    assert runtimes.measure(runtime, runtimes.Task((1, 1, 4, 4), 1), "cpu", 0.05) == pytest.approx(0.02)
