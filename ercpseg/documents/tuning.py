"""Thresholds and steps that were chosen on out-of-fold predictions, and the plan that they make.

A document of its own: the plan stays as it was when the folds were trained, so its hash still names them. The model folder
gets the plan with the tuned decisions in it (``docs/decisions/0022-tuning.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ercpseg.documents.base import Document, Part
from ercpseg.documents.plan import Alternative, Decision, Plan, PostprocessStep

Metric = Literal["dice", "cldice", "object_f1"]
METRIC_TEXT: dict[str, str] = {"dice": "Dice", "cldice": "clDice", "object_f1": "object F1"}
THRESHOLD, STEPS = "postprocess.threshold", "postprocess.steps"


class Trial(Part):
    """One candidate that was measured, against what stood before it."""

    stage: str = Field(description="`threshold`, or the kind of step: shape, drop, grow, join, place")
    label: str = Field(description="what was tried")
    threshold: float
    steps: tuple[PostprocessStep, ...] = Field(description="the whole chain that was measured")
    value: float | None = Field(description="the metric")
    gain: float | None = Field(description="over what stood before")
    gain_se: float | None = Field(description="standard error of the gain over patients; null with fewer than two")
    cross_gain: float | None = Field(
        None, description="of the best of its stage: the gain when each patient's part is chosen without that patient"
    )
    accepted: bool = Field(description="whether it became the new standing")
    why: str = Field(description="why it was not accepted; empty where it was")


class TunedStructure(Part):
    """What was chosen for one structure, and the figures that decided."""

    metric: Metric = Field(description="primary metric of the structure")
    accepted: bool = Field(description="false: the default of the plan stays")
    why: str = Field(description="the reason in one sentence")
    threshold: float
    steps: tuple[PostprocessStep, ...] = Field(description="in working-size pixels")
    default_value: float | None = Field(description="the metric with the threshold and steps of the plan")
    value: float | None = Field(description="the metric with what was chosen; with the default where that stays")
    gain: float | None = Field(description="of what was chosen, else of the best candidate, over the default")
    gain_se: float | None = Field(description="standard error of the gain over patients; null with fewer than two")
    frames: int = Field(description="frames in which the metric is defined")
    patients: int = Field(description="patients of those frames")
    trials: tuple[Trial, ...] = Field(description="everything that was measured, in order")


class Tuning(Document):
    """Post-processing chosen on frames that each fold held out; valid for one plan and the folds trained then."""

    SCHEMA: ClassVar[str] = "ercpseg.tuning/1"

    dataset: str
    plan_sha256: str = Field(description="hash of the plan before tuning")
    candidates_sha256: dict[str, str] = Field(description="structure → hash of the candidates that were tried")
    trained: dict[str, str] = Field(description="fold → SHA-256 of its weights, all that were trained")
    folds: tuple[str, ...] = Field(description="folds whose held-out frames were used")
    mirrored: bool = Field(description="whether predictions were averaged over mirrored frames, as planned")
    frames: int = Field(description="frames that were predicted out of fold")
    patients: int = Field(description="patients of those frames, or what else folds keep together")
    left_out: int = Field(description="frames to train on that no trained fold holds out")
    tuned: dict[str, TunedStructure] = Field(description="structure → what was chosen")
    ercpseg_version: str = Field(description="version that tuned")
    warnings: tuple[str, ...] = ()


def apply_tuning(plan: Plan, tuning: Tuning) -> Plan:
    """The plan with tuned thresholds and steps, as decisions by tuning; structures that were not tuned stay."""
    if not tuning.tuned:
        return plan
    # In the order of the plan, since a file holds them by name.
    tuned = {name: tuning.tuned[name] for name in plan.values.heads.structures if name in tuning.tuned}
    tuning = tuning.model_copy(update={"tuned": tuned})
    values = plan.values.postprocess
    threshold = values.threshold | {name: t.threshold for name, t in tuning.tuned.items()}
    steps = values.steps | {name: t.steps for name, t in tuning.tuned.items()}
    plain = {name: [step.model_dump(exclude_none=True) for step in chain] for name, chain in steps.items()}
    new = {
        THRESHOLD: _decision(plan, tuning, THRESHOLD, threshold, "R24"),
        STEPS: _decision(plan, tuning, STEPS, plain, "R25–R28"),
    }
    data = plan.model_dump(by_alias=True)
    data["decisions"] = [new.get(decision.key, decision) for decision in plan.decisions]
    return Plan.model_validate(data)


def stale_because(tuning: Tuning, plan_sha256: str, trained: Mapping[str, str]) -> str | None:
    """Why a tuning no longer counts, or None while it does.

    ``trained`` maps the folds that are trained now to the SHA-256 of their weights.
    """
    if tuning.plan_sha256 != plan_sha256:
        return "the dataset was planned anew since"
    changed = sorted(f for f in {*trained, *tuning.trained} if trained.get(f) != tuning.trained.get(f))
    return f"fold {', '.join(changed)} was trained since" if changed else None


def _decision(plan: Plan, tuning: Tuning, key: str, value: Any, rule: str) -> Decision:
    before = plan.decision(key)
    told = "; ".join(_sentence(name, t) for name, t in tuning.tuned.items())
    return Decision(
        key=key,
        value=value,
        rule=rule,
        by="tuning",
        because=f"{told}. Chosen on {tuning.frames} frames of {tuning.patients} patients, each predicted by the fold "
        f"that held it out (folds {', '.join(tuning.folds)}).",
        inputs={name: _figures(t) for name, t in tuning.tuned.items()},
        source=f"out-of-fold predictions of this dataset; {before.source}",
        alternatives=(Alternative(value=before.value, why=f"Before tuning: {before.because}"),),
    )


def _sentence(name: str, t: TunedStructure) -> str:
    """The figures of one structure in words: metric, gain, standard error, frames, patients."""
    metric = METRIC_TEXT[t.metric]
    if not t.accepted:
        return f"{name}: as planned, {t.why}"
    gain = f"{metric} {t.default_value:.3f} → {t.value:.3f}, gain {t.gain:.3f} > standard error {t.gain_se:.3f}"
    return f"{name}: {gain} ({t.frames} frames of {t.patients} patients)"


def _figures(t: TunedStructure) -> dict[str, Any]:
    names = ("metric", "accepted", "default_value", "value", "gain", "gain_se", "frames", "patients")
    return {name: getattr(t, name) for name in names}
