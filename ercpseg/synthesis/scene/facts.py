"""What is true of a drawn moment, as a document."""

from __future__ import annotations

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis import truth
from ercpseg.synthesis.curves import Array, arc_length
from ercpseg.synthesis.scene.moment import Moment
from ercpseg.synthesis.scene.render import Drawn

_EVERY = 2
"""Every second point (2 mm) of a duct's course is written."""


def facts(drawn: Drawn, now: Moment) -> truth.Truth:
    """The truth of a moment."""
    who, view = now.patient, drawn.canvas.view
    return truth.Truth.new(
        domain=who.domain.name,
        domain_sha256=who.domain.sha256,
        seed=who.seed,
        patient=who.number,
        frame=now.number,
        series=now.series,
        time_s=round(now.time_s, 4),
        height_px=view.shape[0],
        width_px=view.shape[1],
        bits=who.domain.frame.bits,
        inverted=who.curve.inverted,
        field_frac=round(float(drawn.field.mean()), 5),
        calibration=_calibration(now),
        endoscope=_endoscope(drawn, now),
        wires=tuple(_wire(drawn, now, index) for index in range(len(now.wires))),
        duct=_duct(drawn, now),
        stones=_stones(drawn),
        unlabelled=unlabelled(drawn, now),
    )


def unlabelled(drawn: Drawn, now: Moment) -> tuple[str, ...]:
    """Look-alikes in the frame."""
    who, filling = now.patient, now.filling
    found = list(who.foreign.kinds)
    if now.catheter is not None:
        parts = {
            "sphincterotome": who.catheter.bow_mm,
            "balloon": who.catheter.balloon_mm,
            "basket": who.catheter.basket_mm,
        }
        found += [name for name, size in parts.items() if size] or ["catheter"]
    if filling.present:
        amounts = {"cystic_duct": filling.cystic, "gallbladder": filling.gallbladder}
        amounts |= {"pancreatic_duct": filling.pancreatic, "duodenum": filling.duodenum}
        found += [name for name, amount in amounts.items() if amount]
        found += ["branches"] if filling.levels else []
        found += ["bubbles"] if who.bubbles else []
    return tuple(sorted(found))


def _points(places: Array) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(y), 2), round(float(x), 2)) for y, x in places)


def _calibration(now: Moment) -> truth.Calibration:
    who, view = now.patient, now.patient.view
    return truth.Calibration(
        mm_per_px_y=round(view.mm_per_px[0], 6),
        mm_per_px_x=round(view.mm_per_px[1], 6),
        magnification=round(view.magnification, 5),
        endoscope_mm_per_px=None if who.scope is None else round(1 / view.scale(who.scope.z_mm), 6),
        duct_mm_per_px=round(1 / view.scale(who.duct_z_mm), 6),
        in_header=who.spacing_in_header,
    )


def _endoscope(drawn: Drawn, now: Moment) -> truth.EndoscopeTruth | None:
    scope = now.patient.scope
    if scope is None:
        return None
    view = drawn.scope_view
    limbs = tuple(_points(view.pixels(limb[:: 2 * _EVERY], scope.z_mm)) for limb in scope.limbs)
    (leaves,) = _points(view.pixels(scope.exit_mm[None], scope.z_mm))
    return truth.EndoscopeTruth(
        tip_px=limbs[0][0],
        exit_px=leaves,
        shaft_mm=round(scope.shaft_mm, 3),
        distal_end_mm=round(scope.tip_mm, 3),
        limbs_px=limbs,
    )


def _inside(mask: Mask, points: Array) -> list[bool]:
    """For each of ``points`` (n, 2) whether its nearest pixel is set; False outside of the picture."""
    rows, columns = np.rint(points).astype(int).T
    valid = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    result = np.zeros(len(points), bool)
    result[valid] = mask[rows[valid], columns[valid]]
    return [bool(v) for v in result]


def _wire(drawn: Drawn, now: Moment, index: int) -> truth.WireTruth:
    points, placed = drawn.wires[index], now.wires[index]
    seen = _inside(drawn.masks["guidewire"], points)
    return truth.WireTruth(
        diameter_mm=round(now.patient.wires[index].diameter_mm, 3),
        centreline_px=_points(points),
        bare_from=placed.bare_from,
        seen=tuple(s and i >= placed.bare_from for i, s in enumerate(seen)),
        tip_px=_points(points[-1:])[0],
        tip_in_duct=_inside(drawn.column.mask & drawn.field, points[-1:])[0],
    )


def _duct(drawn: Drawn, now: Moment) -> truth.DuctTruth:
    tree, filling = now.patient.tree, now.filling
    cbd = tree.ducts[0]
    filled = (round(filling.first_mm, 2), round(filling.last_mm, 2)) if filling.present else None
    return truth.DuctTruth(
        centreline_px=_points(drawn.organs_view.pixels(cbd.points[::_EVERY], now.patient.duct_z_mm)),
        diameter_mm=tuple(round(2 * float(r), 3) for r in cbd.radius[::_EVERY]),
        arc_mm=tuple(round(float(s), 2) for s in arc_length(cbd.points)[::_EVERY]),
        filled_mm=filled,
        gap_mm=_gap(now),
        marked_mm=_marked(drawn),
        widest_mm=round(2 * float(cbd.radius.max()), 3),
        bend_deg=round(tree.bend_deg, 2),
        bend_mm=round(tree.bend_mm, 2),
        stricture_mm=None if tree.stricture_mm is None else round(tree.stricture_mm, 2),
    )


def _gap(now: Moment) -> tuple[float, float] | None:
    """From and to, as far as the column reaches; None where it does not reach the gap, as at the beginning of a series."""
    filling = now.filling
    if not filling.present or filling.gap is None:
        return None
    middle, long, _ = filling.gap
    first = round(max(middle - long / 2, filling.first_mm), 2)
    last = round(min(middle + long / 2, filling.last_mm), 2)
    return (first, last) if first < last else None


def _marked(drawn: Drawn) -> tuple[float, float] | None:
    """From and to, where the mask shows any of it: it may lie under the endoscope or beyond the field."""
    ends = drawn.marks.duct_mm
    return None if ends is None or not drawn.masks["cbd"].any() else (round(ends[0], 2), round(ends[1], 2))


def _stones(drawn: Drawn) -> tuple[truth.StoneTruth, ...]:
    found = []
    for defect in drawn.column.stones:
        if defect.number not in drawn.marks.stones:
            continue
        stone, area = defect.stone, int(defect.mask.sum())
        left = int((defect.mask & drawn.marks.duct & drawn.masks["stone"]).sum())
        if left:
            found.append(
                truth.StoneTruth(
                    centre_px=_points(defect.centre[None])[0],
                    short_mm=round(stone.diameter_mm, 3),
                    long_mm=round(stone.diameter_mm * stone.elongation, 3),
                    area_px=area,
                    hidden_frac=round(1 - left / area, 4),
                    floating=stone.floating,
                )
            )
    return tuple(found)
