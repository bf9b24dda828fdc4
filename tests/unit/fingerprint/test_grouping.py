"""What the fingerprint says of patients, near-duplicates and published parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fingerprint.test_collect import fingerprint, frame

LOOK = "0123456789abcdef" * 4


def test_groups_are_counted_and_what_joins_them_is_said(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_{j}", study=f"s{i}", series=f"q{i}{j}") for i in range(4) for j in range(3)]
    f = fingerprint(tmp_path, records)
    assert (f.patients, f.studies, f.series, f.groups, f.near_duplicates) == (4, 4, 12, 4, 0)
    assert f.parts == {}
    records[0] = records[0].model_copy(update={"look": LOOK})
    records[7] = records[7].model_copy(update={"look": LOOK})
    f = fingerprint(tmp_path, records)
    assert (f.patients, f.groups, f.near_duplicates, f.grouped_by) == (4, 3, 1, "patient")
    assert "NEAR-DUPLICATES ACROSS PATIENTS" in f.warnings[0]


def test_a_film_of_single_images_is_no_crowd_of_patients(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"frame{i}", look=LOOK if i < 5 else None) for i in range(8)]
    f = fingerprint(tmp_path, records)
    assert (f.patients, f.groups, f.grouped_by) == (8, 4, "near-duplicates")
    assert any("5 of 8 frames are near-duplicates" in w for w in f.warnings)
    assert not any("counts as its own patient" in w for w in f.warnings)
    without = fingerprint(tmp_path, [r.model_copy(update={"look": None}) for r in records])
    assert (without.groups, without.grouped_by) == (8, "patient")
    assert any("Each of the 8 frames counts as its own patient" in w for w in without.warnings)


def test_unknown_patients_are_not_counted(tmp_path: Path) -> None:
    f = fingerprint(tmp_path, [frame(tmp_path, f"x{i}", patient=None, series=f"s{i // 2}") for i in range(8)])
    assert (f.patients, f.series, f.groups, f.grouped_by) == (0, 4, 4, "series")
    f = fingerprint(tmp_path, [frame(tmp_path, f"x{i}", patient=None) for i in range(3)])
    assert (f.patients, f.groups, f.grouped_by) == (0, 3, "frame")


def test_patients_that_all_hang_together_are_as_good_as_one(tmp_path: Path) -> None:
    f = fingerprint(tmp_path, [frame(tmp_path, f"p{i}_{j}", study="same") for i in range(3) for j in range(2)])
    assert (f.patients, f.groups) == (3, 1)
    assert any("CONTRADICTION" in w for w in f.warnings)
    assert any("count as one patient" in w for w in f.warnings)


def test_published_parts_are_counted_and_test_frames_are_none_of_its_business(tmp_path: Path) -> None:
    parts = ["train"] * 3 + ["val"] * 2
    records = [frame(tmp_path, f"p{i}_0", split=part) for i, part in enumerate(parts)]
    assert fingerprint(tmp_path, records).parts == {"train": 3, "val": 2}
    with pytest.raises(ValueError, match="test frames"):
        fingerprint(tmp_path, [*records, frame(tmp_path, "p9_0", split="test")])


def test_within_one_patient_runs_are_told_apart(tmp_path: Path) -> None:
    """Eight cines under one name, or files that are all called img_…, of which some look alike."""
    records = [frame(tmp_path, f"img_{i}", study=f"s{i // 3}", series=f"s{i // 3}/1") for i in range(9)]
    f = fingerprint(tmp_path, records)
    assert (f.patients, f.groups, f.inner_groups, f.inner_grouped_by) == (1, 1, 3, "study")
    alike = [frame(tmp_path, f"img_{i}", look=LOOK if i in (2, 7) else None) for i in range(9)]
    f = fingerprint(tmp_path, alike)
    assert (f.groups, f.inner_groups, f.inner_grouped_by) == (1, 8, "near-duplicates")
    f = fingerprint(tmp_path, [frame(tmp_path, f"p{i}_0") for i in range(3)])
    assert (f.groups, f.inner_groups) == (3, 0)
