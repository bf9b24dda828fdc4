"""Things that look like wires, ducts or stones and are none: clips, leads, stents, drains, tablets. Never labelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from ercpseg.synthesis.curves import Array, course, direction, normals
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.parameters import happens
from ercpseg.synthesis.scene.canvas import Canvas, Tube, draw_line, draw_tube
from ercpseg.synthesis.scene.ducts import Tree

FRENCH_MM = 1 / 3


@dataclass(frozen=True)
class Foreign:
    """Which of the extras a patient has; ``seed`` draws their shapes."""

    kinds: tuple[str, ...]
    seed: int
    tree: Tree

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain, tree: Tree) -> Self:
        """Draw the kinds; each is decided for itself."""
        chances = domain.device.model_dump()
        kinds = tuple(kind for kind in DRAWN if happens(rng, float(chances[kind])))
        return cls(kinds, int(rng.integers(2**31)), tree)


def draw_foreign(canvas: Canvas, foreign: Foreign, moving_mm: Array) -> None:
    """Draw all of them; what lies in the patient is moved by ``moving_mm`` (y, x) of the patient."""
    for index, kind in enumerate(foreign.kinds):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((foreign.seed, index))))
        DRAWN[kind](canvas, rng, foreign.tree, np.asarray(moving_mm))


def _clips(canvas: Canvas, rng: np.random.Generator, tree: Tree, moving: Array) -> None:
    """Clips of a cholecystectomy, or staples: short dense strokes near the cystic duct."""
    centre = tree.cystic.points[10] + rng.normal(0, 6, 2) + moving
    size, amount = rng.uniform(3, 9), rng.uniform(0.6, 2.0)
    for _ in range(int(rng.integers(1, 8))):
        place, heading = centre + rng.normal(0, 9, 2), rng.uniform(0, 180)
        half = size / 2 * direction(heading)
        stroke = np.stack([place - half, place, place + half])
        if rng.random() < 0.5:  # a leg that is not quite closed
            stroke[1] += 0.3 * size * direction(heading + 90)
        draw_line(canvas, canvas.steel, stroke, rng.uniform(0.7, 1.1), np.full(3, amount), 10)


def _leads(canvas: Canvas, rng: np.random.Generator, tree: Tree, moving: Array) -> None:
    """ECG leads: twin lines over the skin, with an electrode and its spring."""
    for _ in range(int(rng.integers(1, 3))):
        start = np.array([rng.uniform(-100, 100), rng.choice([-100.0, -95.0, 95.0])])
        headings = rng.uniform(20, 160) * np.sign(-start[1]) + np.cumsum(rng.normal(0, 1.2, 220) + rng.uniform(-1, 1))
        points = course(start, headings, 1.0)[: int(rng.integers(60, 220))]
        gap, amount = rng.uniform(1.2, 3.5), rng.uniform(0.12, 0.55)
        for side in (-0.5, 0.5) if rng.random() < 0.7 else (0.0,):
            line = points + side * gap * normals(points)
            draw_line(canvas, canvas.steel, line, rng.uniform(0.5, 0.9), np.full(len(line), amount), 90)
        if rng.random() < 0.5:
            _snap(canvas, rng, points[-1])


def _snap(canvas: Canvas, rng: np.random.Generator, place: Array) -> None:
    """The electrode at the end of a lead: a ring or a small block."""
    angle = np.linspace(0, 360, 40)
    size = rng.uniform(2.5, 6)
    draw_line(canvas, canvas.steel, place + size * direction(angle), 1.0, np.full(40, rng.uniform(0.3, 1.2)), 90)
    if rng.random() < 0.6:
        inner = place + 0.35 * size * direction(angle)
        draw_line(canvas, canvas.steel, inner, 1.3, np.full(40, rng.uniform(0.3, 1.2)), 90)


def _foreign_wire(canvas: Canvas, rng: np.random.Generator, tree: Tree, moving: Array) -> None:
    """A single thin line across the field, outside of the body, often paired."""
    heading = rng.uniform(0, 360)
    start = 120 * direction(heading + 180) + rng.normal(0, 35, 2)
    headings = heading + np.cumsum(rng.normal(0, 0.5, 260) + rng.uniform(-0.8, 0.8))
    points = course(start, headings, 1.0)
    amount = np.full(len(points), rng.uniform(0.1, 0.5))
    draw_line(canvas, canvas.steel, points, rng.uniform(0.6, 1.0), amount, 60)
    if rng.random() < 0.5:
        draw_line(canvas, canvas.steel, points + rng.uniform(2, 6) * normals(points), 0.8, amount, 60)


def _plastic_stent(canvas: Canvas, rng: np.random.Generator, tree: Tree, moving: Array) -> None:
    """A tube of 7 to 10 F through the papilla, with flaps or a curl."""
    cbd = tree.ducts[0]
    count = int(np.clip(rng.uniform(45, 90), 10, len(cbd.points)))
    headings = np.full(12, np.rad2deg(np.arctan2(*(cbd.points[0] - cbd.points[3])[::-1] * [1, -1]))) + rng.uniform(
        -20, 20
    )
    below = course(cbd.points[0], headings, 1.0)[1:]
    points = np.concatenate([below[::-1], cbd.points[:count]]) + moving
    diameter = rng.uniform(7, 10) * FRENCH_MM
    draw_tube(canvas, canvas.steel, points, Tube(diameter, 0.25 * diameter), rng.uniform(0.1, 0.3), 0)


def _metal_stent(canvas: Canvas, rng: np.random.Generator, tree: Tree, moving: Array) -> None:
    """A mesh of 8 to 10 mm: two families of helices, dense at the walls."""
    cbd = tree.ducts[0]
    first = int(rng.uniform(0, 0.3) * len(cbd.points))
    points = cbd.points[first : first + int(rng.uniform(40, 70))] + moving
    if len(points) < 12:
        return
    u, half = np.arange(len(points)), rng.uniform(3.5, 5)
    side, pitch = normals(points), rng.uniform(7, 12)
    fine = np.linspace(0, len(points) - 1, 4 * len(points))
    base = np.stack([np.interp(fine, u, points[:, k]) for k in (0, 1)], axis=1)
    across = np.stack([np.interp(fine, u, side[:, k]) for k in (0, 1)], axis=1)
    for strand in range(8):
        turn = 2 * np.pi * (fine / (2 * pitch) * (1 if strand % 2 else -1) + strand / 8)
        line = base + (half * np.sin(turn))[:, None] * across
        draw_line(canvas, canvas.steel, line, 0.25, np.full(len(line), 0.14), 0)


def _drain(canvas: Canvas, rng: np.random.Generator, tree: Tree, moving: Array) -> None:
    """A percutaneous or nasal tube of 8 to 14 F with a dark stripe, from the side of the picture."""
    start = np.array([rng.uniform(-70, 70), -112.0 if rng.random() < 0.75 else 112.0])
    headings = rng.uniform(40, 140) * np.sign(-start[1]) + np.cumsum(rng.normal(0, 2, 160) + rng.uniform(-1.3, 1.3))
    points = course(start, headings, 1.0)[: int(rng.integers(40, 160))]
    diameter = rng.uniform(8, 14) * FRENCH_MM
    draw_tube(canvas, canvas.steel, points, Tube(diameter, 0.22 * diameter), rng.uniform(0.08, 0.35), 40)
    if rng.random() < 0.5:
        draw_line(canvas, canvas.steel, points, 0.8, np.full(len(points), rng.uniform(0.1, 0.4)), 40)


def _tablets(canvas: Canvas, rng: np.random.Generator, tree: Tree, moving: Array) -> None:
    """Round dense things outside of the duct: diverticula with contrast, tablets, calcified stones."""
    for _ in range(int(rng.integers(1, 4))):
        place = np.array([rng.uniform(-80, 80), rng.uniform(-90, 90)]) + moving
        radius = rng.uniform(2, 8)
        centre = canvas.view.pixels(place[None])[0]
        reach = radius * canvas.view.scale()
        y = (np.arange(canvas.view.shape[0]) - centre[0])[:, None] / reach
        x = (np.arange(canvas.view.shape[1]) - centre[1])[None, :] / (reach * rng.uniform(0.6, 1))
        ball = np.sqrt(np.maximum(1 - y * y - x * x, 0)).astype(np.float32)
        if rng.random() < 0.5:
            ball *= 1 - np.float32(rng.uniform(0.3, 0.9)) * np.sqrt(np.maximum(1 - 1.6 * (y * y + x * x), 0)).astype(
                np.float32
            )
        canvas.iodine[...] += ball * np.float32(rng.uniform(80, 500))


DRAWN: dict[str, Callable[[Canvas, np.random.Generator, Tree, Array], None]] = {
    "clips": _clips,
    "leads": _leads,
    "foreign_wire": _foreign_wire,
    "plastic_stent": _plastic_stent,
    "metal_stent": _metal_stent,
    "drain": _drain,
    "tablets": _tablets,
}
"""Key of :class:`~ercpseg.synthesis.domain.DeviceSettings` → what draws it."""
