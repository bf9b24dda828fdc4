"""An atlas: for every structure a heat map of where it lies, over all frames brought to one shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.reporting.figures import _DPI, _GRID, _GROUND, _INK, _PANEL, _png, structure_colours

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = 4
PANEL_INCH = 2.75


def atlas_picture(fingerprint: Fingerprint, atlas: Mapping[str, NDArray[Any]]) -> bytes:
    """PNG with one map per structure.

    Parameters
    ----------
    fingerprint
        names, order and colours of the structures, shape of the frames, centres.
    atlas
        structure → (cells, cells) mean share of each cell that it covers, over the frames that show it. Each map is as
        bright as it can be: its highest share is printed. Structures that are in no frame say so.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    names = list(fingerprint.structures)
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(
        figsize=(PANEL_INCH * columns, (PANEL_INCH + 0.35) * rows), dpi=_DPI, facecolor=_GROUND, layout="constrained"
    )
    colours = structure_colours(names)
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(rows, columns, place)
        axes.set_facecolor(_PANEL)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(_GRID)
        s = fingerprint.structures[name]
        axes.set_title(f"{name}: {s.frames} of {fingerprint.frames} frames", color=_INK, fontsize=9.5, loc="left")
        cells = atlas.get(name)
        # A frame twice as wide as high is drawn so.
        axes.set_box_aspect(1 / fingerprint.aspect.p50)
        if cells is None:
            axes.text(0.5, 0.5, "in no frame", color=_INK, ha="center", va="center", transform=axes.transAxes)
            continue
        top = float(cells.max())
        colour = LinearSegmentedColormap.from_list("structure", [_PANEL, colours[name], "#ffffff"])
        axes.imshow(
            cells, cmap=colour, vmin=0, vmax=top or 1, extent=(0, 1, 1, 0), aspect="auto", interpolation="nearest"
        )
        if s.centre_yx is not None and s.spread_yx is not None:
            (y, x), (dy, dx) = s.centre_yx, s.spread_yx
            axes.errorbar([x], [y], [dy], [dx], color=_INK, linewidth=1, capsize=2)
        axes.set_xlim(0, 1)
        axes.set_ylim(1, 0)
        axes.set_xlabel(f"covers at most {100 * top:.0f} % of a cell", color=_INK, fontsize=8.5)
    return _png(figure)
