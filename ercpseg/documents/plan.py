"""The plan: every value decided, each with its rule, inputs and source.

A plan is an ordered list of decisions. The same values are read by the program through typed sections
(:attr:`Plan.values`), which are built from the decisions, so that what is explained is what is used.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from ercpseg.documents.base import Document, Part, Plain
from ercpseg.errors import DocumentError
from ercpseg.structures import StructureSet

Size = tuple[int, int]
_EVIDENCE = re.compile(r"\[((?:E[123]|J)(?:/(?:E[123]|J))*)\]\.?$")


class PreparationValues(Part):
    """How a frame becomes the network's input; the same in training and in live prediction."""

    working_long_side_px: int = Field(ge=16, le=4096, description="the longer side after resampling (R6)")
    clip_percentiles: tuple[float, float] = Field(description="in-field percentiles to clip at before normalising (R2)")
    field_mask: bool = Field(description="statistics inside the exposed field only, zero outside (R3)")
    invert: bool = Field(False, description="grey values are turned round, because devices are bright (R1)")
    median_px: int = Field(0, ge=0, le=15, description="side of the median filter on native pixels; 0 = none (R5)")
    thin: tuple[str, ...] | None = Field(
        None, description="structures of which any coverage counts when masks shrink below 2 px (R7); null: max_pooled"
    )


class PatchValues(Part):
    """What the network sees at once: patches in training, tiles in prediction."""

    size_px: Size = Field(description="training patch (y, x) at working size (R8)")
    tile_px: Size = Field(description="prediction tile (y, x) at working size; may be larger than the patch (R8)")
    whole_frame: bool = Field(description="a frame always fits one tile, so that prediction is one call per frame")
    batch_size: int = Field(ge=1, description="(R9)")


class NetworkValues(Part):
    """Name in the NETWORKS table, and plain numbers for its builder."""

    name: str
    features: tuple[int, ...] = Field(description="channels per level, full resolution last excluded (R10)")
    deep_supervision: int = Field(ge=0, le=6, description="auxiliary outputs below full resolution")
    options: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="what this network alone has; none = its defaults"
    )

    def __hash__(self) -> int:
        """What a measurement was made for; options are a mapping, which has no hash of its own."""
        return hash(self.model_dump_json())


class HeadValues(Part):
    """Output channels: one sigmoid per structure, then per parent (R13)."""

    structures: tuple[str, ...]
    parents: tuple[str, ...]


class LossTerm(Part):
    """One more term of the loss: its name in the LOSSES table, its weight and its numbers, for all heads or by head."""

    name: str = Field(description="name in the LOSSES table")
    weight: float | dict[str, float] = Field(1.0, description="factor, for all heads or head → factor")
    params: dict[str, Any] = Field(default_factory=dict, description="its numbers, for all heads or by head")
    begin: float = Field(0.0, ge=0, le=1, description="share of the training after which its weight begins to rise")
    full: float = Field(0.0, ge=0, le=1, description="share of the training after which it counts in full")


class LossValues(Part):
    """Weighted sum of terms per head: a region term, focal cross-entropy, and what the shape asks for (R14–R17)."""

    head_weight: dict[str, float]
    dice_weight: dict[str, float]
    focal_weight: dict[str, float]
    focal_alpha: dict[str, float]
    focal_gamma: dict[str, float]
    fn_weight: dict[str, float] = Field(
        default_factory=dict,
        description="weight of what is missed against what is extra in the region term; 0.5 = Dice (R16)",
    )
    skeleton_weight: dict[str, float] = Field(
        default_factory=dict, description="skeleton recall at full resolution, rising over the first tenth (R17)"
    )
    component_weight: dict[str, float] = Field(
        default_factory=dict, description="Dice per component after the first fifth (R17)"
    )
    terms: tuple[LossTerm, ...] = Field((), description="further terms, for recipes")
    level_weights: tuple[float, ...] = Field(description="full resolution first; 0 switches a level off (R22)")
    max_pooled: tuple[str, ...] = Field(description="heads whose lower-level targets are max-pooled (R22)")


class SamplingValues(Part):
    """Which frames and patches are drawn (R21)."""

    oversample_frac: float = Field(ge=0, le=1, description="share of a batch that must show a drawn structure")
    structure_share: dict[str, float] = Field(description="how often each structure is the one that is drawn")


class AugmentationValues(Part):
    """Ranges of the random transforms (R18–R20)."""

    rotation_deg: float
    scale: tuple[float, float]
    shift_frac: float
    mirror_axes: tuple[int, ...] = Field(description="0 = up-down, 1 = left-right; also used for test-time flips")
    noise_sd: float
    blur_sd_px: float
    brightness: tuple[float, float]
    contrast: tuple[float, float]
    gamma: tuple[float, float]
    invert_prob: float = Field(0.0, ge=0, le=1, description="how often grey values are turned round (R1)")
    elastic_prob: float = Field(0.0, ge=0, le=1, description="how often frames are bent (R18)")
    elastic_sigma_px: float = Field(0.0, ge=0, description="smoothness of the bending: Gaussian standard deviation")
    elastic_shift_px: float = Field(0.0, ge=0, description="largest shift of a pixel")
    low_resolution: float = Field(
        1.0, gt=0, le=1, description="least factor of simulated low resolution; 1 = none (R20)"
    )
    apply_prob: float = Field(ge=0, le=1)


class OptimiserValues(Part):
    """Optimiser and learning-rate schedule (R29)."""

    name: Literal["sgd", "adamw"]
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: Literal["poly", "cosine"]
    warmup_frac: float


class ScheduleValues(Part):
    """How long to train."""

    epochs: int = Field(ge=1)
    iterations_per_epoch: int = Field(ge=1)
    validation_iterations: int = Field(ge=1)
    seconds_per_iteration: float | None = Field(description="measured on the planning machine; None = not measured")
    time_budget_s: float | None
    device: Literal["cpu", "cuda", "mps"]
    seed: int
    expected_epoch_s: float | None = Field(None, description="seconds of one epoch, by the measured iteration")
    expected_memory_gb: float | None = Field(None, description="memory of one iteration, as measured or estimated")


class InferenceValues(Part):
    """How fast a frame has to be segmented, and how fast it was on the planning machine (R32)."""

    latency_budget_ms: float | None = Field(None, description="null: no limit")
    expected_latency_ms: float | None = Field(
        None, description="one forward pass of a tile as measured; null: not measured"
    )


class PostprocessStep(Part):
    """Name in the STEPS table and its numbers, in working-size pixels."""

    name: str
    params: dict[str, float] = Field(default_factory=dict)
    of: str | None = Field(None, description="another structure whose finished mask the step looks at")


class PostprocessValues(Part):
    """Threshold and steps per structure (R24–R28)."""

    threshold: dict[str, float]
    steps: dict[str, tuple[PostprocessStep, ...]]


class FoldValues(Part):
    """Cross-validation (R30)."""

    count: int = Field(ge=1)
    grouped_by: str
    method: Literal["grouped", "within-patient", "frame-wise", "published"]


class PlanValues(Part):
    """All sections; the key of a decision is ``section.field``."""

    preparation: PreparationValues
    patch: PatchValues
    network: NetworkValues
    heads: HeadValues
    loss: LossValues
    sampling: SamplingValues
    augmentation: AugmentationValues
    optimiser: OptimiserValues
    schedule: ScheduleValues
    inference: InferenceValues = InferenceValues()
    postprocess: PostprocessValues
    folds: FoldValues


class Alternative(Part):
    """A value that a decision did not take."""

    value: Plain
    why: str = Field(description="why it was not taken, in one sentence")


class Decision(Part):
    """One value with its reason."""

    key: str = Field(description="section.field of the plan")
    value: Plain
    rule: str = Field(description="for example R6; 'pin' when a person decided")
    by: Literal["rule", "recipe", "user", "tuning"]
    because: str = Field(description="the reason in one sentence with the numbers that decided")
    inputs: dict[str, Plain] = Field(
        default_factory=dict, description="fingerprint quantities and earlier decisions read"
    )
    source: str = Field(description="paper, code fact or judgement behind the rule, then its evidence in brackets")
    alternatives: tuple[Alternative, ...] = Field(default=(), description="what was not taken, and why")

    @property
    def evidence(self) -> str:
        """The grades in the source's brackets, for example ``E2/J``; empty where a person decided."""
        found = _EVIDENCE.search(self.source)
        return found[1] if found else ""

    @model_serializer(mode="wrap")
    def _without_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave empty alternatives out, so that plans of before there were any keep their hash."""
        data: dict[str, Any] = write(self)
        if not self.alternatives:
            data.pop("alternatives", None)
        return data


class Plan(Document):
    """A complete plan for one dataset."""

    SCHEMA: ClassVar[str] = "ercpseg.plan/1"

    dataset: str
    recipe: str
    fingerprint_sha256: str
    frames_sha256: str
    decisions: tuple[Decision, ...]
    warnings: tuple[str, ...] = ()

    @cached_property
    def values(self) -> PlanValues:
        """The decisions as typed sections.

        Raises
        ------
        DocumentError
            when a decision is missing, unknown, made twice or out of range.
        """
        nested: dict[str, dict[str, Any]] = {}
        for decision in self.decisions:
            section, _, field = decision.key.partition(".")
            if field in nested.get(section, {}):
                raise DocumentError("the plan decides twice", where=decision.key)
            nested.setdefault(section, {})[field] = decision.value
        try:
            return PlanValues.model_validate(nested)
        except ValidationError as error:
            problems = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
            raise DocumentError("the plan's decisions do not fit together: " + "; ".join(problems)) from error

    @property
    def structure_set(self) -> StructureSet:
        """The structures with their bits."""
        return StructureSet(self.values.heads.structures)

    @property
    def heads(self) -> dict[str, int]:
        """Output channels in order, each with the bits whose union it is."""
        values = self.values.heads
        all_heads = self.structure_set.heads()
        return {name: all_heads[name] for name in (*values.structures, *values.parents)}

    def decision(self, key: str) -> Decision:
        """The decision with this key.

        Raises
        ------
        KeyError
            when there is none.
        """
        for decision in self.decisions:
            if decision.key == key:
                return decision
        raise KeyError(key)
