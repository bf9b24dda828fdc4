"""Messages between the program and a decoding child: JSON and raw arrays. Never pickle: the child is not trusted.

::

    4 bytes  length of the JSON, little endian
    n bytes  JSON: {"reply": {...}, "arrays": [["uint8", [512, 512]], ...]} or {"refused": ["code", "detail"]}
    …        the arrays' bytes, C order, little endian
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_ARRAY_BYTES = 1024**3
DTYPES = ("bool", "uint8", "uint16", "int32")


class Gone(Exception):
    """The other side is gone, or does not keep to the rules."""


def send(stream: BinaryIO, message: dict[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> None:
    """Write a message; ``arrays`` must be of :data:`DTYPES`."""
    shapes = [[array.dtype.name, list(array.shape)] for array in arrays]
    data = json.dumps({**message, "arrays": shapes}).encode()
    stream.write(len(data).to_bytes(4, "little") + data)
    for array in arrays:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        stream.write(little.reshape(-1).view(np.uint8).data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Read a message.

    Raises
    ------
    Gone
        when the stream ends early, or holds anything but what :func:`send` writes.
    """
    length = int.from_bytes(_exactly(stream, 4), "little")
    if length > MAX_JSON_BYTES:
        raise Gone("a message is too long")
    try:
        message = json.loads(_exactly(stream, length))
        declared = message.pop("arrays")
        return message, [_array(stream, str(name), shape) for name, shape in declared]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise Gone("a message is damaged") from error


def _array(stream: BinaryIO, name: str, shape: Any) -> NDArray[Any]:
    size = int(np.prod([int(n) for n in shape], dtype=object)) if shape else 1
    if name not in DTYPES or size < 0 or any(int(n) < 0 for n in shape):
        raise Gone("an array is of no agreed type")
    dtype = np.dtype(name)
    if size * dtype.itemsize > MAX_ARRAY_BYTES:
        raise Gone("an array is too large")
    data = _exactly(stream, size * dtype.itemsize)
    # numpy is let to write into the buffer: it belongs to nobody else
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape([int(n) for n in shape])


def _exactly(stream: BinaryIO, count: int) -> bytearray:
    data = bytearray(count)
    view, at = memoryview(data), 0
    while at < count:
        read = stream.readinto(view[at:])  # type: ignore[attr-defined]
        if not read:
            raise Gone("the stream ended")
        at += read
    return data
