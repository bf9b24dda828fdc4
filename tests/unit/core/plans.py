"""A small plan made by hand, field by field, for tests that need one but no planner."""

from __future__ import annotations

from typing import Any

from ercpseg.documents.plan import Decision, Plan
from ercpseg.documents.run import FoldWeights, ModelCard

STRUCTURES = ("endoscope", "guidewire")
PARENTS = ("instrument",)


def sections(**overrides: Any) -> dict[str, Any]:
    """Key → value of every decision; ``overrides`` are written ``section__field=value``."""
    heads = (*STRUCTURES, *PARENTS)
    values: dict[str, Any] = {
        "preparation.working_long_side_px": 64,
        "preparation.clip_percentiles": [0.5, 99.5],
        "preparation.field_mask": False,
        "patch.size_px": [64, 64],
        "patch.tile_px": [64, 64],
        "patch.whole_frame": True,
        "patch.batch_size": 2,
        "network.name": "light-full",
        "network.features": [4, 6, 8],
        "network.deep_supervision": 0,
        "heads.structures": list(STRUCTURES),
        "heads.parents": list(PARENTS),
        "loss.head_weight": dict.fromkeys(heads, 1.0),
        "loss.dice_weight": dict.fromkeys(heads, 1.0),
        "loss.focal_weight": dict.fromkeys(heads, 1.0),
        "loss.focal_alpha": dict.fromkeys(heads, 1.0),
        "loss.focal_gamma": dict.fromkeys(heads, 0.0),
        "loss.level_weights": [1.0],
        "loss.max_pooled": ["guidewire"],
        "sampling.oversample_frac": 0.5,
        "sampling.structure_share": dict.fromkeys(STRUCTURES, 0.5),
        "augmentation.rotation_deg": 15.0,
        "augmentation.scale": [0.9, 1.1],
        "augmentation.shift_frac": 0.1,
        "augmentation.mirror_axes": [1],
        "augmentation.noise_sd": 0.1,
        "augmentation.blur_sd_px": 0.5,
        "augmentation.brightness": [0.75, 1.25],
        "augmentation.contrast": [0.75, 1.25],
        "augmentation.gamma": [0.7, 1.5],
        "augmentation.apply_prob": 0.2,
        "optimiser.name": "sgd",
        "optimiser.learning_rate": 0.01,
        "optimiser.momentum": 0.99,
        "optimiser.weight_decay": 3e-5,
        "optimiser.schedule": "poly",
        "optimiser.warmup_frac": 0.0,
        "schedule.epochs": 2,
        "schedule.iterations_per_epoch": 3,
        "schedule.validation_iterations": 1,
        "schedule.seconds_per_iteration": None,
        "schedule.time_budget_s": None,
        "schedule.device": "cpu",
        "schedule.seed": 1,
        "postprocess.threshold": dict.fromkeys(STRUCTURES, 0.5),
        "postprocess.steps": {name: [] for name in STRUCTURES},
        "folds.count": 2,
        "folds.grouped_by": "patient",
        "folds.method": "grouped",
    }
    return values | {key.replace("__", "."): value for key, value in overrides.items()}


def plan_of(values: dict[str, Any]) -> Plan:
    decisions = tuple(
        Decision(key=key, value=value, rule="pin", by="user", because="A test.", source="[J]")
        for key, value in values.items()
    )
    return Plan.new(
        dataset="hand", recipe="hand", fingerprint_sha256="0" * 64, frames_sha256="1" * 64, decisions=decisions
    )


def tiny_plan(**overrides: Any) -> Plan:
    """The plan of :func:`sections`."""
    return plan_of(sections(**overrides))


def card_of(plan: Plan, weights: dict[str, bytes]) -> ModelCard:
    """The card of a model whose files ``fold_N.safetensors`` hold ``weights``."""
    import hashlib

    return ModelCard.new(
        name="hand",
        structures=plan.values.heads.structures,
        ercpseg_version="0",
        plan_sha256=plan.sha256,
        frames=1,
        patients=1,
        folds=tuple(
            FoldWeights(
                fold=file.removeprefix("fold_").removesuffix(".safetensors"),
                file=file,
                sha256=hashlib.sha256(data).hexdigest(),
                epochs=1,
                iterations=1,
                seed=1,
            )
            for file, data in weights.items()
        ),
        training_data="random numbers",
    )
