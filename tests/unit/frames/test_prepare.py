"""Frame preparation against numbers worked out by hand, and the way back to native size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ercpseg.documents.plan import PreparationValues
from ercpseg.frames.prepare import Geometry, prepare, resample_bitmask, working_geometry
from ercpseg.frames.restore import restore


def values(size: int, clip: tuple[float, float] = (0.0, 100.0), field: bool = False) -> PreparationValues:
    return PreparationValues(working_long_side_px=size, clip_percentiles=clip, field_mask=field)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def collimated(seed: int = 0) -> np.ndarray:
    """64 × 64 with a black frame of 12 px: 0.39 of it is field."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[12:52, 12:52] = np.random.default_rng(seed).integers(60, 220, (40, 40))
    return pixels


# -- normalisation ---------------------------------------------------------------------------------------------------


def test_two_greys() -> None:
    # half 10, half 20: mean 15, sd 5
    pixels = np.full((16, 16), 10, np.uint8)
    pixels[8:] = 20
    image, geometry = prepare(pixels, values(16))
    assert image.shape == (1, 16, 16)
    assert image.dtype == np.float32
    assert geometry == Geometry((16, 16), (16, 16))
    assert (image[0, :8] == -1).all()
    assert (image[0, 8:] == 1).all()


def test_outliers_are_clipped_before_the_statistics() -> None:
    # 256 pixels: one 0, one 250, 127 of 100, 127 of 110. At 1 and 99 % (2.56th and 253.44th value) the limits are 100
    # and 110, so 0 → 100 and 250 → 110: 128 of each; mean 105, sd 5.
    grey = np.array([0, 250] + [100] * 127 + [110] * 127, np.uint8).reshape(16, 16)
    image, _ = prepare(grey, values(16, (1, 99)))
    assert np.array_equal(image[0], np.where(np.isin(grey, (0, 100)), -1, 1))


def test_without_clipping_all_greys_count() -> None:
    # 0 once, 16 × 15 + 15 = 255 times 4: mean 4·255/256, sd = 4·√(255)/256
    grey = np.full((16, 16), 4, np.uint8)
    grey[0, 0] = 0
    image, _ = prepare(grey, values(16))
    mean, sd = 4 * 255 / 256, 4 * np.sqrt(255) / 256
    assert image[0, 0, 0] == pytest.approx(-mean / sd, rel=1e-6)
    assert image[0, 5, 5] == pytest.approx((4 - mean) / sd, rel=1e-5)


def test_a_constant_frame_is_zero_and_finite() -> None:
    for value in (0, 255):
        image, _ = prepare(np.full((16, 20), value, np.uint8), values(20, (0.5, 99.5), field=True))
        assert not image.any()


def test_statistics_are_those_of_the_field_and_the_outside_is_exactly_zero() -> None:
    pixels = collimated()
    image, _ = prepare(pixels, values(64, field=True))
    inside = pixels[12:52, 12:52].astype(float)
    assert np.allclose(image[0, 12:52, 12:52], (inside - inside.mean()) / inside.std(), atol=1e-5)
    outside = np.ones((64, 64), bool)
    outside[12:52, 12:52] = False
    assert (image[0][outside] == 0).all()
    # without the mask the dead pixels pull the mean down
    plain, _ = prepare(pixels, values(64))
    assert plain[0, 0, 0] < -0.5


def test_brighter_text_outside_the_field_does_no_harm() -> None:
    """Its grey does not occur inside the field, so the table must reach beyond the field's greys."""
    pixels = collimated()
    pixels[2:8, 2:20:3] = 255
    with_text, _ = prepare(pixels, values(64, field=True))
    without, _ = prepare(collimated(), values(64, field=True))
    assert np.array_equal(with_text, without)


def test_after_resampling_the_far_outside_stays_zero() -> None:
    image, _ = prepare(collimated(), values(32, field=True))
    assert not image[0, :3].any()
    assert np.abs(image[0, 10:20, 10:20]).max() > 0.1


def test_the_frame_is_left_as_it_was() -> None:
    pixels = collimated()
    before = pixels.copy()
    prepare(pixels, values(48, (0.5, 99.5), field=True))
    assert np.array_equal(pixels, before)


def test_frames_that_may_not_be_written_or_are_views() -> None:
    pixels = collimated()
    expected, _ = prepare(pixels.T.copy(), values(48, field=True))
    pixels.setflags(write=False)
    result, _ = prepare(pixels.T, values(48, field=True))
    assert np.array_equal(result, expected)


# -- size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("native", "side", "working"),
    [
        ((1024, 768), 512, (512, 384)),
        ((768, 1024), 512, (384, 512)),
        ((512, 512), 512, (512, 512)),
        ((100, 60), 250, (250, 150)),
        ((2, 1000), 16, (1, 16)),  # never nothing
        ((1000, 3), 100, (100, 1)),
    ],
)
def test_working_sizes(native: tuple[int, int], side: int, working: tuple[int, int]) -> None:
    assert working_geometry(native, side) == Geometry(native, working)


def test_scale() -> None:
    assert Geometry((1024, 768), (512, 384)).scale == 0.5


@pytest.mark.parametrize("side", [16, 50, 96, 131])
def test_the_result_has_the_working_size(side: int) -> None:
    image, geometry = prepare(np.random.default_rng(0).integers(0, 255, (96, 50), dtype=np.uint8), values(side))
    assert image.shape == (1, *geometry.working)
    assert max(geometry.working) == side


@pytest.mark.parametrize("period", [2, 3])
def test_shrinking_is_antialiased_and_keeps_the_mean(period: int) -> None:
    # stripes too fine for a quarter of the size: nothing remains but their mean, which is 0 after the z-score
    pixels = (np.indices((96, 96))[1] % period == 0).astype(np.uint8) * 200
    image, _ = prepare(pixels, values(24))
    assert np.abs(image[0, :, 2:-2]).max() < 0.1


def test_shrinking_averages_noise() -> None:
    # 16 independent pixels per pixel: sd 1/4 for a box, more for a kernel with negative lobes, 0.7 without averaging
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
    image, _ = prepare(pixels, values(32))
    assert 0.2 < image.std() < 0.4
    assert abs(image.mean()) < 0.02


def test_pixels_stay_where_they_are() -> None:
    """No shift by half a pixel, in either direction: a centred disk stays centred."""
    y, x = np.mgrid[:60, :80]
    pixels = np.where((y - 29.5) ** 2 + (x - 39.5) ** 2 < 200, 200, 20).astype(np.uint8)
    for side in (40, 80, 120):
        image, geometry = prepare(pixels, values(side))
        weight = image[0] - image[0].min()
        centre = [(weight * grid).sum() / weight.sum() for grid in np.indices(geometry.working)]
        assert np.allclose(centre, [(n - 1) / 2 for n in geometry.working], atol=0.02)


# -- bitmasks --------------------------------------------------------------------------------------------------------


def wire(shape: tuple[int, int], column: int, bit: int = 2) -> np.ndarray:
    bitmask = np.zeros(shape, np.uint8)
    bitmask[:, column] = bit
    return bitmask


@pytest.mark.parametrize("column", range(20, 26))
def test_a_thin_wire_survives_shrinking_only_as_thin(column: int) -> None:
    bitmask = wire((64, 64), column)
    thin = resample_bitmask(bitmask, (32, 32), thin_bits=2)
    assert np.array_equal(thin, wire((32, 32), column // 2)), "exactly the pixel that covers it"
    assert not resample_bitmask(bitmask, (32, 32)).any(), "half covered at most, smoothed: gone"


def test_thin_at_half_size_is_any_of_four() -> None:
    bitmask = np.random.default_rng(0).integers(0, 4, (40, 60), dtype=np.uint8)
    result = resample_bitmask(bitmask, (20, 30), thin_bits=3)
    for bit in (1, 2):
        blocks = ((bitmask & bit) > 0).reshape(20, 2, 30, 2).any((1, 3))
        assert np.array_equal((result & bit) > 0, blocks)


@pytest.mark.parametrize("column", [0, 50, 250, 350, 500, 999])
def test_a_wire_survives_where_only_one_side_shrinks(column: int) -> None:
    """40 × 1000 at a long side of 990 is 40 × 990; linear samples pass the wires at 50, 250 and 350 on both sides."""
    geometry = working_geometry((40, 1000), 990)
    assert geometry.working == (40, 990)
    result = resample_bitmask(wire(geometry.native, column), geometry.working, thin_bits=2)
    assert (result == 2).any(axis=1).all()


def test_half_coverage_decides_elsewhere() -> None:
    y, x = np.mgrid[:96, :96]
    disk = (y - 47.5) ** 2 + (x - 47.5) ** 2 < 35**2
    result = resample_bitmask(disk.astype(np.uint8), (32, 32)) > 0
    coverage = disk.reshape(32, 3, 32, 3).mean((1, 3))
    assert result[coverage > 0.75].all()
    assert not result[coverage < 0.25].any()
    assert result.sum() == pytest.approx(disk.sum() / 9, rel=0.03)


def test_overlap_and_all_eight_bits_survive() -> None:
    bitmask = np.zeros((48, 48), np.uint8)
    for bit in range(8):
        bitmask[4 * bit : 4 * bit + 16, 8:40] |= 1 << bit
    # edges at multiples of 4, so a quarter of the size is exact
    assert np.array_equal(resample_bitmask(bitmask, (12, 12), thin_bits=0b10101010), bitmask[1::4, 1::4])
    assert np.array_equal(resample_bitmask(bitmask, (96, 96)), bitmask.repeat(2, 0).repeat(2, 1))


def test_the_same_size_is_the_same_bitmask() -> None:
    bitmask = wire((20, 30), 7)
    assert np.array_equal(resample_bitmask(bitmask, (20, 30), 2), bitmask)


def test_an_empty_bitmask_stays_empty() -> None:
    result = resample_bitmask(np.zeros((20, 30), np.uint8), (10, 15), 255)
    assert result.shape == (10, 15)
    assert result.dtype == np.uint8
    assert not result.any()


# -- back ------------------------------------------------------------------------------------------------------------

BITS = {"endoscope": 1, "guidewire": 2}
HALF = {"endoscope": 0.5, "guidewire": 0.5}


def logits_of(bitmask: np.ndarray, size: float = 6.0) -> torch.Tensor:
    masks = np.stack([(bitmask & bit) > 0 for bit in BITS.values()])
    parent = np.ones_like(masks[:1])  # comes last and must not count
    return torch.from_numpy(np.concatenate([masks, parent]).astype(np.float32) * 2 * size - size)


def test_at_working_size_restore_is_exact() -> None:
    bitmask = np.random.default_rng(0).integers(0, 4, (30, 40), dtype=np.uint8)
    result, native = restore(logits_of(bitmask), Geometry((30, 40), (30, 40)), BITS, HALF)
    assert result.dtype == np.uint8
    assert np.array_equal(result, bitmask)
    assert native.shape == (2, 30, 40)


@pytest.mark.parametrize("side", [60, 100, 133, 200, 320])
def test_a_round_trip_at_other_sizes(side: int) -> None:
    y, x = np.mgrid[:200, :160]
    a = (y - 90) ** 2 + (x - 80) ** 2 < 60**2
    b = (y - 120) ** 2 + (x - 70) ** 2 < 55**2
    bitmask = (a + 2 * b).astype(np.uint8)
    geometry = working_geometry((200, 160), side)
    result, native = restore(logits_of(resample_bitmask(bitmask, geometry.working)), geometry, BITS, HALF)
    assert result.shape == (200, 160)
    assert native.shape == (2, 200, 160)
    for bit in BITS.values():
        assert dice((result & bit) > 0, (bitmask & bit) > 0) > 0.98


def test_thresholds_are_probabilities_per_structure() -> None:
    probability = torch.tensor([0.1, 0.29, 0.31, 0.69, 0.71, 0.9])
    logits = probability.logit().expand(2, 1, 6)
    thresholds = {"endoscope": 0.3, "guidewire": 0.7}
    result, _ = restore(logits, Geometry((1, 6), (1, 6)), BITS, thresholds)
    assert result.tolist() == [[0, 0, 1, 1, 3, 3]]


def test_extreme_thresholds() -> None:
    logits = torch.tensor([-100.0, 0.0, 100.0]).expand(2, 1, 3)
    result, _ = restore(logits, Geometry((1, 3), (1, 3)), BITS, {"endoscope": 0.0, "guidewire": 1.0})
    assert result.tolist() == [[1, 1, 1]]


def test_the_eighth_bit() -> None:
    bits: dict[str, Any] = {name: 1 << i for i, name in enumerate("abcdefgh")}
    result, _ = restore(torch.ones(9, 2, 2), Geometry((2, 2), (2, 2)), bits, dict.fromkeys(bits, 0.5))
    assert result.tolist() == [[255, 255]] * 2


@pytest.mark.parametrize(("width", "native"), [(6, 1024), (5, 576), (4, 513)])
def test_a_line_that_stays_two_pixels_wide_does_not_grow_fat(width: int, native: int) -> None:
    """Its area shrinks with the square of the scale; any coverage would make it up to 1.5 times as wide."""
    mask = np.zeros((native, native), np.uint8)
    mask[100 : 100 + width, 20:400] = 1
    small = resample_bitmask(mask, (512, 512), thin_bits=1)
    assert small.sum() == pytest.approx(mask.sum() * (512 / native) ** 2, rel=0.15)
