"""The folder that people and scripts rely on."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian, XRayRadiofluoroscopicImageStorage

from ercpseg.errors import UsageError
from ercpseg.storage.images import read_png
from ercpseg.synthesis.dataset import SynthesisSummary, patient_name, share, synthesise
from ercpseg.synthesis.phantom.frame import STRUCTURES, Studio
from ercpseg.synthesis.phantom.physics import to_8_bits

SIZE = 96


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    png = synthesise(folder / "png", frames=5, patients=2, size=SIZE, seed=3)
    dicom = synthesise(folder / "dicom", frames=5, patients=2, size=SIZE, seed=3, file_format="dicom")
    return png, dicom


def files(summary):
    return sorted(p.relative_to(summary.folder).as_posix() for p in summary.folder.rglob("*") if p.is_file())


STEMS = ["s3p0000_f0000", "s3p0000_f0001", "s3p0000_f0002", "s3p0001_f0000", "s3p0001_f0001"]
MASKS = [f"masks/{structure}/{stem}.png" for structure in STRUCTURES for stem in STEMS]


def test_layout_and_summary(written):
    png, dicom = written
    assert files(png) == sorted([f"images/{stem}.png" for stem in STEMS] + MASKS)
    assert files(dicom) == sorted(["images/s3p0000.dcm", "images/s3p0001.dcm", *MASKS])
    assert png == SynthesisSummary(png.folder, frames=5, patients=2, files=25)
    assert dicom == SynthesisSummary(dicom.folder, frames=5, patients=2, files=22)


def test_files_hold_the_frames_and_their_masks(written):
    png, _ = written
    frame = Studio.of(3, 1).frame(1, SIZE)
    np.testing.assert_array_equal(read_png(png.folder / "images/s3p0001_f0001.png"), to_8_bits(frame.pixels))
    for name in STRUCTURES:
        mask = read_png(png.folder / "masks" / name / "s3p0001_f0001.png")
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 255}
        np.testing.assert_array_equal(mask > 0, frame.masks[name])


def test_dicom_is_valid_and_agrees_with_png(written):
    png, dicom = written
    for number, count in enumerate((3, 2)):
        name = patient_name(3, number)
        ds = pydicom.dcmread(dicom.folder / "images" / f"{name}.dcm")
        assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == XRayRadiofluoroscopicImageStorage
        assert (ds.Modality, ds.PhotometricInterpretation) == ("RF", "MONOCHROME2")
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 12, 11, 0)
        assert (ds.Rows, ds.Columns, ds.NumberOfFrames) == (SIZE, SIZE, count)
        assert ds.PatientID == name
        assert ds.FrameTime > 0
        assert len(ds.ImagerPixelSpacing) == 2
        uids = [ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID]
        assert all(UID(u).is_valid for u in uids)
        assert len(set(uids)) == 3
        pixels = ds.pixel_array
        assert pixels.shape == (count, SIZE, SIZE)
        for k in range(count):
            np.testing.assert_array_equal(pixels[k] >> 4, read_png(png.folder / "images" / f"{name}_f{k:04d}.png"))
    for path in MASKS:
        assert (png.folder / path).read_bytes() == (dicom.folder / path).read_bytes()


@pytest.mark.parametrize("file_format", ["png", "dicom"])
def test_the_same_seed_gives_the_same_bytes(written, tmp_path, file_format):
    again = synthesise(tmp_path / "again", frames=5, patients=2, size=SIZE, seed=3, file_format=file_format)
    before = written[0] if file_format == "png" else written[1]
    assert {f: (again.folder / f).read_bytes() for f in files(again)} == {
        f: (before.folder / f).read_bytes() for f in files(before)
    }


def test_a_frame_does_not_depend_on_how_many_there_are(written, tmp_path):
    more = synthesise(tmp_path / "more", frames=3, patients=3, size=SIZE, seed=3)
    for stem in ("s3p0000_f0000", "s3p0001_f0000"):
        for folder in ("images", *(f"masks/{s}" for s in STRUCTURES)):
            path = f"{folder}/{stem}.png"
            assert (more.folder / path).read_bytes() == (written[0].folder / path).read_bytes()


def test_spacing_is_that_of_the_detector(tmp_path):
    made = synthesise(tmp_path / "d", frames=1, patients=1, size=128, file_format="dicom")
    ds = pydicom.dcmread(made.folder / "images/s0p0000.dcm")
    # 0.3 mm at the isocentre at 512 px is 1.2 mm at 128 px, times 1.35 of magnification.
    assert [float(v) for v in ds.ImagerPixelSpacing] == pytest.approx([1.62, 1.62])
    assert ds.NumberOfFrames == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 1, "patients": 2},
        {"frames": 0, "patients": 0},
        {"frames": 2, "patients": 0},
        {"frames": 1, "patients": 1, "size": 16},
        {"frames": 1, "patients": 1, "size": 5000},
        {"frames": 1, "patients": 1, "seed": -1},
        {"frames": 1, "patients": 1, "file_format": "tiff"},
    ],
)
def test_nonsense_is_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(UsageError):
        synthesise(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_folder_with_content_is_left_alone(tmp_path, folder):
    there = tmp_path / folder / "mine.png"
    there.parent.mkdir()
    there.write_bytes(b"x")
    with pytest.raises(UsageError, match="files already"):
        synthesise(tmp_path, frames=1, patients=1, size=SIZE)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [there]


def test_a_file_in_the_way_is_a_usage_error(tmp_path):
    (tmp_path / "out").write_bytes(b"x")
    with pytest.raises(UsageError, match="a file"):
        synthesise(tmp_path / "out", frames=1, patients=1, size=SIZE)


def test_frames_are_spread_evenly():
    assert share(10, 4) == [3, 3, 2, 2]
    assert share(4, 4) == [1, 1, 1, 1]


def test_progress_counts_frames(tmp_path):
    class Bar:
        def __init__(self):
            self.done, self.total = 0, None

        def task(self, description, total=None):
            self.total = total
            return self

        def say(self, text):
            raise AssertionError(text)

        def advance(self, n=1, note=None):
            self.done += n

        def retotal(self, total):
            self.total = total

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            pass

    bar = Bar()
    synthesise(tmp_path / "out", frames=3, patients=2, size=SIZE, progress=bar)
    assert (bar.done, bar.total) == (3, 3)
