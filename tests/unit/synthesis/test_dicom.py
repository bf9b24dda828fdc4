"""What the importer reads from a synthetic DICOM object is what was drawn."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from ercpseg.decoding import formats
from ercpseg.decoding.source import Source
from ercpseg.importers.dataset import import_dataset
from ercpseg.storage.images import read_png
from ercpseg.storage.workspace import Workspace
from ercpseg.structures import DEFAULT_STRUCTURES
from ercpseg.synthesis.dataset import Options, synthesise_domain
from ercpseg.synthesis.studio import open_studio
from tests.unit.synthesis.conftest import changed

SIZE = 96


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("inverted", [0.0, 1.0])
def test_pixels_spacing_and_time_come_back(busy, tmp_path, bits, inverted):
    domain = changed(busy, frame={"bits": bits, "inverted": inverted, "spacing_missing": 0.0})
    made = synthesise_domain(
        tmp_path / "out", frames=3, patients=1, options=Options(domain, SIZE, file_format="dicom", series=True)
    )
    (path,) = (made.folder / "images").iterdir()
    listing = formats.listing(Source(path), "dicom")
    frames = list(open_studio(domain, 0, 0, SIZE).series(3))
    assert listing.count == 3
    for number, frame in enumerate(frames):
        picture = formats.frame(listing, number)
        assert picture.bits == bits
        np.testing.assert_array_equal(picture.pixels, frame.pixels)  # devices dark, whatever is stored
    calibration = frames[0].truth.calibration
    assert listing.about.spacing_mm == pytest.approx((calibration.mm_per_px_y, calibration.mm_per_px_x), rel=1e-4)
    assert listing.about.frame_time_ms == pytest.approx(133.3)
    assert listing.about.patient == "roundfield0p0000"


def test_a_room_may_write_no_spacing(busy, tmp_path):
    domain = changed(busy, frame={"spacing_missing": 1.0})
    made = synthesise_domain(tmp_path / "out", frames=1, patients=1, options=Options(domain, SIZE, file_format="dicom"))
    (path,) = (made.folder / "images").iterdir()
    assert formats.listing(Source(path), "dicom").about.spacing_mm is None
    (truth,) = (made.folder / "truth").iterdir()
    assert '"in_header":false' in truth.read_text()


def test_pixels_that_are_not_square_say_so(busy, tmp_path):
    domain = changed(busy, frame={"spacing_missing": 0.0, "pixel_aspect": [1.25]})
    made = synthesise_domain(tmp_path / "out", frames=1, patients=1, options=Options(domain, SIZE, file_format="dicom"))
    (path,) = (made.folder / "images").iterdir()
    spacing = formats.listing(Source(path), "dicom").about.spacing_mm
    assert spacing[0] / spacing[1] == pytest.approx(1.25, rel=1e-4)
    assert formats.frame(formats.listing(Source(path), "dicom"), 0).pixels.shape == (SIZE, round(1.25 * SIZE))


def test_bright_devices_are_dark_after_all(busy, tmp_path):
    """PNG cannot say its polarity: the picture is inverted within the field, black outside."""
    dark, bright = (
        synthesise_domain(
            tmp_path / name,
            frames=1,
            patients=1,
            options=Options(changed(busy, frame={"inverted": share}, field={"marker": 0.0}), SIZE),
        )
        for name, share in (("dark", 0.0), ("bright", 1.0))
    )
    a, b = (read_png(next((made.folder / "images").iterdir())) for made in (dark, bright))
    field = open_studio(busy, 0, 0, SIZE).frame(0).field
    np.testing.assert_array_equal(b[field], 255 - a[field])
    assert not b[~field].any()


@pytest.mark.parametrize("file_format", ["png", "dicom"])
def test_the_folder_imports_with_its_patients_and_structures(busy, tmp_path, file_format):
    options = Options(busy, SIZE, file_format=file_format)
    made = synthesise_domain(tmp_path / "out", frames=4, patients=2, options=options)
    workspace = Workspace(tmp_path / "workspace")
    dataset = import_dataset(made.folder, workspace, "made")
    assert dataset.structures == DEFAULT_STRUCTURES
    assert (dataset.used, dataset.refused) == (4, 0)
    (table,) = (tmp_path / "workspace").rglob("frames.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len({row["patient"] for row in rows if row["status"] == "used"}) == 2
