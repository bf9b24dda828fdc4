"""Scores of an evaluation: per frame and structure, per patient, overall; n printed with every mean."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ercpseg.documents.base import Document, Part

METRICS = (
    "dice",
    "iou",
    "precision",
    "recall",
    "hd95_px",
    "hd_px",
    "assd_px",
    "cldice",
)
"""Names of the per-frame metrics, in the order of tables."""


class FrameScore(Part):
    """One frame and structure. ``None`` = undefined by the rule for empty masks (``docs/reference/evaluation.md``)."""

    frame: str
    patient: str
    structure: str
    reference_px: int = Field(description="pixels of the reference")
    prediction_px: int = Field(description="pixels of the prediction")
    intersection_px: int = Field(description="pixels of both")
    dice: float | None
    iou: float | None
    precision: float | None
    recall: float | None
    hd95_px: float | None
    hd_px: float | None
    assd_px: float | None
    cldice: float | None
    reference_objects: int = Field(description="8-connected components of the reference")
    prediction_objects: int = Field(description="8-connected components of the prediction")
    matched_objects: int = Field(description="pairs of them with IoU of at least 0.5")


class Mean(Part):
    """Mean of per-patient means, the 95 % interval of a patient bootstrap, and the counts behind it."""

    mean: float | None
    low: float | None = Field(description="None with fewer than two patients")
    high: float | None
    frames: int = Field(description="frames in which the metric is defined")
    patients: int = Field(description="patients with at least one such frame")


class ObjectScore(Part):
    """Detection of objects (8-connected components matched one to one at IoU ≥ 0.5), summed over all frames."""

    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None = Field(description="2·TP / (2·TP + FP + FN); None when there is no object on either side")
    f1_low: float | None = Field(description="95 % interval of a patient bootstrap; None with fewer than two patients")
    f1_high: float | None
    count_error: float = Field(description="mean over frames of |objects predicted − objects in the reference|")
    false_per_absent_frame: float | None = Field(description="objects predicted per frame whose reference shows none")


class StructureScore(Part):
    """One structure over the whole set."""

    frames: int = Field(description="frames compared")
    present: int = Field(description="frames whose reference shows it")
    predicted: int = Field(description="frames whose prediction shows it")
    missed: int = Field(description="present in the reference, nothing predicted")
    invented: int = Field(description="absent in the reference, something predicted")
    invented_px: int = Field(description="pixels predicted in the invented frames")
    specificity: float | None = Field(
        description="share of the frames without it in the reference that have none predicted"
    )
    pooled_dice: float | None = Field(description="over all pixels of all frames (micro)")
    pooled_iou: float | None
    metrics: dict[str, Mean]
    dice_invented_zero: Mean = Field(description="Dice with 0 for every invented frame, where ``dice`` has no value")
    objects: ObjectScore | None = Field(
        default=None, description="for structures made of several objects: stones, or 1.3 objects a frame and more"
    )


class Scores(Document):
    """All scores of one evaluation."""

    SCHEMA: ClassVar[str] = "ercpseg.scores/1"

    prediction: str
    reference: str
    frames: int
    patients: int
    bootstrap_seed: int = 0
    missing: tuple[str, ...] = Field(description="reference frames without prediction; they are not scored")
    unmatched: tuple[str, ...] = Field(description="predicted frames without reference")
    reference_only: tuple[str, ...] = Field(default=(), description="structures that the prediction has no folder for")
    prediction_only: tuple[str, ...] = Field(default=(), description="structures that the reference has no folder for")
    warnings: tuple[str, ...] = Field(default=(), description="what a reader of the numbers must know")
    structures: dict[str, StructureScore]
    per_patient: dict[str, dict[str, dict[str, float | None]]] = Field(
        description="patient → structure → metric → mean over the patient's frames"
    )
