"""Shapes of fields, at several sizes and places."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.fingerprint.field_shape import field_shape


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width]
    return y - height / 2, x - width / 2


@pytest.mark.parametrize("side", [120, 512, 1024])
def test_shapes(side: int) -> None:
    y, x = grid(side, side)
    half = side / 2
    assert field_shape(np.ones((side, side), bool)) == "full"
    assert field_shape(np.hypot(y, x) < 0.96 * half) == "round"
    assert field_shape(np.hypot(y, x) < 1.15 * half) == "round", "cut off by the frame on four sides"
    assert field_shape(np.hypot(y - 0.2 * half, x) < 0.7 * half) == "round"
    assert field_shape((np.abs(y) < 0.9 * half) & (np.abs(x) < 0.7 * half)) == "rectangular"
    assert field_shape(np.abs(x) < 0.8 * half) == "rectangular", "collimated on two sides"
    assert field_shape(x < 0.6 * half) == "rectangular", "collimated on one side"
    octagon = np.maximum(np.maximum(np.abs(y), np.abs(x)), (np.abs(y) + np.abs(x)) / np.sqrt(2)) < 0.95 * half
    assert field_shape(octagon) == "other"
    turned = np.maximum(np.abs(y + x), np.abs(y - x)) / np.sqrt(2) < 0.6 * half
    assert field_shape(turned) == "other"


def test_a_round_field_in_a_wide_frame() -> None:
    y, x = grid(300, 700)
    assert field_shape(np.hypot(y, x) < 140) == "round"
