"""Losses along centrelines: soft clDice and skeleton recall, for thin structures. Shapes as in ``functional``."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ercpseg.geometry.skeleton import skeletonise
from ercpseg.losses.functional import Number, area_sum, per_head


def _eroded(image: torch.Tensor) -> torch.Tensor:
    """Minimum over the cross of a pixel and its four neighbours; beyond the frame is no background."""
    return torch.minimum(
        -functional.max_pool2d(-image, (3, 1), 1, (1, 0)), -functional.max_pool2d(-image, (1, 3), 1, (0, 1))
    )


def _dilated(image: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(image, 3, 1, 1)


def soft_skeleton(image: torch.Tensor, iterations: int) -> torch.Tensor:
    """Soft skeleton of (n, h, y, x) within 0 to 1 (Shit et al. 2021, algorithm 1): what openings take away, layer by layer.

    ``iterations`` erosions reach the middle of what is up to 2·iterations + 2 px wide; wider parts are not thinned, so that
    their skeleton is empty. The authors' code always makes 10, whatever is asked for.
    """
    eroded = _eroded(image)
    skeleton = torch.relu(image - _dilated(eroded))
    for _ in range(iterations):
        image, eroded = eroded, _eroded(eroded)
        layer = torch.relu(image - _dilated(eroded))
        skeleton = skeleton + torch.relu(layer - skeleton * layer)
    return skeleton


def soft_cldice(
    *,
    probability: torch.Tensor,
    target: torch.Tensor,
    iterations: int = 5,
    smooth: Number = 1.0,
    per_image: bool = False,
) -> torch.Tensor:
    """1 − soft clDice per head (Shit et al. 2021, algorithm 2): (n, h, y, x) twice → (h,).

    Tprec = (Σ S_p·t + s)/(Σ S_p + s), Tsens = (Σ S_t·p + s)/(Σ S_t + s), with S the soft skeletons; 1 − 2·Tprec·Tsens /
    (Tprec + Tsens). Binary in the paper too; here once per head. An empty target asks for an empty skeleton: Tsens is 1.
    """
    with torch.no_grad():
        wanted = soft_skeleton(target, iterations)
    found = soft_skeleton(probability, iterations)
    precision = (area_sum(found * target, per_image) + smooth) / (area_sum(found, per_image) + smooth)
    sensitivity = (area_sum(wanted * probability, per_image) + smooth) / (area_sum(wanted, per_image) + smooth)
    return per_head(1 - 2 * precision * sensitivity / (precision + sensitivity))


def skeleton_tubes(target: torch.Tensor) -> torch.Tensor:
    """Skeleton of each mask of (n, h, y, x), dilated twice by a cross and kept inside it; same shape and type.

    Runs on the CPU. In training the loader makes the same channels (``ercpseg.augmentation.targets``).
    """
    from scipy.ndimage import binary_dilation

    masks = target.detach().cpu().numpy() > 0.5
    tubes = np.zeros_like(masks)
    for index in np.ndindex(masks.shape[:2]):
        skeleton = skeletonise(masks[index])
        if skeleton.any():
            tubes[index] = binary_dilation(skeleton, iterations=2) & masks[index]
    return torch.from_numpy(tubes).to(target.device, target.dtype)


def skeleton_recall(
    *, probability: torch.Tensor, tube: torch.Tensor, smooth: Number = 1.0, per_image: bool = False
) -> torch.Tensor:
    """1 − soft recall of each head on its own tubed skeleton (Kirchhoff et al. 2024): (n, h, y, x) twice → (h,).

    R = (Σ p·k + s) / (Σ k + s), k the skeleton dilated twice, about 2 px to either side, inside the structure. The
    authors' code thins the union of all labels, so that a wire inside an endoscope loses its own line, and refuses
    overlapping labels; here every head has its own. Where a structure is absent the loss is 0.
    """
    hit = area_sum(probability * tube, per_image)
    return per_head(1 - (hit + smooth) / (area_sum(tube, per_image) + smooth))
