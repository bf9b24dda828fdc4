"""Small documents to draw reports from; the numbers mean nothing."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from ercpseg.documents.fingerprint import Fingerprint, IntensityFingerprint, Percentiles, StructureFingerprint
from ercpseg.documents.plan import Decision, Plan
from ercpseg.documents.scores import METRICS, FrameScore, Mean, ObjectScore, Scores, StructureScore

STRUCTURES = ("endoscope", "guidewire", "cbd", "stone")


def log_rows(epochs: int = 30) -> list[dict]:
    rng = np.random.default_rng(0)
    heads = dict(zip((*STRUCTURES, "instrument", "duct"), (0.95, 0.7, 0.8, 0.5, 0.9, 0.82), strict=True))
    return [
        {
            "epoch": epoch,
            "train_loss": 1.6 * math.exp(-epoch / 8) + 0.2 + 0.02 * rng.standard_normal(),
            "validation_loss": 1.5 * math.exp(-epoch / 9) + 0.3 + 0.04 * rng.standard_normal(),
            "learning_rate": 0.01 * (1 - epoch / epochs) ** 0.9,
            "seconds": 3.0,
            "dice": {
                head: None
                if head == "stone" and epoch < 4
                else float(np.clip(top * (1 - math.exp(-(epoch + 1) / 6)) + 0.02 * rng.standard_normal(), 0, 1))
                for head, top in heads.items()
            },
        }
        for epoch in range(epochs)
    ]


def frame_score(frame: str, structure: str, dice: float | None, **values: object) -> FrameScore:
    data: dict[str, object] = dict.fromkeys(METRICS, dice)
    counts = [name for name, field in FrameScore.model_fields.items() if field.annotation is int]
    data |= dict.fromkeys(counts, 1) | {"frame": frame, "patient": frame[:2], "structure": structure} | values
    return FrameScore(**data)


def frame_scores() -> list[FrameScore]:
    rng = np.random.default_rng(1)
    rows = []
    for structure, centre in zip(STRUCTURES, (0.94, 0.72, 0.8, 0.45), strict=True):
        for i in range(24):
            dice = float(np.clip(centre + 0.12 * rng.standard_normal(), 0, 1))
            undefined = structure == "stone" and i % 2
            cldice = None if undefined else min(1.0, dice + 0.05)
            rows.append(
                frame_score(f"p{i // 6}_{i:02d}", structure, None if undefined else dice, cldice=cldice, hd95_px=12.0)
            )
    return rows


def scores(names: tuple[str, ...] = STRUCTURES) -> Scores:
    def mean(metric: str, value: float | None) -> Mean:
        if value is None:
            return Mean(mean=None, low=None, high=None, frames=0, patients=0)
        value = value * 20 if metric.endswith("_px") else value
        return Mean(mean=value, low=value * 0.93, high=min(value * 1.06, 40), frames=24, patients=4)

    def structure(value: float | None, objects: bool) -> StructureScore:
        return StructureScore(
            frames=24,
            present=20,
            predicted=21,
            missed=1,
            invented=2,
            invented_px=40,
            specificity=0.5,
            pooled_dice=value,
            pooled_iou=None if value is None else value / (2 - value),
            metrics={metric: mean(metric, value) for metric in METRICS},
            dice_invented_zero=mean("dice", value),
            objects=ObjectScore(
                true_positives=14,
                false_positives=3,
                false_negatives=6,
                precision=0.82,
                recall=0.7,
                f1=0.757,
                f1_low=0.6,
                f1_high=0.88,
                count_error=0.42,
                false_per_absent_frame=0.1,
            )
            if objects
            else None,
        )

    values = (0.942, 0.713, 0.804, 0.46)
    return Scores.new(
        prediction="predictions",
        reference="reference",
        frames=24,
        patients=4,
        missing=(),
        unmatched=(),
        structures={name: structure(values[i % 4], name == "stone") for i, name in enumerate(names)},
        per_patient={},
    )


def spread(middle: float) -> Percentiles:
    return Percentiles(n=20, p05=middle * 0.5, p10=middle * 0.6, p50=middle, p90=middle * 1.5, p95=middle * 1.8)


def fingerprint() -> Fingerprint:
    structures = {
        name: StructureFingerprint(
            frames=20,
            presence_frac=0.83,
            foreground_frac=spread(area),
            width_px=spread(width),
            length_px=spread(240),
            components=1.4,
            component_area_px=None,
            contrast=spread(-0.8),
        )
        for name, area, width in zip(STRUCTURES, (0.06, 0.0011, 0.02, 0.004), (34, 2.1, 18, 11), strict=True)
    }
    return Fingerprint.new(
        dataset="demo",
        frames_sha256="0" * 64,
        frames=24,
        patients=4,
        grouped_by="text before the first _",
        shapes={"512 x 512": 24},
        reference_long_side_px=512,
        long_side_spread=0.0,
        aspect=spread(1.0),
        bits={"8": 24},
        spacing_known_frac=0.0,
        field_frac=spread(0.7),
        intensity=IntensityFingerprint(mean=spread(0.4), sd=spread(0.2), noise_sd=spread(0.1), mean_cv=0.1, sd_cv=0.1),
        structures=structures,
        overlap={},
        warnings=("guidewire is about 2 px wide: thin",),
    )


def plan(because: str = "the wire is 2.1 px wide and must stay at least 2 px after resampling") -> Plan:
    rows = (
        ("preparation.working_long_side_px", 512, "R6", "rule", {"width_px": 2.1}),
        ("preparation.clip_percentiles", (0.5, 99.5), "R2", "rule", {}),
        ("patch.size_px", (512, 512), "R8", "rule", {"reference_long_side_px": 512, "memory": "6 GB"}),
        ("patch.batch_size", 2, "pin", "user", {}),
        ("network.name", "light", "pin", "recipe", {}),
        ("loss.head_weight", dict.fromkeys((*STRUCTURES, "instrument", "duct"), 1.0), "R14", "rule", {}),
        ("augmentation.rotation_deg", 15.0, "R18", "rule", {}),
        ("schedule.time_budget_s", None, "R29", "rule", {}),
    )
    return Plan.new(
        dataset="demo",
        recipe="ours",
        fingerprint_sha256="1" * 64,
        frames_sha256="0" * 64,
        decisions=tuple(
            Decision(key=k, value=v, rule=r, by=by, because=because, inputs=i, source="science.md §3; Isensee 2021")
            for k, v, r, by, i in rows
        ),
    )


@pytest.fixture
def samples() -> SimpleNamespace:
    """The makers above; test modules cannot import each other under pytest's importlib mode."""
    return SimpleNamespace(
        STRUCTURES=STRUCTURES,
        log_rows=log_rows,
        frame_score=frame_score,
        frame_scores=frame_scores,
        scores=scores,
        fingerprint=fingerprint,
        plan=plan,
    )
