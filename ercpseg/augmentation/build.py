"""Builds the training pipeline from the plan.

The bitmask is warped by nearest neighbour: interpolating a label map lets a thin wire lose against its neighbours, and
a bitmask has no order. Image transforms come after it, so that they never touch the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ercpseg.documents.plan import AugmentationValues

Size = tuple[int, int]


def training_transforms(values: AugmentationValues, heads: Mapping[str, int], patch: Size) -> Any:
    """Random pipeline: dict(image (1, y, x), segmentation bitmask (1, y, x)) → image and boolean heads at ``patch`` size."""
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    from ercpseg.augmentation.targets import BitmaskToHeads

    rotation = float(np.deg2rad(values.rotation_deg))
    p = values.apply_prob
    transforms = [
        SpatialTransform(
            patch,
            patch_center_dist_from_border=0,
            random_crop=False,
            p_elastic_deform=0,
            p_rotation=0.5,
            rotation=(-rotation, rotation),
            p_scaling=0.5,
            scaling=values.scale,
            p_synchronize_scaling_across_axes=1,
            mode_seg="nearest",
        ),
        # The library's "variance" is used as a standard deviation.
        RandomTransform(GaussianNoiseTransform(noise_variance=(0, values.noise_sd), p_per_channel=1), p),
        RandomTransform(MultiplicativeBrightnessTransform(BGContrast(values.brightness), False, 1), p),
        RandomTransform(
            ContrastTransform(BGContrast(values.contrast), preserve_range=True, synchronize_channels=False), p
        ),
        RandomTransform(GammaTransform(BGContrast(values.gamma), 0, False, 1, 1), p),
    ]
    if values.blur_sd_px > 0:
        sigma = (min(0.3, values.blur_sd_px), values.blur_sd_px)
        transforms.insert(2, RandomTransform(GaussianBlurTransform(blur_sigma=sigma, p_per_channel=1), p))
    if values.mirror_axes:
        transforms.append(MirrorTransform(allowed_axes=values.mirror_axes))
    return ComposeTransforms([*transforms, BitmaskToHeads(heads)])


def validation_transforms(heads: Mapping[str, int]) -> Any:
    """No randomness: only the target's channels."""
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    from ercpseg.augmentation.targets import BitmaskToHeads

    return ComposeTransforms([BitmaskToHeads(heads)])
