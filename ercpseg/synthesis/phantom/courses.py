"""Where devices and ducts run: the sampled courses of scope, duct tree, stones and wire, in reference px.

Ranges are chosen by eye beside 68 real frames unless a source is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ercpseg.synthesis.curves import Array, arc_length, bezier, course, direction, normals, resample

REFERENCE_SIZE = 512
MM_PER_REFERENCE_PX = 0.3
"""At the isocentre: a 12.5 mm duodenoscope then shows about 41 px wide, as in real 512-pixel frames (32 to 41)."""

_STEP_PX = 3.0


@dataclass(frozen=True)
class Branch:
    """A piece of the duct tree: ``points`` (n, 2) and lumen ``radius`` (n,) in reference px, parent's index or None."""

    points: Array
    radius: Array
    parent: int | None

    def joined(self, child: Branch) -> Branch:
        """Continue with ``child``: both as one path."""
        points = np.concatenate([self.points, child.points[1:]])
        return Branch(points, np.concatenate([self.radius, child.radius[1:]]), self.parent)


@dataclass(frozen=True)
class Stone:
    """A filling defect: where on the CBD (arc length and offset as a fraction of the free radius), size and facets.

    ``facets`` (k, 2): heading in degrees and distance from the centre as a fraction of the radius.
    """

    along_px: float
    offset_frac: float
    diameter_px: float
    elongation: float
    turn_deg: float
    facets: Array


@dataclass(frozen=True)
class Pose:
    """A patient's place on the table: zoom and turn about the middle of the picture."""

    zoom: float
    turn_deg: float

    def points(self, points: Array) -> Array:
        """Move ``points`` (n, 2)."""
        up, right = direction(self.turn_deg), direction(self.turn_deg + 90)
        y, x = (points - 255.5).T * self.zoom
        return np.asarray(255.5 - y[:, None] * up + x[:, None] * right)


def _blend(at: Array, knots: list[float], values: list[float]) -> Array:
    """Values at arc lengths, smoothly (cosine) between knots, so that headings have no kinks."""
    result = np.full(at.shape, values[0])
    for a, b, change in zip(knots[:-1], knots[1:], np.diff(values), strict=True):
        result += change * (1 - np.cos(np.pi * np.clip((at - a) / (b - a), 0, 1))) / 2
    return result


def scope_course(rng: np.random.Generator, radius_px: float) -> tuple[list[Array], Array, float]:
    """Courses from the tip outwards, the point of the wall where the wire leaves, and the heading of the wire there."""
    back = rng.uniform(-75, -5)  # heading from the tip back along the rigid end: up, or left when hooked
    at = np.arange(0, 780, _STEP_PX)
    bend = rng.uniform(70, 130)
    looped = rng.random() < 0.12
    if looped:
        headings = _blend(at, [25, 45 + bend], [back, rng.uniform(-95, -75)])
    else:
        up = rng.uniform(18, 46)
        headings = _blend(at, [45, 60 + bend, 330, 560], [back, up, up, up - rng.uniform(-5, 40)])
    headings += 3 * np.sin(at / rng.uniform(40, 80) + rng.uniform(0, 6))
    points = course((0, 0), headings, _STEP_PX)
    bend_middle = points[round((45 + bend / 2) / _STEP_PX)]
    target = np.array([rng.uniform(310, 360), rng.uniform(160, 215)])
    points += target - bend_middle
    points[:] += np.minimum(0, [448 - points[0, 0], 340 - points[0, 1]])
    scope = [_inside(points)]
    if looped:
        arm_at = np.arange(0, 780, _STEP_PX)
        reach, sweep = rng.uniform(200, 290), rng.uniform(90, 150)
        arm_heading = _blend(arm_at, [reach, reach + sweep], [rng.uniform(80, 95), rng.uniform(-15, 15)])
        scope.append(_inside(course((rng.uniform(240, 290), -45), arm_heading, _STEP_PX)))
    forward = back + 180
    side = forward - 90  # the side that faces the papilla: right of a tip that points down
    elevator = points[round(27 / _STEP_PX)] + (radius_px - 2) * direction(side)
    return scope, elevator, side


def _inside(points: Array) -> Array:
    """The course up to where it has left the picture by 60 px (it may begin outside)."""
    out = ((points < -60) | (points > REFERENCE_SIZE + 60)).any(axis=1)
    seen = np.flatnonzero(out)
    return points[: seen[0] + 1] if len(seen) else points


def duct_tree(rng: np.random.Generator, elevator: Array, side_deg: float) -> tuple[Branch, ...]:
    """The CBD, from a papilla beside the elevator, and its hepatic branches."""
    papilla = elevator + rng.uniform(15, 40) * direction(side_deg) + rng.uniform(10, 40) * direction(rng.uniform(0, 25))
    length = rng.uniform(180, 260)
    at = np.arange(0, length, _STEP_PX)
    headings = _blend(at, [0.1 * length, 0.75 * length], [rng.uniform(-5, 25), rng.uniform(-48, -22)])
    headings += rng.uniform(2, 9) * np.sin(at / rng.uniform(25, 50) + rng.uniform(0, 6))
    points = course(papilla, headings, _STEP_PX)
    s = arc_length(points) / length
    radius = rng.triangular(6.2, 8.5, 13.5) * (
        1 + 0.08 * np.sin(2 * np.pi * s * rng.uniform(1, 2.5) + rng.uniform(0, 6))
    )
    radius *= 0.35 + 0.65 * np.clip(s / rng.uniform(0.12, 0.3), 0, 1) ** 0.8  # the intramural end is narrow
    radius *= 1 - 0.2 * np.clip((s - 0.75) / 0.25, 0, 1)
    if rng.random() < 0.15:  # a stricture
        radius *= 1 - rng.uniform(0.3, 0.6) * np.exp(-(((s - rng.uniform(0.35, 0.75)) / 0.06) ** 2))
    tree = [Branch(points, np.maximum(radius, 1.8), None)]
    for heading in (rng.uniform(-75, -45), rng.uniform(0, 35)):
        _grow(rng, tree, 0, float(headings[-1]), heading, int(rng.integers(1, 3)))
    return tuple(tree)


def _grow(
    rng: np.random.Generator, tree: list[Branch], parent: int, begin_deg: float, end_deg: float, levels: int
) -> None:
    root = float(tree[parent].radius[-1]) * rng.uniform(0.55, 0.75)
    if root < 1.9 or levels < 0:
        return
    length = rng.uniform(40, 80) * (1 if parent == 0 else 0.7)
    at = np.arange(0, length, _STEP_PX)
    headings = _blend(at, [0, 0.4 * length], [begin_deg, end_deg]) + 9 * np.sin(at / 14 + rng.uniform(0, 6))
    points = course(tree[parent].points[-1], headings, _STEP_PX)
    radius = np.linspace(root, max(1.7, root * rng.uniform(0.5, 0.8)), len(points))
    tree.append(Branch(points, radius, parent))
    index = len(tree) - 1
    for spread in (rng.uniform(-45, -20), rng.uniform(20, 45)):
        _grow(rng, tree, index, float(headings[-1]), end_deg + spread, levels - 1)


def _covered(points: Array, scope: list[Array]) -> Array:
    """Distance (n,) of each point from the nearest axis of the scope."""
    nearest = [np.hypot(*(points[:, None] - c[None]).transpose(2, 0, 1)).min(axis=1) for c in scope]
    return np.asarray(np.min(nearest, axis=0))


def crosses_visibly(cbd: Branch, scope: list[Array]) -> bool:
    """Most of the duct lies free of the scope, so that what the masks say can be seen."""
    return bool((_covered(cbd.points, scope) < 24).mean() < 0.4)


def filling_defects(rng: np.random.Generator, cbd: Branch, scope: list[Array], zoom: float) -> tuple[Stone, ...]:
    """Up to four stones in half of the patients, in the part of the CBD that is free of the scope."""
    wanted = int(rng.integers(1, 5)) if rng.random() < 0.5 else 0
    s = arc_length(cbd.points)
    free = (_covered(cbd.points, scope) > 34) & (s > 0.2 * s[-1]) & (s < 0.85 * s[-1]) & (cbd.radius * zoom > 4.5)
    stones: list[Stone] = []
    for _ in range(12 if wanted else 0):
        if len(stones) == wanted or not free.any():
            break
        place = int(rng.choice(np.flatnonzero(free)))
        widest = 2 * cbd.radius[place] * zoom
        diameter = float(np.clip(rng.uniform(0.65, 0.95) * widest, 6, 18))
        count = int(rng.integers(3, 7))
        turns = np.arange(count) * 360 / count + rng.uniform(-20, 20, count)
        facets = np.stack([turns, rng.uniform(0.78, 1.0, count)], axis=1)
        along = float(s[place]) * zoom
        offset, elongation, turn = rng.uniform(-1, 1), rng.uniform(1.0, 1.35), rng.uniform(-30, 30)
        stones.append(Stone(along, offset, diameter, elongation, turn, facets))
        free &= np.abs(s * zoom - along) > 0.9 * diameter  # stones may touch, as in a chain, and do not coincide
    return tuple(stones)


def filled(rng: np.random.Generator, tree: tuple[Branch, ...]) -> tuple[Branch, ...]:
    """The part of the tree that contrast has reached: columns with round ends."""
    deep = rng.random() < 0.8
    last = 1.0 if deep else rng.uniform(0.75, 1.0)
    result = []
    for branch in tree if deep else tree[:1]:
        s = arc_length(branch.points)
        first = rng.uniform(0, 0.08) * s[-1] if branch.parent is None else 0.0
        keep = (s >= first) & (s <= last * s[-1])
        result.append(Branch(branch.points[keep], branch.radius[keep], branch.parent))
    return tuple(result)


def wire_course(
    rng: np.random.Generator,
    path: Branch,
    offsets_frac: Array,
    wire_radius_px: float,
    start: tuple[Array, float],
    advanced: float,
) -> Array:
    """Points of a wire from the elevator, ``start`` = (point, heading), up ``path`` as far as ``advanced`` (0 to 1).

    ``offsets_frac`` are offsets from the duct's axis at equal steps, as fractions of the free radius. The end sticks
    out by 20 to 45 px, straight or curled.
    """
    from scipy.ndimage import gaussian_filter1d

    point, heading = start
    s = arc_length(path.points)
    wander = np.interp(s / s[-1], np.linspace(0, 1, len(offsets_frac)), offsets_frac)
    points = path.points + normals(path.points) * (wander * np.maximum(path.radius - wire_radius_px, 0))[:, None]
    points = gaussian_filter1d(points, 3, axis=0, mode="nearest")  # a wire is stiff
    points = points[: max(8, round(advanced * len(points)))]
    leave, arrive = direction(heading), points[2] - points[0]
    arrive = arrive / np.hypot(*arrive)
    gap = float(np.hypot(*(points[0] - point)))
    free = bezier(point - 3 * leave, point + 0.6 * gap * leave, points[0] - 0.5 * gap * arrive, points[0], 24)
    end = points[-1] - points[-3]
    curl = rng.uniform(-250, 250) if rng.random() < 0.3 else rng.uniform(-50, 50)
    count = max(3, round((rng.uniform(20, 45) + abs(curl) * 0.2) / _STEP_PX))  # at least 11 px of bending radius
    turns = float(np.rad2deg(np.arctan2(end[1], -end[0]))) + np.linspace(0, curl, count)
    tip = course(points[-1], turns, _STEP_PX)
    return resample(np.concatenate([free[:-1], points, tip[1:]]), _STEP_PX)
