"""CC-Dice: one Dice per connected component, so that a small stone counts as much as a large one."""

from __future__ import annotations

import numpy as np
import torch

from ercpseg.geometry.components import label_components
from ercpseg.losses.functional import Number

MAX_COMPONENTS = 255
"""Per frame and head, so that a region's number is one byte. What comes after shares the last region."""


def component_regions(target: torch.Tensor) -> torch.Tensor:
    """Number of the nearest 8-connected component at every pixel: (n, h, y, x) → uint8, 0 where a frame has none.

    Runs on the CPU. In training the loader makes the same map (``ercpseg.augmentation.targets``).
    """
    from scipy.ndimage import distance_transform_edt

    masks = target.detach().cpu().numpy() > 0.5
    regions = np.zeros(masks.shape, np.uint8)
    for index in np.ndindex(masks.shape[:2]):
        labels, count = label_components(masks[index])
        if count:
            nearest = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
            regions[index] = np.minimum(labels, MAX_COMPONENTS)[tuple(nearest)]
    return torch.from_numpy(regions).to(target.device)


def cc_dice(
    *, probability: torch.Tensor, target: torch.Tensor, regions: torch.Tensor, smooth: Number = 0.0
) -> torch.Tensor:
    """1 − mean Dice over the components of the batch, per head: (n, h, y, x) three times → (h,).

    Each component is compared with what is predicted in its region, the pixels that are nearer to it than to any other
    (Voronoi regions: Jaus et al. 2025, CC-Metrics; as a loss Bouteille et al. 2025). A frame without a component does not
    take part: what is found there is for the other terms of the loss; a batch without any gives 0. ``smooth`` may be 0, since
    a component has a pixel at least.
    """
    frames, heads = probability.shape[:2]
    bins = MAX_COMPONENTS + 1
    shape = (frames, heads, bins)
    offset = torch.arange(frames * heads, device=regions.device).view(frames, heads, 1, 1) * bins
    index = (regions.long() + offset).flatten()

    def per_region(values: torch.Tensor) -> torch.Tensor:
        total = values.new_zeros(frames * heads * bins)
        return total.index_add(0, index, values.flatten()).view(shape)[..., 1:]

    both, found, wanted = per_region(probability * target), per_region(probability), per_region(target)
    present = (wanted > 0).to(probability.dtype)
    margin = smooth.view(1, -1, 1) if isinstance(smooth, torch.Tensor) else smooth
    dice = (2 * both + margin) / torch.where(present > 0, found + wanted + margin, 1.0)
    count = present.sum((0, 2))
    return ((1 - dice) * present).sum((0, 2)) / count.clamp_min(1)
