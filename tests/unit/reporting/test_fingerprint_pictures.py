"""Pictures of a fingerprint: readable whatever the data are, equal for equal data, and in place beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imagecodecs import png_decode

from ercpseg.documents.dataset import Dataset
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.fingerprint.collect import measure_dataset
from ercpseg.fingerprint.detail import Detail
from ercpseg.reporting.content import ReportContent
from ercpseg.reporting.fingerprint_atlas import atlas_picture
from ercpseg.reporting.fingerprint_files import ATLAS, OVERVIEW, read_fingerprint_pictures, write_fingerprint_pictures
from ercpseg.reporting.fingerprint_overview import overview_picture
from ercpseg.reporting.pages import data_uri, render_report
from tests.unit.fingerprint.test_invariants import NAMES, made


def measured(folder: Path, names: tuple[str, ...] = NAMES, **changes: object) -> tuple[Fingerprint, Detail]:
    raw, rows = made(folder, 3)
    dataset = Dataset.new(
        name="d", nnunet_id=1, structures=names, layout="folder", found=1, used=1, refused=0, ignored=0,
        frames_sha256="0" * 64,
    )  # fmt: skip
    rows[0] = rows[0].model_copy(update=changes)
    return measure_dataset(dataset, raw, rows)


def test_pictures_lie_beside_the_fingerprint_and_come_back_for_the_report(tmp_path: Path) -> None:
    f, detail = measured(tmp_path / "data", device="x")
    out = tmp_path / "out"
    assert read_fingerprint_pictures(out) == ()
    write_fingerprint_pictures(out, f, detail.histograms, detail.widths_px, detail.atlas)
    assert sorted(path.name for path in out.iterdir()) == sorted([OVERVIEW, ATLAS])
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    write_fingerprint_pictures(out, f, detail.histograms, detail.widths_px, detail.atlas)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    shown = read_fingerprint_pictures(out)
    assert [item.png for item in shown] == [first[OVERVIEW], first[ATLAS]]
    assert all(item.caption for item in shown)


def test_sizes_and_ink(tmp_path: Path) -> None:
    f, detail = measured(tmp_path)
    overview = png_decode(overview_picture(f, detail.histograms, detail.widths_px))
    assert overview.shape[:2] == (920, 1100)
    atlas = png_decode(atlas_picture(f, detail.atlas))
    assert atlas.shape[1] > 2 * atlas.shape[0], "four maps in a row"
    for picture in (overview, atlas):
        # A tenth of the colours of the structures is seen: green endoscope, red wire, blue duct, yellow stone.
        pixels = picture[..., :3].reshape(-1, 3).astype(int)
        for colour in ((64, 220, 96), (255, 72, 72), (80, 190, 255), (255, 214, 64)):
            assert (np.abs(pixels - colour).max(axis=1) < 60).sum() > 20, colour


def test_the_atlas_shows_a_structure_where_it_lies(tmp_path: Path) -> None:
    f, detail = measured(tmp_path)
    cells = np.zeros((32, 32))
    cells[24:, :8] = 1
    lower_left = png_decode(atlas_picture(f, {"endoscope": cells}))[..., :3].astype(int)
    panel = lower_left[:, : lower_left.shape[1] // 4]
    bright = np.argwhere(panel.min(axis=2) > 200)
    y, x = bright.mean(axis=0) / panel.shape[:2]
    assert y > 0.6
    assert x < 0.4
    share = detail.atlas["endoscope"]
    assert share.shape == (32, 32)
    assert share.mean() == pytest.approx(f.structures["endoscope"].foreground_frac.p50, rel=0.35)


def test_structures_in_no_frame_and_eight_of_them_can_be_drawn(tmp_path: Path) -> None:
    names = (*NAMES, "a_structure_with_a_very_long_name", "absent_b", "absent_c", "absent_d")
    f, detail = measured(tmp_path, names)
    assert set(detail.atlas) == set(detail.widths_px) == set(NAMES)
    assert png_decode(atlas_picture(f, detail.atlas)).shape[0] > 500
    assert png_decode(overview_picture(f, detail.histograms, detail.widths_px)).shape[:2] == (920, 1100)


def test_nothing_measured_can_be_drawn(tmp_path: Path) -> None:
    f, detail = measured(tmp_path, ("stent",))
    empty = f.model_copy(
        update={"structures": {"stent": f.structures["stent"].model_copy(update={"width_px": None, "cnr": None})}}
    )
    assert png_decode(overview_picture(empty, detail.histograms, {})).shape[:2] == (920, 1100)
    assert png_decode(atlas_picture(empty, {})).ndim == 3


def test_the_report_shows_them(tmp_path: Path) -> None:
    f, detail = measured(tmp_path / "data")
    write_fingerprint_pictures(tmp_path, f, detail.histograms, detail.widths_px, detail.atlas)
    shown = read_fingerprint_pictures(tmp_path)
    page = render_report(ReportContent("t", NAMES, fingerprint=f, fingerprint_figures=shown))
    for item in shown:
        assert data_uri(item.png) in page
        assert item.caption in page
    assert "data:image/png" not in render_report(ReportContent("t", NAMES, fingerprint=f))
