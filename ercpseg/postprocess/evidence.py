"""Metrics as sums over patients, and the standard error of a paired difference by leaving out one patient at a time.

A metric is Σ numerators / Σ denominators over patients. For a mean of patient means a patient's numerator is its mean and its
denominator 1 (0 where the metric is undefined); for the F1 of objects they are 2·matched and reference + predicted
objects. One formula then serves both: the jackknife, which for a mean is exactly the standard error of paired differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tally:
    """Numerators and denominators (patients,) of one metric, the patients in one order for all that are compared."""

    numerators: NDArray[np.float64]
    denominators: NDArray[np.float64]

    @property
    def value(self) -> float | None:
        """The metric; None where it is undefined for every patient."""
        total = float(self.denominators.sum())
        return float(self.numerators.sum()) / total if total > 0 else None

    @property
    def patients(self) -> int:
        """Patients that take part."""
        return int(np.count_nonzero(self.denominators))


@dataclass(frozen=True)
class Evidence:
    """What one setting of one structure does over all frames.

    ``score``: the primary metric. ``invented``: frames that do not show the structure but are said to, of all such.
    ``found`` of ``objects``: annotated components that the prediction touches. ``frames``: where the metric is defined.
    ``hd95_px``: mean of patient means of the surface distance; None where nobody asked. ``dice``: the Dice beside another
    score, which sees when lines grow fat or stones shrink; None where Dice is the score.
    """

    score: Tally
    invented: Tally
    found: int
    objects: int
    frames: int
    hd95_px: Tally | None = None
    dice: Tally | None = None


@dataclass(frozen=True)
class Gain:
    """A difference between two settings, its standard error (None with fewer than two patients), and the patients."""

    difference: float
    se: float | None
    patients: int


def gain(candidate: Tally, standing: Tally) -> Gain | None:
    """By how much ``candidate`` is above ``standing``; None where either is undefined.

    The standard error is the jackknife's: with θ₍ᵢ₎ the difference without patient i and n patients of whom either
    metric speaks, √((n − 1)/n · Σ (θ₍ᵢ₎ − θ̄)²). For means it equals sd(differences)/√n.
    """
    first, second = candidate.value, standing.value
    if first is None or second is None:
        return None
    matter = (candidate.denominators > 0) | (standing.denominators > 0)
    n = int(np.count_nonzero(matter))
    without = [_without(tally, matter) for tally in (candidate, standing)]
    if n < 2 or not all(np.isfinite(values).all() for values in without):
        return Gain(first - second, None, n)
    theta = without[0] - without[1]
    se = math.sqrt((n - 1) / n * float(np.square(theta - theta.mean()).sum()))
    return Gain(first - second, se, n)


def cross_fitted(candidates: Sequence[Tally], standing: Tally) -> Tally:
    """What choosing among ``candidates`` and ``standing`` is worth to a patient who took no part in the choice.

    Each patient's part comes from whichever is best without that patient (``standing`` among equals). The best of many
    candidates looks better than it is on the frames that chose it; this does not.
    """
    everyone = np.ones(len(standing.denominators), np.bool_)
    all_ = [standing, *candidates]
    best = np.argmax([np.nan_to_num(_without(tally, everyone), nan=-np.inf) for tally in all_], axis=0)
    parts = [[getattr(all_[b], part)[p] for p, b in enumerate(best)] for part in ("numerators", "denominators")]
    return Tally(*(np.array(part, np.float64) for part in parts))


def mean_tally(patients: Sequence[int], values: Sequence[float | None], count: int) -> Tally:
    """The mean of patient means: ``patients`` are numbers from 0 to ``count`` − 1, one per value; None takes no part."""
    total, n = np.zeros(count), np.zeros(count)
    for patient, value in zip(patients, values, strict=True):
        if value is not None:
            total[patient] += value
            n[patient] += 1
    return Tally(total / np.maximum(n, 1), (n > 0).astype(np.float64))


def ratio_tally(
    patients: Sequence[int], numerators: Sequence[float], denominators: Sequence[float], count: int
) -> Tally:
    """Pooled over frames: sums of numerators and denominators per patient."""
    index = np.asarray(patients, np.int64)
    sums = [np.bincount(index, np.asarray(part, np.float64), count) for part in (numerators, denominators)]
    return Tally(*(total.astype(np.float64) for total in sums))


def _without(tally: Tally, matter: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The metric without each of the patients that matter, in turn."""
    numerators = tally.numerators.sum() - tally.numerators[matter]
    denominators = tally.denominators.sum() - tally.denominators[matter]
    with np.errstate(divide="ignore", invalid="ignore"):
        result: NDArray[np.float64] = numerators / denominators
    return result
