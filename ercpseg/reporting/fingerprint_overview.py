"""A fingerprint on one picture: grey values, widths, lengths, contrast against noise, field, entry sides, series."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ercpseg.documents.fingerprint import Fingerprint, Percentiles
from ercpseg.reporting.figures import _DPI, _GRID, _GROUND, _INK, _PANEL, _png, _style, _title, structure_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SIZE_INCH = (11.0, 9.2)
GREY_LINES = ("#5cc8ff", "#ffb454", "#98a2b3", "#d778ff")
"""Colours of the devices that have most frames; more are not drawn."""
WIDTH_BINS = 48
LEGEND_COLUMNS = 3
FEWEST_ROWS = 3
"""Rows that bars leave room for, so that one bar does not fill its panel."""


def overview_picture(
    fingerprint: Fingerprint, histograms: Mapping[str, NDArray[Any]], widths_px: Mapping[str, NDArray[Any]]
) -> bytes:
    """PNG of 1100 × 920 px with eight panels.

    Parameters
    ----------
    fingerprint
        what is drawn.
    histograms
        device → (frames, bins) shares of the field's pixels by grey value.
    widths_px
        structure → local widths in pixels of the reference long side.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCH, dpi=_DPI, facecolor=_GROUND, layout="constrained")
    grid = figure.add_gridspec(3, 6)

    def panel(row: int, start: int, stop: int) -> Axes:
        axes: Axes = figure.add_subplot(grid[row, start:stop])
        _style(axes)
        return axes

    f = fingerprint
    _grey(panel(0, 0, 3), f, histograms)
    _widths(panel(0, 3, 6), f, widths_px)
    _bars(panel(1, 0, 2), f, "Length, px", {name: s.length_px for name, s in f.structures.items()}, log=True)
    _bars(panel(1, 2, 4), f, "Contrast / noise", {name: s.cnr for name, s in f.structures.items()})
    share = {name: s.foreground_frac for name, s in f.structures.items()}
    _bars(panel(1, 4, 6), f, "Share of the field", share, log=True)
    _shares(panel(2, 0, 2), "Field", f.field_shapes, "share of frames")
    _entries(panel(2, 2, 4), f)
    _presence(panel(2, 4, 6), f)
    return _png(figure)


def _grey(axes: Axes, f: Fingerprint, histograms: Mapping[str, NDArray[Any]]) -> None:
    for (device, shares), colour in zip(histograms.items(), GREY_LINES, strict=False):
        middle = (np.arange(shares.shape[1]) + 0.5) / shares.shape[1]
        low, mean, high = np.percentile(shares, 10, axis=0), shares.mean(axis=0), np.percentile(shares, 90, axis=0)
        axes.fill_between(middle, low, high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(middle, mean, color=colour, linewidth=1.6, label=f"{device}: {f.devices[device].frames} frames")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    _title(axes, "Grey values in the field (mean, 10–90 %)", "share of the largest value of the stored bits")
    more = len(histograms) - len(GREY_LINES)
    _legend(axes, f"and {more} more devices" if more > 0 else None)


def _widths(axes: Axes, f: Fingerprint, widths_px: Mapping[str, NDArray[Any]]) -> None:
    colours = structure_colours(list(f.structures))
    found = {name: values for name, values in widths_px.items() if len(values)}
    if found:
        low = max(0.5, min(float(values.min()) for values in found.values()))
        edges = np.geomspace(low, max(2 * low, *(float(values.max()) for values in found.values())), WIDTH_BINS)
        for name, values in found.items():
            share = np.histogram(values, edges)[0] / len(values)
            axes.stairs(share, edges, color=colours[name], linewidth=1.6, label=name)
        axes.set_xscale("log")
        axes.set_ylim(0, axes.get_ylim()[1] * (1 + 0.13 * -(-len(found) // LEGEND_COLUMNS)))
        _plain_ticks(axes)
    _title(axes, "Local width", f"px at a longer side of {f.reference_long_side_px}")
    _legend(axes, columns=LEGEND_COLUMNS)


def _bars(
    axes: Axes, f: Fingerprint, title: str, values: Mapping[str, Percentiles | None], *, log: bool = False
) -> None:
    """5 to 95 % as a line, 10 to 90 % as a bar, the median as a dot, one row per structure."""
    names = list(f.structures)
    for row, (name, colour) in enumerate(structure_colours(names).items()):
        p = values[name]
        if p is None or (log and p.p50 <= 0):
            continue
        floor = p.p50 / 1000 if log else -np.inf  # a logarithmic axis has no place for 0
        axes.plot([max(floor, p.p05), p.p95], [row, row], color=colour, linewidth=1.2)
        axes.plot([max(floor, p.p10), p.p90], [row, row], color=colour, linewidth=6, alpha=0.55, solid_capstyle="butt")
        axes.plot([p.p50], [row], marker="o", color=_INK, markersize=4)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    if log and any(axes.lines):
        axes.set_xscale("log")
        _plain_ticks(axes)
    _title(axes, title, "median, 10–90 %, 5–95 %")


def _shares(axes: Axes, title: str, shares: Mapping[str, float], unit: str) -> None:
    names = list(shares)
    axes.barh(range(len(names)), list(shares.values()), color="#5cc8ff", height=0.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), FEWEST_ROWS) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    _title(axes, title, unit)


def _entries(axes: Axes, f: Fingerprint) -> None:
    if not f.entry_sides:
        _shares(axes, "Sizes", _sizes(f), "share of frames")
        return
    spread = "" if f.scope_axis_sd_deg is None else f", axis ± {f.scope_axis_sd_deg:.0f}°"
    _shares(axes, f"Endoscope enters at{spread}", f.entry_sides, "share of frames that show it")


def _sizes(f: Fingerprint) -> dict[str, float]:
    """The five commonest sizes, and the rest as one."""
    most = sorted(f.shapes.items(), key=lambda item: -item[1])
    shares = {name: n / f.frames for name, n in most[:5]}
    return shares | ({f"{len(most) - 5} more": sum(n for _, n in most[5:]) / f.frames} if len(most) > 5 else {})


def _presence(axes: Axes, f: Fingerprint) -> None:
    names = list(f.structures)
    shares = [f.structures[name].presence_frac for name in names]
    axes.barh(range(len(names)), shares, color=list(structure_colours(names).values()), height=0.6)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(max(len(names), FEWEST_ROWS) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    facts = [f"{f.frames} frames, {f.groups or f.patients} groups"]
    series, time = f.series_length, f.frame_time_ms
    if series is not None:
        lengths = f"{series.p05:.0f}–{series.p95:.0f}" if series.p05 < series.p95 else f"{series.p50:.0f}"
        facts.append(f"\n{f.series} series of {lengths} frames")
    if time is not None:
        facts.append(f"{time.p50:.0f} ms per frame")
    _title(axes, "Presence", ", ".join(facts).replace(", \n", "\n"))


def _short(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"


def _plain_ticks(axes: Axes) -> None:
    """Numbers as people write them, not powers of ten; more of them where the axis spans less than a decade."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    low, high = axes.get_xlim()
    steps = (1, 2, 3, 5, 7) if high < 10 * low else (1, 3) if high < 10**4 * low else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    axes.xaxis.set_major_locator(FixedLocator([step * 10.0**decade for decade in decades for step in steps]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(low, high)


def _legend(axes: Axes, title: str | None = None, columns: int = 1) -> None:
    if axes.get_legend_handles_labels()[0]:
        legend = axes.legend(
            fontsize=8,
            labelcolor=_INK,
            facecolor=_PANEL,
            edgecolor=_GRID,
            loc="best" if columns == 1 else "upper center",
            ncols=columns,
            title=title,
            title_fontsize=8,
        )
        legend.get_title().set_color(_INK)
