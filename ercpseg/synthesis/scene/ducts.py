"""The biliary tree: common duct from the papilla to the confluence, branches, cystic duct, gallbladder, pancreatic duct.

Lengths are in mm of the patient. The common duct here is what annotators call CBD: bile duct and common hepatic duct.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ercpseg.synthesis.curves import Array, arc_length, blended, course, direction
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.patients import DuctSettings
from ercpseg.synthesis.scene.scope import Scope

STEP_MM = 1.0
THINNEST_MM = 0.3
"""Radius below which branches are not followed."""


@dataclass(frozen=True)
class Duct:
    """A piece of the tree: ``points`` (n, 2) in mm from its root, ``radius`` (n,) in mm, the parent's index or None.

    A ``side`` branch leaves its parent on the way; all others begin where the parent ends.
    """

    points: Array
    radius: Array
    parent: int | None = None
    side: bool = False

    @property
    def length_mm(self) -> float:
        """Length of its course."""
        return float(arc_length(self.points)[-1])


@dataclass(frozen=True)
class Tree:
    """``ducts[0]`` is the common duct, papilla first; the others follow their parents.

    ``bend_deg`` is how much the common duct turns at its first angulation, see :func:`turn_deg`, ``bend_mm`` how far
    from the papilla (the length of the distal arm). ``stricture_mm`` is where it is narrowed, None where it is not.
    """

    ducts: tuple[Duct, ...]
    cystic: Duct
    gallbladder: tuple[Array, Array, float]
    """Centre (2,), half axes (2,) in mm, and the heading of the long axis in degrees."""
    pancreatic: Duct
    bend_deg: float
    bend_mm: float
    stricture_mm: float | None


def sample_tree(rng: np.random.Generator, spec: DuctSettings, scope: Scope) -> Tree:
    """Draw a tree whose papilla lies beside the endoscope's exit."""
    apart = rng.uniform(6, 30) * direction(rng.uniform(40, 105)) + rng.uniform(4, 32) * direction(rng.uniform(-15, 25))
    papilla = scope.exit_mm + apart
    length, bend = draw(rng, spec.length_mm), draw(rng, spec.angulation_deg)
    arm = length * rng.uniform(0.22, 0.42)
    at = np.arange(0, length + STEP_MM, STEP_MM)
    first = rng.uniform(-8, 24)
    last = first - bend - rng.uniform(0, 22)
    soft = rng.uniform(8, 22)
    headings = blended(at, [max(arm - soft, 1), arm + soft, 0.9 * length], [first, first - bend, last])
    headings += draw(rng, spec.tortuosity_deg) * np.sin(at / rng.uniform(9, 26) + rng.uniform(0, 6))
    points = course(papilla, headings, STEP_MM)[:-1]
    radius, narrowed = _radius(rng, spec, at, length)
    ducts = [Duct(points, radius)]
    ends = float(headings[-1]), length
    levels = int(draw(rng, spec.branch_levels))
    for spread_deg in (rng.uniform(-55, -20), rng.uniform(15, 60)):
        _grow(rng, ducts, 0, (ends[0], ends[0] + spread_deg), levels)
    tree = tuple(ducts)
    return Tree(
        tree,
        *_gallbladder(rng, tree[0]),
        _pancreatic(rng, papilla),
        bend_deg=turn_deg(points, arm),
        bend_mm=float(arm),
        stricture_mm=narrowed,
    )


def _radius(rng: np.random.Generator, spec: DuctSettings, at: Array, length: float) -> tuple[Array, float | None]:
    """Lumen radius (n,) of the common duct, and where its stricture lies."""
    s = at / length
    radius = draw(rng, spec.cbd_mm) / 2 * (1 + 0.1 * np.sin(2 * np.pi * s * rng.uniform(0.8, 2.2) + rng.uniform(0, 6)))
    radius = radius * (
        1 + rng.uniform(0.01, 0.06) * np.sin(at / rng.uniform(0.8, 2.5) + 2 * np.sin(at / rng.uniform(3, 9)))
    )
    radius = radius * (1 + rng.uniform(0, 0.12) * _waves(rng, len(at), rng.uniform(2, 9)))
    narrow = draw(rng, spec.taper)
    blunt = rng.uniform(0.03, 0.28)
    radius = radius * (narrow + (1 - narrow) * np.clip(s / blunt, 0, 1) ** rng.uniform(0.5, 1))
    radius = radius * (1 - rng.uniform(0, 0.3) * np.clip((s - 0.7) / 0.3, 0, 1))
    narrowed = None
    if happens(rng, spec.stricture):
        place, width = rng.uniform(0.12, 0.85), rng.uniform(0.03, 0.12)
        radius = radius * (1 - rng.uniform(0.4, 0.9) * np.exp(-(((s - place) / width) ** 4)))
        radius = radius * np.where(s > place, rng.uniform(1, 1.35), 1)  # dilated above
        radius = np.convolve(np.pad(radius, 3, mode="edge"), np.full(7, 1 / 7), "valid")
        narrowed = float(place * length)
    return np.maximum(radius, 0.45), narrowed


def _waves(rng: np.random.Generator, count: int, smooth: float) -> Array:
    """Random unevenness (count,) of unit variance, smooth over ``smooth`` steps: no wall is straight."""
    from scipy.ndimage import gaussian_filter1d

    waves = gaussian_filter1d(rng.standard_normal(count), smooth, mode="nearest")
    return np.asarray(waves / max(float(waves.std()), 1e-6))


def _grow(rng: np.random.Generator, ducts: list[Duct], parent: int, heading: tuple[float, float], levels: int) -> None:
    """Add a branch that turns from ``heading`` [0] to [1], its side branches, and the two that it ends in."""
    root = float(ducts[parent].radius[-1]) * rng.uniform(0.5, 0.85)
    if root < THINNEST_MM or levels < 1:
        return
    length = rng.uniform(9, 30) if parent == 0 else max(9.0, ducts[parent].length_mm * rng.uniform(0.55, 1.0))
    ducts.append(_branch(rng, ducts[parent].points[-1], heading, length, root, parent))
    index, last = len(ducts) - 1, heading[1] + rng.uniform(-12, 12)
    for _ in range(int(rng.integers(0, 5)) if levels > 1 else 0):
        made = ducts[index]
        at = int(rng.uniform(0.2, 0.9) * (len(made.points) - 1))
        thin = float(made.radius[at]) * rng.uniform(0.35, 0.75)
        away = heading[1] + float(rng.choice([-1, 1])) * rng.uniform(25, 80)
        if thin > 0.5 * THINNEST_MM:
            ducts.append(_branch(rng, made.points[at], (away, away), rng.uniform(5, 24), thin, index, side=True))
    for spread_deg in (rng.uniform(-65, -12), rng.uniform(12, 65)):
        if rng.random() < 0.9:
            _grow(rng, ducts, index, (last + 0.3 * spread_deg, heading[1] + spread_deg), levels - 1)


def _branch(
    rng: np.random.Generator,
    start: Array,
    heading: tuple[float, float],
    length_mm: float,
    root_mm: float,
    parent: int,
    *,
    side: bool = False,
) -> Duct:
    """A wavy branch that narrows from ``root_mm`` of radius."""
    at = np.arange(0, max(length_mm, 4), STEP_MM)
    headings = blended(at, [0, 0.5 * at[-1] + 1], list(heading))
    for low, high in ((2.5, 8), (1, 2.5)):
        headings += rng.uniform(4, 20) * np.sin(at / rng.uniform(low, high) + rng.uniform(0, 6))
    points = course(start, headings, STEP_MM)
    radius = np.linspace(root_mm, root_mm * rng.uniform(0.45, 0.9), len(points))
    radius *= 1 + rng.uniform(0, 0.2) * np.sin(np.arange(len(points)) / rng.uniform(1, 4) + rng.uniform(0, 6))
    return Duct(points, np.maximum(radius, 0.5 * THINNEST_MM), parent, side)


def _gallbladder(rng: np.random.Generator, cbd: Duct) -> tuple[Duct, tuple[Array, Array, float]]:
    """The cystic duct, from the common duct to the neck, and the gallbladder."""
    centre = np.array([rng.uniform(-12, 34), rng.uniform(-84, -46)])
    half = np.array([rng.uniform(17, 30), rng.uniform(9, 16)])
    turn = rng.uniform(-70, 25)
    root = cbd.points[round(rng.uniform(0.35, 0.75) * (len(cbd.points) - 1))]
    neck = centre + 0.9 * half[0] * direction(turn) * (1 if rng.random() < 0.8 else -1)
    count = 30
    u = np.linspace(0, 1, count)[:, None]
    points = root + (neck - root) * u
    wave = rng.uniform(1, 5) * np.sin(u * rng.uniform(8, 22)) * np.sin(np.pi * u)
    sideways = np.array([[-(neck - root)[1], (neck - root)[0]]]) / max(float(np.hypot(*(neck - root))), 1e-6)
    return Duct(points + wave * sideways, np.full(count, rng.uniform(0.7, 1.6))), (centre, half, turn)


def _pancreatic(rng: np.random.Generator, papilla: Array) -> Duct:
    """The main pancreatic duct, towards the patient's left."""
    length = rng.uniform(30, 95)
    at = np.arange(0, length, STEP_MM)
    headings = blended(at, [0, 22, length], [rng.uniform(5, 40), rng.uniform(60, 85), rng.uniform(70, 105)])
    headings += 5 * np.sin(at / rng.uniform(8, 18) + rng.uniform(0, 6))
    points = course(papilla, headings, STEP_MM)
    return Duct(points, np.linspace(rng.uniform(0.9, 1.6), 0.5, len(points)))


def turn_deg(points: Array, arm_mm: float) -> float:
    """The angle between the chord of the first ``arm_mm`` of a course (n, 2) and that of as much beyond, in degrees.

    >>> turn_deg(np.array([[0.0, 0.0], [-10.0, 0.0], [-10.0, 10.0]]), 10.0)
    90.0
    """
    s = arc_length(points)
    begin, middle, end = (
        np.array([np.interp(at, s, points[:, axis]) for axis in (0, 1)]) for at in (0.0, arm_mm, 2 * arm_mm)
    )
    (ay, ax), (by, bx) = middle - begin, end - middle
    return float(np.rad2deg(np.abs(np.arctan2(ay * bx - ax * by, ay * by + ax * bx))))


def nearest_mm(points: Array, limbs: tuple[Array, ...]) -> Array:
    """Distance (n,) in mm of each of ``points`` from the nearest axis of the endoscope."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(np.concatenate(limbs)).query(points)
    return np.asarray(distance)
