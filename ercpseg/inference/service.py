"""The stream for other programs: frames on one pipe, masks on the other, each a line of JSON and raw bytes.

docs/reference/stream-protocol.md is the description; ``ercpseg predict -`` runs it on standard input and output.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import DataError, ErcpsegError, InputRefused, ResourceError
from ercpseg.frames.frame import Frame
from ercpseg.inference.predictor import Prediction, Predictor
from ercpseg.inference.stream import Stream
from ercpseg.version import __version__

SCHEMA = "ercpseg.stream/1"
MAX_LINE = 65536
"""Longest line of JSON."""
MAX_PIXELS = 64 * 1024 * 1024
"""Largest frame; more is a header gone wrong."""
DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}
KEYS = {"name", "shape", "dtype", "bits", "photometric", "series", "flush"}


@dataclass
class Served:
    """How many frames were answered, and how many refused."""

    frames: int = 0
    refused: int = 0


def serve(predictor: Predictor, source: BinaryIO, target: BinaryIO, *, batch: int = 1) -> Served:
    """Answer frames until ``source`` ends.

    Raises
    ------
    DataError
        when the framing is lost: a line that is no JSON, a frame cut short. What was answered before stays answered.
    """
    served = Served()

    def too_large(frame: Frame, error: ResourceError) -> None:
        served.refused += 1
        _refuse(target, frame.name, error)

    stream = Stream(predictor, batch=batch, too_large=too_large)
    structures = predictor.structures
    _send(
        target,
        {
            "schema": SCHEMA,
            "ercpseg": __version__,
            "model": predictor.card.name,
            "model_sha256": predictor.sha256,
            "structures": {name: structures.value(name) for name in structures},
            "runtime": predictor.chosen.note,
        },
    )
    while (header := _line(source)) is not None:
        if header.get("flush") is True:
            _answer(target, served, stream.flush())
            continue
        name, shape, dtype = _described(header)
        pixels = _pixels(source, shape, dtype)
        try:
            frame = _frame(name, pixels, header)
            prepared = stream.prepare(stream.enter(frame))
        except ErcpsegError as error:
            served.refused += 1
            _answer(target, served, stream.flush())  # answers come in the order of the frames
            _refuse(target, name, error)
            continue
        _answer(target, served, stream.push(prepared))
    _answer(target, served, stream.flush())
    return served


def _line(source: BinaryIO) -> dict[str, Any] | None:
    line = source.readline(MAX_LINE + 1)
    if not line:
        return None
    if len(line) > MAX_LINE or not line.endswith(b"\n"):
        raise _lost("a line that is too long or cut short")
    try:
        header = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _lost("a line that is no JSON") from error
    if not isinstance(header, dict) or set(header) - KEYS:
        raise _lost("a line that is no mapping of the known keys")
    return header


def _described(header: Mapping[str, Any]) -> tuple[str, tuple[int, int], np.dtype[Any]]:
    name, shape, dtype = header.get("name", ""), header.get("shape"), header.get("dtype", "uint8")
    sizes = shape if isinstance(shape, list) and len(shape) == 2 else [0, 0]
    if not all(type(n) is int and 1 <= n <= MAX_PIXELS for n in sizes) or math.prod(sizes) > MAX_PIXELS:
        raise _lost("a frame without a size that can be")
    if dtype not in list(DTYPES) or not isinstance(name, str) or not isinstance(header.get("series"), str | None):
        raise _lost("a frame of an unknown type")
    return name, (int(sizes[0]), int(sizes[1])), DTYPES[str(dtype)]


def _pixels(source: BinaryIO, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    data = bytearray()
    while len(data) < size:
        part = source.read(size - len(data))
        if not part:
            raise _lost("a frame cut short")
        data += part
    return np.frombuffer(bytes(data), dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _frame(name: str, pixels: NDArray[Any], header: Mapping[str, Any]) -> Frame:
    full = 8 * pixels.dtype.itemsize
    bits, photometric = header.get("bits", full), header.get("photometric", "MONOCHROME2")
    if type(bits) is not int or not 1 <= bits <= full or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputRefused("unsupported-pixels", "bits or photometric make no sense")
    top, least, most = 2**bits - 1, int(pixels.min()), int(pixels.max())
    if most > top:
        raise InputRefused("unsupported-pixels", f"values above {bits} bits")
    if least == most:  # as in files
        raise InputRefused("constant", f"all pixels are {least}")
    if photometric == "MONOCHROME1":
        pixels = (top - pixels).astype(pixels.dtype)
    return Frame(name=name, pixels=pixels, bits=bits, series=header.get("series"))


def _answer(target: BinaryIO, served: Served, results: list[Prediction]) -> None:
    for result in results:
        served.frames += 1
        header = {
            "name": result.frame.name,
            "shape": list(result.bitmask.shape),
            "dtype": "uint8",
            "milliseconds": round(1000 * result.seconds, 3),
            "present": list(result.structures.present(result.bitmask)),
        }
        _send(target, header, result.bitmask.tobytes())


def _refuse(target: BinaryIO, name: str, error: ErcpsegError) -> None:
    if isinstance(error, ResourceError):
        error = InputRefused("too-large", "the memory is too small for this frame")
    code = error.code if isinstance(error, InputRefused) else "unsupported-pixels"
    _send(target, {"name": name, "refused": code, "reason": error.what[:500]})


def _send(target: BinaryIO, header: Mapping[str, Any], data: bytes = b"") -> None:
    target.write(json.dumps(header).encode() + b"\n" + data)
    target.flush()


def _lost(what: str) -> DataError:
    return DataError(
        f"the stream is not understood: {what}",
        where="standard input",
        expected="per frame one line of JSON and its pixels",
        todo="see docs/reference/stream-protocol.md",
    )
