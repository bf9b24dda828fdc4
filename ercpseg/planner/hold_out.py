"""Hold-out by date: a test of patients who came later than all those that were trained on (R30)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import date

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import DataError
from ercpseg.frames.groups import group_frames

LEAST_GROUPS = 20
"""With fewer patients a tenth of them is no test. Judgement."""
TEST_FRAC = (0.10, 0.15)
"""Share of the groups that should be kept for the test. Pishro 2026 kept 90 of 776 patients."""


def apply_hold_out(records: Sequence[FrameRecord], hold_out_from: str) -> list[FrameRecord]:
    """Mark as ``test`` every frame of every patient last seen on a day or later; the others stay ours to deal.

    A patient with frames on both sides of the day is a test patient with all frames, so that all training ends before
    the day and nobody is on both sides. What hangs together with such a patient (see
    :func:`ercpseg.frames.groups.group_frames`) goes along.

    Parameters
    ----------
    records
        the import report; rows that are not ``used`` stay as they are.
    hold_out_from
        ``YYYY-MM-DD``.

    Raises
    ------
    DataError
        when a frame has no date or a split already, or all or none would be test frames.
    """
    first = _day(hold_out_from)
    if first is None:
        raise DataError("this is no day", where="hold_out_from", expected="YYYY-MM-DD")
    used = [record for record in records if record.status == "used"]
    taken = sum(record.split is not None for record in used)
    if taken:
        raise DataError(
            f"{taken} of {len(used)} frames are in a part of a published split already",
            where="hold_out_from",
            todo="leave one of the two out",
        )
    undated = sum(_day(record.date) is None for record in used)
    if undated:
        raise DataError(
            f"no day is known for {undated} of {len(used)} frames",
            where="hold_out_from",
            expected="YYYY-MM-DD for every frame",
            todo="say in a descriptor where the dates are, or hold nothing out",
        )
    of = group_frames(used).of
    test = {group for group, day in _last_days(used, of).items() if day >= first}
    if len(test) in (0, len(set(of.values()))):
        raise DataError(
            f"{len(test)} of {len(set(of.values()))} groups of frames were seen on that day or later",
            where="hold_out_from",
            expected="some, not all",
        )
    return [
        record.model_copy(update={"split": "test"}) if record.status == "used" and of[record.frame] in test else record
        for record in records
    ]


def suggest_hold_out(records: Sequence[FrameRecord]) -> str | None:
    """The day for :func:`apply_hold_out` that keeps 10 to 15 % of the groups, as close to the middle as there is one.

    None where a frame has no date or a split already, there are fewer than :data:`LEAST_GROUPS` groups, or no day
    leaves such a share.
    """
    used = [record for record in records if record.status == "used"]
    if not used or any(_day(record.date) is None or record.split is not None for record in used):
        return None
    days = sorted(_last_days(used, group_frames(used).of).values())
    if len(days) < LEAST_GROUPS:
        return None
    shares = {day: 1 - bisect_left(days, day) / len(days) for day in days}
    least, most = TEST_FRAC
    fitting = [(abs(share - (least + most) / 2), day) for day, share in shares.items() if least <= share <= most]
    return min(fitting)[1].isoformat() if fitting else None


def _last_days(used: Sequence[FrameRecord], of: Mapping[str, int]) -> dict[int, date]:
    """Group → the last day on which it was seen."""
    last: dict[int, date] = {}
    for record in used:
        day = _day(record.date)
        if day is not None:
            last[of[record.frame]] = max(day, last.get(of[record.frame], day))
    return last


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text and len(text) == 10 else None
    except ValueError:
        return None
