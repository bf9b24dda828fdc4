"""What of a duct and its stones an annotator can see: contrast that is lost among other shadows has no outline.

The measure is a correlation, within about a width of the structure, between the shadow of the ducts' contrast (or of what
stones take out of it) and the whole picture with its noise: 1 where nothing else is near, 0 where other shadows are all
that shows. The vendor's curve is left out; it changes what lies near a structure as it changes the structure. So are
devices: a wire or a stent shows where the duct is. Wires are not asked: a line is followed by eye through places where a
piece of it could not be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Array, Map, arc_length
from ercpseg.synthesis.physics.materials import transmitted
from ercpseg.synthesis.scene.canvas import Canvas
from ercpseg.synthesis.scene.contrast import Column, along_mm
from ercpseg.synthesis.scene.moment import Moment
from ercpseg.synthesis.scene.view import View

Box = tuple[slice, slice]

CELLS = 6
"""Cells across a structure: what is finer says nothing about an outline of that width."""
REACH = 0.8
"""Standard deviation of the neighbourhood over the structure's width: it holds the structure and as much beside it."""
LEAST_SHARE = 1 / 3
"""Of what nothing hides of a duct: where less shows, what shows is not recognised as one, or looks alike by chance."""
LEFT = 0.5
"""Least share of a stone within the marked duct: nobody marks one that is cut across."""
HELD = 0.1
"""How much less than a threshold is enough for what was marked a pulse before, so that less flickers in a series."""


@dataclass(frozen=True)
class Sight:
    """A canvas without devices, the beam that reaches it (y, x), quanta at its mean signal, and what no endoscope hides.

    ``noisy``: the beam is a frame that shows its noise already, and only what is drawn adds to that. Its signal is on the
    frame's own scale, so the quanta are those of signal 1.
    """

    canvas: Canvas
    light: Map
    quanta_per_mm2: float
    bare: Mask
    noisy: bool = False

    def likeness(self, iodine: Map, where: Mask, width_px: float, among: Mask | None = None) -> Map:
        """How far ``iodine`` (y, x; mm·mg/ml, part of the canvas) explains the picture, −1 to 1 (y, x).

        Measured around ``where`` with a structure ``width_px`` wide, within what is bare and ``among``; 0 elsewhere.
        """
        from scipy.ndimage import gaussian_filter

        result = np.zeros(where.shape, np.float32)
        cell = max(1, int(width_px / CELLS))
        box = _around(where, round(3 * width_px))
        counted = self.bare[box] if among is None else self.bare[box] & among[box]
        weight = (_cells(counted.astype(np.float32), cell) > 0.5).astype(np.float32)
        if not weight.any():
            return result
        layers = (self.canvas.water, self.canvas.bone, self.canvas.iodine, self.canvas.steel)
        all_ = Canvas(self.canvas.view, *(_cells(layer[box], cell) for layer in layers))
        own, light = _cells(iodine[box], cell), _cells(self.light[box], cell)
        behind = transmitted(all_)
        without = transmitted(Canvas(all_.view, all_.water, all_.bone, all_.iodine - own, all_.steel))
        signal = np.maximum(behind * light, np.float32(1e-6))
        metered = 1.0 if self.noisy else float(np.average(signal, weights=weight))
        quanta = self.quanta_per_mm2 * float(np.prod(self.canvas.view.mm_per_px)) * cell * cell
        relative = 1 / signal - 1 / np.maximum(light, np.float32(1e-6)) if self.noisy else 1 / signal
        noise = np.float32(metered / quanta) * np.maximum(relative, np.float32(0))
        sigma = REACH * width_px / cell
        total = np.maximum(gaussian_filter(weight, sigma), np.float32(1e-3))

        def mean(values: Map) -> Map:
            return np.asarray(gaussian_filter(values * weight, sigma) / total)

        # About their means, since squares are subtracted in single precision.
        shadow, picture = (
            v - np.float32(np.average(v, weights=weight)) for v in (np.log(without / behind), -np.log(signal))
        )
        own_mean, all_mean = mean(shadow), mean(picture)
        shared = mean(shadow * picture) - own_mean * all_mean
        spread = (mean(shadow * shadow) - own_mean**2) * (mean(picture * picture) - all_mean**2 + mean(noise))
        found = shared / np.sqrt(np.maximum(spread, np.float32(1e-12)))
        whole = found.repeat(cell, axis=0).repeat(cell, axis=1)
        rows, columns = result[box].shape
        result[box] = whole[:rows, :columns]
        return result


def _around(where: Mask, margin: int) -> Box:
    """The box of what is set, and ``margin`` px more."""
    rows, columns = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def _cells(values: Map, cell: int) -> Map:
    """Means of squares of ``cell`` px, the last ones filled up from the border."""
    padded = np.pad(values, [(0, -n % cell) for n in values.shape], mode="edge")
    rows, columns = (n // cell for n in padded.shape)
    return np.asarray(padded.reshape(rows, cell, columns, cell).mean(axis=(1, 3)), np.float32)


@dataclass(frozen=True)
class Marks:
    """What an annotator marks: of the common duct from and to in mm with its mask (y, x), and the stones' numbers."""

    duct_mm: tuple[float, float] | None
    duct: Mask
    stones: frozenset[int] = frozenset()

    def stone_mask(self, column: Column) -> Mask:
        """The union (y, x) of the stones, within the marked duct."""
        result = np.zeros_like(self.duct)
        for defect in column.stones:
            if defect.number in self.stones:
                result |= defect.mask & self.duct
        return result


def mark(sight: Sight, view: View, column: Column, now: Moment, before: Marks | None = None) -> Marks:
    """What an annotator marks of a column; with ``before`` in a series, where what was marked stays so more easily.

    ``view`` is that of the organs, which move with the breath. Ends of the duct that cannot be seen are left out,
    gaps are bridged, and a hidden end goes with the nearest bare place, as people draw a duct on behind the endoscope.
    """
    ends = _duct_from_to(sight, view, column, now, before) if column.mask.any() else None
    if ends is None:
        return Marks(None, np.zeros_like(column.mask))
    duct = column.mask
    if ends != (now.filling.first_mm, now.filling.last_mm):
        duct = duct & _between(view, now, *ends)
    scale, least = view.scale(now.patient.duct_z_mm), now.patient.domain.annotator.sees_stone
    held = before.stones if before is not None else frozenset[int]()
    return Marks(ends, duct, marked_stones(sight, column, duct, scale, least, held))


def marked_stones(
    sight: Sight, column: Column, duct: Mask, px_per_mm: float, least: float, before: frozenset[int]
) -> frozenset[int]:
    """The numbers of the stones that an annotator marks within the marked ``duct`` (y, x); ``before``: a pulse earlier."""
    displaced = sum((defect.displaced for defect in column.stones), np.zeros_like(column.iodine))
    stones = set()
    for defect in column.stones:
        held = HELD if defect.number in before else 0.0
        if (defect.mask & duct).sum() < (LEFT - held) * defect.mask.sum():
            continue
        there = defect.mask & duct & sight.bare
        if there.any() and least - held > 0:
            width_px = defect.stone.diameter_mm * px_per_mm
            found = sight.likeness(-displaced, there, width_px, among=duct)  # of all, so that a row shows as a row
            if np.median(found[there]) < least - held:
                continue
        stones.add(defect.number)
    return frozenset(stones)


def _duct_from_to(
    sight: Sight, view: View, column: Column, now: Moment, before: Marks | None
) -> tuple[float, float] | None:
    """From where to where the common duct is marked, in mm; None where too little of it shows."""
    who, filling, least = now.patient, now.filling, now.patient.domain.annotator.sees_duct
    if least <= 0:
        return filling.first_mm, filling.last_mm
    cbd = who.tree.ducts[0]
    s = arc_length(cbd.points)
    # Half a width: its narrow ends are looked at closer than its middle needs.
    width_px = float(cbd.radius.mean()) * view.scale(who.duct_z_mm)
    found = sight.likeness(column.iodine, column.mask, width_px)
    bare = np.where(column.mask & sight.bare, found, np.float32(np.nan))
    seen = sampled(bare, view.pixels(cbd.points, who.duct_z_mm))
    if before is not None and before.duct_mm is not None:
        seen[(s >= before.duct_mm[0]) & (s <= before.duct_mm[1])] += np.float32(HELD)
    ends = from_to(seen, least, LEAST_SHARE)
    if ends is None:
        return None
    places = np.flatnonzero(~np.isnan(seen))
    first = filling.first_mm if ends[0] == places[0] else max(float(s[ends[0]]), filling.first_mm)
    last = filling.last_mm if ends[1] == places[-1] else min(float(s[ends[1]]), filling.last_mm)
    return (first, last) if first < last else None


def sampled(values: Map, places: Array) -> Map:
    """Values (n,) at the pixels nearest to ``places`` (n, 2); NaN outside of the picture."""
    at = np.rint(places).astype(np.intp)
    valid = ((at >= 0) & (at < values.shape)).all(axis=1)
    result = np.full(len(places), np.nan, np.float32)
    result[valid] = values[at[valid, 0], at[valid, 1]]
    return result


def from_to(seen: Map, least: float, share: float) -> tuple[int, int] | None:
    """The first and the last place that shows; None where less than ``share`` of them do. NaN: hidden, no place at all.

    >>> from_to(np.array([0.1, 0.9, 0.2, 0.8, np.nan], np.float32), 0.5, 0.5)
    (1, 3)
    """
    shown = np.flatnonzero(np.nan_to_num(seen, nan=-1.0) >= least)
    enough = len(shown) >= max(share * np.count_nonzero(~np.isnan(seen)), 1)
    return (int(shown[0]), int(shown[-1])) if enough else None


def _between(view: View, now: Moment, first_mm: float, last_mm: float) -> Mask:
    """The pixels (y, x) that lie nearest to the common duct between two of its places, and beyond an end of its filling."""
    first_mm = -np.inf if first_mm == now.filling.first_mm else first_mm
    last_mm = np.inf if last_mm == now.filling.last_mm else last_mm
    flat, along = along_mm(view, now.patient.tree.ducts[0], now.patient.duct_z_mm)
    result = np.zeros(view.shape, np.bool_)
    result.reshape(-1)[flat[(along >= first_mm) & (along <= last_mm)]] = True
    return result
