"""The longest path along a skeleton, and what follows from it: how winding a structure is, and where it has gaps.

Lengths in pixels of the given arrays. A skeleton is read as a graph: pixels that touch are joined, diagonally only where
no right-angled pair of steps joins them (as :func:`ercpseg.geometry.skeleton.length_px` counts).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask

Points = NDArray[np.float64]
SMOOTH_PX = 9
"""Steps over which a path is averaged: its staircase is gone, and a bend of radius r is cut short by 3 / r px."""
MAX_PIECES = 32
"""Pieces of one structure that are looked at, the longest first."""


@dataclass(frozen=True)
class Path:
    """The longest path along one piece of a skeleton: ``label`` of the piece, ``points`` (n, 2) as (y, x) from end to end."""

    label: int
    points: NDArray[np.int64]

    @property
    def ends(self) -> NDArray[np.int64]:
        """First and last point (2, 2)."""
        return self.points[[0, -1]]


def longest_paths(skeleton: Mask, labels: NDArray[np.int32], most: int = MAX_PIECES) -> list[Path]:
    """The longest path of each piece, the longest piece first.

    Parameters
    ----------
    skeleton
        bool (y, x).
    labels
        (y, x): the piece that each pixel belongs to. Pixels of different pieces are never joined.
    most
        pieces that are followed.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    at = np.argwhere(skeleton)
    if not len(at):
        return []
    ends, weights = _edges(skeleton, labels)
    graph = csr_array((weights, (ends[:, 0], ends[:, 1])), shape=(len(at), len(at)))
    count, piece = connected_components(graph, directed=False)
    sizes = np.bincount(piece, minlength=count)
    paths = []
    for number in np.argsort(-sizes, kind="stable")[:most]:
        chosen = _longest(graph, np.flatnonzero(piece == number))
        points = at[chosen]
        paths.append(Path(int(labels[tuple(points[0])]), points))
    return paths


def _edges(skeleton: Mask, labels: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Joined pairs (m, 2) of skeleton pixels, by their number in row-major order, and the length of each step."""
    number = np.full(skeleton.shape, -1, np.int64)
    number[skeleton] = np.arange(np.count_nonzero(skeleton))
    s, below, right = skeleton, slice(1, None), slice(None, -1)
    upper_left, upper_right, lower_left, lower_right = s[:-1, :-1], s[:-1, 1:], s[1:, :-1], s[1:, 1:]
    steps = (
        ((right, slice(None)), (below, slice(None)), s[1:] & s[:-1], 1.0),
        ((slice(None), right), (slice(None), below), s[:, 1:] & s[:, :-1], 1.0),
        ((right, right), (below, below), upper_left & lower_right & ~upper_right & ~lower_left, math.sqrt(2.0)),
        ((right, below), (below, right), upper_right & lower_left & ~upper_left & ~lower_right, math.sqrt(2.0)),
    )
    pairs, lengths = [], []
    for a, b, joined, length in steps:
        same = joined & (labels[a] == labels[b])
        pairs.append(np.stack([number[a][same], number[b][same]], axis=1))
        lengths.append(np.full(len(pairs[-1]), length))
    return np.concatenate(pairs), np.concatenate(lengths)


def _longest(graph: object, members: NDArray[np.int64]) -> list[int]:
    """Node numbers from one end to the other: twice the farthest node, exact where the piece has no loop."""
    from scipy.sparse.csgraph import dijkstra

    if len(members) == 1:
        return [int(members[0])]
    within = graph[members][:, members]  # type: ignore[index]
    first = int(np.argmax(dijkstra(within, directed=False, indices=0)))
    distance, before = dijkstra(within, directed=False, indices=first, return_predecessors=True)
    at = int(np.argmax(distance))
    found = [at]
    while at != first:
        at = int(before[at])
        found.append(at)
    return [int(members[i]) for i in found]


def smooth(points: NDArray[np.int64], steps: int = SMOOTH_PX) -> Points:
    """``points`` (n, 2) averaged along the path, the two ends where they were."""
    from scipy.ndimage import uniform_filter1d

    length = min(steps, len(points) - 1 + len(points) % 2)  # odd, so that nothing is shifted
    line: Points = uniform_filter1d(points.astype(np.float64), max(1, length), axis=0, mode="nearest")
    line[0], line[-1] = points[0], points[-1]
    return line


def line_length(line: Points) -> float:
    """Length of a polyline (n, 2), of which every fourth point is joined: what is left of the staircase does not count."""
    corners = np.concatenate([line[:-1:4], line[-1:]])
    return float(np.hypot(*np.diff(corners, axis=0).T).sum())


def tortuosity(path: Path) -> float | None:
    """Length along the path / distance between its ends; None for a closed or very short one."""
    chord = float(np.hypot(*np.subtract(*path.ends)))
    if len(path.points) < SMOOTH_PX or chord < 2:
        return None
    return max(1.0, line_length(smooth(path.points)) / chord)


def gaps_px(paths: list[Path], labels: NDArray[np.int32], reach_px: float) -> list[float]:
    """Gaps between neighbouring pieces, in background pixels from end to end: the shortest tree that joins all pieces.

    Parameters
    ----------
    paths
        of all pieces, in the coordinates of ``labels``.
    labels
        (y, x): pieces by number.
    reach_px
        how far from the end of its path a piece may end: about its width.
    """
    if len(paths) < 2:
        return []
    ends = np.array([path.ends for path in paths], np.float64)
    between = ends[:, None, :, None] - ends[None, :, None, :]
    distances = np.hypot(between[..., 0], between[..., 1])
    found = []
    for i, j in _shortest_tree(distances.min(axis=(2, 3))):
        a, b = np.unravel_index(int(distances[i, j].argmin()), (2, 2))
        one = _near(labels, paths[i].label, ends[i, a], reach_px)
        other = _near(labels, paths[j].label, ends[j, b], reach_px)
        apart = one[:, None] - other[None]
        found.append(float(np.hypot(apart[..., 0], apart[..., 1]).min()) - 1)
    return found


def _shortest_tree(distances: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Pairs of the minimum spanning tree of a full graph, by Prim's algorithm."""
    inside = np.zeros(len(distances), np.bool_)
    inside[0] = True
    for _ in range(len(distances) - 1):
        i, j = np.unravel_index(
            int(np.where(inside[:, None] & ~inside[None], distances, np.inf).argmin()), distances.shape
        )
        inside[j] = True
        yield int(i), int(j)


def _near(labels: NDArray[np.int32], label: int, end: Points, reach_px: float) -> Points:
    """Pixels (n, 2) of a piece within ``reach_px`` of an end of its path; at least that end."""
    reach = math.ceil(reach_px)
    top, left = (max(0, int(v) - reach) for v in end)
    box = labels[top : int(end[0]) + reach + 1, left : int(end[1]) + reach + 1]
    at = np.argwhere(box == label) + np.array([top, left])
    return at.astype(np.float64) if len(at) else end[None]
