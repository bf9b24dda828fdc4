"""Our documents as nnU-Net's dictionaries: dataset.json, plans, fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ercpseg.documents.dataset import Dataset
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Plan
from ercpseg.documents.serving import Serving
from ercpseg.nnunet import CONFIGURATION, PLAN_KEY, PLANS_NAME
from ercpseg.nnunet.labels import region_labels
from ercpseg.structures import StructureSet

NO_SPACING = 999.0
"""What nnU-Net wants on the axis that a 2D image does not have; it appears in this file only."""


def dataset_json(dataset: Dataset, frames: Sequence[str]) -> dict[str, Any]:
    """``dataset.json``. Files are listed explicitly: without the list nnU-Net opens a pool of 12 processes to find them."""
    return {
        **labels_json(dataset.structure_set),
        "numTraining": len(frames),
        "dataset": {f: {"images": [f"imagesTr/{f}_0000.png"], "label": f"labelsTr/{f}.png"} for f in frames},
    }


def labels_json(structures: StructureSet) -> dict[str, Any]:
    """What ``dataset.json`` says of frames and structures."""
    return {
        "channel_names": {"0": "zscore"},
        "labels": region_labels(structures),
        "regions_class_order": [structures.value(name) for name in structures],
        "file_ending": ".png",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }


def fingerprint_json(fingerprint: Fingerprint) -> dict[str, Any]:
    """The keys that nnU-Net's planner reads, from ours, and ours beside them."""
    shapes = [
        [1, *(int(n) for n in shape.split("x"))]
        for shape, count in sorted(fingerprint.shapes.items())
        for _ in range(count)
    ]
    intensity = fingerprint.intensity
    return {
        "spacings": [[NO_SPACING, 1.0, 1.0]] * len(shapes),
        "shapes_after_crop": shapes,
        "foreground_intensity_properties_per_channel": {
            "0": {
                "mean": intensity.mean.p50,
                "median": intensity.mean.p50,
                "std": intensity.sd.p50,
                "min": intensity.mean.p05,
                "max": intensity.mean.p95,
                "percentile_00_5": intensity.mean.p05,
                "percentile_99_5": intensity.mean.p95,
            }
        },
        "median_relative_size_after_cropping": 1.0,
        PLAN_KEY: fingerprint.model_dump(mode="json", by_alias=True),
    }


def plans_json(plan: Plan, fingerprint: Fingerprint, nnunet_name: str) -> dict[str, Any]:
    """nnU-Net's plans, with the whole of our plan under its own key.

    The preprocessor is named by our class, so that stock nnU-Net fails loudly on these data instead of training on
    frames that were prepared differently.
    """
    median = [1, *_median_shape(fingerprint)]
    configuration = {**_configuration(plan, plan.values.patch.size_px), "median_image_size_in_voxels": median[1:]}
    return {
        **_plans(plan, nnunet_name, configuration),
        "original_median_spacing_after_transp": [NO_SPACING, 1.0, 1.0],
        "original_median_shape_after_transp": median,
        "foreground_intensity_properties_per_channel": fingerprint_json(fingerprint)[
            "foreground_intensity_properties_per_channel"
        ],
    }


def serving_plans_json(plan: Plan, serving: Serving) -> dict[str, Any]:
    """nnU-Net's plans for prediction alone, with its tiles; what a model does not know of its data is not in them."""
    return _plans(plan, serving.name, _configuration(plan, serving.tile_px))


def _plans(plan: Plan, nnunet_name: str, configuration: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataset_name": nnunet_name,
        "plans_name": PLANS_NAME,
        "image_reader_writer": "NaturalImage2DIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {CONFIGURATION: configuration},
        "experiment_planner_used": "ErcpPlanner",
        "label_manager": "LabelManager",
        PLAN_KEY: plan.model_dump(mode="json", by_alias=True),
    }


def _configuration(plan: Plan, patch: tuple[int, int]) -> dict[str, Any]:
    values = plan.values
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    return {
        "data_identifier": data_identifier(plan),
        "preprocessor_name": "ErcpPreprocessor",
        "batch_size": values.patch.batch_size,
        "patch_size": list(patch),
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": {
            "network_class_name": f"ercpseg.networks:{values.network.name}",
            "arch_kwargs": values.network.model_dump(mode="json"),
            "_kw_requires_import": [],
        },
        "batch_dice": True,
    }


def data_identifier(plan: Plan) -> str:
    """Name of the folder of prepared frames: equal preparations share it, different ones never meet."""
    import hashlib

    values = plan.values
    prepared = values.preparation.model_dump_json(exclude_defaults=True)
    key = prepared + ",".join(sorted(values.loss.max_pooled)) + plan.frames_sha256
    if values.heads.of:  # the store tells which frames show what is learnt
        key += ",".join(values.heads.structures)
    return f"{PLANS_NAME}_{CONFIGURATION}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def _median_shape(fingerprint: Fingerprint) -> list[int]:
    import numpy as np

    shapes = [[int(n) for n in shape.split("x")] for shape, count in fingerprint.shapes.items() for _ in range(count)]
    return [int(n) for n in np.median(np.asarray(shapes), axis=0)]
