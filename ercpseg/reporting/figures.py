"""Figures as PNG bytes: matplotlib without its global state, on the dark ground that the structures' colours need."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ercpseg.documents.scores import FrameScore
from ercpseg.structures import COLOURS, PARENTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_PX = (1100, 420)
_DPI = 100
_GROUND, _PANEL, _INK, _GRID = "#14171c", "#1b1f26", "#d7dce3", "#333a45"
_PARENT_COLOUR = "#98a2b3"


def training_curve(log_rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Loss and pseudo-Dice over the epochs, 1100 × 420 px.

    Parameters
    ----------
    log_rows
        one mapping per epoch with ``epoch``, ``train_loss``, ``validation_loss``, ``learning_rate`` and ``dice``
        (head → pseudo-Dice, heads in their order). A missing value leaves a gap. The last row of an epoch
        counts, so that the log of a resumed run is drawn as one line.

    Returns
    -------
    A PNG; with no rows, one that says so.
    """
    from matplotlib.ticker import MaxNLocator

    rows = [row for _, row in sorted({int(row["epoch"]): row for row in log_rows}.items())]
    figure = _figure()
    left, right = (_panel(figure, position) for position in (1, 2))
    epochs = [int(row["epoch"]) for row in rows]
    marker = "o" if len(rows) < 3 else None
    for key, label, colour in (("train_loss", "training", "#5cc8ff"), ("validation_loss", "validation", "#ffb454")):
        left.plot(epochs, _column(rows, key), color=colour, label=label, linewidth=1.8, marker=marker)
    _title(left, "Loss", "epoch")
    if any(row.get("learning_rate") is not None for row in rows):
        rate = left.twinx()
        rate.plot(epochs, _column(rows, "learning_rate"), color=_PARENT_COLOUR, linewidth=1, linestyle=":")
        _style(rate)
        rate.grid(visible=False)
        rate.set_ylabel("learning rate (dotted)", color=_PARENT_COLOUR, fontsize=9)
        rate.set_ylim(bottom=0)
    heads = list(dict.fromkeys(head for row in rows for head in row.get("dice") or {}))
    colours = structure_colours([head for head in heads if head not in PARENTS])
    dashes = dict(zip(PARENTS, ("--", "-."), strict=True))
    for head in heads:
        values = [_number((row.get("dice") or {}).get(head)) for row in rows]
        colour, line = colours.get(head, _PARENT_COLOUR), dashes.get(head, "-")
        right.plot(epochs, values, color=colour, linestyle=line, label=head, linewidth=1.6, marker=marker)
    right.set_ylim(0, 1)
    _title(right, "Pseudo-Dice on validation patches", "epoch")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.lines:
            axes.legend(fontsize=9, labelcolor=_INK, facecolor=_PANEL, edgecolor=_GRID, loc="best")
    if not rows:
        _say_nothing(figure, "no epoch was logged")
    return _png(figure)


def score_figure(frame_rows: Sequence[FrameScore], structures: Sequence[str] | None = None) -> bytes:
    """Dice and clDice of every frame per structure, with quartiles and n, 1100 × 420 px.

    ``structures`` gives order and colours; None takes the order of appearance. A frame where the metric is undefined
    (absent in both) is not drawn and not counted.
    """
    names = list(dict.fromkeys(row.structure for row in frame_rows)) if structures is None else list(structures)
    colours = structure_colours(names)
    figure = _figure()
    for position, (metric, title) in enumerate((("dice", "Dice per frame"), ("cldice", "clDice per frame")), 1):
        axes = _panel(figure, position)
        labels = []
        for place, name in enumerate(names):
            values = sorted(
                value for row in frame_rows if row.structure == name and (value := getattr(row, metric)) is not None
            )
            labels.append(f"{name}\nn = {len(values)}")
            if not values:
                continue
            axes.scatter(_spread(values, place), values, s=14, color=colours[name], alpha=0.75, linewidths=0, zorder=3)
            axes.boxplot(
                [values],
                positions=[place],
                widths=0.62,
                showfliers=False,
                boxprops={"color": _INK, "linewidth": 0.9},
                whiskerprops={"color": _INK, "linewidth": 0.9},
                capprops={"color": _INK, "linewidth": 0.9},
                medianprops={"color": _INK, "linewidth": 2},
            )
        axes.set_xticks(range(len(names)), labels)
        axes.set_xlim(-0.6, max(len(names), 1) - 0.4)
        axes.set_ylim(-0.02, 1.02)
        axes.grid(visible=False, axis="x")
        _title(axes, title, "")
    if not frame_rows:
        _say_nothing(figure, "no frame was scored")
    return _png(figure)


def structure_colours(names: Sequence[str]) -> dict[str, str]:
    """The colour of each structure by its bit, as ``#rrggbb``.

    >>> structure_colours(["endoscope"])
    {'endoscope': '#40dc60'}
    """
    return {name: "#{:02x}{:02x}{:02x}".format(*COLOURS[bit]) for bit, name in enumerate(names)}


def _spread(values: Sequence[float], place: int) -> list[float]:
    """Side-steps in turn, so that points of equal height stay apart (no random numbers: equal input, equal picture)."""
    steps = (0.0, -0.12, 0.12, -0.06, 0.06, -0.18, 0.18)
    return [place + steps[i % len(steps)] for i in range(len(values))]


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [_number(row.get(key)) for row in rows]


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _figure() -> Figure:
    from matplotlib.figure import Figure

    return Figure(
        figsize=(SIZE_PX[0] / _DPI, SIZE_PX[1] / _DPI),
        dpi=_DPI,
        facecolor=_GROUND,
        layout="constrained",
        edgecolor="none",
    )


def _panel(figure: Figure, position: int) -> Axes:
    axes = figure.add_subplot(1, 2, position)
    _style(axes)
    return axes


def _style(axes: Axes) -> None:
    axes.set_facecolor(_PANEL)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.grid(visible=True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(_GRID)


def _title(axes: Axes, title: str, x_label: str) -> None:
    axes.set_title(title, color=_INK, fontsize=11, loc="left")
    axes.set_xlabel(x_label, color=_INK, fontsize=9)


def _say_nothing(figure: Figure, text: str) -> None:
    figure.text(0.5, 0.5, text, color=_INK, ha="center", va="center", fontsize=13)


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)  # a figure without pyplot needs its canvas; it keeps a reference
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # no version: equal input, equal bytes
    return buffer.getvalue()
