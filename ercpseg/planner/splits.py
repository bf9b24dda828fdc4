"""Folds of the cross-validation: patients stay together, structures are spread evenly, the result is repeatable (R30)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.plan import FoldValues
from ercpseg.errors import DataError

FRAME_WISE = "frame-wise"


def make_splits(
    records: Sequence[FrameRecord], values: FoldValues, presence: Mapping[str, Sequence[str]], seed: int
) -> list[dict[str, list[str]]]:
    """Folds as ``[{"train": frames, "val": frames}, …]``; every used frame is in exactly one ``val``.

    Groups (patients, or frames when ``values.method`` is ``frame-wise``) are dealt one by one, those that weigh most
    first, each to the fold that then is least uneven in frames and in frames per structure. With one fold all frames
    are in both lists, because nothing can be held out.

    Parameters
    ----------
    records
        the import report; only ``used`` rows count.
    values
        the plan's section ``folds``.
    presence
        frame → structures that it shows; a frame that is not named shows none.
    seed
        order among equals.

    Raises
    ------
    DataError
        when there are fewer groups than folds, a frame occurs twice, or a patient ends up on both sides.
    """
    used = [record for record in records if record.status == "used"]
    group_of = {r.frame: r.frame if values.method == FRAME_WISE else _group(r) for r in used}
    if len(group_of) != len(used):
        raise DataError("a frame occurs twice among the records", todo="run plan-and-preprocess again")
    frames = sorted(group_of)
    if values.count == 1:
        return [{"train": frames, "val": list(frames)}]
    weights = _weights(group_of, presence)
    if len(weights) < values.count:
        raise DataError(
            f"{len(weights)} group(s) of frames cannot make {values.count} folds",
            where="folds.count",
            expected=f"at most {len(weights)}",
            todo="plan with fewer folds",
        )
    fold_of = _deal(weights, values.count, seed)
    splits = [
        {
            "train": [frame for frame in frames if fold_of[group_of[frame]] != fold],
            "val": [frame for frame in frames if fold_of[group_of[frame]] == fold],
        }
        for fold in range(values.count)
    ]
    check_splits(splits, records, grouped=values.method != FRAME_WISE)
    return splits


def check_splits(
    splits: Sequence[Mapping[str, Sequence[str]]], records: Sequence[FrameRecord], *, grouped: bool
) -> None:
    """Check folds that were made or read.

    Raises
    ------
    DataError
        when a frame is unknown or held out other than once, or (``grouped``) a patient is on both sides of a fold.
        The message names no patient.
    """
    group_of = {r.frame: _group(r) for r in records if r.status == "used"}
    held_out = Counter(frame for split in splits for frame in split["val"])
    if set(held_out) != set(group_of) or any(n != 1 for n in held_out.values()):
        raise DataError("not every frame is held out exactly once", where="folds")
    for number, split in enumerate(splits):
        if set(split["train"]) - set(group_of):
            raise DataError("a frame is not among the used ones", where=f"fold {number}")
        both = {group_of[f] for f in split["train"]} & {group_of[f] for f in split["val"]}
        if grouped and len(splits) > 1 and both:
            raise DataError(
                f"{len(both)} patient(s) are in training and in validation", where=f"fold {number}", expected="none"
            )


def _group(record: FrameRecord) -> str:
    # A frame without a patient is its own group; the zero byte keeps it apart from a patient of that name.
    return record.patient if record.patient is not None else f"\0{record.frame}"


def _weights(group_of: Mapping[str, str], presence: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Per group and property (frames, and each structure) its share of the whole dataset."""
    counts: dict[str, Counter[str]] = {}
    for frame in sorted(group_of):
        counts.setdefault(group_of[frame], Counter()).update(["", *set(presence.get(frame, ()))])
    total: Counter[str] = Counter()
    for count in counts.values():
        total.update(count)
    return {group: {key: n / total[key] for key, n in sorted(c.items())} for group, c in counts.items()}


def _deal(weights: Mapping[str, Mapping[str, float]], folds: int, seed: int) -> dict[str, int]:
    """Group → fold, by the least sum of squares over frames and structures."""
    import numpy as np

    names = sorted(weights)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    order.sort(key=lambda name: -sum(weights[name].values()))  # stable: equals stay in the drawn order
    load: list[dict[str, float]] = [{} for _ in range(folds)]
    fold_of: dict[str, int] = {}
    for position, name in enumerate(order):
        empty = [fold for fold in range(folds) if not load[fold]]
        # No fold may stay empty: the last groups go where nothing is yet.
        choices = empty if len(order) - position <= len(empty) else list(range(folds))
        best = min(choices, key=lambda fold: (_growth(load[fold], weights[name]), fold))
        fold_of[name] = best
        for key, share in weights[name].items():
            load[best][key] = load[best].get(key, 0.0) + share
    return fold_of


def _growth(load: Mapping[str, float], share: Mapping[str, float]) -> float:
    """By how much the sum of squares grows: Σ (a + b)² − a²."""
    return sum(2 * load.get(key, 0.0) * s + s * s for key, s in share.items())
