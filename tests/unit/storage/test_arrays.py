"""Arrays: everything comes back exactly, and no damage goes unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ercpseg.errors import StorageError
from ercpseg.storage.arrays import decode_arrays, encode_arrays, load_arrays, save_arrays

EXAMPLE = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "count": np.array(7, np.int64),
    "flags": np.array([True, False]),
}


def same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5, np.float32),
        np.float64(2.0),
        np.zeros((0, 3), np.uint8),
        np.array([np.nan, -0.0, np.inf]),
        np.arange(12).reshape(3, 4)[:, ::2],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([True, False]),
        np.arange(4, dtype=np.uint16),
        np.arange(4, dtype=np.float16),
    ],
    ids=str,
)
def test_arrays_come_back(array: Any) -> None:
    back, metadata = decode_arrays(encode_arrays({"a": array}, {"epoch": 3}), where="test")
    assert metadata == {"epoch": 3}
    assert list(back) == ["a"]
    assert same(back["a"], np.asarray(array))


def test_scalars_stay_scalar() -> None:
    back, _ = decode_arrays(encode_arrays(EXAMPLE, {}), where="test")
    assert back["count"].shape == ()
    assert back["count"].item() == 7


def test_foreign_byte_order_keeps_its_values() -> None:
    """The format knows little-endian only; the digest must agree with what comes back."""
    back, _ = decode_arrays(encode_arrays({"a": np.arange(3, dtype=">f4")}, {}), where="test")
    assert back["a"].tolist() == [0, 1, 2]


def test_equal_input_gives_equal_bytes() -> None:
    turned = dict(reversed(EXAMPLE.items()))
    # 20 times: the library orders its metadata at random
    assert len({encode_arrays(EXAMPLE, {"a": 1, "b": 2}) for _ in range(20)}) == 1
    assert encode_arrays(EXAMPLE, {"a": 1, "b": 2}) == encode_arrays(turned, {"b": 2, "a": 1})
    assert encode_arrays(EXAMPLE, {"a": 1}) != encode_arrays(EXAMPLE, {"a": 2})


def test_every_flipped_bit_is_noticed() -> None:
    data = encode_arrays(EXAMPLE, {"epoch": 3})
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StorageError, match="damaged"):
            decode_arrays(bytes(damaged), where="test")


def test_every_truncation_is_noticed() -> None:
    data = encode_arrays(EXAMPLE, {"epoch": 3})
    for length in range(len(data)):
        with pytest.raises(StorageError, match="damaged"):
            decode_arrays(data[:length], where="test")
    with pytest.raises(StorageError, match="damaged"):
        decode_arrays(data + b"\0", where="test")


def test_swapped_contents_are_noticed() -> None:
    """Two arrays of one size that changed places: every byte is there, the digest still differs."""
    a, b = np.full(4, 1, np.float32), np.full(4, 2, np.float32)
    data = encode_arrays({"a": a, "b": b}, {})
    assert data.count(a.tobytes()) == data.count(b.tobytes()) == 1
    swapped = data.replace(a.tobytes(), b"?" * 16).replace(b.tobytes(), a.tobytes()).replace(b"?" * 16, b.tobytes())
    with pytest.raises(StorageError, match="damaged"):
        decode_arrays(swapped, where="test")


def test_a_file_of_another_program_is_refused() -> None:
    from safetensors.numpy import save

    for metadata in (None, {"metadata": "{}"}, {"sha256": "0"}):
        with pytest.raises(StorageError, match="damaged"):
            decode_arrays(save({"a": np.zeros(2)}, metadata), where="test")


def test_files(tmp_path: Path) -> None:
    save_arrays(tmp_path / "sub/a.safetensors", EXAMPLE, {"x": [1, None]})
    arrays, metadata = load_arrays(tmp_path / "sub/a.safetensors")
    assert metadata == {"x": [1, None]}
    assert all(same(arrays[name], EXAMPLE[name]) for name in EXAMPLE)
    with pytest.raises(StorageError, match="reading"):
        load_arrays(tmp_path / "missing")


def test_metadata_must_be_finite() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode_arrays({}, {"loss": float("nan")})
