"""A patient in a room: all that stays the same over frames, drawn from a domain.

Every draw comes from ``SeedSequence((seed, patient, …))``: nothing depends on order or on the number of workers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Array, Map
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.physics.chain import Chain
from ercpseg.synthesis.physics.field import Field
from ercpseg.synthesis.physics.grey import Curve
from ercpseg.synthesis.scene.ducts import Tree, nearest_mm, sample_tree
from ercpseg.synthesis.scene.foreign import Foreign
from ercpseg.synthesis.scene.scope import Scope
from ercpseg.synthesis.scene.stones import Stone, sample_bubbles, sample_stones
from ercpseg.synthesis.scene.tissue import Anatomy
from ercpseg.synthesis.scene.view import View
from ercpseg.synthesis.scene.wires import Catheter, Wire

PATIENT, ANATOMY, ROOM, FRAME, PIXELS, FILL = range(6)
"""What a stream of random numbers is for."""
_TRIES = 40


def generator(*key: int) -> np.random.Generator:
    """The stream of a key."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def domain_key(domain: Domain) -> int:
    """A number that follows from a domain's name, so that two domains of a seed show different patients."""
    return zlib.crc32(domain.name.encode())


@dataclass(frozen=True)
class Motion:
    """How things move; sinusoids and drifts of time in seconds, all in mm."""

    breathing_mm: float
    breathing_s: float
    phase: float
    table: Array
    scope_mm: float
    wire_mm_per_s: float
    pulse_ms: float
    phases: Array

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain) -> Self:
        """Draw a motion."""
        spec = domain.series
        heading, speed = rng.uniform(0, 2 * np.pi), draw(rng, spec.table_mm_per_s)
        return cls(
            draw(rng, spec.breathing_mm), draw(rng, spec.breathing_s), rng.uniform(0, 2 * np.pi),
            speed * np.array([np.sin(heading), np.cos(heading)]), draw(rng, spec.scope_mm),
            draw(rng, spec.wire_mm_per_s) * rng.choice([-1, 1]),
            draw(rng, spec.frame_time_ms), rng.uniform(0, 2 * np.pi, 6),
        )  # fmt: skip


@dataclass(frozen=True)
class Patient:
    """Anatomy, devices and room of a patient of a domain.

    ``exposed`` (y, x) is the field, ``light`` (y, x) the beam without a patient, or a frame that is the light: such a
    frame is ``noisy`` already.
    """

    seed: int
    number: int
    domain: Domain
    view: View
    scope: Scope | None
    tree: Tree
    duct_z_mm: float
    stones: tuple[Stone, ...]
    bubbles: tuple[Stone, ...]
    wires: tuple[Wire, ...]
    catheter: Catheter
    catheter_alone: bool
    foreign: Foreign
    motion: Motion
    spacing_in_header: bool
    anatomy: Anatomy | None
    chain: Chain
    curve: Curve
    field: Field
    exposed: Mask
    light: Map
    noisy: bool = False

    @classmethod
    def sample(cls, domain: Domain, seed: int, number: int, height_px: int, *, bare: bool = False) -> Self:
        """Draw patient ``number`` of ``seed``; a ``bare`` one has devices and ducts, but no anatomy around them."""
        key = (seed, number, domain_key(domain))
        rng = generator(*key, PATIENT)
        room = generator(*key, ROOM)
        view = View.sample(room, domain, height_px)
        scope, tree = _scope_and_tree(rng, domain, view)
        stones = sample_stones(rng, domain.stone, tree.ducts[0], scope)
        bubbles = sample_bubbles(rng, tree.ducts[0]) if happens(rng, domain.stone.bubbles) else ()
        absent = happens(rng, domain.scope.absent)
        chain, curve, field = Chain.sample(room, domain, view), Curve.sample(room, domain), Field.sample(room, domain)
        count = int(happens(rng, domain.wire.present)) * (1 + int(happens(rng, domain.wire.second)))
        return cls(
            seed, number, domain, view, None if absent else scope, tree, rng.uniform(-15, 15), stones, bubbles,
            tuple(Wire.sample(rng, domain, tree) for _ in range(count)),
            Catheter.sample(rng, domain), happens(rng, domain.device.catheter_alone),
            Foreign.sample(rng, domain, tree), Motion.sample(rng, domain),
            not happens(room, domain.frame.spacing_missing),
            None if bare else Anatomy.sample(generator(*key, ANATOMY), domain, view),
            chain, curve, field, field.hard(view), chain.profile(view) * field.light(view),
        )  # fmt: skip


def _scope_and_tree(rng: np.random.Generator, domain: Domain, view: View) -> tuple[Scope, Tree]:
    """Draw until the duct lies mostly inside of the picture and mostly free of the endoscope."""
    half = np.array(view.shape) * view.mm_per_px / 2
    for _ in range(_TRIES):
        scope = Scope.sample(rng, domain)
        tree = sample_tree(rng, domain.duct, scope)
        points = view.turned(tree.ducts[0].points) + view.offset_mm
        tip = view.turned(scope.limbs[0][:1]) + view.offset_mm
        far = np.hypot(*(np.concatenate([points, tip]) / half).T).max()
        hidden = (nearest_mm(tree.ducts[0].points, scope.limbs) < 0.55 * scope.shaft_mm).mean()
        if far < 0.97 and hidden < 0.45:
            break
    return scope, tree
