"""Wires in pieces: join what belongs together, and keep what hangs on something (R27, science reference §3).

A wire breaks where it crosses the endoscope, dense contrast or noise. Ends that look at each other over a short gap are
joined along the way of least cost through the probabilities; a wire that stops short of the endoscope is led to it.
Deviations from the reference: pairs are taken nearest first instead of by assignment in rising radii (with few pieces
both choose alike); a bridge may be half as long again as its gap, since bending energies of training wires are not
measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ercpseg.geometry.components import label_components
from ercpseg.geometry.distances import surface_px
from ercpseg.postprocess.ends import End, Point, drawn, find_ends
from ercpseg.postprocess.scene import Levels, Scene, probabilities
from ercpseg.structures import Mask

BASE_COST, LOG_SCALE, LEAST_PROBABILITY = 0.02, 6.9, 1e-3
"""Cost of a pixel: ε + (−log P)/6.9 with P of at least 0.001, so that it runs from ε to about 1."""
HIDDEN_COST = 0.5
"""Factor inside the endoscope: no evidence for what is hidden is no evidence against it."""
MAX_BEND = 1.5
"""Longest bridge as a multiple of the straight distance of its ends."""
TOUCHING_PX = 2.0
"""Masks whose nearest pixels are closer than this touch each other."""
MAX_PAIRS = 200
"""Pairs of ends that are tried at most, the nearest ones: a mask of noise must not cost minutes."""


@dataclass(frozen=True)
class Bridge:
    """A way (n, 2) between two ends, or from an end to the other structure; ``confidence`` is its mean probability."""

    way: Point
    confidence: float


def complete_wire(
    mask: Mask,
    scene: Scene,
    *,
    max_gap_px: float,
    max_angle_deg: float = 60.0,
    min_probability: float = 0.15,
    min_inside_frac: float = 0.6,
) -> Mask:
    """Join the pieces of a wire over gaps of at most ``max_gap_px``, and lead it to the endoscope (``other``).

    A bridge is built where both ends point towards each other within ``max_angle_deg`` and its mean probability is at
    least ``min_probability``, or at least ``min_inside_frac`` of it lie inside the endoscope. It is drawn as wide as the
    wire is. Nothing is ever removed.
    """
    bridges, width = find_bridges(
        mask,
        scene,
        max_gap_px=max_gap_px,
        max_angle_deg=max_angle_deg,
        min_probability=min_probability,
        min_inside_frac=min_inside_frac,
    )
    if not bridges:
        return mask.copy()
    return mask | drawn(np.concatenate([bridge.way for bridge in bridges]), width, mask.shape)


def find_bridges(
    mask: Mask, scene: Scene, *, max_gap_px: float, max_angle_deg: float, min_probability: float, min_inside_frac: float
) -> tuple[list[Bridge], float]:
    """The bridges that :func:`complete_wire` draws, nearest ends first, and the median width of the wire in pixels."""
    if scene.levels is None or not mask.any():
        return [], 0.0
    other = scene.other if scene.other is not None and scene.other.any() else None
    ends, width = find_ends(mask)
    router = _Router(mask, scene.levels, other, max_gap_px, min_probability, min_inside_frac)
    reach = max_gap_px + 2 * width  # from skeleton to skeleton; the router measures what lies between the masks
    cosine = math.cos(math.radians(max_angle_deg))
    group = list(range(1 + max(end.piece for end in ends)))  # pieces that are joined share a number
    used: set[int] = set()
    bridges: list[Bridge] = []
    for i, j in _pairs(ends, reach, width, cosine):
        a, b = ends[i], ends[j]
        if i in used or j in used or group[a.piece] == group[b.piece]:
            continue
        bridge = router.bridge(a.at, b.at)
        if bridge is not None:
            bridges.append(bridge)
            used |= {i, j}
            old, new = group[b.piece], group[a.piece]
            group = [new if number == old else number for number in group]
    if other is not None:
        free = [end for number, end in enumerate(ends) if number not in used]
        attached = _attach(mask, other, free, router, reach, cosine)
        bridges += [] if attached is None else [attached]
    return bridges, width


def keep_attached(mask: Mask, scene: Scene, *, max_gap_px: float) -> Mask:
    """Pieces that a chain of gaps of at most ``max_gap_px`` joins to the endoscope (``other``), else to the frame's border.

    The largest piece always stays: a wire whose endoscope is outside the frame is still a wire.
    """
    from scipy.spatial import cKDTree

    labels, n = label_components(mask)
    if n < 2:
        return mask.copy()
    root = scene.other if scene.other is not None and scene.other.any() else _border(mask.shape)
    kept = np.zeros(n + 1, np.bool_)
    kept[labels[mask & root]] = True
    kept[1 + int(np.argmax(np.bincount(labels.ravel(), minlength=n + 1)[1:]))] = True
    rim = np.argwhere(surface_px(mask))
    of = labels[tuple(rim.T)]
    front = np.concatenate([np.argwhere(surface_px(root)), rim[kept[of]]])
    while len(front) and not kept[of].all():
        left = ~kept[of]
        distance, _ = cKDTree(front).query(rim[left], distance_upper_bound=np.nextafter(max_gap_px, np.inf))
        new = np.zeros(n + 1, np.bool_)
        new[of[left][np.isfinite(distance)]] = True
        kept |= new
        front = rim[new[of]]
    result: Mask = kept[labels]
    return result


def _pairs(ends: list[End], reach: float, width: float, cosine: float) -> Iterator[tuple[int, int]]:
    """Pairs of ends of different pieces that look at each other, nearest first."""
    from scipy.spatial import cKDTree

    if len(ends) < 2:
        return
    points = np.array([end.at for end in ends])
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
    distances = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    found = 0
    for k in np.lexsort((pairs[:, 1], pairs[:, 0], distances)):
        i, j = int(pairs[k, 0]), int(pairs[k, 1])
        if ends[i].piece == ends[j].piece:
            continue
        # Over less than a width and its rounding there is no direction to speak of.
        close = distances[k] <= 2 * width
        if close or (_looks(ends[i], ends[j].at, cosine) and _looks(ends[j], ends[i].at, cosine)):
            yield i, j
            found += 1
            if found == MAX_PAIRS:
                return


def _looks(end: End, at: Point, cosine: float) -> bool:
    """Whether the line leaves its end towards ``at``."""
    way = (at - end.at).astype(np.float64)
    length = float(np.linalg.norm(way))
    return end.direction is not None and length > 0 and float(end.direction @ way) / length >= cosine


def _attach(mask: Mask, other: Mask, ends: list[End], router: _Router, reach: float, cosine: float) -> Bridge | None:
    """The bridge from the nearest free end that looks at the other structure; None where the wire touches it already."""
    from scipy.spatial import cKDTree

    rim = np.argwhere(surface_px(other))
    tree = cKDTree(rim)
    if (mask & other).any() or tree.query(np.argwhere(surface_px(mask)))[0].min() < TOUCHING_PX:
        return None
    distances, nearest = tree.query(np.array([end.at for end in ends]).reshape(-1, 2))
    for k in np.argsort(distances, kind="stable"):
        if distances[k] <= reach and _looks(ends[k], rim[nearest[k]], cosine):
            return router.bridge(ends[k].at, rim[nearest[k]])
    return None


@dataclass(frozen=True)
class _Router:
    """Ways of least cost through the probabilities of one frame, and what a bridge must fulfil."""

    mask: Mask
    levels: Levels
    other: Mask | None
    max_gap_px: float
    min_probability: float
    min_inside_frac: float

    def bridge(self, start: Point, end: Point) -> Bridge | None:
        """The cheapest way from ``start`` to ``end``, or None where nothing speaks for it."""
        from skimage.graph import route_through_array

        straight = float(np.linalg.norm(end - start))
        margin = math.ceil(straight / 2) + 2
        low = np.maximum(np.minimum(start, end) - margin, 0)
        high = np.minimum(np.maximum(start, end) + margin + 1, self.mask.shape)
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        probability = probabilities(self.levels[box])
        inside = np.zeros(probability.shape, np.bool_) if self.other is None else self.other[box]
        cost = BASE_COST - np.log(np.clip(probability, LEAST_PROBABILITY, 1)) / LOG_SCALE
        way, _ = route_through_array(  # type: ignore[no-untyped-call]
            np.where(inside, HIDDEN_COST * cost, cost), tuple(start - low), tuple(end - low), geometric=True
        )
        points = np.array(way, np.int64)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        fresh = ~self.mask[box][tuple(points.T)]
        gap = float(steps[fresh[1:]].sum())  # what lies between the masks
        if gap > self.max_gap_px or float(steps.sum()) > MAX_BEND * straight:
            return None
        if not fresh.any():
            return Bridge(points + low, 1.0)
        confidence = float(probability[tuple(points[fresh].T)].mean())
        hidden = float(inside[tuple(points[fresh].T)].mean())
        if confidence < self.min_probability and hidden < self.min_inside_frac:
            return None
        return Bridge(points + low, confidence)


def _border(shape: tuple[int, ...]) -> Mask:
    border = np.zeros(shape, np.bool_)
    border[[0, -1], :] = True
    border[:, [0, -1]] = True
    return border
