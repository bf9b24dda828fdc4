"""Folder prediction: everything found is accounted for, and no thread outlives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import StorageError
from ercpseg.frames.frame import Frame
from ercpseg.inference.ahead import ahead
from ercpseg.inference.folder import predict_frames
from ercpseg.inference.predictor import Predictor
from ercpseg.structures import Bitmask


class Collected:
    def __init__(self, known: dict[str, Bitmask] | None = None, *, wants_probabilities: bool = False) -> None:
        self.written: list[tuple[str, Bitmask]] = []
        self.refused: list[FrameRecord] = []
        self.probabilities: dict[str, Any] = {}
        self.wants_probabilities = wants_probabilities
        self._known = known or {}

    def known(self, frame: Frame) -> Bitmask | None:
        return self._known.get(frame.name)

    def write(self, frame: Frame, bitmask: Bitmask, milliseconds: float | None, probabilities: Any = None) -> None:
        assert milliseconds is None if frame.name in self._known else milliseconds > 0
        self.written.append((frame.name, bitmask))
        self.probabilities[frame.name] = probabilities

    def refuse(self, record: FrameRecord) -> None:
        self.refused.append(record)


class Counter:
    def __init__(self) -> None:
        self.n = 0

    def task(self, description: str, total: int | None = None) -> Counter:
        self.total = total
        return self

    def say(self, text: str) -> None: ...

    def advance(self, n: int = 1, note: str | None = None) -> None:
        self.n += n

    def retotal(self, total: int) -> None: ...

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *exc: object) -> None: ...


@pytest.fixture(scope="module")
def predictor(make_model: Any) -> Predictor:
    return Predictor.load(make_model(), device="cpu", tta=False)


def frames(n: int = 5) -> list[Frame]:
    rng = np.random.default_rng(0)
    return [
        Frame(name=f"f{i}", pixels=rng.integers(0, 255, (40, 50 + i), dtype=np.uint8), bits=8, source=f"f{i}.png")
        for i in range(n)
    ]


REFUSED = FrameRecord(frame="", source="x.png", status="refused", code="unreadable", reason="no")


def decoders() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "ercpseg-decode"]


def test_every_item_is_written_or_refused(predictor: Predictor) -> None:
    sink, progress = Collected(), Counter()
    items = [*frames(2), REFUSED, *frames(5)[2:], REFUSED]
    predict_frames(predictor, items, sink, total=7, progress=progress)
    assert [name for name, _ in sink.written] == [f"f{i}" for i in range(5)]
    for (_, bitmask), given in zip(sink.written, frames(), strict=True):
        assert np.array_equal(bitmask, predictor.predict(given).bitmask)
    assert sink.refused == [REFUSED, REFUSED]
    assert (progress.n, progress.total) == (7, 7)
    assert decoders() == []


def test_what_is_known_is_not_predicted_and_keeps_its_place(predictor: Predictor, monkeypatch) -> None:
    predicted = []
    real = predictor.prepare
    monkeypatch.setattr(predictor, "prepare", lambda f: predicted.append(f.name) or real(f))
    known = {name: np.zeros((40, 50), np.uint8) for name in ("f0", "f3")}
    sink = Collected(known)
    digest = predict_frames(predictor, frames(), sink, total=5)
    assert [name for name, _ in sink.written] == [f"f{i}" for i in range(5)]
    assert predicted == ["f1", "f2", "f4"]
    assert sink.written[3][1] is known["f3"]
    assert digest == predict_frames(predictor, frames(), Collected(), total=5)


def test_probabilities_come_where_they_are_wanted(predictor: Predictor) -> None:
    sink = Collected(wants_probabilities=True)
    predict_frames(predictor, frames(1), sink, total=1)
    probabilities = sink.probabilities["f0"]
    assert (probabilities.dtype, probabilities.shape) == (np.float16, (2, 40, 50))
    assert 0 <= probabilities.min() < 0.5 < probabilities.max() <= 1
    thresholds = predictor.plan.values.postprocess.threshold
    sure = np.abs(probabilities - 0.5) > 0.01
    assert set(thresholds.values()) == {0.5}
    for i, mask in enumerate(predictor.structures.decode(sink.written[0][1]).values()):
        assert np.array_equal(mask[sure[i]], probabilities[i][sure[i]] > 0.5)
    plain = Collected()
    predict_frames(predictor, frames(1), plain, total=1)
    assert plain.probabilities["f0"] is None


def test_progress_counts_files(predictor: Predictor) -> None:
    """Three frames of one file, one of them refused, then a file of one frame: two files."""
    series = [Frame(name=f"s{i}", pixels=frames(1)[0].pixels, bits=8, source="s.dcm", index=i) for i in (0, 2)]
    refused = FrameRecord(frame="", source="s.dcm", index=1, status="refused", code="truncated", reason="no")
    sink, progress = Collected(), Counter()
    predict_frames(predictor, [series[0], refused, series[1], *frames(1)], sink, total=2, progress=progress)
    assert (len(sink.written), len(sink.refused), progress.n) == (3, 1, 2)


def test_nothing_to_predict(predictor: Predictor) -> None:
    sink, progress = Collected(), Counter()
    digest = predict_frames(predictor, [], sink, total=0, progress=progress)
    assert not sink.written
    assert progress.n == 0
    assert digest == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing


def test_the_digest_is_that_of_the_pixels_read(predictor: Predictor) -> None:
    def digest(items: list[Any]) -> str:
        return predict_frames(predictor, items, Collected(), total=len(items))

    first = digest(frames())
    assert digest(frames()) == first
    changed = frames()
    changed[2].pixels[3, 4] ^= 1
    assert digest(changed) != first
    assert digest(frames()[::-1]) != first
    renamed = [Frame(name="g0", pixels=frames()[0].pixels, bits=8), *frames()[1:]]
    assert digest(renamed) != first
    turned = [Frame(name="f0", pixels=frames(1)[0].pixels.reshape(50, 40), bits=8), *frames()[1:]]
    assert digest(turned) != first


def test_a_frame_too_large_for_the_memory_is_refused_and_the_run_goes_on(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = predictor.forward
    second = predictor.prepare(frames(3)[1]).image

    def limited(images: Any) -> torch.Tensor:
        if any(np.array_equal(one, second) for one in images):
            return torch.empty(2**50)  # torch's own error on a CPU
        return real(images)

    monkeypatch.setattr(predictor, "forward", limited)
    sink, progress = Collected(), Counter()
    predict_frames(predictor, frames(3), sink, total=3, progress=progress)
    assert [name for name, _ in sink.written] == ["f0", "f2"]
    (refused,) = sink.refused
    assert (refused.frame, refused.status, refused.code) == ("f1", "refused", "too-large")
    assert refused.reason is not None
    assert "40x51" in refused.reason
    assert progress.n == 3


def test_a_sink_that_fails_ends_the_run_and_the_thread(predictor: Predictor) -> None:
    class Full(Collected):
        def write(self, *_: object) -> None:
            raise StorageError("disk full")

    with pytest.raises(StorageError, match="disk full"):
        predict_frames(predictor, frames(), Full(), total=5)
    assert decoders() == []


# -- ahead -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 4, 5, 50])
def test_ahead_keeps_everything_in_order(n: int) -> None:
    assert list(ahead(range(n))) == list(range(n))
    assert decoders() == []


def test_ahead_hands_on_none() -> None:
    assert list(ahead([None, 1, None])) == [None, 1, None]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), MemoryError()])
def test_ahead_raises_what_its_thread_met_after_what_came_before(error: BaseException) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    received = []
    with pytest.raises(type(error)) as caught:
        for item in ahead(items()):
            received.append(item)
    assert caught.value is error
    assert received == [1, 2]
    assert decoders() == []


def test_ahead_works_ahead_but_not_far() -> None:
    made = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    results = ahead(items(), depth=3)
    assert next(results) == 0
    deadline = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    # one given out, three waiting, one in the hand of the thread
    assert len(made) == 5
    results.close()
    assert decoders() == []
    assert len(made) <= 6


def test_ahead_stops_when_the_consumer_does() -> None:
    def endless() -> Iterator[int]:
        i = 0
        while True:
            i += 1
            yield i

    with pytest.raises(KeyError):
        for item in ahead(endless()):
            if item == 3:
                raise KeyError
    import gc

    gc.collect()
    assert decoders() == []


def test_ahead_starts_no_thread_before_it_is_asked() -> None:
    results = ahead(range(3))
    assert decoders() == []
    results.close()
