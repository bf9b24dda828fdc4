"""Frames side by side: order, failures, threads, and the same masks as one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ercpseg.errors import ResourceError
from ercpseg.frames.frame import Frame
from ercpseg.inference.lanes import Lanes
from ercpseg.inference.predictor import Predictor, Speed
from ercpseg.storage.resources import shipped_models


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_by_threads_of_one_thread_each(two_threads: None) -> None:
    both = threading.Barrier(2, timeout=30)

    def work(number: int) -> tuple[int, int]:
        both.wait()  # passes only where two work at once
        return number, torch.get_num_threads()

    assert Lanes(2).map(work, [3, 1, 4, 2]) == [(3, 1), (1, 1), (4, 1), (2, 1)]
    assert torch.get_num_threads() == 2


def test_a_failure_is_raised_when_all_are_done() -> None:
    done = []

    def work(number: int) -> int:
        if number == 1:
            raise ResourceError("out of memory", where="here")
        done.append(number)
        return number

    with pytest.raises(ResourceError):
        Lanes(2).map(work, [1, 2, 3])
    assert sorted(done) == [2, 3]


def test_masks_are_those_of_one_after_the_other(two_threads: None) -> None:
    model = shipped_models()["light"]
    rng = np.random.default_rng(5)
    frames = [
        Frame(name=f"f{i}", pixels=(90 + 40 * np.sin(np.add.outer(np.arange(120 + i), np.arange(150)) / (3 + i))
              + rng.normal(0, 8, (120 + i, 150))).clip(0, 255).astype(np.uint8), bits=8)
        for i in (0, 0, 1, 1)
    ]  # fmt: skip
    side_by_side = Predictor.load(model, device="cpu")
    assert side_by_side.batch == 2
    assert side_by_side._lanes is not None
    alone = Predictor.load(model, device="cpu", speed=Speed(batch=1))
    assert alone._lanes is None
    together = list(side_by_side.stream(batch=side_by_side.batch, probabilities=True).run(frames))
    for one, frame in zip(together, frames, strict=True):
        expected = alone.predict(frame, probabilities=True)
        assert one.frame.name == frame.name
        assert np.array_equal(one.bitmask, expected.bitmask)
        assert one.probabilities is not None
        assert expected.probabilities is not None
        assert np.allclose(one.probabilities, expected.probabilities, atol=1e-3)
