"""Results folders as stock nnU-Net writes them, with random weights; small, and read by stock nnU-Net itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

PLAIN = {"background": 0, "Scope": 1, "guide wire": 2}
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "ignore": 4}
ARCHITECTURE = "dynamic_network_architectures.architectures.unet."


def architecture(name: str, features: list[int]) -> dict[str, Any]:
    stages = len(features)
    counts = (
        {"n_conv_per_stage": [2] * stages, "n_conv_per_stage_decoder": [2] * (stages - 1)}
        if name == "PlainConvUNet"
        else {"n_blocks_per_stage": [1, 3, 4, 6, 6, 6, 6, 6][:stages], "n_conv_per_stage_decoder": [1] * (stages - 1)}
    )
    return {
        "network_class_name": ARCHITECTURE + name,
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": features,
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3]] * stages,
            "strides": [[1, 1], *([2, 2] for _ in range(stages - 2)), [2, 1] if stages == 3 else [2, 2]],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
            **counts,
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def plans_json(patch: list[int], network: dict[str, Any], scheme: str, masked: bool) -> dict[str, Any]:
    resample = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "median_image_size_in_voxels": [float(p) for p in patch],
        "spacing": [1.0, 1.0],
        "normalization_schemes": [scheme],
        "use_mask_for_norm": [masked],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resample,
        "resampling_fn_seg_kwargs": {**resample, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resample, "order": 1},
        "architecture": network,
        "batch_dice": True,
    }
    grey = {"mean": 120.0, "median": 118.0, "std": 40.0, "min": 0.0, "max": 255.0}
    return {
        "dataset_name": "Dataset123_Stock",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [999.0, 1.0, 1.0],
        "original_median_shape_after_transp": [1, *patch],
        "image_reader_writer": "NaturalImage2DIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {**grey, "percentile_00_5": 20.0, "percentile_99_5": 230.0}
        },
    }


def picture(seed: int, size: tuple[int, int], border: int = 0) -> np.ndarray:
    """Smooth grey blobs, with a black border where one is asked for."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=size), 3)
    pixels = np.clip(128 + 600 * smooth, 1, 255).astype(np.uint8)
    if border:
        pixels[:border] = pixels[:, :border] = pixels[-border:] = pixels[:, -border:] = 0
    return pixels


def teach(network: torch.nn.Module, patch: tuple[int, int], scheme: str, regions: bool, steps: int) -> None:
    """A few steps towards dark and bright blobs: a network of random weights is undecided everywhere, and nnU-Net's sums in
    half precision then toss a coin in one pixel of a hundred."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small patches: more threads wait for each other, for ever on cores that are shared
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    for step in range(steps):
        image = torch.from_numpy(picture(1000 + step, patch).astype(np.float32))[None, None]
        dark, bright = image < 110, image > 150
        seen = (image - image.mean()) / image.std() if scheme == "ZScoreNormalization" else (image - 120) / 40
        logits = network(seen)[0]
        if regions:
            wanted = torch.cat([dark | bright, bright], 1).float()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        else:
            loss = torch.nn.functional.cross_entropy(logits, (dark.long() + 2 * bright.long())[:, 0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.set_num_threads(threads)


def write_stock(
    folder: Path,
    *,
    labels: dict[str, Any] = PLAIN,
    network: str = "PlainConvUNet",
    features: tuple[int, ...] = (8, 16, 32),
    patch: tuple[int, int] = (64, 64),
    scheme: str = "ZScoreNormalization",
    masked: bool = False,
    folds: tuple[str, ...] = ("0",),
    steps: int = 40,
    train_patch: tuple[int, int] | None = None,
) -> Path:
    """``nnUNetTrainer__nnUNetPlans__2d`` below ``folder`` with plans, dataset and a checkpoint per fold; returns it."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    target = folder / "Dataset123_Stock" / "nnUNetTrainer__nnUNetPlans__2d"
    target.mkdir(parents=True)
    plans = plans_json(list(patch), architecture(network, list(features)), scheme, masked)
    dataset = {"channel_names": {"0": "xray"}, "labels": labels, "numTraining": 5, "file_ending": ".png"}
    regions = [name for name, value in labels.items() if isinstance(value, list)]
    if regions:
        dataset["regions_class_order"] = list(range(1, len(regions) + 1))
    (target / "plans.json").write_text(json.dumps(plans))
    (target / "dataset.json").write_text(json.dumps(dataset))
    heads = len(regions) or len([n for n in labels if n != "ignore"])
    for fold in folds:
        torch.manual_seed(7 + sum(map(ord, fold)))
        kind = plans["configurations"]["2d"]["architecture"]
        names = kind["_kw_requires_import"]
        net = get_network_from_plans(kind["network_class_name"], kind["arch_kwargs"], names, 1, heads, True, True)
        teach(net, train_patch or patch, scheme, bool(regions), steps)
        checkpoint = {
            "network_weights": net.state_dict(),
            "optimizer_state": {"state": {}, "param_groups": []},
            "grad_scaler_state": None,
            "logging": {"train_losses": [np.float64(0.5), np.float32(0.25)], "lrs": [0.01]},
            "_best_ema": np.float64(0.7),
            "current_epoch": 10,
            "init_args": {"plans": plans, "configuration": "2d", "fold": 0, "dataset_json": dataset},
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": (0, 1),
        }
        (target / f"fold_{fold}").mkdir()
        torch.save(checkpoint, target / f"fold_{fold}" / "checkpoint_final.pth")
    return target


def stock_predictor(folder: Path, *, folds: tuple[str, ...] = ("0",), tta: bool = True) -> Any:
    """nnU-Net's own predictor of such a folder."""
    import contextlib
    import io

    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(use_mirroring=tta, device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), folds)
    return predictor


def stock_masks(predictor: Any, pixels: np.ndarray) -> np.ndarray:
    """Label image (y, x) that nnU-Net makes of a frame (y, x)."""
    image = pixels[None, None].astype(np.float32)
    segmentation = predictor.predict_single_npy_array(image, {"spacing": (999, 1, 1)}, None, None, False)
    return np.asarray(segmentation)[0]


def painted(bitmask: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
    """Our bitmask as nnU-Net's label image: later structures paint over earlier ones."""
    labels = np.zeros(bitmask.shape, np.int64)
    for bit, value in enumerate(values):
        labels[bitmask & (1 << bit) > 0] = value
    return labels
