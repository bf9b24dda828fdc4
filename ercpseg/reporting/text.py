"""Numbers as people read them."""

from __future__ import annotations

import json
from typing import Any

ABSENT = "–"
METRIC_LABELS = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "Precision",
    "recall": "Recall",
    "hd95_px": "HD95 (px)",
    "hd_px": "Hausdorff (px)",
    "assd_px": "ASSD (px)",
    "cldice": "clDice",
}


def metric_label(name: str) -> str:
    """The metric as a heading.

    >>> metric_label("hd95_px"), metric_label("tip_error_px")
    ('HD95 (px)', 'tip error (px)')
    """
    text = METRIC_LABELS.get(name)
    if text is None:
        stem, unit = (name[:-3], f" ({name[-2:]})") if name.endswith(("_px", "_mm")) else (name, "")
        text = stem.replace("_", " ") + unit
    return text


def number(value: float | int | None, metric: str = "") -> str:
    """Three decimals for shares, one for lengths, none for counts; a dash when undefined.

    >>> number(0.81249), number(12.345, "hd95_px"), number(7), number(None)
    ('0.812', '12.3', '7', '–')
    """
    if value is None:
        return ABSENT
    if isinstance(value, int):
        return str(value)
    return f"{value:.1f}" if metric.endswith(("_px", "_mm")) else f"{value:.3f}"


def interval(low: float | None, high: float | None, metric: str = "") -> str:
    """A 95 % interval; empty when it could not be computed.

    >>> interval(0.71, 0.84)
    '0.710 to 0.840'
    """
    return "" if low is None or high is None else f"{number(low, metric)} to {number(high, metric)}"


def counted(n: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "frame"), counted(12, "frame")
    ('1 frame', '12 frames')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def frames_and_patients(frames: int, patients: int) -> str:
    """The two counts behind every mean.

    >>> frames_and_patients(12, 1)
    '12 frames, 1 patient'
    """
    return f"{counted(frames, 'frame')}, {counted(patients, 'patient')}"


def percent(value: float) -> str:
    """A share as a percentage.

    >>> percent(0.0213), percent(1.0)
    ('2.1 %', '100 %')
    """
    return f"{100 * value:.0f} %" if value >= 0.995 or value == 0 else f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """Seconds, then minutes, then hours.

    >>> duration(0.25), duration(12.34), duration(95), duration(3720)
    ('250 ms', '12.3 s', '1 min 35 s', '1 h 2 min')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def plain(value: Any) -> str:
    """A decision's value: text as it is, numbers with four digits, the rest as compact JSON.

    >>> plain("unet"), plain(0.123456), plain((256, 320)), plain({"cbd": 1.0}), plain(True)
    ('unet', '0.1235', '256, 320', 'cbd: 1', 'yes')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_nested(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_nested(item) for item in value) or "none"
    return str(value)


def _nested(value: Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return plain(value)
