"""RULES: the ordered table. A rule sees the fingerprint, the pins, the budget and what stands above it, nothing else."""

from __future__ import annotations

from ercpseg.planner import (
    rules_augmentation,
    rules_evidence,
    rules_frame,
    rules_loss,
    rules_masks,
    rules_network,
    rules_postprocess,
    rules_shape,
    rules_size,
    rules_training,
    rules_transfer,
    rules_xray,
)
from ercpseg.planner.rule import Rule

RULES: tuple[Rule, ...] = (
    Rule(("transfer.made_for",), rules_transfer.made_for),
    Rule(("preparation.invert", "augmentation.invert_prob"), rules_frame.polarity),
    Rule(("preparation.clip_percentiles", "preparation.dataset_mean_sd"), rules_frame.normalisation),
    Rule(("preparation.field_mask",), rules_frame.field_mask),
    Rule(("preparation.median_px",), rules_frame.denoise),
    Rule(("preparation.erode_px", "preparation.equalise", "preparation.sharpen"), rules_frame.enhancement),
    Rule(("input.frames",), rules_frame.input_frames),
    Rule(("network.name",), rules_frame.network_name),
    Rule(("preparation.working_long_side_px",), rules_size.working_size),
    Rule(("heads.structures", "heads.parents", "heads.of"), rules_network.heads),
    Rule(("preparation.thin",), rules_masks.resampling),
    Rule(("preparation.dilate_px", "preparation.dilate_kernel"), rules_masks.dilation),
    Rule(("network.options",), rules_network.options),
    Rule(("network.features",), rules_network.features),
    Rule(("patch.size_px", "patch.tile_px", "patch.whole_frame"), rules_network.patch),
    Rule(("network.deep_supervision",), rules_network.deep_supervision),
    Rule(("sampling.oversample_frac", "sampling.structure_share"), rules_loss.oversampling),
    Rule(("patch.batch_size",), rules_network.batch),
    Rule(("loss.head_weight", "loss.dice_weight", "loss.focal_weight"), rules_loss.base_loss),
    Rule(("loss.focal_alpha", "loss.focal_gamma"), rules_loss.focal),
    Rule(("loss.fn_weight",), rules_shape.misses),
    Rule(("loss.skeleton_weight",), rules_shape.skeletons),
    Rule(("loss.component_weight",), rules_shape.components),
    Rule(("loss.terms",), rules_shape.further_terms),
    Rule(("loss.level_weights", "loss.max_pooled"), rules_loss.output_levels),
    Rule(
        (
            "augmentation.rotation_deg",
            "augmentation.scale",
            "augmentation.shift_frac",
            "augmentation.mirror_axes",
        ),
        rules_augmentation.affine,
    ),
    Rule(
        ("augmentation.elastic_prob", "augmentation.elastic_sigma_px", "augmentation.elastic_shift_px"),
        rules_augmentation.elastic,
    ),
    Rule(
        (
            "augmentation.noise_sd",
            "augmentation.blur_sd_px",
            "augmentation.low_resolution",
            "augmentation.brightness",
            "augmentation.contrast",
            "augmentation.gamma",
            "augmentation.apply_prob",
        ),
        rules_augmentation.intensity,
    ),
    Rule(
        (
            "augmentation.noise_growth",
            "augmentation.wash_in",
            "augmentation.wash_in_amount",
            "augmentation.collimator_keep",
        ),
        rules_xray.xray,
    ),
    Rule(("augmentation.multiply",), rules_augmentation.copies),
    Rule(
        (
            "schedule.epochs",
            "schedule.iterations_per_epoch",
            "schedule.validation_iterations",
            "schedule.seconds_per_iteration",
            "schedule.time_budget_s",
            "schedule.device",
            "schedule.seed",
            "schedule.expected_epoch_s",
            "schedule.expected_memory_gb",
        ),
        rules_training.schedule,
    ),
    Rule(("inference.latency_budget_ms", "inference.expected_latency_ms"), rules_training.latency),
    Rule(
        (
            "optimiser.name",
            "optimiser.learning_rate",
            "optimiser.momentum",
            "optimiser.weight_decay",
            "optimiser.schedule",
            "optimiser.warmup_frac",
        ),
        rules_training.optimiser,
    ),
    Rule(("transfer.synthetic_frames",), rules_transfer.pretraining),
    Rule(
        (
            "transfer.scheme",
            "transfer.layers",
            "transfer.rate",
            "transfer.first_rate",
            "transfer.pretrain_share",
            "transfer.pretrain_domain",
            "transfer.pretrain_terms",
        ),
        rules_transfer.transfer,
    ),
    Rule(("sampling.synthetic_frac", "sampling.synthetic_frames", "sampling.synthetic_domain"), rules_transfer.mixing),
    Rule(("postprocess.threshold",), rules_postprocess.threshold),
    Rule(("postprocess.steps",), rules_postprocess.steps),
    Rule(("tuning.kernels_px",), rules_evidence.kernels),
    Rule(("tuning.longest_gap_px",), rules_evidence.longest_gap),
    Rule(("tuning.nested_px",), rules_evidence.nesting),
    Rule(("portfolio.recipes",), rules_evidence.portfolio),
    Rule(("alarm.outside_frac",), rules_evidence.alarm),
    Rule(("folds.count", "folds.method", "folds.grouped_by"), rules_training.folds),
)
"""In the order of evaluation: what a rule reads of the plan is decided above it."""

KEYS: tuple[str, ...] = tuple(key for rule in RULES for key in rule.keys)
"""Every decision's key, in the order of the table."""

ELSEWHERE: dict[str, str] = {
    "R4": "Text and markers lie outside the field, which R3 masks; R5 says why no median filter is used against them.",
    "R33": "A scale in millimetres from the endoscope's width belongs to measurement; spacing is never guessed.",
}
"""Rules of the science reference that decide no value of a plan, and where they are kept."""
