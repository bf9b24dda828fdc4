"""Tables of the report as plain text cells, and nothing about how they look."""

from __future__ import annotations

from dataclasses import dataclass

from ercpseg.documents.fingerprint import Fingerprint, Percentiles
from ercpseg.documents.scores import METRICS, Mean, ObjectScore, Scores
from ercpseg.reporting.text import ABSENT, interval, metric_label, number, percent


@dataclass(frozen=True)
class Cell:
    """A value, and what is printed small below it (perhaps in several lines)."""

    value: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Structures are columns; each row begins with its heading."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def score_table(scores: Scores, structures: tuple[str, ...]) -> Table:
    """Means with 95 % intervals and n, then pooled values, then counts of frames and objects."""
    names = tuple(name for name in structures if name in scores.structures)
    found = [scores.structures[name] for name in names]
    rows: list[tuple[str, tuple[Cell, ...]]] = [
        (metric_label(metric), tuple(_mean(score.metrics.get(metric), metric) for score in found)) for metric in METRICS
    ]
    rows.append(("Dice, 0 where invented", tuple(_mean(score.dice_invented_zero, "dice") for score in found)))
    rows.append(("Dice, pooled pixels", tuple(Cell(number(score.pooled_dice)) for score in found)))
    rows.append(("IoU, pooled pixels", tuple(Cell(number(score.pooled_iou)) for score in found)))
    rows.append(("Frames that show it", tuple(Cell(f"{score.present} of {score.frames}") for score in found)))
    rows.append(("Missed", tuple(Cell(number(score.missed)) for score in found)))
    rows.append(("Invented", tuple(Cell(number(score.invented)) for score in found)))
    rows.append(("Specificity", tuple(Cell(number(score.specificity)) for score in found)))
    if any(score.objects for score in found):
        rows.append(("Objects, F1 at IoU 0.5", tuple(_objects(score.objects) for score in found)))
        rows.append(("Objects, count error", tuple(_count_error(score.objects) for score in found)))
    return Table(names, tuple(rows))


def fingerprint_table(fingerprint: Fingerprint, structures: tuple[str, ...]) -> Table:
    """What the structures look like in the data, medians with the 10 and 90 percentile."""
    names = tuple(name for name in structures if name in fingerprint.structures)
    found = [fingerprint.structures[name] for name in names]
    rows = (
        ("Frames that show it", tuple(Cell(str(s.frames), percent(s.presence_frac)) for s in found)),
        ("Share of the field", tuple(_spread(s.foreground_frac, share=True) for s in found)),
        ("Width (px)", tuple(_spread(s.width_px) for s in found)),
        ("Length (px)", tuple(_spread(s.length_px) for s in found)),
        ("Components per frame", tuple(Cell(f"{s.components:.1f}") for s in found)),
        ("Contrast (field sd)", tuple(_spread(s.contrast, digits=2) for s in found)),
    )
    return Table(names, rows)


def _mean(mean: Mean | None, metric: str) -> Cell:
    if mean is None or mean.mean is None:
        return Cell(ABSENT)
    spread = interval(mean.low, mean.high, metric)
    n = f"n {mean.frames} / {mean.patients}"
    return Cell(number(mean.mean, metric), f"{spread} · {n}" if spread else n)


def _objects(score: ObjectScore | None) -> Cell:
    if score is None:
        return Cell(ABSENT)
    counts = f"{score.true_positives} right, {score.false_positives} false, {score.false_negatives} missed"
    spread = interval(score.f1_low, score.f1_high)
    return Cell(number(score.f1), f"{spread}\n{counts}" if spread else counts)


def _count_error(score: ObjectScore | None) -> Cell:
    return Cell(ABSENT) if score is None else Cell(f"{score.count_error:.2f}", "per frame")


def _spread(values: Percentiles | None, *, share: bool = False, digits: int = 1) -> Cell:
    if values is None:
        return Cell(ABSENT)
    low, middle, high = (
        percent(value) if share else f"{value:.{digits}f}" for value in (values.p10, values.p50, values.p90)
    )
    return Cell(middle, f"{low} to {high}")
