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
    """One frame and structure. ``None`` = undefined by the rule for empty masks (see ``docs/reference/evaluation.md``)."""

    frame: str
    patient: str
    structure: str
    reference_px: int
    prediction_px: int
    dice: float | None
    iou: float | None
    precision: float | None
    recall: float | None
    hd95_px: float | None
    hd_px: float | None
    assd_px: float | None
    cldice: float | None


class Mean(Part):
    """Mean of per-patient means, the 95 % interval of a patient bootstrap, and the counts behind it."""

    mean: float | None
    low: float | None
    high: float | None
    frames: int
    patients: int


class StructureScore(Part):
    """One structure over the whole set."""

    frames: int = Field(description="frames compared")
    present: int = Field(description="frames whose reference shows it")
    predicted: int = Field(description="frames whose prediction shows it")
    missed: int = Field(description="present in the reference, nothing predicted")
    invented: int = Field(description="absent in the reference, something predicted")
    pooled_dice: float | None = Field(description="over all pixels of all frames (micro)")
    pooled_iou: float | None
    metrics: dict[str, Mean]
    objects: dict[str, float | int | None] = Field(
        default_factory=dict, description="object detection at IoU 0.5, for structures made of several small objects"
    )


class Scores(Document):
    """All scores of one evaluation."""

    SCHEMA: ClassVar[str] = "ercpseg.scores/1"

    prediction: str
    reference: str
    frames: int
    patients: int
    missing: tuple[str, ...] = Field(description="reference frames without prediction; they are not scored")
    unmatched: tuple[str, ...] = Field(description="predicted frames without reference")
    structures: dict[str, StructureScore]
    per_patient: dict[str, dict[str, dict[str, float | None]]] = Field(
        description="patient → structure → metric → mean over the patient's frames"
    )
