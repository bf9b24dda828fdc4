"""Scores as rows of text, for a terminal or a page; every number is formatted here and nowhere else."""

from __future__ import annotations

from ercpseg.documents.scores import Mean, Scores, StructureScore

NOTHING = "–"
"""Stands for a number that is not defined."""
HEADINGS: dict[str, str] = {
    "structure": "structure",
    "frames": "frames",
    "patients": "patients",
    "present": "present",
    "dice": "Dice [95 % interval]",
    "n": "n",
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "hd95_px": "HD95 px",
    "cldice": "clDice [95 % interval]",
    "pooled_dice": "pooled Dice",
    "missed": "missed",
    "invented": "invented",
    "objects_f1": "objects F1 [95 % interval]",
}
"""Columns in order, with their headings."""


def summary_rows(scores: Scores) -> list[dict[str, str]]:
    """One row per structure, one text per column of :data:`HEADINGS`.

    ``frames`` is what was compared, ``n`` the frames behind the means of the metrics (those that show the structure),
    ``patients`` the patients behind them.
    """
    return [_row(name, score) for name, score in scores.structures.items()]


def summary_notes(scores: Scores) -> list[str]:
    """Sentences to print under the table: the basis of the numbers, then every warning."""
    basis = (
        f"{scores.frames} frames of {scores.patients} patients. Means of patient means; 95 % intervals by a bootstrap "
        "of patients. A missed structure counts as 0, or as the frame's diagonal; an invented one has no Dice."
    )
    return [basis, *scores.warnings]


def fraction(value: float | None) -> str:
    """A share from 0 to 1 with three decimals.

    >>> fraction(0.98765), fraction(None)
    ('0.988', '–')
    """
    return NOTHING if value is None else f"{value:.3f}"


def pixels(value: float | None) -> str:
    """A distance in pixels with one decimal."""
    return NOTHING if value is None else f"{value:.1f}"


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A share with its interval; without one (a single patient) the interval is left out.

    >>> with_interval(0.9, 0.85, 0.95), with_interval(0.9, None, None)
    ('0.900 [0.850, 0.950]', '0.900')
    """
    if value is None or low is None or high is None:
        return fraction(value)
    return f"{fraction(value)} [{fraction(low)}, {fraction(high)}]"


def _row(name: str, score: StructureScore) -> dict[str, str]:
    metrics = score.metrics
    objects = score.objects
    return {
        "structure": name,
        "frames": str(score.frames),
        "patients": str(metrics["dice"].patients),
        "present": str(score.present),
        "dice": _mean(metrics["dice"]),
        "n": str(metrics["dice"].frames),
        "iou": fraction(metrics["iou"].mean),
        "precision": fraction(metrics["precision"].mean),
        "recall": fraction(metrics["recall"].mean),
        "hd95_px": pixels(metrics["hd95_px"].mean),
        "cldice": _mean(metrics["cldice"]),
        "pooled_dice": fraction(score.pooled_dice),
        "missed": str(score.missed),
        "invented": str(score.invented),
        "objects_f1": with_interval(objects.f1, objects.f1_low, objects.f1_high) if objects else NOTHING,
    }


def _mean(mean: Mean) -> str:
    return with_interval(mean.mean, mean.low, mean.high)
