"""Augmentation: image and masks move together, numbers mean what the plan says, seeds decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ercpseg.augmentation.build import training_transforms, validation_transforms
from ercpseg.augmentation.targets import BitmaskToHeads
from ercpseg.documents.plan import AugmentationValues
from ercpseg.structures import DEFAULT_STRUCTURES, StructureSet, channels

HEADS = StructureSet(DEFAULT_STRUCTURES).heads()
PATCH = (48, 64)


def still(**changes: Any) -> AugmentationValues:
    """Every range is empty, everything is applied always."""
    values: dict[str, Any] = {
        "rotation_deg": 0.0,
        "scale": (1.0, 1.0),
        "shift_frac": 0.0,
        "mirror_axes": (),
        "noise_sd": 0.0,
        "blur_sd_px": 0.0,
        "brightness": (1.0, 1.0),
        "contrast": (1.0, 1.0),
        "gamma": (1.0, 1.0),
        "apply_prob": 1.0,
    }
    return AugmentationValues(**values | changes)


LIVELY = still(
    rotation_deg=20.0,
    scale=(0.8, 1.2),
    mirror_axes=(0, 1),
    noise_sd=0.1,
    blur_sd_px=0.8,
    brightness=(0.75, 1.25),
    contrast=(0.75, 1.25),
    gamma=(0.7, 1.5),
    apply_prob=0.5,
)


def seeded(seed: int) -> None:
    np.random.seed(seed)  # noqa: NPY002  # the library draws from the global generators
    torch.manual_seed(seed)


def sample(seed: int = 0, size: tuple[int, int] = PATCH) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return {
        "image": torch.from_numpy(rng.normal(size=(1, *size)).astype(np.float32)),
        "segmentation": torch.from_numpy(rng.integers(0, 16, (1, *size)).astype(np.int16)),
    }


def shape_sample(size: tuple[int, int] = PATCH) -> dict[str, torch.Tensor]:
    """A lop-sided blob as image and as mask."""
    y, x = np.mgrid[: size[0], : size[1]]
    blob = ((y - 20) ** 2 / 1.5 + (x - 35) ** 2 < 150) | ((abs(y - 28) < 4) & (x > 20) & (x < 50))
    return {
        "image": torch.from_numpy(blob.astype(np.float32))[None],
        "segmentation": torch.from_numpy(blob.astype(np.int16) * 4)[None],
    }


# -- targets ---------------------------------------------------------------------------------------------------------


def test_heads_with_parents() -> None:
    #       nothing, scope, wire, both, duct + stone, all, outside
    bitmask = torch.tensor([[[0, 1, 2, 3, 12, 15, -1]]], dtype=torch.int16)
    result = BitmaskToHeads(HEADS)(image=torch.zeros(1, 1, 7), segmentation=bitmask)["segmentation"]
    assert result.dtype == torch.bool
    by_head = dict(zip(HEADS, result[:, 0].int().tolist(), strict=True))
    assert by_head == {
        "endoscope": [0, 1, 0, 1, 0, 1, 0],
        "guidewire": [0, 0, 1, 1, 0, 1, 0],
        "cbd": [0, 0, 0, 0, 1, 1, 0],
        "stone": [0, 0, 0, 0, 1, 1, 0],
        "instrument": [0, 1, 1, 1, 0, 1, 0],
        "duct": [0, 0, 0, 0, 1, 1, 0],
    }


def test_all_eight_bits() -> None:
    heads = StructureSet(tuple("abcdefgh")).heads()
    bitmask = torch.arange(256, dtype=torch.int16).view(1, 16, 16)
    result = BitmaskToHeads(heads)(image=torch.zeros(1, 16, 16), segmentation=bitmask)["segmentation"]
    assert np.array_equal(result.numpy(), channels(bitmask[0].numpy(), heads))


def test_validation_changes_the_target_only() -> None:
    before = sample()
    after = validation_transforms(HEADS)(**{k: v.clone() for k, v in before.items()})
    assert torch.equal(after["image"], before["image"])
    assert np.array_equal(after["segmentation"].numpy(), channels(before["segmentation"][0].numpy(), HEADS))


# -- the pipeline ----------------------------------------------------------------------------------------------------


def test_empty_ranges_change_nothing() -> None:
    pipeline = training_transforms(still(), HEADS, PATCH)
    for seed in range(8):
        before = sample(seed)
        seeded(seed)
        after = pipeline(**{k: v.clone() for k, v in before.items()})
        assert torch.allclose(after["image"], before["image"], atol=1e-4)
        assert np.array_equal(after["segmentation"].numpy(), channels(before["segmentation"][0].numpy(), HEADS))


def test_seeds_decide() -> None:
    pipeline = training_transforms(LIVELY, HEADS, PATCH)
    results = []
    for seed in (1, 2, 1):
        seeded(seed)
        results.append([pipeline(**sample(i)) for i in range(4)])
    for a, b in zip(results[0], results[2], strict=True):
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["segmentation"], b["segmentation"])
    assert any(not torch.equal(a["image"], b["image"]) for a, b in zip(results[0], results[1], strict=True))


def test_a_fresh_pipeline_carries_on_where_another_stopped() -> None:
    """A resumed run builds a new pipeline: nothing may hide inside the old one."""
    old = training_transforms(LIVELY, HEADS, PATCH)
    for i in range(3):
        seeded(i)
        old(**sample(i))
    seeded(9)
    a = old(**sample(9))
    seeded(9)
    b = training_transforms(LIVELY, HEADS, PATCH)(**sample(9))
    assert torch.equal(a["image"], b["image"])
    assert torch.equal(a["segmentation"], b["segmentation"])


@pytest.mark.parametrize("size", [PATCH, (60, 80), (48, 80), (30, 40)])
def test_the_result_has_the_patch_size(size: tuple[int, int]) -> None:
    pipeline = training_transforms(LIVELY, HEADS, PATCH)
    for seed in range(6):
        seeded(seed)
        after = pipeline(**sample(seed, size))
        assert after["image"].shape == (1, *PATCH)
        assert after["image"].dtype == torch.float32
        assert after["segmentation"].shape == (6, *PATCH)
        assert after["segmentation"].dtype == torch.uint8
        assert torch.isfinite(after["image"]).all()


def test_mirroring_takes_both_along_and_all_four_ways() -> None:
    pipeline = training_transforms(still(mirror_axes=(0, 1)), HEADS, PATCH)
    original = shape_sample()
    seen = set()
    for seed in range(40):
        seeded(seed)
        after = pipeline(**{k: v.clone() for k, v in original.items()})
        mask = after["segmentation"][2]
        assert torch.equal(after["image"][0] > 0.5, mask)
        for axes in ((), (0,), (1,), (0, 1)):
            if torch.equal(mask, original["segmentation"][0].flip(axes) > 0):
                seen.add(axes)
    assert seen == {(), (0,), (1,), (0, 1)}


def test_only_allowed_axes_are_mirrored() -> None:
    pipeline = training_transforms(still(mirror_axes=(1,)), HEADS, PATCH)
    original = shape_sample()["segmentation"][0] > 0
    for seed in range(12):
        seeded(seed)
        mask = pipeline(**shape_sample())["segmentation"][2]
        assert torch.equal(mask, original) or torch.equal(mask, original.flip(1))


def test_masks_stay_on_the_image_under_rotation_and_scale() -> None:
    pipeline = training_transforms(still(rotation_deg=40.0, scale=(0.8, 1.25)), HEADS, PATCH)
    original = shape_sample()["segmentation"][0] > 0
    moved = 0
    for seed in range(30):
        seeded(seed)
        after = pipeline(**shape_sample())
        image, mask = after["image"][0] > 0.5, after["segmentation"][2]
        iou = (image & mask).sum() / (image | mask).sum()
        assert iou > 0.93  # a border of about a hundred pixels, decided by interpolation here and by nearest there
        moved += int((mask ^ original).sum() > 50)
        # the other heads stay empty, but for the parent
        assert not after["segmentation"][[0, 1, 3, 4]].any()
        assert torch.equal(after["segmentation"][5], mask)
    assert moved > 10


def test_nearest_neighbour_makes_no_structure_up() -> None:
    """Between bit 1 and bit 4 interpolation would find 2 and 3."""
    pipeline = training_transforms(still(rotation_deg=40.0, scale=(0.8, 1.25)), HEADS, PATCH)
    bitmask = torch.full((1, *PATCH), 1, dtype=torch.int16)
    bitmask[:, :, 32:] = 4
    for seed in range(10):
        seeded(seed)
        after = pipeline(image=torch.zeros(1, *PATCH), segmentation=bitmask.clone())["segmentation"]
        assert not after[1].any()
        assert not after[3].any()
        assert not (after[0] & after[2]).any()


def test_rotation_and_scale_keep_to_their_ranges() -> None:
    """A disk: turning does not change its area, a scale between 0.8 and 1.25 changes it by 0.64 to 1.56."""
    y, x = np.mgrid[:64, :64]
    disk = ((y - 31.5) ** 2 + (x - 31.5) ** 2 < 18**2).astype(np.int16)
    for scale, low, high in (((1.0, 1.0), 0.97, 1.03), ((0.8, 1.25), 0.62, 1.6)):
        pipeline = training_transforms(still(rotation_deg=180.0, scale=scale), HEADS, (64, 64))
        areas = []
        for seed in range(30):
            seeded(seed)
            after = pipeline(image=torch.zeros(1, 64, 64), segmentation=torch.from_numpy(disk.copy())[None])
            areas.append(float(after["segmentation"][0].sum() / disk.sum()))
        assert low < min(areas)
        assert max(areas) < high
    assert min(areas) < 0.85
    assert max(areas) > 1.2


def test_angles_are_degrees() -> None:
    pipeline = training_transforms(still(rotation_deg=10.0), HEADS, (64, 64))
    bar = torch.zeros(1, 64, 64, dtype=torch.int16)
    bar[:, 30:34, 8:56] = 1
    angles = []
    for seed in range(40):
        seeded(seed)
        after = pipeline(image=torch.zeros(1, 64, 64), segmentation=bar.clone())["segmentation"][0]
        y, x = np.nonzero(after.numpy())
        angles.append(float(np.degrees(np.arctan(np.polyfit(x, y, 1)[0]))))
    assert max(np.abs(angles)) < 10.5
    assert max(angles) > 6
    assert min(angles) < -6


def test_a_wire_of_one_pixel_keeps_its_pixels() -> None:
    """Nearest neighbour keeps them all on average; interpolation loses a diagonal wire where two pixels tie with none."""
    pipeline = training_transforms(still(rotation_deg=15.0), HEADS, (64, 64))
    wire = torch.zeros(1, 64, 64, dtype=torch.int16)
    wire[0, torch.arange(12, 52), torch.arange(12, 52)] = 2
    kept = []
    for seed in range(40):
        seeded(seed)
        after = pipeline(image=torch.zeros(1, 64, 64), segmentation=wire.clone())["segmentation"][1]
        kept.append(float(after.sum() / 40))
    assert 0.93 < np.mean(kept) < 1.07
    assert min(kept) > 0.8


def deviations(values: AugmentationValues, draws: int = 60) -> list[float]:
    pipeline = training_transforms(values, HEADS, PATCH)
    result = []
    for seed in range(draws):
        seeded(seed)
        image = torch.full((1, *PATCH), 1e-6)  # exactly 0 would lie outside the field
        after = pipeline(image=image, segmentation=torch.zeros(1, *PATCH, dtype=torch.int16))
        result.append(float(after["image"].std()))
    return result


def test_noise_is_a_standard_deviation_up_to_the_planned_one() -> None:
    """The library's "noise variance" is used as a standard deviation: uniform in 0 … 0.3, so 0.15 on average."""
    found = deviations(still(noise_sd=0.3))
    assert 0.11 < np.mean(found) < 0.19
    assert 0.25 < max(found) < 0.31


def test_nothing_is_applied_at_probability_zero() -> None:
    assert max(deviations(still(noise_sd=0.3, apply_prob=0.0), 20)) < 1e-5


def test_about_as_often_as_planned() -> None:
    found = deviations(still(noise_sd=0.3, apply_prob=0.2), 150)
    assert 0.1 < np.mean([d > 1e-5 for d in found]) < 0.3


@pytest.mark.parametrize(("sigma", "low", "high"), [(0.0, 0.999, 1.001), (0.1, 0.999, 1.001), (1.0, 0.35, 0.6)])
def test_blur_keeps_below_the_planned_one(sigma: float, low: float, high: float) -> None:
    """A wire one pixel wide: a blur far below a pixel leaves it, one of a pixel does not."""
    pipeline = training_transforms(still(blur_sd_px=sigma), HEADS, PATCH)
    image = torch.zeros(1, *PATCH)
    image[:, :, 30] = 1
    peaks = []
    for seed in range(20):
        seeded(seed)
        after = pipeline(image=image.clone(), segmentation=torch.zeros(1, *PATCH, dtype=torch.int16))
        peaks.append(float(after["image"].max()))
    # at σ = 1 the middle of the kernel is 1/√(2π) = 0.40
    assert low < min(peaks) < high


def test_grey_transforms_leave_the_masks_alone() -> None:
    grey = {key: getattr(LIVELY, key) for key in ("noise_sd", "blur_sd_px", "brightness", "contrast", "gamma")}
    pipeline = training_transforms(still(**grey), HEADS, PATCH)
    for seed in range(10):
        before = sample(seed)
        seeded(seed)
        after = pipeline(**{k: v.clone() for k, v in before.items()})
        assert not torch.allclose(after["image"], before["image"], atol=1e-3)
        assert np.array_equal(after["segmentation"].numpy(), channels(before["segmentation"][0].numpy(), HEADS))


def test_brightness_keeps_to_its_range() -> None:
    pipeline = training_transforms(still(brightness=(0.75, 1.25)), HEADS, PATCH)
    factors = []
    for seed in range(60):
        before = sample(seed)
        seeded(seed)
        after = pipeline(**{k: v.clone() for k, v in before.items()})["image"]
        factors.append(float((after * before["image"]).sum() / before["image"].square().sum()))
        assert torch.allclose(after, before["image"] * factors[-1], atol=1e-4)
    assert 0.749 < min(factors) < 0.8
    assert 1.2 < max(factors) < 1.251
