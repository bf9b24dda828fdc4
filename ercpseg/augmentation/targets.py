"""From the bitmask that is augmented to the channels that are learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import SegOnlyTransform
from numpy.typing import NDArray

from ercpseg.geometry.components import label_components
from ercpseg.geometry.skeleton import skeletonise
from ercpseg.structures import Mask

MAX_COMPONENTS = 255
"""A region's number is one byte; components after the 254th share the last one."""


class BitmaskToHeads(SegOnlyTransform):  # type: ignore[misc]  # the library is not typed
    """Bitmask (1, y, x) to boolean channels (heads, y, x), structures then parents; −1 (outside) counts as empty."""

    def __init__(self, heads: Mapping[str, int]):
        super().__init__()
        self.bits = torch.tensor(list(heads.values()), dtype=torch.int16)[:, None, None]

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        return (segmentation.clamp_min(0).to(torch.int16) & self.bits) != 0


class BitmaskToTargets(BitmaskToHeads):
    """Bitmask (1, y, x) to uint8 (heads + tubes + regions, y, x): heads as 0 and 1, then what some losses read besides.

    After the heads one channel per name in ``tubes`` (tubed skeleton, 0 and 1; for skeleton recall), then one per name in
    ``regions`` (number of the nearest component, 0 where there is none; for CC-Dice). Each head has its own skeleton, so
    that a wire keeps its line where it crosses an endoscope. It runs last, so that skeletons and regions belong to
    the mask as it was augmented.
    """

    def __init__(self, heads: Mapping[str, int], *, tubes: Sequence[str] = (), regions: Sequence[str] = ()):
        super().__init__(heads)
        names = list(heads)
        self.tubes = [names.index(name) for name in tubes]
        self.regions = [names.index(name) for name in regions]

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        masks = super()._apply_to_segmentation(segmentation, **params)
        if not self.tubes and not self.regions:
            return masks.to(torch.uint8)
        array = masks.numpy()
        more = [tube(array[i]).view(np.uint8) for i in self.tubes]
        more += [nearest_component(array[i]) for i in self.regions]
        return torch.cat([masks.to(torch.uint8), torch.from_numpy(np.stack(more))])


def tube(mask: Mask) -> Mask:
    """Skeleton of ``mask`` (y, x), dilated twice by a cross and kept inside it (Kirchhoff et al. 2024)."""
    from scipy.ndimage import binary_dilation

    skeleton = skeletonise(mask)
    if not skeleton.any():
        return skeleton
    result: Mask = binary_dilation(skeleton, iterations=2) & mask
    return result


def nearest_component(mask: Mask) -> NDArray[np.uint8]:
    """Number of the nearest 8-connected component of ``mask`` (y, x) at every pixel; 0 everywhere when it is empty."""
    from scipy.ndimage import distance_transform_edt

    labels, count = label_components(mask)
    if not count:
        return np.zeros(mask.shape, np.uint8)
    nearest = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    result: NDArray[np.uint8] = np.minimum(labels, MAX_COMPONENTS).astype(np.uint8)[tuple(nearest)]
    return result
