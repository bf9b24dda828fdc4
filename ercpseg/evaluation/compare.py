"""Systems on the same frames: paired differences with intervals by a bootstrap of patients.

Every figure is a sum over patients of a numerator over a sum of a denominator, so that the same draws of patients give
the interval of a mean of patient means (numerator: the patient's mean, denominator: 1) and of an F1 over all objects
(numerator: twice the matches, denominator: objects of both sides). Both sides of a difference are drawn together, which
takes the patients' difficulty out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.scores import FrameScore
from ercpseg.evaluation.aggregate import BOOTSTRAP_SAMPLES

OBJECTS_F1 = "objects_f1"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """One metric of one structure: numerator and denominator per patient, and the frames in which it is defined."""

    above: Array
    below: Array
    frames: int

    @property
    def patients(self) -> int:
        """Patients that take part."""
        return int(np.count_nonzero(self.below))

    @property
    def value(self) -> float | None:
        """Over all patients."""
        total = float(self.below.sum())
        return float(self.above.sum()) / total if total else None

    def drawn(self, draws: NDArray[np.int64]) -> Array:
        """The value of each draw (samples, n) of patients; NaN where none of those drawn takes part."""
        below = self.below[draws].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(below > 0, self.above[draws].sum(axis=1) / below, np.nan)


@dataclass(frozen=True)
class Difference:
    """A candidate's value, and what it has more than the first. All None where nothing is defined."""

    value: float | None
    difference: float | None
    low: float | None
    high: float | None

    @property
    def better(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low is not None and self.low > 0


def sums(scores: Sequence[FrameScore], patients: Sequence[str], metric: str) -> Sums:
    """Sum the frames of one structure per patient, in the order of ``patients``.

    Scores of several trainings of one candidate may come together: a patient's mean is over frames and trainings.
    ``metric`` is a field of :class:`FrameScore` or :data:`OBJECTS_F1`.
    """
    place = {patient: i for i, patient in enumerate(patients)}
    above, below = np.zeros(len(patients)), np.zeros(len(patients))
    frames = set()
    for score in scores:
        i = place[score.patient]
        if metric == OBJECTS_F1:
            above[i] += 2 * score.matched_objects
            below[i] += score.reference_objects + score.prediction_objects
            frames.add(score.frame)
        elif (value := getattr(score, metric)) is not None:
            above[i] += value
            below[i] += 1
            frames.add(score.frame)
    if metric != OBJECTS_F1:  # a patient counts once, however many frames there are of it
        above = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        below = (below > 0).astype(np.float64)
    return Sums(above, below, len(frames))


def patient_draws(patients: int, seed: int = 0) -> NDArray[np.int64] | None:
    """Indices (samples, patients) drawn with replacement; None below two patients, where nothing can vary."""
    if patients < 2:
        return None
    return np.random.default_rng(seed).integers(0, patients, (BOOTSTRAP_SAMPLES, patients))


def paired_difference(
    first: Mapping[str, Sums], other: Mapping[str, Sums], draws: NDArray[np.int64] | None
) -> Difference:
    """Mean over structures of ``other``, and its difference to ``first``; with one structure, of that one.

    A structure that is undefined on either side takes part on neither.
    """
    names = [n for n in first if first[n].value is not None and other[n].value is not None]
    if not names:
        return Difference(None, None, None, None)
    value = float(np.mean([other[n].value for n in names]))
    difference = value - float(np.mean([first[n].value for n in names]))
    if draws is None or max(other[n].patients for n in names) < 2:
        return Difference(value, difference, None, None)
    each = np.array([other[n].drawn(draws) - first[n].drawn(draws) for n in names])
    defined = np.isfinite(each)
    # Draws without any patient that shows a structure say nothing about it.
    means = np.where(defined, each, 0).sum(axis=0)[defined.any(axis=0)] / defined.sum(axis=0)[defined.any(axis=0)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(value, difference, float(low), float(high))
