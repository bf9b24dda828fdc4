from __future__ import annotations

import pytest

from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.plan import FoldValues
from ercpseg.errors import DataError
from ercpseg.planner.splits import check_splits, make_splits

GROUPED = FoldValues(count=5, grouped_by="patient", method="grouped")


def record(patient: int | None, number: int) -> FrameRecord:
    key = None if patient is None else f"p{patient}"
    return FrameRecord(frame=f"{key}_{number}", source="x", status="used", patient=key)


RECORDS = [record(p, n) for p in range(20) for n in range(1 + p % 4)]
# Stones in every fifth patient only: four patients for five folds.
PRESENCE = {r.frame: ["endoscope", *(["stone"] if int(str(r.patient)[1:]) % 5 == 0 else [])] for r in RECORDS}


def test_patients_stay_together_and_every_frame_is_held_out_once() -> None:
    splits = make_splits(RECORDS, GROUPED, PRESENCE, 1)
    assert len(splits) == 5
    held_out = [frame for split in splits for frame in split["val"]]
    assert sorted(held_out) == sorted(r.frame for r in RECORDS)
    for split in splits:
        assert {f.split("_")[0] for f in split["train"]}.isdisjoint(f.split("_")[0] for f in split["val"])
        assert len(split["train"]) + len(split["val"]) == len(RECORDS)


def test_structures_and_frames_are_spread() -> None:
    splits = make_splits(RECORDS, GROUPED, PRESENCE, 1)
    stones = sorted({f.split("_")[0] for f in split["val"] if "stone" in PRESENCE[f]} for split in splits)
    assert sorted(len(s) for s in stones) == [0, 1, 1, 1, 1]
    sizes = [len(split["val"]) for split in splits]
    assert max(sizes) - min(sizes) <= 3


def test_order_of_records_does_not_matter_but_the_seed_does() -> None:
    splits = make_splits(RECORDS, GROUPED, PRESENCE, 1)
    assert make_splits(RECORDS[::-1], GROUPED, dict(reversed(PRESENCE.items())), 1) == splits
    assert any(make_splits(RECORDS, GROUPED, PRESENCE, seed) != splits for seed in range(2, 6))


def test_as_many_folds_as_patients_leave_one_out() -> None:
    values = GROUPED.model_copy(update={"count": 20})
    for split in make_splits(RECORDS, values, PRESENCE, 1):
        assert len({f.split("_")[0] for f in split["val"]}) == 1


def test_frame_wise_folds_tear_patients_apart() -> None:
    records = [record(p, n) for p in range(2) for n in range(10)]
    values = FoldValues(count=5, grouped_by="frame", method="frame-wise")
    assert [len(split["val"]) for split in make_splits(records, values, {}, 1)] == [4] * 5


def test_one_fold_holds_nothing_out() -> None:
    values = FoldValues(count=1, grouped_by="frame", method="frame-wise")
    assert make_splits([record(1, 0)], values, {}, 1) == [{"train": ["p1_0"], "val": ["p1_0"]}]


def test_frames_without_a_patient_are_their_own_group() -> None:
    records = [record(None, n) for n in range(7)]
    assert sum(len(split["val"]) for split in make_splits(records, GROUPED, {}, 1)) == 7


def test_refused_frames_are_left_out() -> None:
    refused = FrameRecord(frame="bad", source="x", status="refused", code="unreadable", patient="p0")
    assert make_splits([*RECORDS, refused], GROUPED, PRESENCE, 1) == make_splits(RECORDS, GROUPED, PRESENCE, 1)


def test_too_few_patients() -> None:
    with pytest.raises(DataError, match="cannot make 5 folds"):
        make_splits(RECORDS[:3], GROUPED, PRESENCE, 1)


def test_a_frame_twice() -> None:
    with pytest.raises(DataError, match="twice"):
        make_splits([*RECORDS, RECORDS[0]], GROUPED, PRESENCE, 1)


def test_a_patient_on_both_sides_is_refused_and_not_named() -> None:
    splits = [
        {"train": ["p1_1"], "val": ["p1_0"]},
        {"train": ["p1_0"], "val": ["p1_1"]},
    ]
    records = [record(1, 0), record(1, 1)]
    with pytest.raises(DataError, match=r"1 patient\(s\) are in training and in validation") as error:
        check_splits(splits, records, grouped=True)
    assert "p1" not in error.value.message
    check_splits(splits, records, grouped=False)


def test_a_frame_that_is_never_held_out_is_refused() -> None:
    with pytest.raises(DataError, match="exactly once"):
        check_splits([{"train": ["p1_0"], "val": ["p1_1"]}], [record(1, 0), record(1, 1)], grouped=False)
