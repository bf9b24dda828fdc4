"""Which frames to show: the best, the median and the worst of a structure."""

from __future__ import annotations

from collections.abc import Iterable

from ercpseg.documents.scores import METRICS, FrameScore


def best_median_worst(frame_scores: Iterable[FrameScore], structure: str, metric: str = "dice") -> dict[str, str]:
    """Frame names under ``best``, ``median`` and ``worst``, among frames whose reference shows ``structure``.

    A metric that is undefined there (a distance to an empty prediction) counts as worst. Ties go by frame name. Of an
    even number the better middle frame is the median. Fewer than three frames give ``best`` and ``worst``, or ``best``.

    Raises
    ------
    ValueError
        when there is no such metric.
    """
    if metric not in METRICS:
        raise ValueError(f"no metric called {metric!r}; there are {', '.join(METRICS)}")
    smaller_is_better = metric.endswith(("_px", "_mm"))
    ranked: list[tuple[float, str]] = []
    for score in frame_scores:
        if score.structure != structure or score.reference_px == 0:
            continue
        value: float | None = getattr(score, metric)
        badness = float("inf") if value is None else value if smaller_is_better else -value
        ranked.append((badness, score.frame))
    names = [name for _, name in sorted(ranked)]
    if not names:
        return {}
    chosen = {"best": names[0]}
    if len(names) > 2:
        chosen["median"] = names[(len(names) - 1) // 2]
    if len(names) > 1:
        chosen["worst"] = names[-1]
    return chosen
