"""Altered copies of frames: a finite set, each a function of seed, frame and number, moved with its masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.augmentation.copies import Copies
from tests.unit.augmentation.test_augmentation import HEADS, LIVELY, still

SIZE = (40, 56)


def frame(seed: int = 0, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A lop-sided blob of ones on noise of at most a tenth, and its mask as a stone."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    blob = ((y - 15) ** 2 / 1.5 + (x - 20) ** 2 < 60) | ((abs(y - 24) < 3) & (x > 12) & (x < 40))
    noise = np.random.default_rng(seed).uniform(0, 0.1, (channels, *SIZE))
    return (blob + noise).astype(np.float32), blob.astype(np.int16)[None] * HEADS["stone"]


def same(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_copy_nought_is_the_frame() -> None:
    assert same(Copies(LIVELY, HEADS, seed=1)(*frame(), "a", 0), frame())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), name=st.text(max_size=8), number=st.integers(1, 1000))
def test_a_copy_can_be_made_again_at_any_time(seed: int, name: str, number: int) -> None:
    """By another object, after other copies, and whatever the global generators did; and leaves those as they were."""
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    expected = (np.random.uniform(), float(torch.rand(())))  # noqa: NPY002
    first = Copies(LIVELY, HEADS, seed=seed)(*frame(), name, number)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    other = Copies(LIVELY, HEADS, seed=seed)
    other(*frame(), name, number + 1)
    assert same(first, other(*frame(), name, number))
    assert (np.random.uniform(), float(torch.rand(()))) == expected  # noqa: NPY002


def test_every_copy_is_another_one() -> None:
    made = [
        Copies(LIVELY, HEADS, seed=seed)(*frame(), name, number)[0]
        for seed in (1, 2)
        for name in ("a", "b")
        for number in range(1, 6)
    ]
    assert len({array.tobytes() for array in made}) == len(made)


@pytest.mark.parametrize("number", range(1, 7))
def test_shift_and_mirror_by_hand(number: int) -> None:
    """With shifts of at most a tenth and left-right mirroring alone, a copy is the moved frame or its mirror image."""
    image, bitmask = frame()
    copy, labels = Copies(still(shift_frac=0.1, mirror_axes=(1,)), HEADS, seed=5)(image, bitmask, "a", number)
    found = []
    for flipped in (False, True):
        turned = copy[:, :, ::-1] if flipped else copy
        for dy in range(-4, 5):
            for dx in range(-5, 6):
                moved = np.zeros_like(image)
                h, w = SIZE
                moved[:, max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)] = image[
                    :, max(0, -dy) : h + min(0, -dy), max(0, -dx) : w + min(0, -dx)
                ]
                if np.allclose(moved, turned, atol=1e-5):
                    found.append((flipped, dy, dx))
    assert len(found) == 1
    assert np.array_equal(labels > 0, copy > 0.5)  # the mask went the same way


def test_masks_are_moved_and_bent_with_the_frame_and_nothing_lies_outside() -> None:
    values = still(rotation_deg=30.0, scale=(1.2, 1.4), elastic_prob=1.0, elastic_sigma_px=8.0, elastic_shift_px=4.0)
    copies = Copies(values, HEADS, seed=2)
    for number in range(1, 8):
        image, labels = copies(*frame(channels=2), "a", number)
        assert image.shape == (2, *SIZE)
        assert labels.shape == (1, *SIZE)
        assert set(np.unique(labels)) == {0, HEADS["stone"]}
        inside = image[0] > 0.55
        wrong = inside != (labels[0] > 0)
        assert wrong.sum() < 0.1 * inside.sum()  # the outline alone, where the frame is interpolated
        assert np.abs(image[0] - image[1]).max() < 0.2  # frames of one series are altered alike
