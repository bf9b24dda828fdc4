"""Stones in the bile duct, and bubbles, which look alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Array, Map, arc_length, direction
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.patients import StoneSettings
from ercpseg.synthesis.scene.ducts import Duct, nearest_mm
from ercpseg.synthesis.scene.scope import Scope

LEAST_MM = 2.0
"""Smaller defects are not called stones in fluoroscopy."""


@dataclass(frozen=True)
class Stone:
    """A filling defect of the common duct. ``facets`` (k, 2): heading in degrees, distance as a share of the radius.

    ``place_mm`` is the arc length from the papilla, ``offset`` the place across as a share of the room that is left,
    ``diameter_mm`` the shorter and ``diameter_mm · elongation`` the longer axis, ``turn_deg`` from the duct's course.
    """

    place_mm: float
    offset: float
    diameter_mm: float
    elongation: float
    turn_deg: float
    opacity: float
    flat: float
    facets: Array
    floating: bool

    def pose(self, duct: Duct) -> tuple[Array, float]:
        """Centre (2,) in mm of the patient, and heading of the long axis in degrees."""
        s = arc_length(duct.points)
        index = int(np.clip(np.searchsorted(s, self.place_mm), 1, len(s) - 2))
        tangent = duct.points[index + 1] - duct.points[index - 1]
        tangent = tangent / max(float(np.hypot(*tangent)), 1e-9)
        room = max(float(duct.radius[index]) - self.diameter_mm / 2, 0)
        centre = duct.points[index] + self.offset * room * np.array([tangent[1], -tangent[0]])
        return centre, float(np.rad2deg(np.arctan2(tangent[1], -tangent[0]))) + self.turn_deg


def sample_stones(rng: np.random.Generator, spec: StoneSettings, duct: Duct, scope: Scope) -> tuple[Stone, ...]:
    """Draw stones, mostly where the endoscope does not hide them."""
    if not happens(rng, spec.present):
        return ()
    wanted, impacted, packed = int(draw(rng, spec.count)), happens(rng, spec.impacted), happens(rng, spec.packed)
    wanted = max(wanted, int(rng.integers(2, 5))) if packed else wanted
    s = arc_length(duct.points)
    hidden = nearest_mm(duct.points, scope.limbs) < 0.55 * scope.tip_mm + 1.5
    free = ~hidden & (s > 0.04 * s[-1]) & (s < 0.93 * s[-1]) & (2 * duct.radius > LEAST_MM)
    similar, faceted = rng.random() < 0.6, rng.random() < 0.5
    typical = draw(rng, spec.diameter_mm)
    stones: list[Stone] = []
    for _ in range(4 * wanted):
        if len(stones) == wanted or not free.any():
            break
        places = np.flatnonzero(free)
        # Stones gather: a further one mostly lies next to one that is there.
        if stones and (rng.random() < 0.65 or packed):
            away = np.abs(s[places] - stones[-1].place_mm)
            place = int(places[away.argmin()])
        else:
            place = int(places[0]) if impacted and not stones else int(rng.choice(places))
        size = typical * rng.uniform(0.8, 1.2) if similar else draw(rng, spec.diameter_mm)
        room = 2 * float(duct.radius[place])
        fills = rng.uniform(0.92, 1.0) if impacted else rng.uniform(0.85, 0.98) if packed else rng.uniform(0.7, 0.97)
        diameter = float(max(room * fills, LEAST_MM) if packed else np.clip(size, LEAST_MM, room * fills))
        askew_deg = 6 if packed else 25
        count = int(rng.integers(3, 7)) if faceted else int(rng.integers(5, 9))
        turns = np.arange(count) * 360 / count + rng.uniform(-25, 25, count)
        near = (0.72, 0.95) if faceted else (0.9, 1.0)
        stones.append(
            Stone(
                float(s[place]), float(rng.uniform(-1, 1)), diameter, rng.uniform(1.0, 1.5),
                rng.uniform(-askew_deg, askew_deg), draw(rng, spec.opacity), rng.uniform(2.0, 4.5),
                np.stack([turns, rng.uniform(*near, count)], axis=1), floating=not (impacted or packed) and rng.random() < 0.6,
            )
        )  # fmt: skip
        long_mm = diameter * stones[-1].elongation
        apart = long_mm + rng.uniform(0, 0.8) if packed else 0.55 * long_mm + 0.3 * size
        free &= np.abs(s - s[place]) > apart
    return tuple(stones)


def sample_bubbles(rng: np.random.Generator, duct: Duct) -> tuple[Stone, ...]:
    """Air in the duct: small, round, sharp, in a row at the upper wall."""
    s = arc_length(duct.points)
    place = rng.uniform(0.2, 0.85) * s[-1]
    side, found = rng.choice([-1.0, 1.0]), []
    for _ in range(int(rng.integers(1, 6))):
        index = int(np.clip(np.searchsorted(s, place), 0, len(s) - 1))
        diameter = min(rng.uniform(1.4, 4), 1.8 * float(duct.radius[index]))
        found.append(Stone(float(place), side, diameter, 1.0, 0.0, 0.0, 2.0, np.zeros((0, 2)), True))
        place += diameter * rng.uniform(1.0, 1.8)
    return tuple(found)


def displace(
    stone: Stone, pose: tuple[Array, float], scale: float, lumen: Map, mirrored: bool
) -> tuple[tuple[slice, slice], Mask, Map] | None:
    """Take the stone's thickness in px out of ``lumen`` (y, x); gives a window, the stone's mask and what is taken there.

    ``pose`` is the centre in px and the heading in degrees of the picture, ``scale`` px per mm. Fuller than an
    ellipsoid (``flat`` > 2): stones mould to the lumen and show flat in real frames.
    """
    centre, heading = pose
    radius = stone.diameter_mm / 2 * scale
    reach = radius * stone.elongation + 1
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, lumen.shape)
    if (high <= low).any():
        return None
    window = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
    axis = direction(heading)
    y = (np.arange(low[0], high[0]) - centre[0])[:, None]
    x = (np.arange(low[1], high[1]) - centre[1])[None, :]
    u = (y * axis[0] + x * axis[1]) / (radius * stone.elongation)
    v = (-y * axis[1] + x * axis[0]) / radius * (-1 if mirrored else 1)
    rho: NDArray[np.float64] = np.hypot(u, v)
    for facet_deg, far in stone.facets:
        ny, nx = direction(facet_deg)
        rho = np.maximum(rho, (u * ny + v * nx) / far)
    chord_px = 2 * radius * np.maximum(1 - rho**stone.flat, 0) ** (1 / stone.flat)
    there: Map = lumen[window]
    inside = (rho < 1) & (there > 0)
    taken = np.minimum(there, chord_px.astype(np.float32)) * np.float32(1 - stone.opacity)
    there -= taken
    return window, inside, taken
