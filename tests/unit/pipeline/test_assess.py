"""Patients of DICOM frames are told apart by PatientID, and no identity reaches the scores."""

from __future__ import annotations

from pathlib import Path

import pydicom

from ercpseg.pipeline.assess import dicom_patients, evaluate
from ercpseg.synthesis.dataset import synthesise


def test_two_files_of_one_patient_are_one_patient(tmp_path: Path) -> None:
    """Three multi-frame files of two frames; the first two are given one PatientID."""
    folder = tmp_path / "d"
    synthesise(folder, frames=6, patients=3, size=64, seed=1, file_format="dicom")
    files = sorted((folder / "images").glob("*.dcm"))
    for path in files[:2]:
        dataset = pydicom.dcmread(path)
        dataset.PatientID = "CANARY^JOHN"
        dataset.save_as(path)
    groups = dicom_patients(folder / "images")
    assert len(groups) == 6
    assert len(set(groups.values())) == 2
    assert groups[f"{files[0].stem}_f0000"] == groups[f"{files[1].stem}_f0001"] == "patient0001"
    scores = evaluate(folder, folder, output=tmp_path / "out")
    assert scores.patients == 2
    assert not any(b"CANARY" in path.read_bytes() for path in (tmp_path / "out").iterdir())


def test_files_without_dicom_keep_their_names(tmp_path: Path) -> None:
    synthesise(tmp_path / "d", frames=4, patients=2, size=64, seed=1)
    assert dicom_patients(tmp_path / "d" / "images") == {}
    assert evaluate(tmp_path / "d", tmp_path / "d", output=tmp_path / "out").patients == 2
