"""The channels that the loader makes: heads, skeletons and regions of the mask as it was augmented."""

from __future__ import annotations

import numpy as np
import torch

from ercpseg.augmentation.targets import BitmaskToHeads, BitmaskToTargets, nearest_component, tube
from ercpseg.geometry.drawing import draw_polyline
from ercpseg.losses.instances import component_regions
from ercpseg.losses.topology import skeleton_tubes

HEADS = {"endoscope": 1, "guidewire": 2, "stone": 4, "instrument": 3}


def masks() -> dict[str, np.ndarray]:
    shape = (64, 80)
    stone = np.zeros(shape, bool)
    stone[50:55, 10:14] = stone[20:23, 60:63] = stone[40:48, 66:76] = True
    return {
        "endoscope": draw_polyline(np.array([(0.0, 30.0), (60.0, 40.0)]), shape, 14),
        "guidewire": draw_polyline(np.array([(30.0, 2.0), (34.0, 78.0)]), shape, 3),
        "stone": stone,
    }


def bitmask() -> torch.Tensor:
    found = masks()
    return torch.from_numpy(sum(m.astype(np.int16) * HEADS[n] for n, m in found.items()))[None]  # type: ignore[union-attr]


def transform(**extra: tuple[str, ...]) -> torch.Tensor:
    result: torch.Tensor = BitmaskToTargets(HEADS, **extra)(image=torch.zeros(1, 64, 80), segmentation=bitmask())[
        "segmentation"
    ]
    return result


def test_without_extras_it_is_the_heads() -> None:
    plain = BitmaskToHeads(HEADS)(image=torch.zeros(1, 64, 80), segmentation=bitmask())["segmentation"]
    assert plain.dtype == torch.bool
    result = transform()
    assert result.dtype == torch.uint8
    assert torch.equal(result, plain.to(torch.uint8))


def test_heads_then_tubes_then_regions() -> None:
    result = transform(tubes=("guidewire", "instrument"), regions=("stone",))
    assert result.shape == (7, 64, 80)
    found = masks()
    assert np.array_equal(result[1].numpy() > 0, found["guidewire"])
    assert np.array_equal(result[3].numpy() > 0, found["endoscope"] | found["guidewire"])
    assert np.array_equal(result[4].numpy() > 0, tube(found["guidewire"]))
    assert np.array_equal(result[5].numpy() > 0, tube(found["endoscope"] | found["guidewire"]))
    assert np.array_equal(result[6].numpy(), nearest_component(found["stone"]))


def test_each_structure_has_its_own_line() -> None:
    """The wire's line runs on through the endoscope."""
    found = masks()
    crossing = found["endoscope"] & found["guidewire"]
    assert (transform(tubes=("guidewire",))[4].numpy() > 0)[crossing].mean() > 0.95


def test_the_loss_makes_the_same() -> None:
    found = transform()[None]
    extra = transform(tubes=tuple(HEADS), regions=tuple(HEADS))
    assert torch.equal(skeleton_tubes(found)[0], extra[4:8])
    assert torch.equal(component_regions(found)[0], extra[8:])


def test_outside_and_empty() -> None:
    outside = torch.full((1, 8, 8), -1, dtype=torch.int16)
    result = BitmaskToTargets(HEADS, tubes=("guidewire",), regions=("stone",))._apply_to_segmentation(outside)
    assert result.shape == (6, 8, 8)
    assert not result.any()


def test_many_components_fit_one_byte() -> None:
    mask = np.zeros((40, 40), bool)
    mask[::2, ::2] = True
    regions = nearest_component(mask)
    assert regions.dtype == np.uint8
    assert regions.max() == 255
    assert regions.min() == 1
