"""Findings say where a person may be given away, in numbers and words of our own."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ercpseg.decoding.grey import collapse
from ercpseg.documents.dataset import FrameRecord
from ercpseg.importers.identity import (
    COLUMNS,
    KINDS,
    MOST_BOXES,
    IdentityReport,
    findings,
    findings_of,
    name_kinds,
    panels,
)
from ercpseg.storage.tables import encode_table


def record(**facts: Any) -> FrameRecord:
    return FrameRecord(frame="x1", source="DOE^JANE/1.dcm", status="used", **facts)


def disc(size: int = 256) -> NDArray[np.uint8]:
    y, x = np.mgrid[:size, :size]
    frame = np.where(np.hypot(y - size / 2, x - size / 2) < 0.47 * size, 120 + y // 8, 0)
    return frame.astype(np.uint8)


def written(text: str, at: tuple[int, int] = (2, 2)) -> NDArray[np.uint8]:
    picture = Image.fromarray(disc())
    ImageDraw.Draw(picture).text(at[::-1], text, font=ImageFont.load_default(12), fill=255)
    return np.asarray(picture)


def kinds(facts: FrameRecord, pixels: NDArray[np.uint8] | None = None) -> list[str]:
    return [finding.kind for finding in findings(facts, disc() if pixels is None else pixels, 8)]


def test_a_plain_frame_has_none() -> None:
    assert kinds(record()) == []
    assert kinds(record(modality="XA", burned_in=False)) == []
    assert kinds(record(modality="XA")) == []  # silent headers are the rule; they are counted, not listed


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"burned_in": True}, ["header-yes"]),
        ({"modality": "SC"}, ["capture"]),
        ({"modality": "SC", "burned_in": False}, []),
        ({"modality": "SC", "burned_in": True}, ["header-yes"]),
        ({"overlays": 2}, ["overlay"]),
        ({"private_tags": 7}, ["private-tags"]),
        ({"private_tags": 7, "overlays": 1, "burned_in": True}, ["header-yes", "overlay", "private-tags"]),
    ],
)
def test_what_headers_say(facts: dict[str, Any], expected: list[str]) -> None:
    assert kinds(record(**facts)) == expected


def test_counts_are_given() -> None:
    found = {f.kind: f.count for f in findings(record(overlays=2, private_tags=7), disc(), 8)}
    assert found == {"overlay": 2, "private-tags": 7}


def test_text_in_the_pixels_is_told_by_place() -> None:
    assert kinds(record(), written("DOE")) == ["text-outside"]
    assert kinds(record(), written("DOE JANE 4711", (120, 70))) == ["text-inside"]
    assert kinds(record(), written("L")) == ["mark-outside"]
    (finding,) = findings(record(), written("DOE"), 8)
    assert finding.box is not None
    assert finding.severity == "high"
    top, left, bottom, right = finding.box
    assert (top < 10, left < 6, 8 < bottom < 20, 20 < right < 40) == (True,) * 4


def test_coloured_marks_are_known_from_the_notes_of_decoding() -> None:
    rgb = np.stack([disc()] * 3, axis=-1)
    rgb[100:110, 100:110] = (250, 0, 0)
    _, notes = collapse(rgb)
    assert kinds(record(reason="; ".join(notes))) == ["colour"]
    assert kinds(record(reason="palette resolved")) == []


def test_many_boxes_are_cut_off() -> None:
    pixels = disc(512)
    for i in range(9):
        pixels[4:12, 4 + 12 * i : 12 + 12 * i] = 255 if i % 2 else 200
    pixels = np.where(np.arange(512)[None, :] % 12 == 0, disc(512), pixels)
    rows = findings_of(record(), pixels, 8)
    assert 1 <= len(rows) <= MOST_BOXES


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("....", 1),
        ("####", 1),
        ("##..##", 2),
        ("..##..##..##", 3),
        ("##########.##########", 1),  # one dark column is no gap
        ("####################..#", 1),  # a thin bright stripe is no panel
        ("####################..###", 2),
    ],
)
def test_panels_are_set_apart_by_dark_bands(columns: str, expected: int) -> None:
    row = np.array([200 if c == "#" else 3 for c in columns], np.uint8)
    frame = np.tile(row, (50, 1))
    frame[0, 0] = 0
    assert panels(frame) == panels(frame.T) == expected


def test_a_round_field_is_one_panel() -> None:
    assert panels(disc()) == 1
    assert panels(np.hstack([disc(), disc()])) == 2
    assert kinds(record(), np.hstack([disc(), disc()])) == ["panels"]


def test_rows_hold_no_text_of_the_input() -> None:
    facts = record(
        patient="CANARYNAME",
        series="CANARYUID",
        reason="CANARY coloured marks",
        overlays=1,
        modality="SC",
        private_tags=3,
        burned_in=True,
    )
    text = encode_table(COLUMNS, ({"frame": "x1"} | row for row in findings_of(facts, written("DOE"), 8)))
    assert text.count("\n") == 1 + 5 + 0
    assert "CANARY" not in text
    assert "DOE" not in text


def test_every_row_fits_the_columns() -> None:
    for row in findings_of(record(overlays=1), written("DOE"), 8):
        assert {"frame", *row} == set(COLUMNS)


def test_the_gravest_comes_first() -> None:
    order = {"high": 0, "look": 1, "note": 2}
    severities = [order[severity] for severity, _, _ in KINDS.values()]
    assert severities == sorted(severities)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("DOE^JANE", {"person"}),
        ("p07_run2_0001", set()),
        ("frame_000123", set()),
        ("frame_123456", {"number"}),
        ("ercp_20230412", {"date"}),
        ("19611203", {"date"}),
        ("2023-04-12 ercp", {"date"}),
        ("12.04.2023", {"date"}),
        ("04-25-2023", {"date"}),
        ("31.02.2023", set()),
        ("20231340", {"number"}),  # no such month: a number of eight digits
        ("20230412_987654", {"date", "number"}),
        ("120230412", {"number"}),
        ("18000101", {"number"}),
        ("1.2.840.113619.2.55", {"uid"}),
        ("scan-1.2.840.113619.2.20230412", {"uid"}),
        ("", set()),
    ],
)
def test_names_that_seem_to_hold_something(part: str, expected: set[str]) -> None:
    assert name_kinds(part) == expected


@settings(max_examples=200)
@given(st.dates(min_value=datetime.date(1900, 1, 1), max_value=datetime.date(2099, 12, 31)))
def test_every_day_is_a_date(day: Any) -> None:
    for form in ("%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%m-%d-%Y", "%Y_%m_%d"):
        assert "date" in name_kinds(f"a_{day.strftime(form)}_b"), form


@given(st.text(max_size=40))
def test_any_name_is_survived(part: str) -> None:
    assert name_kinds(part) <= {"person", "date", "uid", "number"}


def test_folders_count_once_and_frames_by_their_names() -> None:
    report = IdentityReport()
    report.add_source("DOE^JANE/a/1.dcm", "x0123456789")
    report.add_source("DOE^JANE/a/2.dcm", "x0123456780")
    report.add_source("DOE^JANE/20230412.png", "20230412")
    report.add_source("1.2.840.113619.2.55.99", "")
    report.add_source("notes.txt", "")
    assert report.names == {"person": 1, "date": 1, "uid": 1}
    assert (report.frames, report.kept_names) == (3, 1)


def test_files_of_many_frames_count_once() -> None:
    report = IdentityReport()
    for index in range(5):
        report.add_source("a/run_20230412.tif", f"run_20230412_f{index:04d}")
        report.add_source("b/20230412.dcm", f"x0123456789_f{index:04d}")
    assert report.names == {"date": 2}
    assert report.kept_names == 5
    report.add_source("DOE^JANE.png", "DOE-JANE-0a1b2c3d")  # an unsafe name is changed, not hidden
    assert report.kept_names == 6


def test_headers_that_say_nothing_are_counted() -> None:
    report = IdentityReport()
    report.add_source("a.dcm", "xa", record(modality="XA"))
    report.add_source("b.dcm", "xb", record(modality="XA", burned_in=False))
    report.add_source("c.png", "c", record())
    assert report.silent == 1


def test_frames_are_counted_once_per_kind() -> None:
    report = IdentityReport()
    report.add([{"kind": "text-outside"}, {"kind": "text-outside"}, {"kind": "overlay"}])
    report.add([{"kind": "overlay"}])
    report.add([])
    assert [(count, kind) for count, kind, _ in report.table()] == [(1, "text-outside"), (2, "overlay")]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (["text-outside"], "burned in"),
        (["header-yes", "panels"], "burned in"),
        (["text-inside"], "may show text"),
        (["mark-outside"], "no proof"),
        (["overlay"], "stay in your files"),
        ([], "no proof"),
    ],
)
def test_advice_is_plain(found: list[str], sentence: str) -> None:
    report = IdentityReport()
    report.add([{"kind": kind} for kind in found])
    assert any(sentence in line for line in report.advice())
    assert ("burned in." in report.advice()[0]) == bool({"text-outside", "header-yes"} & set(found))


def test_advice_prints_counts_of_names_only() -> None:
    report = IdentityReport()
    report.add_source("CANARY^NAME/19610312.png", "19610312")
    text = " ".join(report.advice())
    assert "a person (1), a date (1)." in text
    assert "frame names, too (1)" in text
    assert "CANARY" not in text
    assert "1961" not in text


def test_the_report_of_both_tables() -> None:
    records = [
        record(modality="XA"),
        FrameRecord(frame="b", source="20230412/b.png", status="used"),
        FrameRecord(frame="c", source="20230412/c.png", status="refused", code="truncated"),
    ]
    rows = [
        {"frame": "b", "kind": "text-outside"},
        {"frame": "b", "kind": "text-outside"},
        {"frame": "x1", "kind": "overlay"},
    ]
    report = IdentityReport.of(records, rows)
    assert report.table() == [(1, "text-outside", KINDS["text-outside"][1]), (1, "overlay", KINDS["overlay"][1])]
    assert (report.frames, report.silent, report.names) == (2, 1, {"person": 1, "date": 1})
