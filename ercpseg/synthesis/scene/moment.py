"""One moment of a patient: where everything is, what contrast fills, how far wires are advanced."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ercpseg.synthesis.curves import Array, arc_length
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.scene.contrast import Filling
from ercpseg.synthesis.scene.patient import FILL, FRAME, PIXELS, Patient, domain_key, generator
from ercpseg.synthesis.scene.scope import Scope
from ercpseg.synthesis.scene.stones import Stone
from ercpseg.synthesis.scene.view import View
from ercpseg.synthesis.scene.wires import Wire, wire_path


@dataclass(frozen=True)
class Placed:
    """A wire at a moment: its course (n, 2) in mm from the endoscope on, and from which point on it is bare."""

    path: Array
    bare_from: int


@dataclass(frozen=True)
class Moment:
    """A frame's state. Shifts are (y, x) in mm: ``breath_mm`` of the patient, ``table_mm`` of the room.

    ``view`` shows what neither breathes nor moves by itself, ``organs_view`` and ``scope_view`` what does.
    """

    patient: Patient
    number: int
    series: bool
    time_s: float
    breath_mm: Array
    table_mm: Array
    view: View
    organs_view: View
    scope_view: View
    filling: Filling
    stones: tuple[Stone, ...]
    wires: tuple[Placed, ...]
    catheter: Array | None
    pixel_seed: tuple[int, ...]


def moment(who: Patient, number: int, *, series: bool = False) -> Moment:
    """Frame ``number`` of a patient: an independent one, or one of a series at the room's pulse rate."""
    key = (who.seed, who.number, domain_key(who.domain))
    spec, motion = who.domain.series, who.motion
    rng = generator(*key, FRAME, 0 if series else number + 1)
    time = number * (motion.pulse_ms / 1000 if series else draw(rng, spec.gap_s))
    breath = motion.breathing_mm * 0.5 * (1 - np.cos(2 * np.pi * time / motion.breathing_s + motion.phase))
    drift = np.array([np.sin(time / 2.3 + motion.phases[0]), np.sin(time / 3.1 + motion.phases[1])])
    breath_mm = np.array([breath, 0.2 * breath])
    scope_mm = 0.35 * breath_mm + motion.scope_mm * drift
    # The table is moved now and then; an independent frame may lie anywhere on the way.
    table = motion.table * (time if series else min(time, 30.0) * 0.3)
    table = np.clip(table, -15, 15) if not series else 12 * np.tanh(table / 12)
    length, widest = who.tree.ducts[0].length_mm, 2 * float(who.tree.ducts[0].radius.max())
    fill = generator(*key, FILL, 0 if series else number + 1)
    filling = Filling.sample(fill, who.domain.duct, length, widest)
    if series:
        filling = filling.grown(0.35 + time / fill.uniform(2, 15), length)
    view = who.view.moved(np.asarray(table))
    organs, scoped = (view.moved(who.view.turned(shift[None])[0]) for shift in (breath_mm, scope_mm))
    scope = _scope(who)
    # Devices begin where the exit is seen, and it lies at another height than the duct and moves otherwise.
    (start,) = organs.patient_points(scoped.pixels(scope.exit_mm[None], scope.z_mm), who.duct_z_mm)
    wires = tuple(_placed(who, index, scope, start, time, rng, series) for index in range(len(who.wires)))
    return Moment(
        who, number, series, time, breath_mm, np.asarray(table), view, organs, scoped, filling, _drifted(who, time),
        wires, _catheter(who, wires, start, rng), (*key, PIXELS, int(series), number),
    )  # fmt: skip


def _drifted(who: Patient, time: float) -> tuple[Stone, ...]:
    """Stones at a time: floating ones drift a little along the duct."""
    drift = 1.2 * np.sin(time / 1.9 + who.motion.phases[4])
    return tuple(replace(s, place_mm=s.place_mm + drift) if s.floating else s for s in who.stones)


def _placed(
    who: Patient, index: int, scope: Scope, start: Array, time: float, rng: np.random.Generator, series: bool
) -> Placed:
    """A wire, advanced by its speed in a series, anywhere else in an independent frame; never quite the same shape."""
    wire = who.wires[index]
    whole = wire_path(wire, who.tree, scope, start, 1.0)
    length = arc_length(whole)[-1]
    swing = 0.06 * np.sin(time / 1.7 + who.motion.phases[2 + index % 2])
    if series:
        # There and back between a quarter of the way and all of it.
        turns = (wire.advanced + who.motion.wire_mm_per_s * time / max(length, 1.0) / 0.75) % 2.0
        advanced = 0.25 + 0.75 * (turns if turns <= 1 else 2 - turns)
    else:
        advanced = rng.uniform(0.3, 1.0)
    path = wire_path(wire, who.tree, scope, start, float(np.clip(advanced + 0.2 * swing, 0.15, 1.0)))
    covered = round(wire.covered * len(path)) if index == 0 else 0
    return Placed(path, covered)


def _scope(who: Patient) -> Scope:
    """Where devices come from; a patient whose endoscope is out has kept a wire all the same."""
    return who.scope if who.scope is not None else Scope.sample(generator(who.seed, who.number), who.domain)


def _catheter(who: Patient, wires: tuple[Placed, ...], start: Array, rng: np.random.Generator) -> Array | None:
    """The catheter's course (n, 2): over the first wire where that is covered, or alone."""
    if wires and wires[0].bare_from > 4:
        return wires[0].path[: wires[0].bare_from + 1]
    if wires or not who.catheter_alone or who.scope is None:
        return None
    alone = Wire.sample(generator(who.seed, who.number, 99), who.domain, who.tree)
    path = wire_path(alone, who.tree, who.scope, start, 1.0)
    inside = max(8, int(rng.uniform(0.2, 0.6) * len(path)))
    return path[:inside] if happens(rng, 0.9) else None
