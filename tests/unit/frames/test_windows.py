"""Windows: which frame comes right before which, by numbers that files or people give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ercpseg.documents.dataset import FrameRecord
from ercpseg.frames.about import About
from ercpseg.frames.frame import Frame
from ercpseg.frames.windows import Links, Moment, filled, follows, link, moment_of


def row(frame: str, *, status: str = "used", series: str | None = "s", source: str = "", **more: Any) -> FrameRecord:
    return FrameRecord(frame=frame, source=source or f"{frame}.dcm", status=status, series=series, **more)


def cine(source: str, shown: str) -> list[FrameRecord]:
    """Frames of one file: ``u`` used, ``r`` refused, in the order of their index; frames are called by file and index."""
    status = {"u": "used", "r": "refused"}
    return [
        row(f"{source}{i}", source=source, index=i, place="0 1", status=status[letter])
        for i, letter in enumerate(shown)
    ]


def links(records: list[FrameRecord], without: frozenset[str] = frozenset()) -> Links:
    return link(records, {r.frame for r in records if r.status == "used"} - without)


def test_frames_of_a_file_by_their_index() -> None:
    """A file begins anew, though the header puts both files into one series."""
    found = links([*cine("a", "uuu"), *cine("b", "uu")])
    assert found == Links({"a1": "a0", "a2": "a1", "b1": "b0"}, {}, {})
    assert found.incomplete(8) == {}


def test_files_of_a_series_by_acquisition_and_instance() -> None:
    """Acquisition 2 begins anew at instance 5, whose number before belongs to acquisition 1."""
    found = links(
        [
            row("d", place="2 5"),
            row("c", place="1 4"),
            row("a", place="1 2"),
            row("b", place="1 3"),
            row("e", place="2 6"),
        ]
    )
    assert found == Links({"b": "a", "c": "b", "e": "d"}, {}, {})


def test_series_do_not_mix_and_frames_without_one_are_stills() -> None:
    found = links(
        [row("a", place="1"), row("b", place="2", series="t"), row("c", series=None), row("d", series=None, place="2")]
    )
    assert found == Links({}, {}, {})


@pytest.mark.parametrize(
    ("shown", "previous", "torn"),
    [
        ("ruu", {"a2": "a1"}, {"a1"}),  # the first one is missing: what comes next does not begin the file
        ("uru", {}, {"a2"}),
        ("uurruu", {"a1": "a0", "a5": "a4"}, {"a4"}),
    ],
)
def test_a_missing_frame_tears_a_file(shown: str, previous: dict[str, str], torn: set[str]) -> None:
    found = links(cine("a", shown))
    assert (found.previous, set(found.torn), found.unordered) == (previous, torn, {})


def test_a_missing_number_tears_a_series_whether_its_file_was_found_or_not() -> None:
    absent = links([row("a", place="1 1"), row("c", place="1 3")])
    assert (absent.previous, dict(absent.torn)) == ({}, {"c": "s"})
    refused = links([row("", status="refused", source="a.dcm", place="1 1"), row("b", place="1 2")])
    assert dict(refused.torn) == {"b": "s"}
    # Numbers begin where the first file begins, as long as none is known to lie before it.
    assert links([row("a", place="1 7"), row("b", place="1 8")]) == Links({"b": "a"}, {}, {})


def test_a_frame_that_training_may_not_see_is_missing() -> None:
    found = links(cine("a", "uuu"), without=frozenset({"a1"}))
    assert (found.previous, dict(found.torn)) == ({}, {"a2": "s"})


def test_an_order_that_nobody_knows_is_no_order() -> None:
    assert links([row("a"), row("b")]).unordered == {"a": "s", "b": "s"}
    assert links([row("a")]) == Links({}, {}, {})  # alone it is a still
    twice = links([row("a", place="1 1"), row("b", place="1 1"), row("c", place="1 2"), row("d", place="1 3")])
    assert set(twice.unordered) == {"a", "b", "c"}
    assert twice.previous == {"d": "c"}


@pytest.mark.parametrize(("frames", "expected"), [(1, ""), (2, "c"), (3, "cd"), (4, "cde"), (8, "cdef")])
def test_a_gap_concerns_the_windows_that_reach_it(frames: int, expected: str) -> None:
    """Numbers 1 2 – 4 5 6 7: with two frames only the 4 lacks one, with three the 5 too."""
    numbers = dict(zip("abcdef", (1, 2, 4, 5, 6, 7), strict=True))
    found = links([row(name, place=str(number)) for name, number in numbers.items()])
    assert "".join(sorted(found.incomplete(frames))) == expected


@given(st.lists(st.sampled_from("ur"), min_size=1, max_size=12), st.integers(1, 8))
def test_a_window_is_whole_or_told(shown: list[str], frames: int) -> None:
    """Oracle: look at the letters themselves."""
    found = links(cine("a", "".join(shown)))
    for i, letter in enumerate(shown):
        needed = shown[max(0, i - frames + 1) : i]
        assert (f"a{i}" in found.incomplete(frames)) == (letter == "u" and "r" in needed)


def live(series: str | None, **more: Any) -> Frame:
    return Frame(name="f", pixels=np.zeros((2, 2), np.uint8), bits=8, series=series, **more)


def test_live_frames_come_in_their_turn_and_frames_of_files_do_not() -> None:
    assert moment_of(live("s")) == Moment(("s",), None)
    assert follows(moment_of(live("s")), moment_of(live("s")))
    assert not follows(moment_of(live("s")), moment_of(live("t")))
    assert moment_of(live(None)) is None
    file = Path("x.dcm")
    assert moment_of(live("s", path=file)) is None, "names of files order nothing"
    assert moment_of(live("s", path=file, source="x", index=3)) == Moment(("s", "x"), 3)
    assert moment_of(live("s", path=file, about=About(order=(1, 4)))) == Moment(("s", "1"), 4)
    assert not follows(Moment(("s",), None), Moment(("s",), 1))


def test_the_earliest_frame_fills_the_window() -> None:
    images = np.arange(6).reshape(3, 1, 2)
    assert filled(images, 5)[:, 0, 0].tolist() == [0, 2, 4, 4, 4]
    assert filled(torch.from_numpy(images), 4)[:, 0, 0].tolist() == [0, 2, 4, 4]
    assert filled(images, 3) is images
