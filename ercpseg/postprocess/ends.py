"""The two ends of every piece of a line, and where each one points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.geometry.skeleton import local_widths_px, skeletonise
from ercpseg.structures import Mask

Point = NDArray[np.int64]

REACH_WIDTHS = 3.0
"""A direction is taken over so many widths of line: shorter, and the thinning's last pixels decide it."""
LEAST_REACH_PX = 5
"""…and over at least so many pixels."""


@dataclass(frozen=True)
class End:
    """An end of a piece: a pixel (y, x) of its skeleton a third of a width before the last one, which thinning may put into
    a corner; the unit vector (y, x) in which the line leaves it; and the number of the piece.

    ``direction`` is None for a piece of one pixel, which points nowhere.
    """  # one sentence

    at: Point
    direction: NDArray[np.float64] | None
    piece: int


def find_ends(mask: Mask) -> tuple[list[End], float]:
    """The ends of the pieces (8-connected components) of ``mask`` (y, x), and the median width of the lines in pixels.

    The ends of a piece are those of the longest way along its skeleton, found by two searches for the farthest pixel;
    so the short spurs of a skeleton are no ends, without any pruning. A closed loop has two ends, too, though nobody
    would join them.
    """
    skeleton = skeletonise(mask)
    if not skeleton.any():
        return [], 0.0
    width = float(np.median(local_widths_px(mask, skeleton)))
    reach = max(LEAST_REACH_PX, round(REACH_WIDTHS * width))
    points = np.argwhere(skeleton)
    graph, pieces = _graph(points)
    order = np.argsort(pieces, kind="stable")
    ends: list[End] = []
    for number, members in enumerate(np.split(order, np.cumsum(np.bincount(pieces))[:-1])):
        way = points[members[_longest_way(graph[members][:, members])]]
        for line in (way, way[::-1]) if len(way) > 1 else (way,):
            inner = line[min(int(width // 3), (len(line) - 1) // 2) :]
            ends.append(End(inner[0], _direction(inner, reach), number))
    return ends, width


def _graph(points: Point) -> tuple[Any, NDArray[np.int32]]:
    """The pixels as a graph of 8-neighbours weighted by distance, and the component of each."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(points).query_pairs(1.5, output_type="ndarray")
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    graph = csr_matrix((lengths, (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    return graph + graph.T, connected_components(graph, directed=False)[1]


def _longest_way(graph: Any) -> list[int]:
    """The pixels from one end to the other of the longest of all shortest ways (exact where there is no loop)."""
    from scipy.sparse.csgraph import dijkstra

    first = int(np.argmax(dijkstra(graph, indices=0)))
    distances, before = dijkstra(graph, indices=first, return_predecessors=True)
    at = int(np.argmax(distances))
    way = [at]
    while at != first:
        at = int(before[at])
        way.append(at)
    return way


def _direction(line: Point, reach: int) -> NDArray[np.float64] | None:
    if len(line) < 2:
        return None
    step = (line[0] - line[min(reach, len(line) - 1)]).astype(np.float64)
    length = float(np.linalg.norm(step))
    return step / length if length else None


def drawn(points: Point, width_px: float, shape: tuple[int, ...]) -> Mask:
    """A mask of ``shape`` (y, x) with a disk ``width_px`` across around each of ``points`` (n, 2).

    What dilation of the points gives, without looking at a whole frame for a few hundred of them.
    """
    radius = (width_px - 1) / 2
    reach = int(max(radius, 0))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.argwhere(y**2 + x**2 <= max(radius, 0) ** 2) - reach
    pixels = (points[:, None, :] + disk).reshape(-1, 2)
    pixels = pixels[((pixels >= 0) & (pixels < shape)).all(axis=1)]
    mask = np.zeros(shape, np.bool_)
    mask[tuple(pixels.T)] = True
    return mask
