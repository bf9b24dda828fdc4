"""No text of a DICOM header leaves the one private table, whatever is done with the frames."""

from __future__ import annotations

from pathlib import Path

import pydicom

from ercpseg.cli.app import run
from ercpseg.synthesis.dataset import synthesise

CANARIES = {
    "PatientName": "CANARYNAME^JOHN",
    "PatientID": "CANARYID77",
    "PatientBirthDate": "19010203",
    "InstitutionName": "CANARYHOSPITAL",
    "AccessionNumber": "CANARYACC1",
    "StudyDescription": "CANARYSTUDY",
    "SeriesDescription": "CANARYSERIES",
    "ReferringPhysicianName": "CANARYDOCTOR",
}


def test_no_identity_outside_the_private_table(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, space = tmp_path / "data", tmp_path / "w"
    synthesise(data, frames=12, patients=6, size=96, seed=4, file_format="dicom")
    for number, path in enumerate(sorted((data / "images").glob("*.dcm"))):
        dataset = pydicom.dcmread(path)
        for tag, text in CANARIES.items():
            setattr(dataset, tag, text + str(number) if tag == "PatientID" else text)
        dataset.save_as(path)
    pins = [f"--set={key}" for key in ("schedule.iterations_per_epoch=2", "schedule.epochs=1", "patch.batch_size=2")]
    common = ["--workspace", str(space)]
    plan = ["plan-and-preprocess", "data", "--name", "d", "--time-budget", "1s", "--device", "cpu", *pins, *common]
    assert run(plan) == 0
    assert run(["train", "d", "0", "--epochs", "1", *common]) == 0
    assert run(["predict", "data/images", "out", "--model", "d", *common]) == 0
    assert run(["evaluate", "out", "data"]) == 0
    assert run(["report", "d", "report.html", "--predictions", "out", "--reference", "data", *common]) == 0
    said = "".join(capsys.readouterr())
    private = space / "datasets" / "d" / "frames.csv"
    assert "CANARYID77" in private.read_text()  # the test would see it
    written = [path for path in tmp_path.rglob("*") if path.is_file() and data not in path.parents and path != private]
    assert len(written) > 60
    for canary in CANARIES.values():
        assert canary not in said
        spellings = [canary.encode(), canary.encode("utf-16-le")]
        assert [p for p in written if any(s in p.read_bytes() for s in spellings) or canary in str(p)] == []
