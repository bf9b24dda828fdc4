"""Named arrays in one safetensors file, with a digest over names, contents and metadata.

safetensors cannot run code but notices no flipped bit (0 of 200 in a trial), hence the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import StorageError
from ercpseg.storage.atomic import read_bytes, write_bytes

Arrays = Mapping[str, NDArray[Any]]


def encode_arrays(arrays: Arrays, metadata: Mapping[str, Any]) -> bytes:
    """Arrays and JSON-able metadata as safetensors bytes; equal input gives equal bytes."""
    from safetensors.numpy import save

    text = json.dumps(metadata, sort_keys=True, allow_nan=False)
    # np.ascontiguousarray would turn a scalar array into one of shape (1,); the format knows little-endian only.
    contiguous = {name: np.require(arrays[name], arrays[name].dtype.newbyteorder("<"), "C") for name in sorted(arrays)}
    return _canonical(save(contiguous, {"metadata": text, "sha256": _digest(contiguous, text)}))


def decode_arrays(data: bytes, *, where: object) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the metadata.

    Raises
    ------
    StorageError
        when the bytes are not what :func:`encode_arrays` made.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])["__metadata__"]
        arrays = load(data)
        intact = _digest({name: arrays[name] for name in sorted(arrays)}, header["metadata"]) == header["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise StorageError("this file is damaged", where=where, todo="delete it; an older one is used if there is one")
    return arrays, json.loads(header["metadata"])


def save_arrays(path: Path, arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    """Write :func:`encode_arrays` atomically."""
    write_bytes(path, encode_arrays(arrays, metadata))


def load_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what :func:`save_arrays` wrote; see :func:`decode_arrays`."""
    return decode_arrays(read_bytes(path), where=path)


def _canonical(data: bytes) -> bytes:
    """The same file with a sorted header: the library writes metadata in random order."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return b"".join([len(header).to_bytes(8, "little"), header, memoryview(data)[8 + length :]])


def _digest(arrays: Arrays, metadata: str) -> str:
    digest = hashlib.sha256(metadata.encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
