"""Whatever is known of the frames: what hangs together is on one side, and the order of the records means nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.plan import FoldValues
from ercpseg.frames.groups import INNER, group_frames
from ercpseg.frames.likeness import ALIKE_BITS, distance
from ercpseg.planner.hold_out import apply_hold_out
from ercpseg.planner.splits import Splits, check_splits, make_splits

CODES = [int.from_bytes(np.random.default_rng(n).bytes(32), "big") for n in range(12)]
keys = st.none() | st.sampled_from("ABCDEF")
looks = st.none() | st.builds(
    lambda code, shift: f"{CODES[code] ^ (((1 << 20) - 1) << shift):064x}", st.integers(0, 11), st.sampled_from([0, 50])
)
facts = st.fixed_dictionaries(
    {
        "patient": keys,
        "study": keys,
        "series": keys,
        "look": looks,
        "date": st.dates().map(str),
        "status": st.sampled_from(["used"] * 9 + ["refused"]),
    }
)
many = st.lists(facts, min_size=1, max_size=30)
METHODS = ("grouped", "within-patient", "by-series", "frame-wise")


def records_of(drawn: list[dict[str, Any]]) -> list[FrameRecord]:
    return [FrameRecord(frame=f"f{n:02d}", source="x", **fields) for n, fields in enumerate(drawn)]


ALL = ("patient", "study", "series")


def hang_together(a: FrameRecord, b: FrameRecord, by_looks: bool = True, kinds: Any = ALL) -> bool:
    """Whether two frames may not be on two sides, pair by pair."""
    known = any(getattr(a, kind) and getattr(a, kind) == getattr(b, kind) for kind in kinds)
    return known or bool(by_looks and a.look and b.look and distance(a.look, b.look) <= ALIKE_BITS)


def on_both(records: list[FrameRecord], first: Any, second: Any, by_looks: bool = True, kinds: Any = ALL) -> bool:
    frames = {r.frame: r for r in records}
    return any(hang_together(frames[a], frames[b], by_looks, kinds) for a in first for b in second)


@settings(max_examples=150, deadline=None)
@given(many)
def test_groups_are_the_parts_of_the_graph_of_pairs(drawn: Any) -> None:
    records = records_of(drawn)
    used = [r for r in records if r.status == "used"]
    part = {r.frame: r.frame for r in used}
    for a in used:
        for b in used:
            if hang_together(a, b) and part[a.frame] != part[b.frame]:
                old, new = part[a.frame], part[b.frame]
                part = {frame: new if p == old else p for frame, p in part.items()}
    of = group_frames(records).of
    assert set(of) == set(part)
    assert len(set(of.values())) == len(set(part.values())) == len({(of[f], part[f]) for f in part})
    assert sorted(set(of.values())) == list(range(len(set(of.values()))))


@settings(max_examples=150, deadline=None)
@given(many, st.integers(2, 6), st.integers(0, 99), st.sampled_from(METHODS), st.randoms(use_true_random=False))
def test_folds_hold_every_frame_out_once_and_tear_nothing_apart(
    drawn: Any, count: int, seed: int, method: str, random: Any
) -> None:
    records = records_of(drawn)
    groups = group_frames(records)
    inner = group_frames(records, kinds=INNER).count
    series = group_frames(records, kinds=("series",), by_looks=False).count
    most = inner if method == "within-patient" and groups.count == 1 else groups.count
    count = min(count, series if method == "by-series" else most)
    if not count:
        return
    presence = {r.frame: random.sample(["aa", "bb"], random.randint(0, 2)) for r in records}
    values = FoldValues(count=count, grouped_by="patient", method=method)
    splits = make_splits(records, values, presence, seed)
    assert make_splits(random.sample(records, len(records)), values, presence, seed) == splits
    held_out = Counter(frame for fold in splits.folds for frame in fold["val"])
    assert held_out == dict.fromkeys(groups.of, 1)
    assert check_splits(splits, records) == splits
    for fold in splits.folds:
        if count > 1:
            assert fold["train"] and fold["val"]
            assert sorted(fold["train"] + fold["val"]) == sorted(groups.of)
            within = method == "within-patient" and groups.count == 1
            kinds = ("study", "series") if within else ("patient", "study", "series")
            kinds = ("series",) if method == "by-series" else kinds
            looks = method != "by-series"  # a paper's protocol: sequences as they are
            sides = fold["train"], fold["val"]
            assert method == "frame-wise" or not on_both(records, *sides, kinds=kinds, by_looks=looks)


@settings(max_examples=150, deadline=None)
@given(many, st.dates().map(str), st.integers(1, 4), st.sampled_from(METHODS))
def test_nobody_is_in_the_test_and_in_anything_else(drawn: Any, day: str, count: int, method: str) -> None:
    records = records_of(drawn)
    last: dict[int, str] = {}
    of = group_frames(records).of
    for r in records:
        if r.frame in of:
            last[of[r.frame]] = max(last.get(of[r.frame], ""), str(r.date))
    tested = {group for group, date in last.items() if date >= day}
    if not 0 < len(tested) < len(last):
        return
    held = apply_hold_out(records, day)
    assert {r.frame for r in held if r.split == "test"} == {frame for frame, group in of.items() if group in tested}
    values = FoldValues(count=min(count, len(last) - len(tested)), grouped_by="patient", method=method)
    splits = make_splits(held, values, {}, 0)
    for fold in splits.folds:
        assert not on_both(held, splits.test, fold["train"] + fold["val"])
        assert max(str(r.date) for r in held if r.frame in fold["train"] + fold["val"]) < day


@settings(max_examples=150, deadline=None)
@given(many, st.lists(st.sampled_from(["train", "val", "test"]), min_size=30, max_size=30))
def test_a_published_split_is_taken_as_it_is_or_refused(drawn: Any, parts: list[Any]) -> None:
    records = [r.model_copy(update={"split": part}) for r, part in zip(records_of(drawn), parts, strict=False)]
    frames = {part: [r.frame for r in records if r.split == part and r.status == "used"] for part in parts}
    train, val, test = (frames.get(part, []) for part in ("train", "val", "test"))
    values = FoldValues(count=1, grouped_by="patient", method="published")
    made: Splits | None = None
    try:
        made = make_splits(records, values, {}, 0)
    except Exception as error:
        assert type(error).__name__ == "DataError"
    sides = ((train, val), (train, test), (val, test))
    leak = any(on_both(records, a, b, by_looks=False) for a, b in sides)
    assert (made is None) == (leak or not train or not val)
    event(f"{'refused' if made is None else 'taken'}")
    if made is not None:
        assert made.folds == ({"train": train, "val": val},)
        assert made.test == tuple(test)
        alike = any(on_both(records, a, b) for a, b in sides)
        assert alike == any(w.startswith("NEAR-DUPLICATES IN") for w in made.warnings)
