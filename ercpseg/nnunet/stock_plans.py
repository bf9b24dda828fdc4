"""What stock nnU-Net's ``plans.json`` and ``dataset.json`` say of answering, in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ercpseg.documents.plan import PostprocessValues
from ercpseg.documents.serving import Serving, StockNetwork, StockPreparation
from ercpseg.errors import DocumentError, UsageError
from ercpseg.structures import MAX_STRUCTURES, PARENTS

ARCHITECTURES = {
    "dynamic_network_architectures.architectures.unet.PlainConvUNet": "PlainConvUNet",
    "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet": "ResidualEncoderUNet",
}
"""Class in the plans → ours. Nothing else is ever looked up."""
NORMS = {
    "torch.nn.modules.instancenorm.InstanceNorm2d": "instance",
    "torch.nn.InstanceNorm2d": "instance",
    "torch.nn.modules.batchnorm.BatchNorm2d": "batch",
    "torch.nn.BatchNorm2d": "batch",
    None: "none",
}
ACTIVATIONS = {
    "torch.nn.LeakyReLU": "leaky_relu",
    "torch.nn.modules.activation.LeakyReLU": "leaky_relu",
    "torch.nn.ReLU": "relu",
    "torch.nn.modules.activation.ReLU": "relu",
}
CONVOLUTIONS = ("torch.nn.modules.conv.Conv2d", "torch.nn.Conv2d")
NORMALISATIONS = {
    "ZScoreNormalization": "zscore",
    "RescaleTo01Normalization": "rescale_to_0_1",
    "RGBTo01Normalization": "rgb_to_0_1",
    "CTNormalization": "ct",
    "NoNormalization": "nonorm",
}
BACKGROUND, IGNORE = "background", "ignore"


def stock_serving(
    plans: Mapping[str, Any], dataset: Mapping[str, Any], configuration: str, axes: tuple[int, ...], *, where: object
) -> Serving:
    """Preparation, network, tiles and labels of a stock 2D model.

    Raises
    ------
    UsageError
        when it is no model for single-channel frames without spacing.
    DocumentError
        when something is missing, or names a network or a scheme that is not on the list.
    """
    try:
        values = _resolve(plans["configurations"], configuration)
        _check_kind(plans, dataset, values, where)
        names, heads, regions = _labels(dataset["labels"])
        return Serving.new(
            name=_name(str(plans.get("dataset_name", "stock")), set(), "stock"),
            structures=names,
            heads=heads,
            activation="sigmoid" if regions else "softmax",
            preparation=_preparation(plans, values),
            tile_px=tuple(values["patch_size"]),
            mirror_axes=tuple(int(axis) for axis in axes),
            network=_network(values["architecture"]),
            postprocess=PostprocessValues(threshold=dict.fromkeys(names, 0.5), steps=dict.fromkeys(names, ())),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        if isinstance(error, ValidationError):
            problem = f"{error.errors()[0]['loc']}"
        else:
            problem = str(error) if type(error) is ValueError else f"{type(error).__name__} {error}"
        raise DocumentError(
            f"the plans of this model are not understood: {problem[:200]}",
            where=where,
            expected="plans of nnU-Net 2.3 or newer",
        ) from error


def _resolve(configurations: Mapping[str, Any], name: str, depth: int = 0) -> dict[str, Any]:
    """A configuration over the ones that it inherits from, as nnU-Net does: shallow."""
    own = dict(configurations[name])
    parent = own.pop("inherits_from", None)
    if parent is None:
        return own
    if depth > len(configurations):
        raise ValueError("inherits_from goes in a circle")
    return {**_resolve(configurations, parent, depth + 1), **own}


def _check_kind(plans: Mapping[str, Any], dataset: Mapping[str, Any], values: Mapping[str, Any], where: object) -> None:
    dimensions = len(values["patch_size"])
    if dimensions != 2:
        raise UsageError(f"this is a {dimensions}D model", where=where, expected="a 2D configuration")
    channels = dataset.get("channel_names") or dataset["modality"]
    if len(channels) != 1:
        raise UsageError(f"this model takes {len(channels)} channels", where=where, expected="grey frames, one channel")
    if any(abs(float(spacing) - 1) > 1e-6 for spacing in values["spacing"]):
        raise UsageError(
            "this model resamples to a spacing in mm, which frames need not have",
            where=where,
            expected="a model trained on images without spacing (PNG, BMP, TIFF)",
        )
    if list(plans.get("transpose_forward", [0, 1, 2])) != [0, 1, 2]:
        raise UsageError("this model turns its axes", where=where, expected="transpose_forward [0, 1, 2]")


def _labels(labels: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Structures, heads in the order of the network's outputs, and whether they are regions that may overlap."""
    regions = any(isinstance(value, list) and len(value) > 1 for value in labels.values())
    shown = {name: value for name, value in labels.items() if name != IGNORE and value not in (0, [0])}
    if not regions:
        single = {name: int(value[0] if isinstance(value, list) else value) for name, value in shown.items()}
        if sorted(single.values()) != list(range(1, len(single) + 1)):
            raise ValueError("labels are not numbered from 1")
        shown = dict(sorted(single.items(), key=lambda item: item[1]))
    if len(shown) > MAX_STRUCTURES:
        raise UsageError(f"the model has {len(shown)} labels", expected=f"at most {MAX_STRUCTURES}")
    used: set[str] = set()
    names = tuple(_name(label, used, f"label_{number}") for number, label in enumerate(shown, start=1))
    return names, names if regions else (BACKGROUND, *names), regions


def _name(label: str, used: set[str], otherwise: str) -> str:
    """A label as the safe name of a structure: lower case, letters, digits and _."""
    name = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:32]
    if not name or not name[0].isalpha() or name in PARENTS or name == BACKGROUND or name in used:
        name = f"{otherwise}_{name}".rstrip("_")[:40]
    used.add(name)
    return name


def _preparation(plans: Mapping[str, Any], values: Mapping[str, Any]) -> StockPreparation:
    (scheme,), (mask,) = values["normalization_schemes"], values["use_mask_for_norm"]
    kind = _listed(NORMALISATIONS, scheme, "its normalisation")
    numbers: dict[str, Any] = {}
    if kind == "ct":
        found = plans["foreground_intensity_properties_per_channel"]["0"]
        clip = (found["percentile_00_5"], found["percentile_99_5"])
        numbers = {"clip": clip, "mean": found["mean"], "sd": found["std"]}
    return StockPreparation(normalisation=kind, nonzero_only=bool(mask) and kind == "zscore", **numbers)


def _network(given: Mapping[str, Any]) -> StockNetwork:
    architecture = _listed(ARCHITECTURES, given["network_class_name"], "its network")
    numbers = given["arch_kwargs"]
    if numbers["conv_op"] not in CONVOLUTIONS or numbers.get("dropout_op") or numbers.get("nonlin_first"):
        raise ValueError("the network has parts that are not on the list")
    stages = int(numbers["n_stages"])
    norm, activation = numbers.get("norm_op_kwargs") or {}, numbers.get("nonlin_kwargs") or {}
    blocks = numbers["n_conv_per_stage" if architecture == "PlainConvUNet" else "n_blocks_per_stage"]
    extra = set(numbers) - _KNOWN
    if extra or set(norm) - {"eps", "affine"} or set(activation) - {"inplace", "negative_slope"}:
        raise ValueError(f"the network has options that are not known: {sorted(extra)[:3]}")
    return StockNetwork(
        architecture=architecture,
        features=_each(numbers["features_per_stage"], stages),
        kernels=tuple(_pair(k) for k in _each(numbers["kernel_sizes"], stages)),
        strides=tuple(_pair(s) for s in _each(numbers["strides"], stages)),
        blocks=_each(blocks, stages),
        decoder_blocks=_each(numbers["n_conv_per_stage_decoder"], stages - 1),
        bias=bool(numbers.get("conv_bias", False)),
        norm=_listed(NORMS, numbers.get("norm_op"), "its norm_op"),
        norm_eps=norm.get("eps", 1e-5),
        norm_affine=bool(norm.get("affine", False)),
        activation=_listed(ACTIVATIONS, numbers["nonlin"], "its nonlin"),
        slope=activation.get("negative_slope", 0.01),
    )


_KNOWN = {
    "n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage", "n_blocks_per_stage",
    "n_conv_per_stage_decoder", "conv_bias", "norm_op", "norm_op_kwargs", "dropout_op", "dropout_op_kwargs", "nonlin",
    "nonlin_kwargs", "deep_supervision", "nonlin_first",
}  # fmt: skip


def _listed(table: Mapping[Any, Any], name: Any, what: str) -> Any:
    """Ours for a name of theirs; a name that is not on the list is refused with those that are."""
    if name not in table:
        raise ValueError(
            f"{what} is not known; choose from {', '.join(str(name).rpartition('.')[2] for name in table)}"
        )
    return table[name]


def _each(value: Any, count: int) -> tuple[Any, ...]:
    """A number per stage from one number or a list."""
    return tuple(value) if isinstance(value, list | tuple) else (value,) * count


def _pair(value: Any) -> tuple[int, int]:
    y, x = value if isinstance(value, list | tuple) else (value, value)
    return int(y), int(x)
