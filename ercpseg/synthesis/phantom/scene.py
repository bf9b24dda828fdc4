"""What lies where: patients (constant over their frames) and the moments at which frames are taken.

Lengths are in *reference pixels*: pixels of a 512 × 512 picture, 0.3 mm each at the isocentre. Ranges without a
source are chosen by eye beside 68 real frames.
Every draw comes from ``SeedSequence((seed, patient, …))``: nothing depends on order or on the number of workers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ercpseg.synthesis.curves import Array
from ercpseg.synthesis.phantom.courses import (
    MM_PER_REFERENCE_PX,
    Branch,
    Pose,
    Stone,
    crosses_visibly,
    duct_tree,
    filled,
    filling_defects,
    scope_course,
    wire_course,
)

MAX_CONTRAST_PER_MM = 0.36
"""Undiluted, 300 mg iodine per ml at 50 keV (NIST XCOM: 12.3 cm²/g)."""

_PATIENT, _FRAME, _ANATOMY, _PIXELS = range(4)


@dataclass(frozen=True)
class Patient:
    """The anatomy and devices of a patient; see the module for units. ``ducts[0]`` is the CBD, papilla first."""

    seed: int
    number: int
    scope: tuple[Array, ...]
    scope_radius_px: float
    texture_seed: int
    ducts: tuple[Branch, ...]
    stones: tuple[Stone, ...]
    elevator: Array
    elevator_heading_deg: float
    wire_width_px: float
    wire_branch: int
    wire_offsets: Array
    breathing_px: float
    breathing_phase: float


@dataclass(frozen=True)
class Moment:
    """One frame of a patient: what is present, and everything in its place, in reference px.

    ``scope`` courses go from the tip outwards. ``wire`` is None when there is no wire, ``ducts`` is empty when there is
    no contrast. ``shift`` (y, x) is the breathing of the anatomy.
    """

    patient: Patient
    number: int
    shift: Array
    scope: tuple[Array, ...]
    wire: Array | None
    ducts: tuple[Branch, ...]
    stones: tuple[Stone, ...]
    contrast_per_mm: float
    wire_per_mm: float
    pixel_seed: np.random.SeedSequence


def patient(seed: int, number: int) -> Patient:
    """Sample patient ``number`` of ``seed``."""
    rng = _generator(seed, number, _PATIENT)
    radius = rng.uniform(16.7, 21)  # 30 to 46 px wide with zoom; six real scopes: 32 to 41
    zoom, turn = rng.uniform(0.9, 1.1), rng.uniform(-7, 7)
    for _ in range(50):
        scope, elevator, heading = scope_course(rng, radius)
        tree = duct_tree(rng, elevator, heading)
        everything = np.concatenate([b.points for b in tree] + [scope[0][:1]])
        if np.hypot(*(everything - 255.5).T).max() * zoom < 238 and crosses_visibly(tree[0], scope):
            break
    pose = Pose(zoom, turn)
    hepatic = [i for i, b in enumerate(tree) if b.parent == 0] or [0]
    return Patient(
        seed=seed,
        number=number,
        scope=tuple(pose.points(c) for c in scope),
        scope_radius_px=zoom * radius,
        texture_seed=int(rng.integers(2**31)),
        ducts=tuple(Branch(pose.points(b.points), b.radius * zoom, b.parent) for b in tree),
        stones=filling_defects(rng, tree[0], scope, zoom),
        elevator=pose.points(elevator[None])[0],
        elevator_heading_deg=heading + turn,
        wire_width_px=rng.uniform(2.4, 3.8),
        wire_branch=int(rng.choice(hepatic)),
        wire_offsets=rng.uniform(-0.6, 0.6, 6),
        breathing_px=rng.uniform(2, 10),
        breathing_phase=rng.uniform(0, 2 * np.pi),
    )


def moment(who: Patient, number: int) -> Moment:
    """Sample frame ``number`` of a patient: breathing, a slightly moved scope, the wire advanced, contrast or none."""
    rng = _generator(who.seed, who.number, _FRAME, number)
    breath = who.breathing_px * np.sin(who.breathing_phase + 1.1 * number)
    shift = np.array([breath, 0.25 * breath]) + rng.normal(0, 1, 2)
    scope_shift = 0.3 * shift + rng.normal(0, 2, 2)
    has_contrast = rng.random() < 0.88
    has_wire = rng.random() < (0.82 if has_contrast else 0.95)
    tree = tuple(replace(b, points=b.points + shift) for b in who.ducts)
    advanced = float(np.clip(0.45 + 0.05 * number + rng.uniform(0, 0.5), 0, 1))
    path = tree[0].joined(tree[who.wire_branch]) if who.wire_branch else tree[0]
    start = (who.elevator + scope_shift, who.elevator_heading_deg)
    wire = wire_course(rng, path, who.wire_offsets, who.wire_width_px / 2, start, advanced)
    contrast = filled(rng, tree)
    # Wide ducts are filled with thinner contrast; what is aimed at is its darkness at the widest place.
    widest_mm = 2 * float(tree[0].radius.max()) * MM_PER_REFERENCE_PX
    return Moment(
        patient=who,
        number=number,
        shift=shift,
        scope=tuple(c + scope_shift for c in who.scope),
        wire=wire if has_wire else None,
        ducts=contrast if has_contrast else (),
        stones=who.stones if has_contrast else (),
        contrast_per_mm=min(rng.uniform(0.55, 1.15) / widest_mm, MAX_CONTRAST_PER_MM),
        wire_per_mm=rng.uniform(0.6, 1.0),  # nitinol and tungsten, chosen by eye
        pixel_seed=np.random.SeedSequence((who.seed, who.number, _PIXELS, number)),
    )


def anatomy_generator(who: Patient) -> np.random.Generator:
    """The generator that draws a patient's bones, bowel and soft tissue."""
    return _generator(who.seed, who.number, _ANATOMY)


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
