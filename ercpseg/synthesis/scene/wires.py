"""Guidewires, and the catheters, sphincterotomes, balloons and baskets that run on the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ercpseg.synthesis.curves import Array, arc_length, bezier, course, direction, normals, resample
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.scene.canvas import Canvas, Tube, draw_line, draw_tube
from ercpseg.synthesis.scene.ducts import Duct, Tree
from ercpseg.synthesis.scene.scope import Scope

STEP_MM = 1.0


@dataclass(frozen=True)
class Wire:
    """A guidewire of a patient; ``offsets`` wander across the lumen, ``end`` is the course beyond the duct.

    ``end`` (k,) are headings in degrees, per mm, relative to the duct's last heading. ``covered`` is the share of the
    way from the endoscope to the end of the path that runs inside of a catheter.
    """

    diameter_mm: float
    core_steel_mm: float
    tip_steel_mm: float
    tip_mm: float
    branch: int
    offsets: Array
    end: Array
    advanced: float
    covered: float
    bow: tuple[float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain, tree: Tree) -> Self:
        """Draw a wire that runs up a branch of the tree, or to the end of the common duct."""
        spec = domain.wire
        leaves = [i for i, d in enumerate(tree.ducts) if d.parent == 0 and not d.side] or [0]
        more = [i for i, d in enumerate(tree.ducts) if d.parent in leaves and d.parent != 0 and not d.side]
        branch = int(rng.choice(more)) if more and rng.random() < 0.6 else int(rng.choice(leaves))
        outside, loop = happens(rng, spec.outside), happens(rng, spec.loop)
        diameter = float(rng.choice(np.asarray(spec.diameters_mm)))
        length = rng.uniform(4, 45) if not outside else rng.uniform(25, 80)
        headings = np.cumsum(rng.normal(0, 1.2, max(3, round(length))) + rng.uniform(-1.4, 1.4))
        if loop:
            tight = rng.uniform(1.6, 4.5)
            count = round(np.pi * tight * rng.uniform(0.9, 1.9))
            turn = np.cumsum(np.full(count, np.rad2deg(1 / tight))) * rng.choice([-1, 1])
            headings = np.concatenate(
                [headings, headings[-1] + turn, np.full(round(rng.uniform(1, 9)), headings[-1] + turn[-1])]
            )
        if happens(rng, spec.kink):
            headings[int(rng.integers(len(headings))) :] += rng.uniform(-60, 60)
        scale = diameter / 0.89
        return cls(
            diameter, draw(rng, spec.core_steel_mm) * scale, draw(rng, spec.tip_steel_mm) * scale,
            draw(rng, spec.tip_mm), 0 if outside else branch, rng.uniform(-0.8, 0.8, 6), headings,
            advanced=rng.uniform(0.25, 1.0), covered=rng.triangular(0.1, 0.3, 0.75) if happens(rng, spec.in_catheter) else 0.0,
            bow=(rng.uniform(0.25, 0.75), rng.uniform(0.2, 0.6)),
        )  # fmt: skip


def wire_path(wire: Wire, tree: Tree, scope: Scope, start_mm: Array, advanced: float) -> Array:
    """Course (n, 2) in mm from the endoscope's exit to the wire's tip, ``advanced`` 0 to 1 of the whole way.

    ``start_mm`` (y, x) is where the exit appears in the duct's plane.
    """
    duct = _joined(tree, wire.branch)
    s = arc_length(duct.points)
    wander = np.interp(s / s[-1], np.linspace(0, 1, len(wire.offsets)), wire.offsets)
    room = np.maximum(duct.radius - wire.diameter_mm / 2, 0)
    points = duct.points + normals(duct.points) * (wander * room)[:, None]
    points = _stiff(points)
    last = points[-1] - points[-4]
    heading = float(np.rad2deg(np.arctan2(last[1], -last[0])))
    tip = course(points[-1], heading + wire.end, STEP_MM)
    free = approach(scope, start_mm, points, wire.bow)
    whole = resample(np.concatenate([free[:-1], points, tip[1:]]), STEP_MM)
    # The hydrophilic tip with its bends is what is pushed on: it follows the duct, then its own shape.
    return whole[: max(8, round(advanced * len(whole)))]


def approach(scope: Scope, start: Array, points: Array, bow: tuple[float, float]) -> Array:
    """The free course from the elevator at ``start`` (y, x) in mm to the papilla, bowed by the elevator."""
    leave, arrive = direction(scope.exit_deg), points[min(4, len(points) - 1)] - points[0]
    arrive = arrive / max(float(np.hypot(*arrive)), 1e-9)
    gap = float(np.hypot(*(points[0] - start)))
    begin = start - 3 * leave
    return bezier(begin, begin + (3 + bow[0] * gap) * leave, points[0] - bow[1] * gap * arrive, points[0], 28)


def _joined(tree: Tree, branch: int) -> Duct:
    """The way from the papilla up to the end of a branch."""
    chain = [branch]
    while chain[-1] != 0:
        chain.append(tree.ducts[chain[-1]].parent or 0)
    pieces = [tree.ducts[i] for i in reversed(chain)]
    points = np.concatenate([pieces[0].points, *(p.points[1:] for p in pieces[1:])])
    return Duct(points, np.concatenate([pieces[0].radius, *(p.radius[1:] for p in pieces[1:])]))


def _stiff(points: Array) -> Array:
    """A course smoothed over some 6 mm: a wire is stiff."""
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(points, 6 / STEP_MM, axis=0, mode="nearest"))


def draw_wire(canvas: Canvas, wire: Wire, path: Array, z_mm: float) -> None:
    """Add the wire's steel: a dense tip, a fainter core."""
    to_tip = arc_length(path)[-1] - arc_length(path)
    soft = np.clip((wire.tip_mm - to_tip) / 3, 0, 1)
    amounts = wire.core_steel_mm + (wire.tip_steel_mm - wire.core_steel_mm) * soft
    draw_line(canvas, canvas.steel, path, wire.diameter_mm, amounts, z_mm)


@dataclass(frozen=True)
class Catheter:
    """What runs over the wire: a tube, hollow or solid, marker bands, and perhaps a bow, a balloon or a basket."""

    diameter_mm: float
    steel_mm: float
    markers: tuple[float, ...]
    """Distances in mm from its tip."""
    bow_mm: float
    balloon_mm: float
    basket_mm: float
    wall_mm: float
    wire_aside_mm: float
    """How far to the right of its axis, seen from the endoscope, a wire runs in it; a wall is drawn around the axis."""

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain) -> Self:
        """Draw a catheter."""
        spec = domain.device
        bow = rng.uniform(15, 30) if happens(rng, spec.sphincterotome) else 0.0
        balloon = rng.uniform(7, 15) if happens(rng, spec.balloon) else 0.0
        basket = rng.uniform(14, 30) if happens(rng, spec.basket) else 0.0
        markers = (0.0, rng.uniform(4, 9)) if rng.random() < 0.5 else (0.0,) if rng.random() < 0.6 else ()
        markers = (*markers, bow) if bow else markers
        steel = draw(rng, spec.catheter_steel_mm)
        wide = draw(rng, spec.catheter_mm)
        wall = draw(rng, spec.catheter_wall) * wide
        aside = float(draw(rng, spec.catheter_lumen) * wide * rng.choice([-1, 1]))
        return cls(wide, steel, markers, bow, 0.0 if bow else balloon, 0.0 if bow else basket, wall, aside)


def draw_catheter(canvas: Canvas, catheter: Catheter, path: Array, z_mm: float, wire_mm: float = 0.0) -> None:
    """Draw a catheter whose wire of ``wire_mm`` runs along ``path`` (n, 2) in mm, from the endoscope to its tip."""
    room = max(0.0, (catheter.diameter_mm - wire_mm) / 2)
    path = path - normals(path) * float(np.clip(catheter.wire_aside_mm, -room, room))
    draw_tube(canvas, canvas.steel, path, Tube(catheter.diameter_mm, catheter.wall_mm), catheter.steel_mm, z_mm)
    s = arc_length(path)
    back = s[-1] - s
    for deep in catheter.markers:
        index = int(np.argmin(np.abs(back - deep)))
        piece = path[max(0, index - 1) : index + 1]
        if len(piece) > 1:
            middle, half = piece.mean(axis=0), 0.5 * (piece[1] - piece[0])
            rod = Tube(0.9 * catheter.diameter_mm, 0.45 * catheter.diameter_mm)
            draw_tube(canvas, canvas.steel, np.stack([middle - half, middle + half]), rod, 0.55, z_mm)
    if catheter.bow_mm and s[-1] > catheter.bow_mm + 6:
        _draw_bow(canvas, catheter, path, back, z_mm)
    if catheter.balloon_mm:
        _draw_balloon(canvas, catheter, path, back, z_mm)
    if catheter.basket_mm:
        _draw_basket(canvas, catheter, path, z_mm)


def _draw_bow(canvas: Canvas, catheter: Catheter, path: Array, back: Array, z_mm: float) -> None:
    """The cutting wire of a sphincterotome: a chord under the bent tip."""
    a, b = (path[int(np.argmin(np.abs(back - d)))] for d in (3.0, 3.0 + catheter.bow_mm))
    sag = 0.06 * catheter.bow_mm * np.sin(np.linspace(0, np.pi, 16))[:, None] * normals(np.stack([a, b]))[:1]
    points = a + (b - a) * np.linspace(0, 1, 16)[:, None] + sag
    draw_line(canvas, canvas.steel, points, 0.3, np.full(16, 0.22), z_mm)


def _draw_balloon(canvas: Canvas, catheter: Catheter, path: Array, back: Array, z_mm: float) -> None:
    """Air where contrast was: a bright ball on the catheter."""
    centre = canvas.view.pixels(path[int(np.argmin(np.abs(back - 8)))][None], z_mm)[0]
    radius = catheter.balloon_mm / 2 * canvas.view.scale(z_mm)
    y = (np.arange(canvas.view.shape[0]) - centre[0])[:, None]
    x = (np.arange(canvas.view.shape[1]) - centre[1])[None, :]
    share = np.sqrt(np.maximum(1 - (y * y + x * x) / radius**2, 0)).astype(np.float32)
    canvas.iodine[...] *= 1 - np.minimum(1, 1.6 * share)
    canvas.water[...] -= np.float32(0.35 * catheter.balloon_mm) * share


def _draw_basket(canvas: Canvas, catheter: Catheter, path: Array, z_mm: float) -> None:
    """Four wires that open like a drop beyond the catheter's tip."""
    last = path[-1] - path[-3]
    last = last / max(float(np.hypot(*last)), 1e-9)
    aside = np.array([last[1], -last[0]])
    u = np.linspace(0, 1, 24)
    for width in (-0.32, -0.12, 0.14, 0.33):
        out = width * catheter.basket_mm * np.sin(np.pi * u) ** 0.8
        points = path[-1] + (catheter.basket_mm * u)[:, None] * last + out[:, None] * aside
        draw_line(canvas, canvas.steel, points, 0.35, np.full(24, 0.28), z_mm)
