from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.plan import FoldValues
from ercpseg.errors import DataError
from ercpseg.planner.splits import Splits, check_splits, make_splits

GROUPED = FoldValues(count=5, grouped_by="patient", method="grouped")
PUBLISHED = FoldValues(count=1, grouped_by="patient", method="published")
LOOK = "0123456789abcdef" * 4


def record(patient: int | None, number: int, **fields: Any) -> FrameRecord:
    key = None if patient is None else f"p{patient}"
    return FrameRecord(**{"frame": f"{key}_{number}", "source": "x", "status": "used", "patient": key} | fields)


RECORDS = [record(p, n) for p in range(20) for n in range(1 + p % 4)]
# Stones in every fifth patient only: four patients for five folds.
PRESENCE = {r.frame: ["endoscope", *(["stone"] if int(str(r.patient)[1:]) % 5 == 0 else [])] for r in RECORDS}


def patients(frames: Sequence[str]) -> set[str]:
    return {frame.split("_")[0] for frame in frames}


def test_patients_stay_together_and_every_frame_is_held_out_once() -> None:
    splits = make_splits(RECORDS, GROUPED, PRESENCE, 1)
    assert len(splits.folds) == 5
    assert (splits.test, splits.method, splits.grouped_by, splits.warnings) == ((), "grouped", "patient", ())
    held_out = [frame for fold in splits.folds for frame in fold["val"]]
    assert sorted(held_out) == sorted(r.frame for r in RECORDS)
    for fold in splits.folds:
        assert patients(fold["train"]).isdisjoint(patients(fold["val"]))
        assert len(fold["train"]) + len(fold["val"]) == len(RECORDS)


def test_structures_and_frames_are_spread() -> None:
    folds = make_splits(RECORDS, GROUPED, PRESENCE, 1).folds
    stones = sorted(patients([f for f in fold["val"] if "stone" in PRESENCE[f]]) for fold in folds)
    assert sorted(len(s) for s in stones) == [0, 1, 1, 1, 1]
    sizes = [len(fold["val"]) for fold in folds]
    assert max(sizes) - min(sizes) <= 3


def test_order_of_records_does_not_matter_but_the_seed_does() -> None:
    splits = make_splits(RECORDS, GROUPED, PRESENCE, 1)
    assert make_splits(RECORDS[::-1], GROUPED, dict(reversed(PRESENCE.items())), 1) == splits
    assert any(make_splits(RECORDS, GROUPED, PRESENCE, seed) != splits for seed in range(2, 6))


def test_as_many_folds_as_patients_leave_one_out() -> None:
    values = GROUPED.model_copy(update={"count": 20})
    for fold in make_splits(RECORDS, values, PRESENCE, 1).folds:
        assert len(patients(fold["val"])) == 1


def test_frame_wise_folds_tear_patients_apart() -> None:
    records = [record(p, n) for p in range(2) for n in range(10)]
    values = FoldValues(count=5, grouped_by="frame", method="frame-wise")
    assert [len(fold["val"]) for fold in make_splits(records, values, {}, 1).folds] == [4] * 5


def test_one_fold_holds_nothing_out() -> None:
    values = FoldValues(count=1, grouped_by="frame", method="frame-wise")
    assert make_splits([record(1, 0)], values, {}, 1).folds == ({"train": ["p1_0"], "val": ["p1_0"]},)


def test_frames_without_a_patient_are_their_own_group() -> None:
    splits = make_splits([record(None, n) for n in range(7)], GROUPED, {}, 1)
    assert sum(len(fold["val"]) for fold in splits.folds) == 7
    assert "NO PATIENT" in splits.warnings[0]


def test_refused_frames_are_left_out() -> None:
    refused = FrameRecord(frame="bad", source="x", status="refused", code="unreadable", patient="p0")
    assert make_splits([*RECORDS, refused], GROUPED, PRESENCE, 1) == make_splits(RECORDS, GROUPED, PRESENCE, 1)


def test_too_few_patients() -> None:
    with pytest.raises(DataError, match="cannot make 5 folds"):
        make_splits(RECORDS[:3], GROUPED, PRESENCE, 1)


def test_a_frame_twice() -> None:
    with pytest.raises(DataError, match="twice"):
        make_splits([*RECORDS, RECORDS[0]], GROUPED, PRESENCE, 1)


def test_near_duplicates_of_two_patients_are_in_one_fold() -> None:
    records = [r.model_copy(update={"look": LOOK}) if r.frame in ("p3_0", "p8_0") else r for r in RECORDS]
    assert any("p3_0" in f["val"] and "p8_0" not in f["val"] for f in make_splits(RECORDS, GROUPED, {}, 1).folds)
    splits = make_splits(records, GROUPED, {}, 1)
    (fold,) = [set(fold["val"]) for fold in splits.folds if "p3_0" in fold["val"]]
    assert {"p3_0", "p3_1", "p3_2", "p3_3", "p8_0"} <= fold
    assert "NEAR-DUPLICATES ACROSS PATIENTS" in splits.warnings[0]


# -- spread, against all ways to deal ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "folds", "expected"),
    [
        ([4, 4, 2, 2, 2, 2], 2, [8, 8]),  # 4 + 2 + 2 on each side
        ([6, 1, 1, 1, 1, 1, 1], 2, [6, 6]),  # one patient against all others
        ([9, 3, 3, 3], 2, [9, 9]),
        ([5, 1, 1], 3, [1, 1, 5]),  # no fold stays empty
    ],
)
def test_frames_are_dealt_as_evenly_as_can_be(sizes: list[int], folds: int, expected: list[int]) -> None:
    records = [record(p, n) for p, size in enumerate(sizes) for n in range(size)]
    values = GROUPED.model_copy(update={"count": folds})
    for seed in range(5):
        found = make_splits(records, values, {}, seed).folds
        assert sorted(len(fold["val"]) for fold in found) == expected


def test_a_rare_structure_is_spread_before_frames_are() -> None:
    # 4 stones in patients of 1, 1, 1 and 5 frames, 8 frames in 4 patients without: two stone patients on each side.
    sizes = {0: 1, 1: 1, 2: 1, 3: 5, 4: 2, 5: 2, 6: 2, 7: 2}
    records = [record(p, n) for p, size in sizes.items() for n in range(size)]
    presence = {f"p{p}_0": ["stone"] for p in range(4)}
    values = GROUPED.model_copy(update={"count": 2})
    for seed in range(5):
        folds = make_splits(records, values, presence, seed).folds
        assert [sum(f in presence for f in fold["val"]) for fold in folds] == [2, 2]
        assert sorted(len(fold["val"]) for fold in folds) == [8, 8]


def unevenness(sides: Sequence[Sequence[int]], sizes: Sequence[int], stones: Sequence[int]) -> float:
    """Σ over folds of squared shares of the frames and of the stones: what the dealing makes small."""
    return sum(
        (sum(sizes[p] for p in side) / sum(sizes)) ** 2 + (sum(stones[p] for p in side) / max(1, sum(stones))) ** 2
        for side in sides
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_dealing_is_close_to_the_best_of_all(seed: int) -> None:
    import numpy as np

    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, 8).tolist()
    stones = [int(rng.integers(0, size + 1)) for size in sizes]
    records = [record(p, n) for p, size in enumerate(sizes) for n in range(size)]
    presence = {f"p{p}_{n}": ["stone"] for p, count in enumerate(stones) for n in range(count)}
    folds = make_splits(records, GROUPED.model_copy(update={"count": 3}), presence, seed).folds
    ours = unevenness([[int(p[1:]) for p in patients(fold["val"])] for fold in folds], sizes, stones)
    ways = ([[p for p in range(8) if way[p] == k] for k in range(3)] for way in product(range(3), repeat=8))
    best = min(unevenness(way, sizes, stones) for way in ways if all(way))
    assert best <= ours + 1e-12
    assert ours <= 1.06 * best


# -- parts that come with the data ---------------------------------------------------------------------------------


def published(**parts: range) -> list[FrameRecord]:
    """Two frames of each patient of a part."""
    return [record(p, n, split=part) for part, numbers in parts.items() for p in numbers for n in range(2)]


def test_test_frames_are_in_no_fold() -> None:
    records = [r.model_copy(update={"split": "test"}) if str(r.patient) in ("p3", "p4") else r for r in RECORDS]
    splits = make_splits(records, GROUPED, PRESENCE, 1)
    assert splits.test == ("p3_0", "p3_1", "p3_2", "p3_3", "p4_0")
    seen = {frame for fold in splits.folds for part in fold.values() for frame in part}
    assert seen == {r.frame for r in RECORDS} - set(splits.test)


def test_a_published_validation_part_is_the_only_fold() -> None:
    splits = make_splits(published(train=range(3), val=range(3, 5), test=range(5, 7)), PUBLISHED, {}, 1)
    assert splits.folds == (
        {"train": ["p0_0", "p0_1", "p1_0", "p1_1", "p2_0", "p2_1"], "val": ["p3_0", "p3_1", "p4_0", "p4_1"]},
    )
    assert splits.test == ("p5_0", "p5_1", "p6_0", "p6_1")


def test_a_published_test_without_validation_leaves_the_rest_to_us() -> None:
    splits = make_splits(published(train=range(6), test=range(6, 8)), GROUPED, {}, 1)
    assert [len(fold["val"]) for fold in splits.folds] in ([4, 2, 2, 2, 2], [2, 4, 2, 2, 2])
    assert len(splits.test) == 4


@pytest.mark.parametrize("values", [GROUPED, PUBLISHED])
def test_a_published_split_that_leaves_frames_out_is_refused(values: FoldValues) -> None:
    records = [*published(train=range(6), val=range(6, 8)), record(9, 0)]
    with pytest.raises(DataError, match="1 of 17 frames are in no part"):
        make_splits(records, values, {}, 1)


@pytest.mark.parametrize(
    ("records", "values"),
    [
        (published(train=range(3)), PUBLISHED),
        (published(val=range(3)), PUBLISHED),
        (published(train=range(3), val=range(3, 5)), PUBLISHED.model_copy(update={"count": 2})),
        ([record(p, 0) for p in range(5)], PUBLISHED),
    ],
)
def test_what_is_no_published_split(records: list[FrameRecord], values: FoldValues) -> None:
    with pytest.raises(DataError, match="a published split has"):
        make_splits(records, values, {}, 1)


def test_nothing_left_to_train_on() -> None:
    with pytest.raises(DataError, match="all 4 frames are kept for the test"):
        make_splits(published(test=range(2)), GROUPED, {}, 1)


@pytest.mark.parametrize("first", ["train", "val"])
@pytest.mark.parametrize("second", ["val", "test"])
@pytest.mark.parametrize("kind", ["patient", "study", "series"])
def test_a_patient_study_or_series_in_two_parts_is_refused_and_not_named(first: str, second: str, kind: str) -> None:
    if first == second:
        return
    records = published(train=range(3), val=range(3, 6), test=range(6, 9))
    for part in (first, second):
        i = next(i for i, r in enumerate(records) if r.split == part)
        records[i] = records[i].model_copy(update={kind: "Muster"})
        if kind == "patient":  # the other frame of that patient goes along
            records[i + 1] = records[i + 1].model_copy(update={kind: "Muster"})
    where = "in training or validation and in the test" if second == "test" else "in training and in validation"
    with pytest.raises(DataError, match=f"1 patient.*{where}") as error:
        make_splits(records, PUBLISHED, {}, 1)
    assert "Muster" not in error.value.message
    unknown = [r.model_copy(update={"patient": None, "study": None, "series": None}) for r in records]
    assert (
        make_splits(unknown, PUBLISHED, {}, 1).folds
        == make_splits(published(train=range(3), val=range(3, 6), test=range(6, 9)), PUBLISHED, {}, 1).folds
    )


@pytest.mark.parametrize(("first", "second"), [("train", "val"), ("train", "test"), ("val", "test")])
def test_near_duplicates_in_two_published_parts_are_said_loudly(first: str, second: str) -> None:
    records = published(train=range(3), val=range(3, 6), test=range(6, 9))
    for part in (first, second):
        i = next(i for i, r in enumerate(records) if r.split == part)
        records[i] = records[i].model_copy(update={"look": LOOK})
    splits = make_splits(records, PUBLISHED, {}, 1)
    where = "TRAINING AND IN VALIDATION" if second == "val" else "TRAINING OR VALIDATION AND IN THE TEST"
    (warning,) = [w for w in splits.warnings if w.startswith("NEAR-DUPLICATES IN")]
    assert f"{where}: 1 group(s)" in warning
    assert "TOO GOOD" in warning


def test_a_test_frame_that_looks_like_two_patients_does_not_join_them() -> None:
    near, far = f"{int(LOOK, 16) ^ (2**31 - 1):064x}", f"{int(LOOK, 16) ^ ((2**31 - 1) << 100):064x}"
    records = [
        *(record(p, 0, look=look) for p, look in enumerate([near, far, None])),
        record(9, 0, look=LOOK, split="test"),
    ]
    splits = make_splits(records, GROUPED.model_copy(update={"count": 3}), {}, 1)
    assert sorted(fold["val"] for fold in splits.folds) == [["p0_0"], ["p1_0"], ["p2_0"]]
    assert "IN THE TEST: 1 group(s)" in splits.warnings[-1]


# -- checking splits that were read --------------------------------------------------------------------------------


def two_folds(a: list[str], b: list[str], method: str = "grouped") -> Splits:
    return Splits(({"train": a, "val": b}, {"train": b, "val": a}), (), method, "patient")


def test_a_patient_on_both_sides_is_refused_and_not_named() -> None:
    records = [record(1, 0), record(1, 1)]
    with pytest.raises(
        DataError, match=r"1 patient\(s\), studies or series are in training and in validation"
    ) as error:
        check_splits(two_folds(["p1_0"], ["p1_1"]), records)
    assert "p1" not in error.value.message
    check_splits(two_folds(["p1_0"], ["p1_1"], "frame-wise"), records)


def test_near_duplicates_on_both_sides_of_our_own_fold_are_refused() -> None:
    records = [record(1, 0, look=LOOK), record(2, 0, look=LOOK)]
    with pytest.raises(DataError, match=r"1 group\(s\) of near-duplicates"):
        check_splits(two_folds(["p1_0"], ["p2_0"]), records)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": ({"train": ["p1_0"], "val": ["p2_0"]},)}, "exactly once"),
        ({"folds": ({"train": ["p1_0"], "val": ["p2_0"]},) * 2}, "exactly once"),
        ({"test": ()}, "test frames are not those"),
        ({"test": ("p3_0", "p2_0")}, "test frames are not those"),
        ({"folds": ({"train": ["p1_0"], "val": ["p3_0"]},)}, "not among those to train on"),
        ({"folds": ({"train": ["p1_0"], "val": ["p4_0"]},)}, "not among those to train on"),
        ({"folds": ({"train": ["p1_0", "p2_0"], "val": ["p1_0"]}, {"train": ["p1_0"], "val": ["p2_0"]})}, "and in val"),
        ({"method": "published"}, "not the published split"),
    ],
)
def test_splits_that_do_not_fit_the_records(change: dict[str, Any], message: str) -> None:
    records = [record(1, 0), record(2, 0), record(3, 0, split="test")]
    good = replace(two_folds(["p1_0"], ["p2_0"]), test=("p3_0",))
    assert check_splits(good, records) == good
    with pytest.raises(DataError, match=message):
        check_splits(replace(good, **change), records)


def test_within_one_patient_series_and_near_duplicates_stay_together() -> None:
    """Eight cines under one name: the patient is on both sides, which the rule says, but no cine is."""
    records = [
        FrameRecord(frame=f"c{c}_f{n}", source="x", status="used", patient="ANONYMOUS", study=f"s{c}", series=f"s{c}/1")
        for c in range(8)
        for n in range(5)
    ]
    values = FoldValues(count=4, grouped_by="study", method="within-patient")
    splits = make_splits(records, values, {}, 0)
    assert [len({frame.split("_")[0] for frame in fold["val"]}) for fold in splits.folds] == [2, 2, 2, 2]
    for fold in splits.folds:
        assert not {frame.split("_")[0] for frame in fold["val"]} & {frame.split("_")[0] for frame in fold["train"]}
    torn = replace(splits, folds=(splits.folds[0] | {"train": [*splits.folds[0]["train"], "c0_f0"]}, *splits.folds[1:]))
    if "c0_f0" in torn.folds[0]["val"]:
        with pytest.raises(DataError):
            check_splits(torn, records)


def sequences(*lengths: int, patients: int = 2) -> list[FrameRecord]:
    """Series of these lengths, dealt to patients in turn."""
    return [
        record(number % patients, n, frame=f"s{number}_{n}", series=f"series {number}")
        for number, length in enumerate(lengths)
        for n in range(length)
    ]


def test_leave_one_sequence_out() -> None:
    """Gherardini 2020, Table 4: six sequences, six folds; a patient may be on both sides."""
    records = sequences(6, 3, 4, 4, 3, 5)
    splits = make_splits(records, FoldValues(count=6, grouped_by="series", method="by-series"), {}, 1)
    held = sorted({frame.split("_")[0] for frame in fold["val"]} for fold in splits.folds)
    assert [len(series) for series in held] == [1] * 6
    assert set().union(*held) == {f"s{n}" for n in range(6)}
    assert check_splits(splits, records) == splits
    with pytest.raises(DataError, match=r"6 group\(s\) of frames cannot make 7 folds"):
        make_splits(records, FoldValues(count=7, grouped_by="series", method="by-series"), {}, 1)


def test_half_of_the_sequences_each_way() -> None:
    """S2 and S3: train on some sequences, test on the others, and the other way round."""
    records = sequences(6, 3, 4, 4, 3, 5)
    splits = make_splits(records, FoldValues(count=2, grouped_by="series", method="by-series"), {}, 1)
    first, second = splits.folds
    assert first["train"] == second["val"]
    assert first["val"] == second["train"]
    assert not {frame.split("_")[0] for frame in first["train"]} & {frame.split("_")[0] for frame in first["val"]}
    assert abs(len(first["train"]) - len(first["val"])) <= 3


def test_a_torn_sequence_is_refused() -> None:
    records = sequences(3, 3, patients=1)
    one, other = ["s0_0", "s0_1", "s1_0"], ["s0_2", "s1_1", "s1_2"]
    torn = Splits(({"train": one, "val": other}, {"train": other, "val": one}), (), "by-series", "series")
    with pytest.raises(DataError, match="in training and in validation"):
        check_splits(torn, records)
