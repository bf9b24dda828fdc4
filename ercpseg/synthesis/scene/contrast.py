"""Contrast: which part of the tree is filled at a moment, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Array, Map, arc_length, course, direction
from ercpseg.synthesis.fields import smooth_noise
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.patients import DuctSettings
from ercpseg.synthesis.raster import near, spaced, thick_balls
from ercpseg.synthesis.scene.canvas import Canvas
from ercpseg.synthesis.scene.ducts import Duct, Tree
from ercpseg.synthesis.scene.stones import Stone, displace
from ercpseg.synthesis.scene.view import View

LEAST_PX = 4
"""A stone of fewer pixels is not called one."""
NOISE_MM = 9.0
"""Grain of streaming contrast."""


@dataclass(frozen=True)
class Filling:
    """What contrast fills, ``first_mm`` to ``last_mm`` of the common duct; iodine in mg/ml; ``fade_mm`` at open ends.

    ``levels`` is how many generations of branches are filled, ``branch_iodine`` how much more concentrated they are.
    ``gap`` is where along the common duct its column is parted, over which length in mm, and what share is left there.
    """

    present: bool
    first_mm: float
    last_mm: float
    fade_mm: float
    levels: int
    iodine: float
    branch_iodine: float
    streaming: float
    gallbladder: float
    cystic: float
    pancreatic: float
    duodenum: float
    seed: int
    gap: tuple[float, float, float] | None = None

    @classmethod
    def sample(cls, rng: np.random.Generator, spec: DuctSettings, length_mm: float, widest_mm: float) -> Self:
        """Draw a filling of a common duct of ``length_mm`` whose lumen is ``widest_mm`` wide."""
        present = happens(rng, spec.present)
        first, last = 0.0, length_mm
        partial = happens(rng, spec.partial)
        kind = rng.random()
        if partial and kind < 0.45:
            last *= rng.uniform(0.35, 0.95)
        elif partial:
            first = length_mm * rng.uniform(0.1, 0.45)
        levels = int(rng.integers(1, 8)) if happens(rng, spec.intrahepatic) and last == length_mm else 0
        # Wide ducts hold thinner contrast: what an endoscopist aims at is its darkness.
        iodine = draw(rng, spec.iodine_mg_per_ml) * float(np.clip(9 / widest_mm, 0.5, 1.6))
        # Drawn in every case: whether the gallbladder is filled changes no other number.
        others = [rng.uniform(0.25, 1.0) * happens(rng, p) for p in (spec.gallbladder, spec.cystic_duct)]
        more = [rng.uniform(0.2, 0.8) * happens(rng, p) for p in (spec.pancreatic_duct, spec.duodenum)]
        return cls(
            present, first, last, rng.uniform(1, 8), levels, iodine, draw(rng, spec.branch_iodine), draw(rng, spec.streaming),
            gallbladder=others[0], cystic=max(others), pancreatic=more[0], duodenum=more[1],
            seed=int(rng.integers(2**31)), gap=_gap(rng, spec, first, last),
        )  # fmt: skip

    def grown(self, share: float, length_mm: float) -> Filling:
        """The filling while contrast still runs in, ``share`` of the way; branches fill last."""
        if share >= 1:
            return self
        last = max(self.first_mm + 2.0, self.first_mm + share * (self.last_mm - self.first_mm))
        return replace(self, last_mm=min(last, length_mm), levels=0)


def _gap(rng: np.random.Generator, spec: DuctSettings, first: float, last: float) -> tuple[float, float, float] | None:
    """Where a column from ``first`` to ``last`` mm is parted, its length and the share that is left; mostly nowhere."""
    drawn = (first + rng.uniform(0.2, 0.8) * (last - first), draw(rng, spec.gap_mm), rng.uniform(0.05, 0.6))
    return drawn if happens(rng, spec.gap) else None


@dataclass(frozen=True)
class Defect:
    """A stone as drawn: its number among the patient's, its centre (y, x) in px, its mask and what it displaces (y, x).

    What is displaced is iodine in mm·mg/ml, of contrast that does not stream.
    """

    number: int
    stone: Stone
    centre: Array
    mask: Mask
    displaced: Map


@dataclass(frozen=True)
class Column:
    """What was drawn: the common duct's mask with its stones inside, each stone, and the ducts' iodine (mm·mg/ml)."""

    mask: Mask
    stones: tuple[Defect, ...]
    iodine: Map


def draw_contrast(
    canvas: Canvas, tree: Tree, filling: Filling, stones: tuple[Stone, ...], bubbles: tuple[Stone, ...], z_mm: float
) -> Column:
    """Add iodine to ``canvas`` and give the truth of the common duct."""
    shape, scale = canvas.view.shape, canvas.view.scale(z_mm)
    mask, rng = np.zeros(shape, np.bool_), np.random.Generator(np.random.PCG64(filling.seed))
    lumen = np.zeros(shape, np.float32)
    if not filling.present:
        return Column(mask, (), lumen)
    amount = np.float32(filling.iodine / scale)
    cbd = tree.ducts[0]
    thick_balls(*_placed(canvas, cbd, z_mm, filling), lumen)
    fade, left = _thinned(canvas, cbd, filling, z_mm)
    mask |= (lumen > 0.15) & (fade > 0.35)
    column, others = lumen * left, np.zeros(shape, np.float32)
    balls = [_placed(canvas, duct, z_mm) for duct in _filled_branches(tree, filling.levels)]
    if balls:
        centres, radii = (np.concatenate([ball[part] for ball in balls]) for part in (0, 1))
        thick_balls(centres, radii, others)
        others *= np.float32(filling.branch_iodine)
    if filling.cystic:
        thick_balls(*_placed(canvas, tree.cystic, z_mm), others)
    np.maximum(lumen, others, out=lumen)
    # Stones take the place of thick and thin contrast alike: of lengths first, and what is left there thins the rest.
    share = np.divide(np.maximum(column, others), lumen, out=np.ones_like(lumen), where=lumen > 0)
    drawn = _stones(canvas, cbd, stones, z_mm, lumen)
    _stones(canvas, cbd, bubbles, z_mm, lumen)
    lumen *= share
    streams = 1 + filling.streaming * _grain(rng, canvas)
    iodine = lumen * amount * np.maximum(streams, np.float32(0.15))
    canvas.iodine[...] += iodine
    if filling.gallbladder:
        _draw_gallbladder(canvas, rng, tree, filling, z_mm)
    if filling.pancreatic:
        other = np.zeros(shape, np.float32)
        thick_balls(*_placed(canvas, tree.pancreatic, z_mm), other)
        canvas.iodine[...] += other * np.float32(filling.iodine * filling.pancreatic / scale)
    if filling.duodenum:
        _draw_duodenum(canvas, rng, tree.ducts[0].points[0], filling, z_mm)
    shown = (replace(d, mask=d.mask & mask, displaced=d.displaced * share * amount) for d in drawn)
    return Column(mask, tuple(d for d in shown if d.mask.sum() >= LEAST_PX), iodine)


def _placed(canvas: Canvas, duct: Duct, z_mm: float, filling: Filling | None = None) -> tuple[Array, Array]:
    """Centres and radii in px of balls that make a duct, within its filled part."""
    points, radius = duct.points, duct.radius
    if filling is not None:
        s = arc_length(points)
        keep = (s >= filling.first_mm) & (s <= filling.last_mm)
        keep = keep if keep.sum() > 1 else np.ones_like(keep)
        points, radius = points[keep], radius[keep]
    return spaced(canvas.view.pixels(points, z_mm), radius * canvas.view.scale(z_mm))


def _thinned(canvas: Canvas, cbd: Duct, filling: Filling, z_mm: float) -> tuple[Map, Map]:
    """What is left of the common duct's contrast at the open ends of its column, and there and in its gap; 0 far from it.

    A gap is no end: whoever outlines the duct goes on across it.
    """
    flat, along = along_mm(canvas.view, cbd, z_mm)
    fade = np.ones_like(along)
    if filling.first_mm > 0:
        fade = fade * np.clip((along - filling.first_mm) / filling.fade_mm + 1, 0, 1)
    if filling.last_mm < cbd.length_mm:
        fade = fade * np.clip((filling.last_mm - along) / filling.fade_mm + 1, 0, 1)
    left = fade
    if filling.gap is not None:
        middle, long, amount = filling.gap
        # Steeper than a bell and softer than a box, as contrast parts.
        left = fade * (1 - (1 - amount) / (1 + (np.abs(along - middle) / (long / 2)) ** 6))
    result = np.zeros((2, *canvas.view.shape), np.float32)
    result.reshape(2, -1)[:, flat] = fade, left
    return result[0], result[1]


def along_mm(view: View, duct: Duct, z_mm: float) -> tuple[NDArray[np.intp], Map]:
    """Flat indices (m,) of the pixels near a duct, and how far along its course (m,) in mm each lies.

    Arc lengths in px are looked up, not scaled: pixels need not be square.
    """
    points = view.pixels(duct.points, z_mm)
    seen = near(points, (float(duct.radius.max()) + 1) * view.scale(z_mm), view.shape)
    return seen.flat, np.asarray(np.interp(seen.along, arc_length(points), arc_length(duct.points)), np.float32)


def _filled_branches(tree: Tree, levels: int) -> list[Duct]:
    """Branches of the first ``levels`` generations."""
    depth = {0: 0}
    found = []
    for index, duct in enumerate(tree.ducts[1:], 1):
        depth[index] = depth[duct.parent or 0] + 1
        if depth[index] <= levels:
            found.append(duct)
    return found


def _grain(rng: np.random.Generator, canvas: Canvas, grain_mm: float = NOISE_MM) -> Map:
    """Smooth noise of unit variance over the picture."""
    knots = max(3, round(canvas.view.shape[0] * canvas.view.mm_per_px[0] / grain_mm))
    return smooth_noise(rng, canvas.view.shape, knots, canvas.view.shape[1] / canvas.view.shape[0])


def _stones(canvas: Canvas, cbd: Duct, defects: tuple[Stone, ...], z_mm: float, lumen: Map) -> list[Defect]:
    """Displace contrast by stones and bubbles; what they displace is in px here."""
    drawn = []
    for number, stone in enumerate(defects):
        centre, heading = stone.pose(cbd)
        place = canvas.view.pixels(centre[None], z_mm)[0]
        forward = canvas.view.turned(direction(heading)[None])[0]
        turned = float(np.rad2deg(np.arctan2(forward[1], -forward[0])))
        made = displace(stone, (place, turned), canvas.view.scale(z_mm), lumen, canvas.view.mirrored)
        if made is not None:
            whole, taken = np.zeros(canvas.view.shape, np.bool_), np.zeros(canvas.view.shape, np.float32)
            whole[made[0]], taken[made[0]] = made[1], made[2]
            drawn.append(Defect(number, stone, place, whole, taken))
    return drawn


def _draw_gallbladder(canvas: Canvas, rng: np.random.Generator, tree: Tree, filling: Filling, z_mm: float) -> None:
    """A pear with a level of contrast, sometimes with stones; none of it is labelled."""
    centre, half, heading = tree.gallbladder
    scale = canvas.view.scale(z_mm)
    axis = half[0] * direction(heading)
    points = centre + np.linspace(-0.75, 0.75, 60)[:, None] * axis
    radius = half[1] * (0.45 + 0.55 * np.sin(np.pi * np.linspace(0.12, 0.95, 60)) ** 0.8)
    lumen = np.zeros(canvas.view.shape, np.float32)
    thick_balls(canvas.view.pixels(points, z_mm), radius * scale, lumen)
    duct = Duct(points, radius)
    for _ in range(int(rng.integers(2, 9)) if rng.random() < 0.3 else 0):
        place = rng.uniform(0.1, 0.9) * duct.length_mm
        facets = np.zeros((0, 2))
        stone = Stone(place, rng.uniform(-1, 1), rng.uniform(3, 11), rng.uniform(1, 1.3), 0, 0.0, 3.0, facets, True)
        _stones(canvas, duct, (stone,), z_mm, lumen)
    level = 1 + 0.5 * filling.streaming * _grain(rng, canvas, 25)
    amount = filling.iodine * filling.gallbladder * 0.45 / scale
    canvas.iodine[...] += lumen * np.float32(amount) * np.maximum(level, np.float32(0.1))


def _draw_duodenum(canvas: Canvas, rng: np.random.Generator, papilla: Array, filling: Filling, z_mm: float) -> None:
    """Spilt contrast along the duodenum, with its folds."""
    start = papilla + np.array([rng.uniform(-18, 10), rng.uniform(-12, 12)])
    count = int(rng.integers(24, 70))
    headings = rng.uniform(130, 230) + np.cumsum(rng.uniform(-7, 7, count))
    points = course(start, headings, 1.0)
    scale = canvas.view.scale(z_mm)
    half = rng.uniform(5, 12)
    seen = near(canvas.view.pixels(points, z_mm), half * scale, canvas.view.shape)
    along, across = seen.along / scale, seen.across / (half * scale)
    grain = _grain(rng, canvas, 6).reshape(-1)[seen.flat]
    pitch = rng.uniform(2.2, 4)
    folds = np.cos(2 * np.pi * along / pitch + 1.5 * grain) * np.clip(np.abs(across) * 1.6, 0, 1)
    soft = np.sqrt(np.maximum(1 - across**2, 0)) * np.clip(1 - seen.beyond / (3 * scale), 0, 1)
    amount = filling.iodine * filling.duodenum * rng.uniform(1.0, 4.0)
    spilt = np.clip(0.25 + 0.45 * folds + 0.7 * grain, 0, 1.6) * soft * amount
    canvas.iodine.reshape(-1)[seen.flat] += spilt.astype(np.float32)
