"""The hold-out by date: who is tested, and that nobody is on both sides."""

from __future__ import annotations

from typing import Any

import pytest

from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.plan import FoldValues
from ercpseg.errors import DataError
from ercpseg.planner.hold_out import apply_hold_out, suggest_hold_out
from ercpseg.planner.splits import make_splits

LOOK = "0123456789abcdef" * 4


def record(frame: str, date: str | None, **fields: Any) -> FrameRecord:
    defaults = {"frame": frame, "source": frame, "status": "used", "patient": frame[0], "date": date}
    return FrameRecord(**defaults | fields)


RECORDS = [
    record("a1", "2024-01-05"),
    record("b1", "2024-06-08"),
    record("c1", "2024-02-01"),  # c came before the day, and on it again
    record("c2", "2024-06-09"),
    record("d1", "2024-11-21"),
    record("e1", "2023-12-01"),
    FrameRecord(frame="x", source="x", status="refused", code="unreadable"),
]


def held_back(records: list[FrameRecord]) -> set[str]:
    return {r.frame for r in records if r.split == "test"}


def test_patients_last_seen_on_the_day_or_later_are_tested_with_all_frames() -> None:
    held = apply_hold_out(RECORDS, "2024-06-09")
    assert [r.frame for r in held] == [r.frame for r in RECORDS]
    assert held_back(held) == {"c1", "c2", "d1"}
    assert {r.split for r in held if r.frame not in ("c1", "c2", "d1")} == {None}
    assert held_back(apply_hold_out(RECORDS, "2024-06-10")) == {"d1"}
    assert held_back(apply_hold_out(RECORDS, "2024-06-08")) == {"b1", "c1", "c2", "d1"}


def test_what_hangs_together_goes_along() -> None:
    changed = {"a1": {"look": LOOK}, "d1": {"look": LOOK}, "b1": {"study": "s"}, "e1": {"study": "s"}}
    records = [r.model_copy(update=changed.get(r.frame, {})) for r in RECORDS]
    assert held_back(apply_hold_out(records, "2024-11-01")) == {"a1", "d1"}


def test_the_folds_are_made_of_the_rest() -> None:
    held = apply_hold_out(RECORDS, "2024-06-09")
    splits = make_splits(held, FoldValues(count=3, grouped_by="patient", method="grouped"), {}, 1)
    assert splits.test == ("c1", "c2", "d1")
    assert sorted(fold["val"] for fold in splits.folds) == [["a1"], ["b1"], ["e1"]]


@pytest.mark.parametrize(
    ("records", "day", "message"),
    [
        ([*RECORDS, record("f1", None)], "2024-06-09", "no day is known for 1 of 7 frames"),
        ([*RECORDS, record("f1", "20240609")], "2024-06-09", "no day is known for 1 of 7 frames"),
        ([*RECORDS, record("f1", "2024-02-30")], "2024-06-09", "no day is known for 1 of 7 frames"),
        ([*RECORDS, record("f1", "2024-02-20", split="train")], "2024-06-09", "1 of 7 frames are in a part"),
        (RECORDS, "2025-01-01", "0 of 5 groups"),
        (RECORDS, "2020-01-01", "5 of 5 groups"),
        (RECORDS, "9 June 2024", "this is no day"),
        (RECORDS, "20240609", "this is no day"),
        ([], "2024-06-09", "0 of 0 groups"),
    ],
)
def test_a_doubt_is_refused(records: list[FrameRecord], day: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        apply_hold_out(records, day)
    assert "f1" not in error.value.message


def test_a_day_is_suggested_that_keeps_about_an_eighth() -> None:
    # 40 patients, one a day; 10 to 15 % are 4 to 6 of them, 5 are the middle.
    records = [record(f"{chr(65 + n)}1", f"2024-01-{n + 1:02d}", patient=str(n)) for n in range(31)]
    records += [record(f"{chr(97 + n)}2", f"2024-02-{n + 1:02d}", patient=str(31 + n)) for n in range(9)]
    assert suggest_hold_out(records) == "2024-02-05"
    assert len(held_back(apply_hold_out(records, "2024-02-05"))) == 5
    # A later second visit moves a patient, so that one more is tested from that day on.
    again = [*records, record("z3", "2024-02-20", patient="0")]
    assert suggest_hold_out(again) == "2024-02-06"
    assert suggest_hold_out([*records, record("z4", None, patient="q")]) is None
    assert suggest_hold_out([r.model_copy(update={"date": "2024-01-01"}) for r in records]) is None
    assert suggest_hold_out([]) is None
