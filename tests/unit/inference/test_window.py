"""Models of several frames in a stream: a window by hand, and the same masks however the frames come."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.errors import ResourceError, UsageError
from ercpseg.frames.frame import Frame
from ercpseg.inference.folder import predict_frames
from ercpseg.inference.predictor import Predictor, Speed
from tests.unit.inference.test_folder import Collected
from tests.unit.inference.test_predictor import pixels
from tests.unit.inference.test_service import ask, request

FRAMES = 3


@pytest.fixture(scope="module")
def model(make_model: Any) -> Path:
    return make_model(input__frames=FRAMES)


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor.load(model, device="cpu", tta=False)


def numbered(run: str | None, number: int, size: tuple[int, int] = (64, 64)) -> Frame:
    """Frame ``number`` of a file; without a run a picture of its own."""
    seed = 10 * number + (ord(run) if run else 0)
    index = None if run is None else number
    where = {"path": Path("x"), "source": run or "still", "series": run, "index": index}
    return Frame(name=f"{run}{number}", pixels=pixels(seed, size), bits=8, **where)


def windows(predictor: Predictor, order: Sequence[Frame], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the network saw for each frame, by names."""
    names = {predictor.prepare(frame).image.tobytes(): frame.name for frame in order}
    seen: list[list[str]] = []
    real = predictor.forward

    def spy(images: Any) -> torch.Tensor:
        seen.extend([names[channel.tobytes()] for channel in image] for image in images[:, :, None])
        return real(images)

    with monkeypatch.context() as patch:
        patch.setattr(predictor, "forward", spy)
        stream = predictor.stream()
        for frame in order:
            stream.push(frame)
    return seen


def test_windows_by_hand(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame first, then those before it; the earliest repeated; nothing over a gap, a file's end or another size."""
    order = [numbered("a", 0), numbered("a", 1), numbered("a", 2), numbered("a", 3), numbered("a", 5), numbered("a", 6)]
    order += [numbered("b", 7), numbered("b", 8, (40, 64)), numbered(None, 9), numbered(None, 10)]
    expected = ["a0 a0 a0", "a1 a0 a0", "a2 a1 a0", "a3 a2 a1", "a5 a5 a5", "a6 a5 a5"]
    expected += ["b7 b7 b7", "b8 b8 b8", "None9 None9 None9", "None10 None10 None10"]
    assert windows(predictor, order, monkeypatch) == [line.split() for line in expected]


def expected_of(predictor: Predictor, frames: Sequence[Frame]) -> np.ndarray:
    """Logits by the network alone: images stacked here."""
    image = np.stack([predictor.prepare(frame).image[0] for frame in frames])
    return predictor.forward(image[None])[0]


def test_one_frame_is_repeated_and_a_window_is_what_logits_makes_of_it(predictor: Predictor) -> None:
    a, b = numbered("a", 0), numbered("a", 1)
    assert np.array_equal(predictor.logits(a.pixels)[0], expected_of(predictor, [a, a, a]))
    assert np.array_equal(predictor.logits(b.pixels, [a.pixels])[0], expected_of(predictor, [b, a, a]))
    assert not np.array_equal(expected_of(predictor, [b, a, a]), expected_of(predictor, [b, b, b]))
    stream = predictor.stream()
    alone, second = stream.push(a) + stream.push(b)
    assert np.array_equal(alone.bitmask, predictor.predict(a).bitmask)
    assert not np.array_equal(second.bitmask, predictor.predict(b).bitmask)


ORDER = [numbered("a", n) for n in range(4)] + [numbered("a", 5), numbered(None, 6), numbered("b", 0), numbered("b", 1)]


@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 5), owed=st.sets(st.integers(0, 7)), ready=st.sets(st.integers(0, 7)))
def test_any_batch_gives_what_frame_by_frame_gives(
    batch: int, owed: set[int], ready: set[int], predictor: Predictor
) -> None:
    one, many = predictor.stream(), predictor.stream(batch=batch)
    expected = [result for frame in ORDER for result in one.push(frame)]
    found = []
    for i, frame in enumerate(ORDER):
        found += many.push(predictor.prepare(frame) if i in ready else frame)
        found += many.owed() if i in owed else []
    found += many.flush()
    assert [r.frame.name for r in found] == [f.name for f in ORDER]
    assert all(np.array_equal(a.bitmask, b.bitmask) for a, b in zip(expected, found, strict=True))


def test_a_flush_and_a_frame_that_fails_begin_the_window_anew(predictor: Predictor, monkeypatch: Any) -> None:
    frames = [replace(numbered("a", n), index=None, path=None) for n in range(3)]  # live: no numbers
    stream = predictor.stream()
    stream.push(frames[0])
    assert stream.push(frames[1])[0].frame.before_sha256 is not None
    stream.flush()
    assert stream.push(frames[2])[0].frame.before_sha256 is None
    with pytest.raises(UsageError):
        stream.push(replace(frames[1], pixels=frames[1].pixels.astype(np.float32)))
    assert stream.push(frames[0])[0].frame.before_sha256 is None

    real = predictor.prepare

    def full(frame: Frame) -> Any:
        if frame is frames[1] or frame.name == frames[1].name:
            raise ResourceError("out of memory")
        return real(frame)

    monkeypatch.setattr(predictor, "prepare", full)
    sink = Collected()
    predict_frames(predictor, frames, sink, total=3)
    assert [r.frame for r in sink.refused] == ["a1"]
    monkeypatch.undo()
    assert np.array_equal(dict(sink.written)["a2"], predictor.predict(frames[2]).bitmask)


@settings(max_examples=10, deadline=None)
@given(known=st.sets(st.integers(0, len(ORDER) - 1)))
def test_a_resumed_run_gives_the_masks_of_an_undisturbed_one(known: set[int], predictor: Predictor) -> None:
    whole = Collected()
    predict_frames(predictor, ORDER, whole, total=len(ORDER))
    masks = dict(whole.written)
    resumed = Collected({ORDER[i].name: masks[ORDER[i].name] for i in known})
    predict_frames(predictor, ORDER, resumed, total=len(ORDER))
    assert [name for name, _ in resumed.written] == [frame.name for frame in ORDER]
    assert all(np.array_equal(mask, masks[name]) for name, mask in resumed.written)


def test_only_the_frames_that_a_window_needs_are_prepared_again(predictor: Predictor, monkeypatch: Any) -> None:
    cine = [numbered("a", n) for n in range(8)]
    prepared: list[str] = []
    real = predictor.prepare
    monkeypatch.setattr(predictor, "prepare", lambda f: prepared.append(f.name) or real(f))
    known = {f"a{n}": np.zeros((64, 64), np.uint8) for n in (0, 1, 2, 3, 4, 6, 7)}
    predict_frames(predictor, cine, Collected(known), total=8)
    assert sorted(prepared) == ["a3", "a4", "a5"]


def test_what_a_result_is_made_from_tells_the_frames_before_it(tmp_path: Path, predictor: Predictor) -> None:
    """A changed frame makes the two after it new, and no other."""
    from ercpseg.export.folder import PredictionWriter

    def run(frames: Sequence[Frame]) -> list[str]:
        predicted: list[str] = []
        with PredictionWriter(tmp_path / "out", predictor.structures, overlays=False, made_by={"model": "m"}) as writer:
            known = writer.known

            class Sink:
                wants_probabilities = False
                write, refuse = writer.write, writer.refuse

                def known(self, frame: Frame) -> Any:
                    found = known(frame)
                    predicted.extend([frame.name] if found is None else [])
                    return found

            predict_frames(predictor, frames, Sink(), total=len(frames))
            writer.finish({})
        return predicted

    cine = [numbered("a", n) for n in range(6)]
    assert run(cine) == [f.name for f in cine]
    assert run(cine) == []
    cine[2] = replace(cine[2], pixels=np.ascontiguousarray(cine[2].pixels[::-1]))
    assert run(cine) == ["a2", "a3", "a4"]


def test_the_protocol_stacks_frames_of_one_series(predictor: Predictor) -> None:
    shown = [pixels(n) for n in range(5)]
    series = ["run", "run", None, "run", "run"]
    data = [
        request(p, f"n{i}", **({} if s is None else {"series": s}))
        for i, (p, s) in enumerate(zip(shown, series, strict=True))
    ]
    data.insert(4, request(np.full((64, 64), 7, np.uint8), "flat", series="run"))  # refused: the next one begins anew
    _, *answers = ask(predictor, b"".join(data))
    masks = {header["name"]: mask for header, mask in answers}
    assert masks["flat"] is None
    for name, own, before in (("n0", 0, ()), ("n1", 1, (0,)), ("n2", 2, ()), ("n3", 3, ()), ("n4", 4, ())):
        stream = predictor.stream()
        results = [stream.push(Frame(name="f", pixels=shown[i], bits=8, series="x")) for i in (*before, own)]
        assert np.array_equal(masks[name], results[-1][0].bitmask), name
    assert not np.array_equal(masks["n1"], predictor.predict(shown[1]).bitmask)


@pytest.mark.parametrize("series", [1, ["run"], {"a": 1}, True])
def test_a_series_that_is_no_text_loses_the_framing(series: Any, predictor: Predictor) -> None:
    from ercpseg.errors import DataError
    from ercpseg.inference.service import serve

    with pytest.raises(DataError) as error:
        serve(predictor, io.BytesIO(request(pixels(0), series=series)), io.BytesIO())
    assert "run" not in str(error.value)


def test_runtimes_and_folds_take_as_many_channels(model: Path, predictor: Predictor) -> None:
    pytest.importorskip("onnxruntime")
    other = Predictor.load(model, device="cpu", tta=False, speed=Speed(runtime="onnxruntime"))
    assert other.chosen.difference < 1e-3
    a, b = predictor.stream(), other.stream()
    for frame in ORDER[:3]:
        assert (a.push(frame)[0].bitmask == b.push(frame)[0].bitmask).mean() > 0.999
