"""Resampling by numpy is torch's, for every pair of sizes, and keeps what a resampling must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ercpseg.frames.resample import Kind, resized

sides = st.tuples(st.integers(2, 90), st.integers(2, 90))
"""Not 1: with antialias torch makes all rows of a picture of one column alike."""


def by_torch(planes: np.ndarray, size: tuple[int, int], kind: Kind, antialias: bool) -> np.ndarray:
    mode = {"linear": "bilinear", "cubic": "bicubic"}[kind]
    options = {"size": size, "mode": mode, "antialias": antialias, "align_corners": False}
    return torch.nn.functional.interpolate(torch.from_numpy(planes)[None], **options)[0].numpy()  # type: ignore[no-any-return]


@settings(max_examples=60, deadline=None)
@given(
    before=sides,
    after=sides,
    how=st.sampled_from([("cubic", True), ("linear", True), ("linear", False)]),
    seed=st.integers(0, 99),
)
@example(before=(2, 2), after=(90, 90), how=("cubic", True), seed=0)
@example(before=(90, 90), after=(2, 2), how=("cubic", True), seed=0)
@example(before=(64, 33), after=(33, 64), how=("linear", False), seed=0)
def test_it_is_torch_s(before: tuple[int, int], after: tuple[int, int], how: tuple[Kind, bool], seed: int) -> None:
    planes = np.random.default_rng(seed).standard_normal((2, *before), np.float32)
    found = resized(planes, after, kind=how[0], antialias=how[1])
    assert found.dtype == np.float32
    assert found.shape == (2, *after)
    assert np.allclose(found, by_torch(planes, after, *how), atol=5e-6)


@pytest.mark.parametrize(
    ("before", "after"), [((1024, 768), (512, 384)), ((512, 384), (1000, 750)), ((1023, 801), (512, 401))]
)
def test_it_is_torch_s_at_the_size_of_frames(before: tuple[int, int], after: tuple[int, int]) -> None:
    planes = np.random.default_rng(0).standard_normal((1, *before), np.float32)
    for kind, antialias in (("cubic", True), ("linear", True), ("linear", False)):
        assert (
            np.abs(
                resized(planes, after, kind=kind, antialias=antialias) - by_torch(planes, after, kind, antialias)
            ).max()
            < 5e-6
        )


def test_by_hand() -> None:
    row = np.array([[0, 4, 8, 4]], np.float32)
    assert resized(row, (1, 2), kind="linear", antialias=False).tolist() == [[2, 6]]
    # Half the length: a triangle two samples wide to each side, cut at the border: weights 3, 3, 1 of 7.
    assert np.allclose(resized(row, (1, 2), kind="linear", antialias=True), [[20 / 7, 40 / 7]])
    assert resized(row, (1, 8), kind="linear", antialias=False).tolist() == [[0, 1, 3, 5, 7, 7, 5, 4]]
    column = np.array([[1], [3]], np.float32)
    assert resized(column, (4, 1), kind="linear", antialias=True).ravel().tolist() == [1, 1.5, 2.5, 3]
    assert resized(column[:1], (2, 3), kind="cubic", antialias=True).tolist() == [[1, 1, 1]] * 2


def test_the_same_size_is_the_same_array() -> None:
    planes = np.ones((1, 5, 6), np.float32)
    assert resized(planes, (5, 6), kind="cubic", antialias=True) is planes
