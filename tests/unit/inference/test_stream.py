"""The stream: batches, chunks and order change nothing, and no frame is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.errors import ResourceError
from ercpseg.inference.predictor import Predictor
from ercpseg.inference.stream import Stream
from tests.unit.inference.test_predictor import frame

SIZES = [(64, 64), (64, 64), (48, 64), (64, 30), (64, 30), (64, 30), (90, 70), (64, 64)]


@pytest.fixture(scope="module")
def predictor(make_model: Any) -> Predictor:
    return Predictor.load(make_model(folds=2, augmentation__mirror_axes=[0, 1]), device="cpu")


@pytest.fixture(scope="module")
def tiled(make_model: Any) -> Predictor:
    return Predictor.load(make_model(patch__tile_px=[32, 48], patch__whole_frame=False), device="cpu")


@pytest.mark.parametrize("kind", ["predictor", "tiled"])
def test_a_batch_of_eight_gives_what_eight_calls_give(kind: str, request: pytest.FixtureRequest) -> None:
    chosen: Predictor = request.getfixturevalue(kind)
    frames = [frame(i) for i in range(8)]
    one = chosen.stream(batch=1, probabilities=True)
    many = chosen.stream(batch=8, probabilities=True)
    alone = [result for f in frames for result in one.push(f)]
    waiting = [many.push(f) for f in frames]
    assert [len(results) for results in waiting] == [0] * 7 + [8]
    for a, b in zip(alone, waiting[-1], strict=True):
        assert a.frame.name == b.frame.name
        assert a.bitmask.any()
        assert np.array_equal(a.bitmask, b.bitmask)
        assert a.probabilities is not None
        assert b.probabilities is not None
        assert np.allclose(a.probabilities, b.probabilities, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(batch=st.integers(1, 5), flushes=st.sets(st.integers(0, 7)))
def test_any_chunking_gives_the_same_in_the_same_order(batch: int, flushes: set[int], predictor: Predictor) -> None:
    frames = [frame(i, size) for i, size in enumerate(SIZES)]
    expected = {f.name: predictor.predict(f).bitmask for f in frames}
    stream, results = predictor.stream(batch=batch), []
    for i, f in enumerate(frames):
        results += stream.push(f)
        if i in flushes:
            results += stream.flush()
    results += stream.flush()
    assert stream.flush() == []
    assert [r.frame.name for r in results] == [f.name for f in frames]
    assert all(np.array_equal(r.bitmask, expected[r.frame.name]) for r in results)


def test_a_batch_too_large_is_taken_apart_and_only_the_frame_that_is_too_large_is_lost(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lost = predictor.predict_prepared, []

    def limited(batch: Any, **options: Any) -> Any:
        if len(batch) > 1 or batch[0].frame.name == "f2":
            raise ResourceError("out of memory")
        return real(batch, **options)

    monkeypatch.setattr(predictor, "predict_prepared", limited)
    stream = Stream(predictor, batch=4, too_large=lambda f, _: lost.append(f.name))
    results = [r for i in range(4) for r in stream.push(frame(i))]
    assert [r.frame.name for r in results] == ["f0", "f1", "f3"]
    assert lost == ["f2"]
    strict = Stream(predictor, batch=1)
    with pytest.raises(ResourceError):
        strict.push(frame(2))
    assert [r.frame.name for r in strict.push(frame(3))] == ["f3"], "the stream goes on"


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_a_flipped_frame_gives_flipped_masks(axes: tuple[int, ...], predictor: Predictor) -> None:
    straight = predictor.predict(frame(5)).bitmask
    turned = predictor.predict(np.ascontiguousarray(np.flip(frame(5).pixels, axes))).bitmask
    assert (turned == np.flip(straight, axes)).mean() > 0.9995  # what lies on the threshold may fall either way
