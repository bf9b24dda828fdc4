"""The sections of a plan: every value that is decided, with its type, range and meaning.

The key of a decision is ``section.field``; which rule decides it stands in brackets.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ercpseg.documents.base import Part
from ercpseg.documents.plan_input import InputValues, PatchValues, Positive, PreparationValues, rising

Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0, le=1e6)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(rising)]
WashIn = Annotated[float, Field(ge=-1, le=1)]


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
    of: tuple[str, ...] = Field(
        (), description="all structures of the dataset, whose positions are the bits; empty: `structures` are all"
    )


class LossTerm(Part):
    """One more term of the loss: its name in the LOSSES table, its weight and its numbers, for all heads or by head."""

    name: str = Field(description="name in the LOSSES table")
    weight: float | dict[str, float] = Field(1.0, description="factor, for all heads or head → factor")
    params: dict[str, Any] = Field(default_factory=dict, description="its numbers, for all heads or by head")
    begin: float = Field(0.0, ge=0, le=1, description="share of the training after which its weight begins to rise")
    full: float = Field(0.0, ge=0, le=1, description="share of the training after which it counts in full")


class LossValues(Part):
    """Weighted sum of terms per head: a region term, focal cross-entropy, and what the shape asks for (R14–R17)."""

    head_weight: dict[str, Amount]
    dice_weight: dict[str, Amount]
    focal_weight: dict[str, Amount]
    focal_alpha: dict[str, Amount]
    focal_gamma: dict[str, Amount]
    fn_weight: dict[str, Share] = Field(
        default_factory=dict,
        description="weight of what is missed against what is extra in the region term; 0.5 = Dice (R16)",
    )
    skeleton_weight: dict[str, Amount] = Field(
        default_factory=dict, description="skeleton recall at full resolution, rising over the first tenth (R17)"
    )
    component_weight: dict[str, Amount] = Field(
        default_factory=dict, description="Dice per component after the first fifth (R17)"
    )
    terms: tuple[LossTerm, ...] = Field((), description="further terms, for recipes")
    level_weights: tuple[Amount, ...] = Field(description="full resolution first; 0 switches a level off (R22)")
    max_pooled: tuple[str, ...] = Field(description="heads whose lower-level targets are max-pooled (R22)")


class SamplingValues(Part):
    """Which frames and patches are drawn (R21), and what of them is synthetic (R12)."""

    oversample_frac: float = Field(ge=0, le=1, description="share of a batch that must show a drawn structure")
    structure_share: dict[str, Amount] = Field(description="how often each structure is the one that is drawn")
    synthetic_frac: float = Field(
        0.0, ge=0, lt=1, description="share of every batch that is drawn from synthetic frames; 0: none (R12)"
    )
    synthetic_frames: int = Field(
        0, ge=0, le=100_000, description="so many synthetic frames are made for it once (R12)"
    )
    synthetic_domain: str = Field(
        "any-room", pattern=r"^[a-z][a-z0-9-]{0,39}$", description="the domain of `synth` that they are of (R12)"
    )


class AugmentationValues(Part):
    """Ranges of the random transforms (R18–R20), and whether they are drawn for each sample or for a number of copies."""

    rotation_deg: float = Field(ge=0, le=180)
    scale: Range
    shift_frac: Share
    mirror_axes: tuple[Literal[0, 1], ...] = Field(
        description="0 = up-down, 1 = left-right; also used for test-time flips"
    )
    noise_sd: Amount
    blur_sd_px: Amount
    brightness: Range
    contrast: Range
    gamma: Range
    invert_prob: float = Field(0.0, ge=0, le=1, description="how often grey values are turned round (R1)")
    elastic_prob: float = Field(0.0, ge=0, le=1, description="how often frames are bent (R18)")
    elastic_sigma_px: float = Field(0.0, ge=0, description="smoothness of the bending: Gaussian standard deviation")
    elastic_shift_px: float = Field(0.0, ge=0, description="largest shift of a pixel")
    low_resolution: float = Field(
        1.0, gt=0, le=1, description="least factor of simulated low resolution; 1 = none (R20)"
    )
    noise_growth: float = Field(
        0.0, ge=0, le=2, description="noise grows exponentially by so much per standard deviation of darkness (R20)"
    )
    wash_in: tuple[str, ...] = Field((), description="structures in which the amount of contrast agent varies (R20)")
    wash_in_amount: Annotated[tuple[WashIn, WashIn], AfterValidator(rising)] = Field(
        (0.0, 0.0), description="share of their contrast that is taken away; below 0: added (R20)"
    )
    collimator_keep: float = Field(
        1.0,
        gt=0,
        le=1,
        description="least share of a patch's sides that a moved collimator leaves; 1: none moves (R20)",
    )
    apply_prob: float = Field(ge=0, le=1)
    multiply: int = Field(
        0,
        ge=0,
        le=1000,
        strict=True,
        description="altered copies of each training frame, the same in every epoch; 0: samples are altered as drawn (R30)",
    )


class OptimiserValues(Part):
    """Optimiser and learning-rate schedule (R29)."""

    name: Literal["sgd", "adamw"]
    learning_rate: float = Field(gt=0, le=10)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, le=1)
    schedule: Literal["poly", "cosine", "constant"]
    warmup_frac: float = Field(ge=0, lt=1)


class ScheduleValues(Part):
    """How long to train."""

    epochs: int = Field(ge=1)
    iterations_per_epoch: int = Field(ge=1)
    validation_iterations: int = Field(ge=1)
    seconds_per_iteration: float | None = Field(description="measured on the planning machine; None = not measured")
    time_budget_s: Positive | None
    device: Literal["cpu", "cuda", "mps"]
    seed: int = Field(ge=0, lt=2**31)
    expected_epoch_s: float | None = Field(None, description="seconds of one epoch, by the measured iteration")
    expected_memory_gb: float | None = Field(None, description="memory of one iteration, as measured or estimated")


class TransferValues(Part):
    """How a training goes on from another model's weights (``train --init-from``); without one it does nothing (R12)."""

    made_for: Literal["light", "realtime"] | None = Field(None, description="few-shot: shipped weights to fit")
    synthetic_frames: int = Field(
        0, ge=0, description="synthetic frames that the other model should have learnt on; 0 = none needed"
    )
    scheme: Literal["all", "deepest", "layerwise"] = Field(
        "all",
        description="all layers learn alike; only the deepest ones; or from first_rate at the first layer to 1 at the last",
    )
    layers: int = Field(3, ge=1, le=999, description="deepest: so many convolutions, with their norms, go on learning")
    rate: float = Field(0.1, gt=0, le=10, description="factor of optimiser.learning_rate for what was taken over")
    first_rate: float = Field(0.1, gt=0, le=1, description="layerwise: the first layer's factor against the last's")
    pretrain_share: float = Field(
        0.0, ge=0, lt=1, description="share of the time that train spends on synthetic_frames first; 0: none"
    )
    pretrain_domain: str = Field(
        "phantom-simple",
        pattern=r"^[a-z][a-z0-9-]{0,39}$",
        description="the domain of `synth` that synthetic_frames are of",
    )
    pretrain_terms: tuple[LossTerm, ...] | None = Field(
        None, description="`loss.terms` while it learns on synthetic_frames; null: those of the plan"
    )


class InferenceValues(Part):
    """How fast a frame has to be segmented, and how fast it was on the planning machine (R32)."""

    latency_budget_ms: Positive | None = Field(None, description="null: no limit")
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

    threshold: dict[str, Annotated[float, Field(gt=0, lt=1)]]
    steps: dict[str, tuple[PostprocessStep, ...]]


class TuningValues(Part):
    """What ``tune`` may try beside thresholds and component sizes, in working-size pixels."""

    kernels_px: dict[
        str, tuple[tuple[Annotated[int, Field(ge=1, le=1024)], Annotated[int, Field(ge=1, le=1024)]], ...]
    ] = Field(default_factory=dict, description="structure → pairs of opening and closing (R25)")
    longest_gap_px: dict[str, Amount] = Field(
        default_factory=dict, description="thin structure → longest gap that may be closed (R27)"
    )
    nested_px: dict[str, Amount] = Field(
        default_factory=dict, description="structure → how far the duct that it must lie in is widened (R28)"
    )


class PortfolioValues(Part):
    """What ``compare`` trains (R31)."""

    recipes: tuple[str, ...] = Field(("auto", "nnunet", "light"), description="recipes where none is named")


class AlarmValues(Part):
    """When ``predict`` warns that frames look different (R34)."""

    outside_frac: float = Field(0.1, ge=0, le=1, description="share of frames outside the training range")


class FoldValues(Part):
    """Cross-validation (R30)."""

    count: int = Field(ge=1)
    grouped_by: str
    method: Literal["grouped", "within-patient", "by-series", "frame-wise", "published"]


class PlanValues(Part):
    """All sections; the key of a decision is ``section.field``."""

    preparation: PreparationValues
    input: InputValues = InputValues()
    patch: PatchValues
    network: NetworkValues
    heads: HeadValues
    loss: LossValues
    sampling: SamplingValues
    augmentation: AugmentationValues
    optimiser: OptimiserValues
    schedule: ScheduleValues
    inference: InferenceValues = InferenceValues()
    transfer: TransferValues = TransferValues()
    postprocess: PostprocessValues
    tuning: TuningValues = TuningValues()
    portfolio: PortfolioValues = PortfolioValues()
    alarm: AlarmValues = AlarmValues()
    folds: FoldValues
