"""The stream protocol: what another program would speak, byte by byte."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.errors import DataError
from ercpseg.inference.predictor import Predictor
from ercpseg.inference.service import serve
from tests.unit.inference.test_predictor import pixels


@pytest.fixture(scope="module")
def predictor(make_model: Any) -> Predictor:
    return Predictor.load(make_model(), device="cpu", tta=False)


def request(array: np.ndarray, name: str = "f", **extra: Any) -> bytes:
    header = {"name": name, "shape": list(array.shape), "dtype": array.dtype.name, **extra}
    return json.dumps(header).encode() + b"\n" + array.astype(array.dtype.newbyteorder("<")).tobytes()


def spoken(data: bytes) -> list[tuple[dict[str, Any], np.ndarray | None]]:
    """What a reader of the protocol makes of the answers."""
    source, found = io.BytesIO(data), []
    while line := source.readline():
        header = json.loads(line)
        mask = None
        if "shape" in header:
            y, x = header["shape"]
            mask = np.frombuffer(source.read(y * x), np.uint8).reshape(y, x)
        found.append((header, mask))
    return found


def ask(predictor: Predictor, data: bytes, **options: Any) -> list[tuple[dict[str, Any], np.ndarray | None]]:
    target = io.BytesIO()
    serve(predictor, io.BytesIO(data), target, **options)
    return spoken(target.getvalue())


def test_masks_are_those_of_single_calls(predictor: Predictor) -> None:
    frames = [pixels(i, size) for i, size in enumerate([(64, 64), (40, 64), (64, 64)])]
    (hello, _), *answers = ask(predictor, b"".join(request(f, f"n{i}") for i, f in enumerate(frames)))
    assert hello["schema"] == "ercpseg.stream/1"
    assert hello["structures"] == {"endoscope": 1, "guidewire": 2}
    assert [header["name"] for header, _ in answers] == ["n0", "n1", "n2"]
    for (header, mask), frame in zip(answers, frames, strict=True):
        expected = predictor.predict(frame).bitmask
        assert np.array_equal(mask, expected)
        assert header["milliseconds"] > 0
        assert header["present"] == [n for n, bit in hello["structures"].items() if (expected & bit).any()]


def test_sixteen_bits_and_either_polarity(predictor: Predictor) -> None:
    wide = pixels(2).astype(np.uint16) << 4
    expected = predictor.predict(wide).bitmask
    data = request(wide, bits=12) + request((4095 - wide).astype(np.uint16), bits=12, photometric="MONOCHROME1")
    (_, (_, straight), (_, turned)) = ask(predictor, data)
    assert np.array_equal(straight, expected)
    assert np.array_equal(turned, expected)


def test_a_flush_is_answered_at_once_and_a_batch_waits(predictor: Predictor) -> None:
    target = io.BytesIO()
    answered = []

    class Source(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            answered.append(target.getvalue().count(b'"milliseconds"'))
            return super().readline(size)

    data = request(pixels(1)) + request(pixels(2)) + b'{"flush": true}\n' + request(pixels(3))
    serve(predictor, Source(data), target, batch=4)
    assert answered == [0, 0, 0, 2, 2]
    assert target.getvalue().count(b'"milliseconds"') == 3


@pytest.mark.parametrize(
    "extra",
    [{"bits": 4}, {"bits": 0}, {"bits": True}, {"photometric": "RGB"}],
    ids=lambda e: str(next(iter(e.values()))),
)
def test_a_frame_that_makes_no_sense_is_refused_and_the_next_one_answered(extra: Any, predictor: Predictor) -> None:
    answers = ask(
        predictor, request(pixels(1), "a") + request(pixels(1), "b", **extra) + request(pixels(2), "c"), batch=8
    )
    assert [header.get("name") for header, _ in answers[1:]] == ["a", "b", "c"]
    assert answers[2][0]["refused"] == "unsupported-pixels"
    assert answers[2][1] is None


def test_a_frame_without_a_picture_is_refused_as_in_files(predictor: Predictor) -> None:
    flat = np.full((48, 64), 77, np.uint8)
    answers = ask(predictor, request(flat, "a") + request(pixels(1), "b"))
    assert [header.get("refused") for header, _ in answers[1:]] == ["constant", None]
    assert "shape" not in answers[1][0]
    assert "77" in answers[1][0]["reason"]


def test_a_frame_too_large_to_prepare_is_refused_as_such(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ercpseg.inference.predictor.prepare", full)
    (_, (answer, mask)) = ask(predictor, request(pixels(1), "a"))
    assert (answer["name"], answer["refused"], mask) == ("a", "too-large", None)
    assert "memory" in answer["reason"]


@pytest.mark.parametrize(
    "broken",
    [
        b"hello\n",
        b"[1]\n",
        b'{"name": "x"}\n',
        b'{"shape": [0, 5]}\n',
        b'{"shape": [true, 5]}\n',
        b'{"shape": [100000, 100000]}\n',
        b'{"shape": [4, 4], "dtype": "float32"}\n',
        b'{"shape": [4, 4], "dtype": ["uint8"]}\n',
        b'{"shape": [4, 4], "path": "/etc"}\n',
        b'{"shape": [4, 4]}\nabc',
        b'{"shape": [4, 4]}',
        b"[" * 60000 + b"\n",
        b"x" * 70000,
    ],
    ids=range(13),
)
def test_a_lost_framing_ends_the_stream_with_what_was_answered(broken: bytes, predictor: Predictor) -> None:
    target = io.BytesIO()
    with pytest.raises(DataError, match="not understood") as caught:
        serve(predictor, io.BytesIO(request(pixels(1)) + broken), target)
    assert caught.value.exit_code == 65
    assert len(spoken(target.getvalue())) == 2


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=300))
def test_no_bytes_do_harm(data: bytes, predictor: Predictor) -> None:
    target = io.BytesIO()
    with contextlib.suppress(DataError):
        serve(predictor, io.BytesIO(data), target)
    assert spoken(target.getvalue())[0][0]["schema"] == "ercpseg.stream/1"
