"""From frames to patients to the set: means of patient means, patient-cluster bootstrap, pooled scores, objects.

Frames of one patient resemble each other, so the patient is the unit: the mean over a patient's frames first, then the
mean over patients, and whole patients are redrawn for the interval. Intervals are of means: bootstrap intervals of
medians can fail badly (André 2025).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.scores import METRICS, FrameScore, Mean, ObjectScore, StructureScore
from ercpseg.evaluation.objects import ObjectCounts
from ercpseg.evaluation.overlap import PixelCounts

BOOTSTRAP_SAMPLES = 2000
SEVERAL_OBJECTS = 1.3
"""Objects per frame that shows the structure, from which on object detection is scored for it."""


def mean_of_patients(patients: Sequence[str], values: Sequence[float | None], *, seed: int = 0) -> Mean:
    """Mean of per-patient means with its 95 % interval.

    Parameters
    ----------
    patients, values
        the patient and the value of each frame; None takes no part.
    seed
        of the bootstrap; the same seed gives the same interval.
    """
    by_patient: dict[str, list[float]] = {}
    for patient, value in zip(patients, values, strict=True):
        if value is not None:
            by_patient.setdefault(patient, []).append(value)
    if not by_patient:
        return Mean(mean=None, low=None, high=None, frames=0, patients=0)
    # Sorted, so that the interval does not depend on the order in which frames were read.
    means = np.array([np.mean(by_patient[patient]) for patient in sorted(by_patient)])
    draws = _draws(len(means), seed)
    low, high = _interval(means[draws].mean(axis=1)) if draws is not None else (None, None)
    return Mean(
        mean=float(means.mean()),
        low=low,
        high=high,
        frames=sum(len(v) for v in by_patient.values()),
        patients=len(means),
    )


def score_structure(frames: Sequence[FrameScore], *, seed: int = 0) -> StructureScore:
    """Summarise all frames of one structure."""
    patients = [f.patient for f in frames]
    pooled = PixelCounts(
        reference_px=sum(f.reference_px for f in frames),
        prediction_px=sum(f.prediction_px for f in frames),
        intersection_px=sum(f.intersection_px for f in frames),
    )
    invented = [f for f in frames if f.prediction_px and not f.reference_px]
    present = sum(f.reference_px > 0 for f in frames)
    absent = len(frames) - present
    return StructureScore(
        frames=len(frames),
        present=present,
        predicted=sum(f.prediction_px > 0 for f in frames),
        missed=sum(f.reference_px > 0 and not f.prediction_px for f in frames),
        invented=len(invented),
        invented_px=sum(f.prediction_px for f in invented),
        specificity=1 - len(invented) / absent if absent else None,
        pooled_dice=pooled.dice,
        pooled_iou=pooled.iou,
        metrics={name: mean_of_patients(patients, [getattr(f, name) for f in frames], seed=seed) for name in METRICS},
        dice_invented_zero=mean_of_patients(
            patients, [0.0 if f.prediction_px and not f.reference_px else f.dice for f in frames], seed=seed
        ),
        objects=score_objects(frames, seed=seed) if is_several_objects(frames) else None,
    )


def is_several_objects(frames: Sequence[FrameScore]) -> bool:
    """Whether objects are scored: for stones, and for what shows 1.3 or more objects in the frames that show it."""
    if any("stone" in f.structure for f in frames):
        return True
    counts = [f.reference_objects for f in frames if f.reference_objects]
    return bool(counts) and float(np.mean(counts)) >= SEVERAL_OBJECTS


def score_objects(frames: Sequence[FrameScore], *, seed: int = 0) -> ObjectScore:
    """Object detection over all frames (at least one), those without the structure included."""
    total = _sum_objects(frames)
    by_patient: dict[str, list[FrameScore]] = {}
    for frame in frames:
        by_patient.setdefault(frame.patient, []).append(frame)
    sums = [_sum_objects(by_patient[patient]) for patient in sorted(by_patient)]
    low = high = None
    draws = _draws(len(sums), seed)
    if draws is not None:
        matched = np.array([s.matched for s in sums])[draws].sum(axis=1)
        objects = np.array([s.reference + s.prediction for s in sums])[draws].sum(axis=1)
        if (objects > 0).any():
            # A draw of patients without any object has no F1; leaving it out is all that can be done with it.
            low, high = _interval(2 * matched[objects > 0] / objects[objects > 0])
    absent = [f.prediction_objects for f in frames if not f.reference_px]
    return ObjectScore(
        true_positives=total.true_positives,
        false_positives=total.false_positives,
        false_negatives=total.false_negatives,
        precision=total.matched / total.prediction if total.prediction else None,
        recall=total.matched / total.reference if total.reference else None,
        f1=total.f1,
        f1_low=low,
        f1_high=high,
        count_error=float(np.mean([abs(f.prediction_objects - f.reference_objects) for f in frames])),
        false_per_absent_frame=float(np.mean(absent)) if absent else None,
    )


def per_patient(frames: Iterable[FrameScore]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Patient → structure → metric → mean over the patient's frames where the metric is defined, else None."""
    grouped: dict[str, dict[str, list[FrameScore]]] = {}
    for frame in frames:
        grouped.setdefault(frame.patient, {}).setdefault(frame.structure, []).append(frame)
    return {
        patient: {
            structure: {name: _mean([getattr(f, name) for f in group]) for name in METRICS}
            for structure, group in structures.items()
        }
        for patient, structures in sorted(grouped.items())
    }


def _sum_objects(frames: Iterable[FrameScore]) -> ObjectCounts:
    frames = list(frames)
    return ObjectCounts(
        reference=sum(f.reference_objects for f in frames),
        prediction=sum(f.prediction_objects for f in frames),
        matched=sum(f.matched_objects for f in frames),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _draws(n: int, seed: int) -> NDArray[np.int64] | None:
    """Indices (samples, n) of patients drawn with replacement; None for fewer than two, where nothing can vary."""
    if n < 2:
        return None
    return np.random.default_rng(seed).integers(0, n, (BOOTSTRAP_SAMPLES, n))


def _interval(samples: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)
