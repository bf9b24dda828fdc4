"""What hangs together: patients, studies, series, looks, and the sentences that say so without a name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import DataError
from ercpseg.frames.groups import group_frames
from ercpseg.frames.likeness import look

ROOT = Path(os.environ.get("ERCPSEG_TEST_DATA", "/nonexistent"))
RNG = np.random.default_rng(3)
CODES = [int.from_bytes(RNG.bytes(32), "big") for _ in range(40)]
"""Looks about 128 bits apart."""


def seen(number: int, flip: int = 0) -> str:
    """One of the looks, with some bits changed."""
    return f"{CODES[number] ^ ((1 << flip) - 1):064x}"


def record(frame: str, **fields: Any) -> FrameRecord:
    return FrameRecord(**{"frame": frame, "source": frame, "status": "used"} | fields)


def groups_of(*records: FrameRecord) -> list[list[str]]:
    """Members of each group."""
    members: dict[int, list[str]] = {}
    for frame, group in group_frames(records).of.items():
        members.setdefault(group, []).append(frame)
    return list(members.values())


def test_by_patient() -> None:
    groups = group_frames([record(f"{p}{n}", patient=p) for p in "ABC" for n in range(2)])
    assert groups.of == {"A0": 0, "A1": 0, "B0": 1, "B1": 1, "C0": 2, "C1": 2}
    assert (groups.grouped_by, groups.count, groups.warnings) == ("patient", 3, ())
    assert groups.known == {"patient": 3, "study": 0, "series": 0}


@pytest.mark.parametrize("kind", ["study", "series"])
def test_else_by_study_else_by_series_and_that_is_said(kind: str) -> None:
    groups = group_frames([record(f"{p}{n}", **{kind: p}) for p in "ABC" for n in range(2)])
    assert (groups.grouped_by, groups.count) == (kind, 3)
    (warning,) = groups.warnings
    assert f"GROUPED BY {kind.upper()}: no patient is known for 6 of 6 frames" in warning


def test_the_best_that_is_known_of_each_frame() -> None:
    records = [
        record("a", patient="P", study="S"),
        record("b", study="S"),  # of P's study, so of P
        record("c", study="T", series="U"),
        record("d", series="U"),
        record("e", patient=""),  # an empty cell of a table is no patient
        record("f"),
    ]
    assert groups_of(*records) == [["a", "b"], ["c", "d"], ["e"], ["f"]]
    groups = group_frames(records)
    assert groups.grouped_by == "patient, study, series, frame"
    assert [w.split(":")[0] for w in groups.warnings] == [
        "NO PATIENT, STUDY OR SERIES is known for 2 of 6 frames",
        "GROUPED BY STUDY",
        "GROUPED BY SERIES",
    ]


@pytest.mark.parametrize("kind", ["study", "series"])
def test_a_study_of_several_patients_joins_them(kind: str) -> None:
    records = [record(f"{p}{n}", patient=p, **{kind: "same" if p in "AB" else p}) for p in "ABC" for n in range(2)]
    assert groups_of(*records) == [["A0", "A1", "B0", "B1"], ["C0", "C1"]]
    (warning,) = group_frames(records).warnings
    assert warning.startswith("CONTRADICTION: 1 " + ("studies" if kind == "study" else "series"))


def test_near_duplicates_of_several_patients_make_one_group_and_nobody_is_named() -> None:
    records = [
        record(f"{p}{n}", patient=f"patient-{p}", look=seen(4 * i + n)) for i, p in enumerate("ABCDE") for n in range(4)
    ]
    clean = group_frames(records)
    assert (clean.count, clean.alike, clean.warnings) == (5, (), ())
    records[5] = records[5].model_copy(update={"look": seen(0, flip=31)})  # B1 like A0
    records[10] = records[10].model_copy(update={"look": seen(19, flip=3)})  # C2 like E3
    records[11] = records[11].model_copy(update={"look": seen(19, flip=32)})  # one bit too far
    groups = group_frames(records)
    assert groups_of(*records) == [
        ["A0", "A1", "A2", "A3", "B0", "B1", "B2", "B3"],
        ["C0", "C1", "C2", "C3", "E0", "E1", "E2", "E3"],
        ["D0", "D1", "D2", "D3"],
    ]
    assert {frozenset(pair) for pair in groups.alike} == {frozenset(("A0", "B1")), frozenset(("C2", "E3"))}
    (warning,) = groups.warnings
    assert warning.startswith("NEAR-DUPLICATES ACROSS PATIENTS: frames of 4 groups ")
    assert "these count as 2" in warning
    assert "patient-" not in warning
    assert group_frames(records, by_looks=False).count == 5


def test_near_duplicates_of_one_patient_are_nothing_to_speak_of() -> None:
    groups = group_frames([record(f"{p}{n}", patient=p, look=seen(ord(p) - 65, n)) for p in "ABC" for n in range(4)])
    assert (groups.count, groups.alike, groups.warnings) == (3, (), ())


def test_frames_of_which_nothing_is_known() -> None:
    groups = group_frames([record(f"x{n}", look=seen(n // 3, n)) for n in range(9)])
    assert (groups.grouped_by, groups.count) == ("near-duplicates", 3)
    (warning,) = groups.warnings
    assert "known for 9 of 9 frames" in warning
    assert "except 9 near-duplicates" in warning
    apart = group_frames([record(f"x{n}") for n in range(9)])
    assert (apart.grouped_by, apart.count) == ("frame", 9)
    assert "except 0 near-duplicates" in apart.warnings[0]


def film(count: int, seed: int) -> list[np.ndarray]:
    """A round field in which one thing moves slowly and noise is fresh in every frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:160, :160].astype(float)
    still = sum(
        h * np.exp(-((y - v) ** 2 + (x - u) ** 2) / 2 / s**2)
        for v, u, s, h in rng.uniform((0, 0, 6, -1), (160, 160, 25, 1), (60, 4))
    )
    still = 60 + 120 * (still - still.min()) / np.ptp(still)
    frames = []
    for n in range(count):
        wire = 40 * np.exp(-((x - 60 - n) ** 2) / 8) * (y > 50) * (y < 110)
        noisy = still - wire + rng.normal(0, 3, still.shape)
        inside = (y - 79.5) ** 2 + (x - 79.5) ** 2 < 78**2
        frames.append(np.where(inside, noisy, 0).clip(0, 255).astype(np.uint8))
    return frames


def test_a_film_exported_as_single_images_is_found_by_its_looks() -> None:
    # The importer takes the stem up to the first _ for the patient, so every one of these is a patient of its own.
    stems = [f"frame{n:03d}" for n in range(60)]
    pixels = film(40, 1) + [film(1, seed)[0] for seed in range(2, 22)]
    records = [record(s, patient=s, look=look(p)) for s, p in zip(stems, pixels, strict=True)]
    groups = group_frames(records)
    assert groups.known["patient"] == 60
    assert (groups.count, groups.grouped_by) == (21, "near-duplicates")
    assert len({groups.of[stem] for stem in stems[:40]}) == 1
    (warning,) = groups.warnings
    assert warning.startswith("GROUPED BY LOOKS")
    assert "40 of 60 frames are near-duplicates of others" in warning
    assert "there are 21 groups" in warning
    without = group_frames([r.model_copy(update={"look": None}) for r in records])
    assert (without.count, without.grouped_by) == (60, "patient")


@pytest.mark.skipif(not ROOT.is_dir(), reason="ERCPSEG_TEST_DATA is not set")
def test_a_real_film_among_real_patients_is_one_group() -> None:
    import pydicom
    from PIL import Image

    cine = pydicom.dcmread(ROOT / "odd-files/dicom/fo-dicom/HasFragmentSequence.dcm").pixel_array
    others = [np.asarray(Image.open(p).convert("L")) for p in sorted((ROOT / "ercp-frames" / "images").iterdir())]
    records = [record(f"a{n:03d}", patient=f"a{n:03d}", look=look(p)) for n, p in enumerate([*cine, *others])]
    groups = group_frames(records)
    assert groups.count == 1 + 68
    assert len({groups.of[f"a{n:03d}"] for n in range(96)}) == 1


def test_only_used_frames_are_grouped_and_each_once() -> None:
    refused = record("bad", status="refused", patient="A")
    assert group_frames([record("a", patient="A"), refused]).of == {"a": 0}
    assert group_frames([]).count == 0
    with pytest.raises(DataError, match="twice"):
        group_frames([record("a"), record("a")])
