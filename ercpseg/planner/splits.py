"""Folds and test frames: patients stay together, structures are spread evenly, the result is repeatable (R30)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.plan import FoldValues
from ercpseg.errors import DataError
from ercpseg.frames.groups import INNER, SERIES, Groups, group_frames

FRAME_WISE, PUBLISHED, WITHIN, BY_SERIES = "frame-wise", "published", "within-patient", "by-series"
LEAKY = (FRAME_WISE, WITHIN, BY_SERIES)
"""Methods that may have a patient on both sides: the scores are too good for a new one."""

Fold = dict[str, list[str]]
"""``{"train": frames, "val": frames}``"""


@dataclass(frozen=True)
class Splits:
    """Folds of the frames that may be trained on, and the frames that are kept for the test; nnU-Net gets the folds."""

    folds: tuple[Fold, ...]
    test: tuple[str, ...]
    method: str
    grouped_by: str
    warnings: tuple[str, ...] = ()


def make_splits(
    records: Sequence[FrameRecord], values: FoldValues, presence: Mapping[str, Sequence[str]], seed: int
) -> Splits:
    """Deal the used frames into folds; those whose ``split`` is ``test`` are in none.

    By ``values.method``: ``grouped`` deals groups (patients, or what else hangs together, see
    :func:`ercpseg.frames.groups.group_frames`) one by one, those that weigh most first, each to the fold that then is
    least uneven in frames and in frames per structure, so that every frame is held out once. ``within-patient`` does the
    same with studies, series and near-duplicates, for data in which only one patient is told apart, and ``by-series`` with
    series, whatever patient they are of: two folds are Gherardini 2020's S2 and S3, as many as series leave one sequence
    out. ``frame-wise`` deals single frames. ``published`` makes one fold of the records whose ``split`` is ``train`` and
    ``val``. With a count of one, other methods hold nothing out: all frames are in both lists.

    Parameters
    ----------
    records
        the whole import report; only ``used`` rows count.
    values
        the plan's section ``folds``.
    presence
        frame → structures that it shows; a frame that is not named shows none.
    seed
        order among equals.

    Raises
    ------
    DataError
        when there are fewer groups than folds, a frame occurs twice, a published split leaves frames out, or a
        patient, study or series is on two sides. No message names one.
    """
    used = [record for record in records if record.status == "used"]
    test = sorted(record.frame for record in used if record.split == "test")
    whole = group_frames(used)
    _check_complete(used)
    ours, groups = _ours(used, whole)
    if values.method == PUBLISHED:
        folds = [_published(ours, values.count)]
    elif values.count == 1:
        folds = [{"train": sorted(groups.of), "val": sorted(groups.of)}]
    else:
        folds = _dealt(_inner(groups, ours, values.method), values, presence, seed)
    splits = Splits(tuple(folds), tuple(test), values.method, values.grouped_by, groups.warnings)
    return _checked(splits, used, whole)


def check_splits(splits: Splits, records: Sequence[FrameRecord]) -> Splits:
    """Check splits that were made or read; returns them with warnings of near-duplicates that could not be kept together.

    Nothing that a patient, study or series joins may be in two of training, validation and test. Near-duplicates in two
    parts of a published split are warned of, because the split is what figures are compared on.

    Raises
    ------
    DataError
        when a frame is unknown, held out other than once or not in its part, or a group is on two sides. The message
        names no patient.
    """
    used = [record for record in records if record.status == "used"]
    return _checked(splits, used, group_frames(used))


def _checked(splits: Splits, used: Sequence[FrameRecord], whole: Groups) -> Splits:
    _check_frames(splits, used)
    ours, groups = _ours(used, whole)
    known = group_frames(used, by_looks=False)
    if splits.method in (WITHIN, BY_SERIES):  # the patient is on both sides, and it was said
        inner = group_frames(ours, kinds=INNER) if splits.method == WITHIN else _by_series(ours)
        for number, fold in enumerate(splits.folds if len(splits.folds) > 1 else ()):
            both = _on_both(inner, fold["train"], fold["val"])
            _refuse(
                both, "in training and in validation", f"fold {number}", "studies, series or groups of near-duplicates"
            )
    frames = [record.frame for record in ours]
    _refuse(_on_both(known, frames, splits.test), "in training or validation and in the test", "test")
    leaks = {"TRAINING OR VALIDATION AND IN THE TEST": _on_both(whole, frames, splits.test)}
    published = splits.method == PUBLISHED
    if published or (splits.method not in LEAKY and len(splits.folds) > 1):  # else nothing is meant to be apart
        for number, fold in enumerate(splits.folds):
            _refuse(_on_both(known, fold["train"], fold["val"]), "in training and in validation", f"fold {number}")
            alike = _on_both(groups, fold["train"], fold["val"])
            if published:
                leaks["TRAINING AND IN VALIDATION"] = alike
            else:
                _refuse(alike, "in training and in validation", f"fold {number}", "group(s) of near-duplicates")
    warnings = [
        f"NEAR-DUPLICATES IN {sides}: {both} group(s) of frames that look almost the same are on both sides of the split "
        "that came with the data; scores will be TOO GOOD (R30)."
        for sides, both in leaks.items()
        if both
    ]
    return replace(splits, warnings=tuple(dict.fromkeys([*splits.warnings, *warnings])))


def _refuse(both: int, sides: str, where: str, what: str = "patient(s), studies or series") -> None:
    if both:
        raise DataError(
            f"{both} {what} are {sides}",
            where=where,
            expected="none",
            todo="correct the split, or say in a descriptor that patients are unknown",
        )


def _ours(used: Sequence[FrameRecord], whole: Groups) -> tuple[list[FrameRecord], Groups]:
    """The frames that may be trained on, and their groups: test frames join nothing here."""
    ours = [record for record in used if record.split != "test"]
    if not ours:
        raise DataError(f"all {len(used)} frames are kept for the test", expected="frames to train on")
    return ours, whole if len(ours) == len(used) else group_frames(ours)


def _inner(groups: Groups, ours: Sequence[FrameRecord], method: str) -> Groups:
    """What a method keeps together: series, groups within the one patient there is, or else groups of patients."""
    if method == BY_SERIES:
        return _by_series(ours)
    if method != WITHIN:
        return groups
    return group_frames(ours, kinds=INNER) if groups.count == 1 else groups


def _by_series(ours: Sequence[FrameRecord]) -> Groups:
    """Series as they are, alike or not: the protocol of a paper leaves out one sequence, and the plan tells how it leaks."""
    return group_frames(ours, kinds=SERIES, by_looks=False)


def _check_complete(used: Sequence[FrameRecord]) -> None:
    """Refuse a published split that leaves frames out: nobody knows on which side they are."""
    parts = Counter(record.split for record in used)
    if parts["train"] + parts["val"] and parts[None]:
        raise DataError(
            f"{parts[None]} of {len(used)} frames are in no part of the published split",
            expected="train, val or test for every frame",
            todo="name them in the descriptor's table, or leave the split out",
        )


def _published(ours: Sequence[FrameRecord], count: int) -> Fold:
    fold = {part: sorted(r.frame for r in ours if r.split == part) for part in ("train", "val")}
    if count != 1 or not all(fold.values()):
        raise DataError(
            f"a published split has {len(fold['train'])} frames to train on and {len(fold['val'])} for validation",
            where="folds",
            expected="some of both, and one fold",
        )
    return fold


def _dealt(groups: Groups, values: FoldValues, presence: Mapping[str, Sequence[str]], seed: int) -> list[Fold]:
    frames = sorted(groups.of)
    # Numbers follow the order of names, so neither the order of the records nor the keys themselves matter.
    of = {f: i for i, f in enumerate(frames)} if values.method == FRAME_WISE else groups.of
    weights = _weights(of, presence)
    if len(weights) < values.count:
        raise DataError(
            f"{len(weights)} group(s) of frames cannot make {values.count} folds",
            where="folds.count",
            expected=f"at most {len(weights)}",
            todo="plan with fewer folds",
        )
    fold_of = _deal(weights, values.count, seed)
    return [
        {
            "train": [frame for frame in frames if fold_of[of[frame]] != number],
            "val": [frame for frame in frames if fold_of[of[frame]] == number],
        }
        for number in range(values.count)
    ]


def _check_frames(splits: Splits, used: Sequence[FrameRecord]) -> None:
    ours = {record.frame for record in used if record.split != "test"}
    if set(splits.test) != {record.frame for record in used if record.split == "test"}:
        raise DataError("the test frames are not those of the import", where="test")
    for number, fold in enumerate(splits.folds):
        if not set(fold["train"]) | set(fold["val"]) <= ours:
            raise DataError("a frame is not among those to train on", where=f"fold {number}")
        if set(fold["train"]) & set(fold["val"]) and len(splits.folds) > 1:
            raise DataError("a frame is in training and in validation", where=f"fold {number}")
    if splits.method == PUBLISHED:
        parts = [{part: sorted(r.frame for r in used if r.split == part) for part in ("train", "val")}]
        if [{part: sorted(fold[part]) for part in fold} for fold in splits.folds] != parts:
            raise DataError("the fold is not the published split", where="fold 0")
        return
    held_out = Counter(frame for fold in splits.folds for frame in fold["val"])
    if set(held_out) != ours or any(n != 1 for n in held_out.values()):
        raise DataError("not every frame is held out exactly once", where="folds")


def _on_both(groups: Groups, first: Sequence[str], second: Sequence[str]) -> int:
    return len({groups.of[frame] for frame in first} & {groups.of[frame] for frame in second})


def _weights(of: Mapping[str, int], presence: Mapping[str, Sequence[str]]) -> dict[int, dict[str, float]]:
    """Per group and property (frames, and each structure) its share of the whole dataset."""
    counts: dict[int, Counter[str]] = {}
    for frame in sorted(of):
        counts.setdefault(of[frame], Counter()).update(["", *set(presence.get(frame, ()))])
    total: Counter[str] = Counter()
    for count in counts.values():
        total.update(count)
    return {group: {key: n / total[key] for key, n in sorted(c.items())} for group, c in counts.items()}


def _deal(weights: Mapping[int, Mapping[str, float]], folds: int, seed: int) -> dict[int, int]:
    """Group → fold, by the least sum of squares over frames and structures."""
    import numpy as np

    names = sorted(weights)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    order.sort(key=lambda name: -sum(weights[name].values()))  # stable: equals stay in the drawn order
    load: list[dict[str, float]] = [{} for _ in range(folds)]
    fold_of: dict[int, int] = {}
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
