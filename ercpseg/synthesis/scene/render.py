"""A moment to pixels and truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import DEFAULT_STRUCTURES, Mask
from ercpseg.synthesis.curves import Array, Map
from ercpseg.synthesis.physics.marks import burn
from ercpseg.synthesis.physics.materials import transmitted
from ercpseg.synthesis.raster import near
from ercpseg.synthesis.scene.canvas import Canvas
from ercpseg.synthesis.scene.contrast import Column, draw_contrast
from ercpseg.synthesis.scene.foreign import draw_foreign
from ercpseg.synthesis.scene.moment import Moment
from ercpseg.synthesis.scene.patient import generator
from ercpseg.synthesis.scene.scope import draw_scope
from ercpseg.synthesis.scene.view import View
from ercpseg.synthesis.scene.visible import Marks, Sight, mark
from ercpseg.synthesis.scene.wires import draw_catheter, draw_wire

STRUCTURES = DEFAULT_STRUCTURES
MIN_HALF_WIDTH_PX = 0.75
"""A line at least 1.5 px wide keeps its mask in one piece (8-neighbours) at any angle (√2 would do)."""
FWHM = 2.355
"""Full width at half maximum of a Gaussian over its standard deviation."""


@dataclass(frozen=True)
class Drawn:
    """A moment on a canvas, with its truth: masks by structure, what is marked of the column, the wires' courses in px."""

    canvas: Canvas
    masks: dict[str, Mask]
    marks: Marks
    column: Column
    wires: tuple[Array, ...]
    field: Mask
    organs_view: View
    scope_view: View


def draw_moment(now: Moment, before: Marks | None = None) -> Drawn:
    """Draw everything that the beam crosses at a moment; ``before`` is what was marked a pulse earlier in a series."""
    who = now.patient
    view, organs, scope_view = now.view, now.organs_view, now.scope_view
    breath = who.view.turned(now.breath_mm[None])[0]
    canvas = Canvas.empty(view)
    if who.anatomy is not None:
        canvas.water[...] = who.anatomy.at(who.anatomy.moving_water, view, now.table_mm + breath)
        canvas.water[...] += who.anatomy.at(who.anatomy.still_water, view, now.table_mm)
        canvas.bone[...] = who.anatomy.at(who.anatomy.bone, view, now.table_mm)
    inside = Canvas(organs, canvas.water, canvas.bone, canvas.iodine, canvas.steel)
    column = draw_contrast(inside, who.tree, now.filling, now.stones, who.bubbles, who.duct_z_mm)
    undisturbed = canvas.copy()
    draw_foreign(canvas, who.foreign, now.breath_mm)
    if now.catheter is not None:
        draw_catheter(inside, who.catheter, now.catheter, who.duct_z_mm, who.wires[0].diameter_mm if who.wires else 0.0)
    for wire, placed in zip(who.wires, now.wires, strict=True):
        draw_wire(inside, wire, placed.path, who.duct_z_mm)
    scope = np.zeros(view.shape, np.bool_)
    if who.scope is not None:
        scope = draw_scope(Canvas(scope_view, canvas.water, canvas.bone, canvas.iodine, canvas.steel), who.scope)
    field = who.exposed
    wires = tuple(organs.pixels(placed.path, who.duct_z_mm) for placed in now.wires)
    masks = dict.fromkeys(STRUCTURES, np.zeros(view.shape, np.bool_))
    masks["endoscope"] = scope & field
    masks["guidewire"] = _wire_mask(now, wires, scope) & field
    sight = Sight(undisturbed, who.light, who.chain.quanta_per_mm2, field & ~scope, who.noisy)
    marks = mark(sight, organs, column, now, before)
    masks["cbd"] = marks.duct & field
    masks["stone"] = marks.stone_mask(column) & field & ~scope
    return Drawn(canvas, masks, marks, column, wires, field, organs, scope_view)


def _wire_mask(now: Moment, wires: tuple[Array, ...], scope: Mask) -> Mask:
    """What of the wires can be seen: bare, not under the endoscope, as wide as the blur shows it, as people annotate.

    Real wires of 0.64 mm were marked 2.3 to 2.5 px wide at 0.4 mm per px.
    """
    blur_mm = FWHM * now.patient.chain.blur_mm
    mask = np.zeros(scope.shape, np.bool_)
    for wire, placed, points in zip(now.patient.wires, now.wires, wires, strict=True):
        if len(points) - placed.bare_from < 3:
            continue
        shown_mm = float(np.hypot(wire.diameter_mm, blur_mm))
        half = max(shown_mm / 2 * now.patient.view.scale(now.patient.duct_z_mm), MIN_HALF_WIDTH_PX)
        seen = near(points[placed.bare_from :], half + 1, scope.shape)
        mask.reshape(-1)[seen.flat[(np.abs(seen.across) < half) & (seen.beyond <= 0.5)]] = True
    return mask & ~scope


def exposed(drawn: Drawn, now: Moment) -> Map:
    """The detector's noisy signal (y, x), 1 at the metered area."""
    who, view = now.patient, drawn.canvas.view
    clean = who.chain.image(transmitted(drawn.canvas), who.light, drawn.field, view)
    return who.chain.noisy(clean, view, generator(*now.pixel_seed))


def stored(signal: Map, drawn: Drawn, now: Moment) -> NDArray[np.uint16]:
    """The stored frame (y, x) of a signal: curve, border, marks, bits."""
    who, view = now.patient, drawn.canvas.view
    grey = who.curve.grey(signal, drawn.field, view)
    grey = burn(np.where(drawn.field, grey, np.float32(0)), who.field, view)
    return np.asarray(np.rint(grey * np.float32(2**who.domain.frame.bits - 1)), np.uint16)
