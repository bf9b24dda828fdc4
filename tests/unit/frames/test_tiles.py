"""Tiles: padding, positions as in nnU-Net, blending."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ercpseg.frames.tiles import gaussian, pad_to, predict_tiled, tile_starts


@pytest.mark.parametrize(
    ("size", "patch", "expected"),
    [
        ((8, 8), (8, 8), ((0, 0), (0, 0))),
        ((10, 20), (8, 8), ((0, 0), (0, 0))),
        ((7, 8), (8, 8), ((0, 1), (0, 0))),  # the odd pixel goes below
        ((5, 20), (8, 16), ((1, 2), (0, 0))),
        ((1, 1), (4, 5), ((1, 2), (2, 2))),
    ],
)
def test_padding(size: tuple[int, int], patch: tuple[int, int], expected: object) -> None:
    assert pad_to(size, patch) == expected


def test_positions_are_those_of_nnunet() -> None:
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    for patch in (1, 7, 16, 33, 128):
        for length in {*range(patch, patch + 70), 3 * patch, 1000}:
            if length < patch:
                continue
            for step in (0.5, 0.3, 1.0):
                expected = compute_steps_for_sliding_window((length,), (patch,), step)[0]
                assert tile_starts(length, patch, step) == expected, (length, patch, step)


def test_a_shorter_axis_has_one_tile() -> None:
    assert tile_starts(10, 16) == [0]


def test_the_weight_is_positive_symmetric_and_largest_in_the_middle() -> None:
    for patch in ((8, 8), (7, 16), (64, 48), (1, 5)):
        weight = gaussian(patch)
        assert weight.shape == patch
        assert weight.dtype == np.float32
        assert (weight > 0).all()
        assert np.allclose(weight, weight[::-1])
        assert np.allclose(weight, weight[:, ::-1])
        middle = weight[patch[0] // 2, patch[1] // 2]
        assert middle == weight.max()
        assert middle <= 1
        assert weight.min() >= 0.99e-4 * middle


def test_the_weight_falls_with_an_eighth_of_the_patch() -> None:
    # odd size: the centre is a pixel, and 8 px = one σ away the weight is exp(−1/2)
    weight = gaussian((65, 65))
    assert weight[32, 32] == 1
    assert weight[32, 32 + 8] == pytest.approx(np.exp(-0.5 * (8 / (65 / 8)) ** 2), rel=1e-5)


def test_one_call_where_the_frame_fits() -> None:
    calls = []

    def forward(batch: torch.Tensor) -> torch.Tensor:
        calls.append(batch.shape)
        return batch

    image = torch.rand(1, 5, 6)
    assert torch.equal(predict_tiled(image, (8, 8), forward), image)
    assert calls == [(1, 1, 8, 8)]


def test_constant_logits_are_not_changed_by_the_blending() -> None:
    result = predict_tiled(torch.zeros(1, 50, 41), (16, 16), lambda batch: torch.full((1, 2, 16, 16), 3.0))
    assert result.shape == (2, 50, 41)
    assert torch.allclose(result, torch.full_like(result, 3.0))


def test_the_middle_of_a_tile_counts_most() -> None:
    """Two tiles of 16 px over 24: starts 0 and 8. The first says 0, the second 1; the frame's middle hears both alike."""
    answers = iter((0.0, 1.0))
    row = predict_tiled(torch.zeros(1, 16, 24), (16, 16), lambda batch: torch.full((1, 1, 16, 16), next(answers)))[0, 8]
    assert row[:8].eq(0).all()
    assert row[16:].eq(1).all()
    assert (row.diff() >= 0).all()
    # symmetric about the middle between 11 and 12
    assert torch.allclose(row + row.flip(0), torch.ones(24), atol=1e-6)
    assert row[8] < 0.05


def test_the_input_is_left_as_it_was() -> None:
    image = torch.rand(1, 40, 40)
    before = image.clone()
    predict_tiled(image, (16, 16), lambda batch: batch.mul(2))
    assert torch.equal(image, before)
