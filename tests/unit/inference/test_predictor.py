"""The predictor with random weights: what it promises does not depend on what it learnt."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.errors import ErcpsegError, ResourceError, StorageError, UsageError
from ercpseg.frames.frame import Frame
from ercpseg.frames.prepare import prepare
from ercpseg.inference.devices import choose_device
from ercpseg.inference.predictor import Predictor
from ercpseg.networks import build_network
from ercpseg.networks.weights import load_weights
from ercpseg.storage.models import load_model


def pixels(seed: int = 0, size: tuple[int, int] = (64, 64), dtype: Any = np.uint8) -> np.ndarray:
    """Blobs at several scales, so that neither everything nor nothing is above the threshold."""
    rng = np.random.default_rng(seed)
    result = np.zeros(size)
    for step in (4, 16):
        coarse = rng.normal(size=(size[0] // step + 1, size[1] // step + 1))
        result += coarse.repeat(step, 0).repeat(step, 1)[: size[0], : size[1]]
    return np.clip(128 + 40 * result, 0, 255).astype(dtype)


def frame(seed: int, size: tuple[int, int] = (64, 64)) -> Frame:
    return Frame(name=f"f{seed}", pixels=pixels(seed, size), bits=8)


@pytest.fixture(scope="module")
def folder(make_model: Any) -> Path:
    return make_model(folds=2, augmentation__mirror_axes=[0, 1])


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor.load(folder, device="cpu")


def test_the_fixture_is_worth_something(predictor: Predictor) -> None:
    bitmask = predictor.predict(pixels()).bitmask
    for bit in (1, 2):
        assert 0.02 < ((bitmask & bit) > 0).mean() < 0.98
    assert ((bitmask & 3) == 3).any(), "some overlap"


def test_arrays_and_frames_give_the_same(predictor: Predictor) -> None:
    a, b = predictor.predict(pixels(3)), predictor.predict(frame(3))
    assert np.array_equal(a.bitmask, b.bitmask)
    assert b.frame.name == "f3"
    assert a.seconds > 0
    assert a.bitmask.dtype == np.uint8
    assert list(a.masks) == ["endoscope", "guidewire"], "parents are never given out"
    assert np.array_equal(a.masks["guidewire"], (a.bitmask & 2) > 0)
    wide = predictor.predict(pixels(3).astype(np.uint16) * 257)
    assert (wide.bitmask == a.bitmask).mean() > 0.999
    assert wide.frame.bits == 16


@pytest.mark.parametrize("size", [(64, 64), (100, 80), (37, 64), (30, 200), (16, 16), (1, 1), (1, 70)])
def test_masks_have_the_native_size(size: tuple[int, int], predictor: Predictor) -> None:
    assert predictor.predict(pixels(1, size)).bitmask.shape == size


def test_the_whole_chain_by_hand(make_model: Any) -> None:
    """One fold, no flips, the frame at working size: network, sigmoid, threshold, bits."""
    model = make_model(postprocess__threshold={"endoscope": 0.3, "guidewire": 0.6})
    stored = load_model(model)
    network = build_network(stored.plan.values.network, 3)
    load_weights(network, stored.weights["0"], where="test")
    image, _ = prepare(pixels(), stored.plan.values.preparation)
    with torch.inference_mode():
        probability = network.eval()(torch.from_numpy(image)[None])[0].sigmoid().numpy()
    expected = (probability[0] > 0.3) + 2 * (probability[1] > 0.6)
    found = Predictor(stored, device="cpu", tta=False).predict(pixels()).bitmask
    assert (found == expected).mean() > 0.999  # but for rounding at the threshold


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((64, 64), np.float32),
        np.zeros((64, 64), np.int16),
        np.zeros((64, 64), bool),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros(64, np.uint8),
        np.zeros((0, 64), np.uint8),
        np.zeros((64, 64), ">u2"),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_what_is_no_frame_is_refused(wrong: np.ndarray, predictor: Predictor) -> None:
    for given_frame in (wrong, Frame(name="x", pixels=wrong, bits=8)):
        with pytest.raises(UsageError, match="uint8 or uint16"):
            predictor.predict(given_frame)


def test_the_frame_is_left_as_it_was(predictor: Predictor) -> None:
    given_pixels = pixels()
    before = given_pixels.copy()
    predictor.predict(given_pixels)
    assert np.array_equal(given_pixels, before)
    before.setflags(write=False)
    predictor.predict(before)


# -- folds and flips -------------------------------------------------------------------------------------------------


def test_folds_are_averaged_as_logits(folder: Path, predictor: Predictor) -> None:
    single = [Predictor.load(folder, folds=(fold,), device="cpu") for fold in ("0", "1")]
    assert [p.folds for p in single] == [("0",), ("1",)]
    assert predictor.folds == ("0", "1")
    a, b = (p.logits(pixels())[0] for p in single)
    assert not np.allclose(a, b, atol=0.1)
    assert np.allclose(predictor.logits(pixels())[0], (a + b) / 2, atol=1e-4)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_flips_make_the_answer_symmetric(axes: tuple[int, ...], folder: Path, predictor: Predictor) -> None:
    image = pixels(5)
    turned = predictor.logits(np.flip(image, axes))[0]
    straight = np.flip(predictor.logits(image)[0], [a + 1 for a in axes])
    assert np.allclose(turned, straight, atol=1e-3)
    # which is the work of the flips: without them the network minds
    plain = Predictor.load(folder, device="cpu", tta=False)
    assert not np.allclose(
        plain.logits(np.flip(image, axes))[0], np.flip(plain.logits(image)[0], [a + 1 for a in axes]), atol=1e-2
    )


def test_flips_are_the_mean_over_all_combinations(folder: Path, predictor: Predictor) -> None:
    plain = Predictor.load(folder, device="cpu", tta=False)
    image = pixels(5)
    parts = [np.flip(plain.logits(np.flip(image, axes))[0], [a + 1 for a in axes]) for axes in ((), (0,), (1,), (0, 1))]
    assert np.allclose(predictor.logits(image)[0], np.mean(parts, 0), atol=1e-3)


def test_only_planned_axes_are_flipped(make_model: Any) -> None:
    model = make_model(augmentation__mirror_axes=[1])
    image, predictor = pixels(5), Predictor.load(model, device="cpu")
    turned = predictor.logits(image[:, ::-1])[0][:, :, ::-1]
    assert np.allclose(turned, predictor.logits(image)[0], atol=1e-3)
    turned = predictor.logits(image[::-1])[0][:, ::-1]
    assert not np.allclose(turned, predictor.logits(image)[0], atol=1e-2)
    never = make_model(augmentation__mirror_axes=[])
    assert np.array_equal(
        Predictor.load(never, device="cpu", tta=True).logits(image)[0],
        Predictor.load(never, device="cpu", tta=False).logits(image)[0],
    )


def test_tiles(make_model: Any) -> None:
    """Tiles of half the frame: the same shapes, and away from the tiles' borders about the same answer."""
    whole = Predictor.load(make_model(), device="cpu", tta=False)
    tiled = Predictor.load(make_model(patch__tile_px=[32, 48], patch__whole_frame=False), device="cpu", tta=False)
    a, b = whole.logits(pixels(2))[0], tiled.logits(pixels(2))[0]
    assert a.shape == b.shape == (3, 64, 64)
    correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert correlation > 0.95


# -- the stream ------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(5)))
def test_the_stream_gives_what_single_calls_give_in_any_order(order: list[int], predictor: Predictor) -> None:
    sizes = [(64, 64), (48, 64), (64, 30), (90, 70), (64, 64)]
    expected = {i: predictor.predict(frame(i, sizes[i])).bitmask for i in range(5)}
    results = list(predictor.stream().run(frame(i, sizes[i]) for i in order))
    assert [r.frame.name for r in results] == [f"f{i}" for i in order]
    for i, result in zip(order, results, strict=True):
        assert np.array_equal(result.bitmask, expected[i])


def test_push_answers_at_once(predictor: Predictor) -> None:
    stream = predictor.stream()
    assert [p.frame.name for p in stream.push(frame(1))] == ["f1"]
    assert stream.flush() == []


# -- loading ---------------------------------------------------------------------------------------------------------


def test_a_zip_predicts_the_same(folder: Path, predictor: Predictor, tmp_path: Path) -> None:
    path = shutil.make_archive(str(tmp_path / "model"), "zip", folder)
    again = Predictor.load(path, device="cpu")
    assert again.sha256 == predictor.sha256
    assert np.array_equal(again.logits(pixels())[0], predictor.logits(pixels())[0])


def test_a_model_without_folds(make_model: Any) -> None:
    with pytest.raises(UsageError, match="no trained fold"):
        Predictor.load(make_model(folds=0), device="cpu")


def test_weights_of_another_network(make_model: Any) -> None:
    model, other = load_model(make_model()), load_model(make_model(network__features=[4, 6, 10]))
    mixed = type(model)(model.plan, model.card, other.weights, model.sha256)
    with pytest.raises(StorageError, match="do not fit"):
        Predictor(mixed, device="cpu")


def test_devices() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UsageError, match="unknown device"):
        choose_device("tpu")
    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not there:
            with pytest.raises(UsageError, match="there is no"):
                choose_device(name)


def no_memory() -> list[Exception]:
    """What the libraries raise; torch's on a CPU is asked of torch itself."""
    state = pytest.importorskip("onnxruntime").capi.onnxruntime_pybind11_state
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    said = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 9"
    return [
        MemoryError(),
        torch.OutOfMemoryError("too much"),
        caught.value,
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        state.RuntimeException(said),
        state.Fail(said),
    ]


@pytest.mark.parametrize("number", range(6))
def test_out_of_memory_is_our_error(number: int, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(batch: np.ndarray) -> np.ndarray:
        raise no_memory()[number]

    monkeypatch.setattr(predictor, "_forward", fails)
    with pytest.raises(ResourceError) as caught:
        predictor.predict(pixels())
    assert caught.value.exit_code == 71
    assert isinstance(caught.value, ErcpsegError)


def test_other_errors_are_no_lack_of_memory(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(batch: np.ndarray) -> np.ndarray:
        raise RuntimeError("sizes do not fit")

    monkeypatch.setattr(predictor, "_forward", fails)
    with pytest.raises(RuntimeError, match="sizes do not fit"):
        predictor.predict(pixels())
