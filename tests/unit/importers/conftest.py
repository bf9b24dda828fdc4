"""Small inputs, made here: frames with a known pattern, and DICOM files of every kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ercpseg.frames.frame import Frame
from ercpseg.importers.frames import iter_frames
from ercpseg.storage.images import write_png
from tests.unit.decoding.conftest import dicom_dataset


def ramp(height=6, width=5, dtype=np.uint8, step=7):
    """Values 0, step, 2·step, … row by row: no two neighbours are equal."""
    return (np.arange(height * width).reshape(height, width) * step).astype(dtype)


@pytest.fixture
def make_dicom(tmp_path) -> Callable[..., Path]:
    def make(pixels, name="a.dcm", **options) -> Path:
        path = tmp_path / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns about the odd values that some tests want
            dicom_dataset(pixels, **options).save_as(path, enforce_file_format=True)
        return path

    return make


@pytest.fixture
def read():
    """All that iter_frames makes of a path."""
    return lambda path: list(iter_frames(path))


@pytest.fixture
def one(read):
    """The only frame of a path."""

    def get(path) -> Frame:
        (frame,) = read(path)
        assert isinstance(frame, Frame), frame
        return frame

    return get


@pytest.fixture
def code(read):
    """The refusal code of a path that gives one row."""

    def get(path) -> str:
        (record,) = read(path)
        assert not isinstance(record, Frame), "was accepted"
        assert record.status == "refused"
        return record.code

    return get


@pytest.fixture
def masks_folder(tmp_path) -> Path:
    """Two patients, three frames; endoscope and stone overlap in p1_a, p2_c has no stone mask."""
    root = tmp_path / "set"
    for i, stem in enumerate(("p1_a", "p1_b", "p2_c")):
        write_png(root / "images" / f"{stem}.png", ramp(step=7 - i))
    scope = np.zeros((6, 5), bool)
    scope[1:4, 1:4] = True
    stone = np.zeros((6, 5), bool)
    stone[3:5, 3:5] = True
    for stem in ("p1_a", "p1_b", "p2_c"):
        write_png(root / "masks" / "endoscope" / f"{stem}.png", scope)
    for stem in ("p1_a", "p1_b"):
        write_png(root / "masks" / "stone" / f"{stem}.png", stone)
    return root
