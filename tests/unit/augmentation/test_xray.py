"""Quantum noise, contrast wash-in and the moved collimator, by hand-derived numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ercpseg.augmentation.build import training_transforms
from ercpseg.augmentation.xray import CollimatorChange, ContrastWashIn, XrayNoise
from tests.unit.augmentation.test_augmentation import HEADS, PATCH, seeded, still

CBD = 4


def test_noise_grows_by_the_planned_exponent_where_it_is_dark() -> None:
    """sd at z = −1 over sd at z = +1 is exp(0.5 · 2) = 2.718; at the mean it is the drawn one."""
    image = torch.tensor([-1.0, 1e-6, 1.0]).repeat_interleave(60)[None, None, :].repeat(1, 400, 1)
    ratios, middles = [], []
    for seed in range(30):
        seeded(seed)
        noise = XrayNoise(0.3, 0.5)(image=image.clone())["image"] - image
        dark, middle, bright = (float(part.std()) for part in noise[0].split(60, 1))
        ratios.append(dark / bright)
        middles.append(middle)
    assert np.mean(ratios) == pytest.approx(np.e, rel=0.02)
    assert 0.11 < np.mean(middles) < 0.19
    assert max(middles) < 0.31


def test_frames_of_a_stack_have_noise_of_their_own() -> None:
    seeded(0)
    noise = XrayNoise(0.3, 0.0)(image=torch.full((2, 40, 40), 1e-6))["image"]
    assert abs(float(torch.corrcoef(noise.reshape(2, -1))[0, 1])) < 0.1


def test_noise_stays_inside_the_field() -> None:
    image = torch.ones(1, 20, 20)
    image[:, :, :5] = 0
    seeded(1)
    after = XrayNoise(0.3, 0.2)(image=image.clone())["image"]
    assert bool((after[:, :, :5] == 0).all())
    assert bool((after[:, :, 5:] != 1).any())


def duct(size: int = 200) -> dict[str, torch.Tensor]:
    """A band of grey −1 and 30 px in a background of 1; a strip outside the field at the left."""
    image = torch.ones(1, size, size)
    image[:, 90:120] = -1
    image[:, :, :10] = 0
    mask = torch.zeros(1, size, size, dtype=torch.int16)
    mask[:, 90:120] = CBD
    return {"image": image, "segmentation": mask}


@pytest.mark.parametrize(("strength", "core"), [(0.0, -1.0), (0.5, 0.0), (1.0, 1.0), (-0.5, -2.0)])
def test_washed_in_contrast_is_that_share_of_the_way_to_what_lies_behind(strength: float, core: float) -> None:
    before = duct()
    after = ContrastWashIn(CBD, (strength, strength))(**{k: v.clone() for k, v in before.items()})
    # Behind it is 1, but for the dead strip at the left that pulls nothing this far off.
    assert after["image"][0, 105, 150].item() == pytest.approx(core, abs=0.02)
    assert torch.allclose(after["image"][:, :80, 10:], before["image"][:, :80, 10:], atol=1e-4)
    assert bool((after["image"][:, :, :10] == 0).all())
    assert torch.equal(after["segmentation"], before["segmentation"])


def test_a_wire_over_the_duct_keeps_its_contrast_and_the_noise_stays() -> None:
    before = duct()
    before["image"][0, :, 150:153] -= 1  # a wire over all, with noise below
    before["segmentation"][0, :, 150:153] |= 2
    noise = 0.1 * torch.randn(1, 200, 200, generator=torch.Generator().manual_seed(0))
    before["image"][:, :, 10:] += noise[:, :, 10:]
    after = ContrastWashIn(CBD, (0.5, 0.5), devices=2)(**{k: v.clone() for k, v in before.items()})["image"][0]
    inside = slice(98, 112)  # away from the soft edge
    assert float(after[inside, 150:153].mean() - after[inside, 60:120].mean()) == pytest.approx(-1, abs=0.05)
    assert float(after[inside, 60:120].std()) == pytest.approx(float(noise[0, inside, 60:120].std()), rel=0.05)
    assert float(after[inside, 60:120].mean()) == pytest.approx(0, abs=0.05)


def test_a_frame_without_a_duct_stays() -> None:
    before = {"image": torch.randn(1, 32, 32), "segmentation": torch.full((1, 32, 32), 11, dtype=torch.int16)}
    after = ContrastWashIn(CBD, (-1, 1))(**{k: v.clone() for k, v in before.items()})
    assert torch.equal(after["image"], before["image"])


def test_a_moved_collimator_takes_image_and_annotation_and_keeps_its_share() -> None:
    shapes, kept = set(), []
    for seed in range(80):
        seeded(seed)
        before = {"image": torch.full((1, 60, 80), 2.0), "segmentation": torch.full((1, 60, 80), 6, dtype=torch.int16)}
        before["segmentation"][:, :2] = -1
        after = CollimatorChange(0.6)(**{k: v.clone() for k, v in before.items()})
        field = after["image"][0] != 0
        assert torch.equal(after["segmentation"][0, 2:], before["segmentation"][0, 2:] * field[2:])
        assert bool((after["segmentation"][0, :2] == -1)[field[:2]].all())
        assert not (after["segmentation"] > 0)[0][~field].any()
        rows, columns = int(field.any(1).sum()), int(field.any(0).sum())
        rectangle = int(field.sum()) == rows * columns
        shapes.add(rectangle)
        if rectangle:
            assert rows >= 0.6 * 60 - 1
            assert columns >= 0.6 * 80 - 1
        kept.append(float(field.float().mean()))
    assert shapes == {True, False}
    assert min(kept) > 0.2
    assert max(kept) > 0.9


def test_the_pipeline_has_them_where_the_plan_asks_and_replays_them() -> None:
    values = still(noise_sd=0.1, noise_growth=0.3, wash_in=("cbd",), wash_in_amount=(-0.3, 0.6), collimator_keep=0.5)
    pipeline = training_transforms(values, HEADS, PATCH)
    results = []
    for _ in range(2):
        seeded(7)
        image = torch.linspace(-1, 1, PATCH[0] * PATCH[1]).reshape(1, *PATCH)
        mask = torch.full((1, *PATCH), CBD, dtype=torch.int16)
        results.append(pipeline(image=image, segmentation=mask))
    assert torch.equal(results[0]["image"], results[1]["image"])
    assert torch.equal(results[0]["segmentation"], results[1]["segmentation"])
    names = [type(getattr(t, "transform", t)).__name__ for t in pipeline.transforms]
    assert {"XrayNoise", "ContrastWashIn", "CollimatorChange"} <= set(names)
    plain = [type(getattr(t, "transform", t)).__name__ for t in training_transforms(still(), HEADS, PATCH).transforms]
    assert not {"ContrastWashIn", "CollimatorChange"} & set(plain)
