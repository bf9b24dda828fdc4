"""Measures that are kept: the same to the last bit, made once, and only as long as they are asked for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ercpseg.fingerprint import collect, keep, sample
from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.kept import keep as open_kept
from tests.unit.fingerprint.test_collect import DUCT, STONE, dataset, fingerprint, frame


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the frames that are measured from now on."""
    names: list[str] = []
    real = keep.measure_frame

    def spy(pixels: Any, bitmask: Any, content: Any, *rest: Any) -> Any:
        names.append(content.frame)
        return real(pixels, bitmask, content, *rest)

    monkeypatch.setattr(keep, "measure_frame", spy)
    return names


def records(folder: Path, count: int = 6) -> list[Any]:
    return [frame(folder, f"p{i}_{'x' * i}") for i in range(count)]


def test_text_brings_measures_back_to_the_last_bit(tmp_path: Path) -> None:
    structures = dataset(1).structure_set
    record = frame(tmp_path, "a_0")
    mask = read_png(tmp_path / "labelsTr" / "a_0.png")
    mask[5:8, 5:8] |= STONE
    mask[40:50] = 0
    write_png(tmp_path / "labelsTr" / "a_0.png", mask)
    content, bitmask, _ = collect.read_content(tmp_path, record, structures)
    pixels = read_png(tmp_path / "imagesTr" / "a_0_0000.png")
    one = keep.measure_frame(pixels, bitmask, content, structures, content.areas_px)
    other = keep.decode(keep.encode(one), content)
    assert keep.encode(other) == keep.encode(one)
    assert other.intensity.histogram.dtype == one.intensity.histogram.dtype
    for name, s in one.structures.items():
        t = other.structures[name]
        assert np.array_equal(s.widths_px, t.widths_px)
        assert np.array_equal(s.place.cells, t.place.cells)
        for key in ("area_px", "length_px", "contrast_grey", "gaps_px", "flags", "tortuosity", "outside_frac"):
            assert getattr(s, key) == getattr(t, key)
    assert other.structures["guidewire"].gaps_px == (10.0,)


def test_a_second_pass_measures_nothing_and_says_the_same(tmp_path: Path, measured: list[str]) -> None:
    rows, at = records(tmp_path), tmp_path / "kept.sqlite"
    without = fingerprint(tmp_path, rows)
    first = fingerprint(tmp_path, rows, kept_at=at)
    assert len(measured) == 12
    assert fingerprint(tmp_path, rows[::-1], kept_at=at, threads=3).to_json() == first.to_json() == without.to_json()
    assert len(measured) == 12
    assert at.stat().st_mode & 0o077 == 0, "for the owner's eyes only"


def test_an_interrupted_pass_goes_on_where_it_was(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, at = records(tmp_path), tmp_path / "kept.sqlite"
    whole = fingerprint(tmp_path, rows)
    measured.clear()
    spy = keep.measure_frame

    def stops(*arguments: Any) -> Any:
        if len(measured) == 3:
            raise KeyboardInterrupt
        return spy(*arguments)

    monkeypatch.setattr(keep, "measure_frame", stops)
    with pytest.raises(KeyboardInterrupt):
        fingerprint(tmp_path, rows, kept_at=at, threads=1)
    monkeypatch.setattr(keep, "measure_frame", spy)
    assert fingerprint(tmp_path, rows, kept_at=at).to_json() == whole.to_json()
    assert sorted(measured) == sorted(row.frame for row in rows), "each frame once"


def test_what_is_new_is_measured_and_what_is_gone_is_forgotten(tmp_path: Path, measured: list[str]) -> None:
    rows, at = records(tmp_path), tmp_path / "kept.sqlite"
    fingerprint(tmp_path, rows[:4], kept_at=at)
    measured.clear()
    grown = fingerprint(tmp_path, rows[1:], kept_at=at)
    assert sorted(measured) == [row.frame for row in rows[4:]]
    assert grown.to_json() == fingerprint(tmp_path, rows[1:]).to_json()
    measured.clear()
    fingerprint(tmp_path, rows, kept_at=at)
    assert measured == [rows[0].frame]


@pytest.mark.parametrize("part", ["imagesTr/p1_x_0000.png", "labelsTr/p1_x.png"])
def test_a_changed_file_is_measured_again(tmp_path: Path, measured: list[str], part: str) -> None:
    rows, at = records(tmp_path, 3), tmp_path / "kept.sqlite"
    fingerprint(tmp_path, rows, kept_at=at)
    measured.clear()
    array = read_png(tmp_path / part)
    array[:20, :20] = DUCT
    write_png(tmp_path / part, array)
    changed = fingerprint(tmp_path, rows, kept_at=at)
    assert measured == ["p1_x"]
    assert changed.to_json() == fingerprint(tmp_path, rows).to_json()


def test_a_frame_of_another_name_or_depth(tmp_path: Path, measured: list[str]) -> None:
    row, at = frame(tmp_path, "a_0"), tmp_path / "kept.sqlite"
    fingerprint(tmp_path, [row], kept_at=at)
    for kind, end in (("imagesTr", "_0000.png"), ("labelsTr", ".png")):
        shutil.copy(tmp_path / kind / f"a_0{end}", tmp_path / kind / f"b_0{end}")
    measured.clear()
    fingerprint(tmp_path, [row.model_copy(update={"frame": "b_0"})], kept_at=at)
    assert measured == [], "the content counts, not the name"
    fingerprint(tmp_path, [row.model_copy(update={"bits": 7})], kept_at=at)
    assert measured == ["a_0"]


def test_a_damaged_table_or_row_costs_time_only(tmp_path: Path, measured: list[str]) -> None:
    rows, at = records(tmp_path, 3), tmp_path / "kept.sqlite"
    first = fingerprint(tmp_path, rows, kept_at=at)
    at.write_bytes(b"no table at all" * 999)
    measured.clear()
    assert fingerprint(tmp_path, rows, kept_at=at).to_json() == first.to_json()
    assert len(measured) == 3
    with open_kept(at) as kept:
        for (key,) in kept._db.execute("SELECT key FROM kept").fetchall():
            kept.put(key, '{"intensity": {}}')
    assert fingerprint(tmp_path, rows, kept_at=at).to_json() == first.to_json()
    assert len(measured) == 6


def test_a_larger_sample_adds_the_structures_that_were_not_asked_for(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, at = records(tmp_path), tmp_path / "kept.sqlite"
    whole = fingerprint(tmp_path, rows)
    monkeypatch.setattr(sample, "MAX_FRAMES", 2)
    fingerprint(tmp_path, rows, kept_at=at)
    monkeypatch.undo()
    assert fingerprint(tmp_path, rows, kept_at=at).to_json() == whole.to_json()


def test_the_hash_follows_what_the_report_says(tmp_path: Path) -> None:
    rows = records(tmp_path, 3)
    one = collect.measured_sha256(rows)
    assert collect.measured_sha256(rows[::-1]) == one == fingerprint(tmp_path, rows).measured_sha256
    changed = [rows[0].model_copy(update={"spacing_y_mm": 0.2}), *rows[1:]]
    assert collect.measured_sha256(changed) != one
    assert collect.measured_sha256([rows[0].model_copy(update={"device": "d"}), *rows[1:]]) != one
    assert collect.measured_sha256([r.model_copy(update={"source": "elsewhere"}) for r in rows]) == one
