"""Builds the training pipeline from the plan.

The bitmask is warped by nearest neighbour: interpolating a label map lets a thin wire lose against its neighbours, and
a bitmask has no order. Image transforms come after it, so that they never touch the target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ercpseg.documents.plan import AugmentationValues
from ercpseg.structures import PARENTS

Size = tuple[int, int]


def training_transforms(
    values: AugmentationValues,
    heads: Mapping[str, int],
    patch: Size,
    *,
    tubes: Sequence[str] = (),
    regions: Sequence[str] = (),
) -> Any:
    """Random pipeline: dict(image (c, y, x), segmentation bitmask (1, y, x)) → image and target at ``patch`` size.

    The target's channels are those of :class:`ercpseg.augmentation.targets.BitmaskToTargets`.
    """
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    from ercpseg.augmentation.targets import BitmaskToTargets

    return ComposeTransforms(
        [*random_transforms(values, heads, patch), BitmaskToTargets(heads, tubes=tubes, regions=regions)]
    )


def random_transforms(values: AugmentationValues, heads: Mapping[str, int], patch: Size) -> list[Any]:
    """What alters image (c, y, x) and bitmask (1, y, x), both at ``patch`` size afterwards; −1 is outside the frame.

    The channels of an image are frames of one series: all are moved and changed alike.
    """
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    from ercpseg.augmentation.polarity import InvertPolarity
    from ercpseg.augmentation.xray import CollimatorChange, ContrastWashIn, XrayNoise

    rotation = float(np.deg2rad(values.rotation_deg))
    p = values.apply_prob
    transforms = [
        SpatialTransform(
            patch,
            patch_center_dist_from_border=0,
            random_crop=False,
            p_elastic_deform=values.elastic_prob if values.elastic_sigma_px > 0 else 0,
            # The library's smoothness is a share of the patch's sides, its magnitude the largest shift in pixels.
            elastic_deform_scale=lambda *_, dim, patch_size, **__: values.elastic_sigma_px / patch_size[dim or 0],
            elastic_deform_magnitude=(0.0, values.elastic_shift_px),
            p_synchronize_def_scale_across_axes=0,
            p_rotation=0.5,
            rotation=(-rotation, rotation),
            p_scaling=0.5,
            scaling=values.scale,
            p_synchronize_scaling_across_axes=1,
            mode_seg="nearest",
        ),
        # Channels are frames of one series: the strength is one for all, as the machine's setting is; noise is drawn for each.
        RandomTransform(XrayNoise(values.noise_sd, values.noise_growth), p),
        RandomTransform(MultiplicativeBrightnessTransform(BGContrast(values.brightness), True, 1), p),
        RandomTransform(
            ContrastTransform(BGContrast(values.contrast), preserve_range=True, synchronize_channels=True), p
        ),
        RandomTransform(GammaTransform(BGContrast(values.gamma), 0, True, 1, 1), p),
    ]
    if values.blur_sd_px > 0:
        sigma = (min(0.3, values.blur_sd_px), values.blur_sd_px)
        blur = GaussianBlurTransform(sigma, synchronize_channels=True, p_per_channel=1)
        transforms.insert(2, RandomTransform(blur, p))
    bits = sum(heads.get(name, 0) for name in values.wash_in)
    devices = sum(heads.get(name, 0) for name in PARENTS["instrument"])
    if bits and values.wash_in_amount != (0.0, 0.0):
        transforms.insert(1, RandomTransform(ContrastWashIn(bits, values.wash_in_amount, devices), p))
    if values.low_resolution < 1:
        coarse = SimulateLowResolutionTransform((values.low_resolution, 1), True, True, (), p_per_channel=1)
        transforms.append(RandomTransform(coarse, p))
    if values.invert_prob > 0:
        transforms.append(RandomTransform(InvertPolarity(), values.invert_prob))
    if values.collimator_keep < 1:
        transforms.append(RandomTransform(CollimatorChange(values.collimator_keep), p))
    if values.mirror_axes:
        transforms.append(MirrorTransform(allowed_axes=values.mirror_axes))
    return transforms


def validation_transforms(heads: Mapping[str, int], *, tubes: Sequence[str] = (), regions: Sequence[str] = ()) -> Any:
    """No randomness: only the target's channels."""
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    from ercpseg.augmentation.targets import BitmaskToTargets

    return ComposeTransforms([BitmaskToTargets(heads, tubes=tubes, regions=regions)])
