"""Any number of workers, any interruption: the same files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from ercpseg.errors import Interrupted, StorageError, UsageError, WorkspaceBusy
from ercpseg.storage.images import read_png
from ercpseg.storage.workspace import Workspace
from ercpseg.synthesis import dataset, jobs
from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.dataset import FINISHED, UNDER_WAY, Options, _request, synthesise_domain
from ercpseg.synthesis.jobs import Job, Materials, plan_jobs
from ercpseg.synthesis.request import Request
from ercpseg.synthesis.studio import open_studio
from ercpseg.synthesis.truth import Truth

SIZE = 96


@pytest.fixture(scope="module")
def options(busy):
    return Options(busy, SIZE, seed=2)


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory, options):
    folder = tmp_path_factory.mktemp("scenes") / "out"
    return synthesise_domain(folder, frames=10, patients=3, options=options)


def make(folder, options, **changes):
    return synthesise_domain(folder, frames=10, patients=3, options=Options(**{**vars(options), **changes}))


def test_every_frame_has_image_masks_and_truth(written, busy):
    files = content(written.folder)
    assert FINISHED in files
    assert UNDER_WAY not in files
    assert len(files) == written.files + 1 == 10 * (1 + 4 + 1) + 1
    assert len([f for f in files if f.startswith("truth/")]) == 10
    frame = open_studio(busy, 2, 1, SIZE).frame(2)
    stem = "roundfield2p0001_f0002"
    np.testing.assert_array_equal(read_png(written.folder / "images" / f"{stem}.png"), frame.eight_bits)
    for structure, mask in frame.masks.items():
        np.testing.assert_array_equal(read_png(written.folder / "masks" / structure / f"{stem}.png") > 0, mask)
    assert Truth.model_validate_json(files[f"truth/{stem}.json"]) == frame.truth


def test_two_processes_write_the_same_bytes(written, tmp_path, options):
    assert content(make(tmp_path / "out", options, workers=2).folder) == content(written.folder)


def test_patients_of_several_domains_take_turns(tmp_path, options, written):
    other = find_domain("shiraz")
    mixed = synthesise_domain(
        tmp_path / "out", frames=4, patients=4, options=Options(options.domain, SIZE, seed=2, others=(other,))
    )
    files = content(mixed.folder)
    images = sorted(name for name in files if name.startswith("images/"))
    names = ("roundfield2p0000", "roundfield2p0002", "shiraz2p0001", "shiraz2p0003")
    assert images == [f"images/{name}_f0000.png" for name in names]
    # A patient's number and domain say all, whoever the others are.
    assert files["images/roundfield2p0002_f0000.png"] == content(written.folder)["images/roundfield2p0002_f0000.png"]
    frame = open_studio(other, 2, 3, SIZE).frame(0)
    np.testing.assert_array_equal(read_png(mixed.folder / "images" / "shiraz2p0003_f0000.png"), frame.eight_bits)
    with pytest.raises(UsageError, match="stands alone"):
        make(tmp_path / "no", options, others=(find_domain("phantom-simple"),))


def test_without_a_size_each_domain_has_its_own(options):
    request = _request(2, 2, Options(options.domain, others=(find_domain("saint-antoine"),)), Materials())
    assert request.height_px is None
    assert [open_studio(request.domain_of(n), 0, n, None).who.view.shape[0] for n in range(2)] == [512, 1024]


def test_more_frames_do_not_change_those_there_are(written, tmp_path, options):
    few = synthesise_domain(tmp_path / "out", frames=3, patients=3, options=options)
    before = content(written.folder)
    assert all(before[name] == data for name, data in content(few.folder).items() if name != FINISHED)


@pytest.mark.parametrize("file_format", ["png", "dicom"])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_files(tmp_path, options, monkeypatch, file_format):
    whole = content(make(tmp_path / "whole", options, file_format=file_format).folder)
    done = []

    def stops(job, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job)
        return jobs.run_job(job, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(dataset, "run_job", stops)
        with pytest.raises(Interrupted, match="stopped"):
            make(tmp_path / "out", options, file_format=file_format)
    left = content(tmp_path / "out")
    assert UNDER_WAY in left
    assert FINISHED not in left
    assert 0 < len(left) < len(whole)
    assert content(make(tmp_path / "out", options, file_format=file_format).folder) == whole


def test_a_full_disk_costs_no_file(tmp_path, options, written, monkeypatch):
    written_so_far = []

    def full(path, data, **rest):
        if len(written_so_far) == 17:
            raise StorageError("the disk is full", where=path)
        written_so_far.append(path)
        return original(path, data, **rest)

    original = jobs.write_bytes
    with monkeypatch.context() as patched:
        patched.setattr(jobs, "write_bytes", full)
        with pytest.raises(StorageError, match="full"):
            make(tmp_path / "out", options)
    assert content(make(tmp_path / "out", options).folder) == content(written.folder)


def test_a_killed_run_s_leftovers_are_removed(tmp_path, options, written, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(dataset, "flush", lambda *files: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "out", options)
    (tmp_path / "out" / "images" / ".tmp-ercpseg-0123").write_bytes(b"half")
    (tmp_path / "out" / "images" / "roundfield2p0000_f0001.png").unlink()  # what a killed job had not come to
    assert content(make(tmp_path / "out", options).folder) == content(written.folder)


def test_a_finished_folder_is_left_as_it_is(tmp_path, options):
    made = make(tmp_path / "out", options)
    times = {p: p.stat().st_mtime_ns for p in (made.folder / "images").iterdir()}
    make(tmp_path / "out", options)
    assert times == {p: p.stat().st_mtime_ns for p in (made.folder / "images").iterdir()}


def test_a_folder_of_a_version_whose_masks_were_others_is_refused(tmp_path, options, written):
    """Before ``ercpseg.synthesis/4`` noise on users' frames was drawn otherwise, before /3 catheters and ends of columns."""
    old = tmp_path / "old"
    shutil.copytree(written.folder, old)
    began = (old / FINISHED).read_text()
    assert "ercpseg.synthesis/4" in began
    (old / FINISHED).write_text(began.replace("ercpseg.synthesis/4", "ercpseg.synthesis/3"))
    before = content(old)
    with pytest.raises(UsageError, match="by another version"):
        make(old, options)
    assert content(old) == before


def test_a_folder_of_a_version_that_knew_fewer_parameters_is_refused(tmp_path, options, written):
    old = tmp_path / "old"
    shutil.copytree(written.folder, old)
    began = json.loads((old / FINISHED).read_text())
    del began["domain"]["duct"]["gap"]
    (old / FINISHED).write_text(json.dumps(began))
    assert Request.parse(began) == _request(10, 3, options, Materials())  # it parses, with the default of today
    with pytest.raises(UsageError, match="by another version"):
        make(old, options)


def test_other_numbers_are_refused_in_the_same_folder(written, options):
    with pytest.raises(UsageError, match="other numbers"):
        make(written.folder, options, seed=3)


def test_a_folder_in_use_is_refused(tmp_path, options):
    (tmp_path / "out").mkdir()
    with Workspace(tmp_path / "out").locked(), pytest.raises(WorkspaceBusy):
        make(tmp_path / "out", options)


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ({"frames": 0, "patients": 1}, "frames"),
        ({"frames": 5, "patients": 0}, "patients"),
        ({"frames": 20_001, "patients": 2}, "frames"),
        ({"frames": 20_000, "patients": 20_000}, "patients"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, options, numbers, named):
    with pytest.raises(UsageError) as caught:
        synthesise_domain(tmp_path / "out", options=options, **numbers)
    assert named in str(caught.value)
    assert "1 to" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"size": 63}, {"size": 4097}, {"seed": -1}])
def test_impossible_options_are_refused_by_name(tmp_path, options, wrong):
    (name,) = wrong
    with pytest.raises(UsageError) as caught:
        make(tmp_path / "out", options, **wrong)
    assert name in str(caught.value)
    assert not (tmp_path / "out").exists()


def request(busy, **changes):
    numbers = {
        "domain": busy, "frames": 20, "patients": 2, "height_px": SIZE, "seed": 0, "file_format": "png",
        "series": False, "ercpseg_version": "0",
    }  # fmt: skip
    return Request.new(**{**numbers, **changes})


def test_jobs_cover_every_frame_once(busy):
    planned = list(plan_jobs(request(busy)))
    assert planned == [Job(0, 0, 8), Job(0, 8, 10), Job(1, 0, 8), Job(1, 8, 10)]


@pytest.mark.parametrize("changes", [{"series": True}, {"file_format": "dicom"}])
def test_a_patient_is_one_job_where_frames_depend_on_each_other(busy, changes):
    assert list(plan_jobs(request(busy, **changes))) == [Job(0, 0, 10), Job(1, 0, 10)]
