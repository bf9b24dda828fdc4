"""PNG files: exact round trips; damage is refused or harmless, never a different picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ercpseg.errors import StorageError
from ercpseg.storage.images import encode_png, read_png, read_png_header, read_png_text, write_png


def test_booleans_become_black_and_white(tmp_path: Path) -> None:
    mask = np.zeros((3, 5), bool)
    mask[1, ::2] = True
    write_png(tmp_path / "a.png", mask)
    back = read_png(tmp_path / "a.png")
    assert back.dtype == np.uint8
    assert np.array_equal(back, np.where(mask, 255, 0))
    write_png(tmp_path / "b.png", mask[:, ::-2])  # a view that is not contiguous
    assert np.array_equal(read_png(tmp_path / "b.png"), np.where(mask, 255, 0)[:, ::-2])


def test_colour(tmp_path: Path) -> None:
    picture = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    write_png(tmp_path / "a.png", picture)
    assert np.array_equal(read_png(tmp_path / "a.png"), picture)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32, np.dtype(">u2")])
def test_other_types_are_a_mistake_of_the_caller(dtype: Any) -> None:
    with pytest.raises(ValueError, match="cannot write"):
        encode_png(np.zeros((2, 2), dtype))


def test_another_decoder_reads_the_same(tmp_path: Path) -> None:
    from PIL import Image

    grey = np.random.default_rng(0).integers(0, 2**16, (5, 7), dtype=np.uint16)
    write_png(tmp_path / "a.png", grey)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode.startswith("I")
        assert np.array_equal(np.asarray(image), grey)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (64, 80), (17, 33, 3)])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_drawn_and_recorded_images_come_back(tmp_path: Path, shape: Any, flat: bool, dtype: Any) -> None:
    from skimage.io import imread

    picture = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    if flat:
        picture[...] = picture.flat[0]
        picture[shape[0] // 2 :] = 7
    if len(shape) == 3 and dtype is np.uint16:
        return
    write_png(tmp_path / "a.png", picture)
    back = read_png(tmp_path / "a.png")
    assert back.dtype == dtype
    assert np.array_equal(back, picture)
    assert np.array_equal(imread(tmp_path / "a.png"), picture)
    assert read_png_header(tmp_path / "a.png") == (shape[:2], 8 * picture.itemsize)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" * 9])
def test_a_header_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        read_png_header(tmp_path / "a.png")
    with pytest.raises(StorageError):
        read_png_header(tmp_path / "missing.png")


def test_texts_come_back_and_change_no_pixel(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(6, 10)
    write_png(tmp_path / "t.png", array, {"a": "1" * 64, "b-c": ""})
    assert read_png_text(tmp_path / "t.png") == {"a": "1" * 64, "b-c": ""}
    assert np.array_equal(read_png(tmp_path / "t.png"), array)
    with Image.open(tmp_path / "t.png") as image:  # a reader that checks the chunks' sums
        image.load()
        assert image.text == {"a": "1" * 64, "b-c": ""}
    write_png(tmp_path / "n.png", array)
    assert read_png_text(tmp_path / "n.png") == {}
    (tmp_path / "x.png").write_bytes(b"text")
    with pytest.raises(StorageError, match="damaged"):
        read_png_text(tmp_path / "x.png")


def test_damage_never_gives_another_picture(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (8, 9), dtype=np.uint8)
    data = encode_png(grey)
    path = tmp_path / "a.png"
    # A sample only: on Python 3.11 imagecodecs loses a reference to None with every failure inside libpng.
    damaged = [data[:n] for n in range(0, len(data), 7)]
    for bit in range(3, 8 * len(data), 31):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            assert np.array_equal(read_png(path), grey)
        except StorageError as error:
            refused += 1
            assert str(path) in error.message
    assert refused > 0.9 * len(damaged)
    path.write_bytes(b"GIF89a")
    with pytest.raises(StorageError, match="damaged"):
        read_png(path)
