"""The public data sets that development uses; ``ERCPSEG_TEST_DATA`` says where they are, without it all is skipped."""

import csv
import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ercpseg.frames.frame import Frame
from ercpseg.geometry.drawing import fill_polygon
from ercpseg.importers.dataset import import_dataset
from ercpseg.importers.frames import iter_frames
from ercpseg.storage.images import read_png
from ercpseg.storage.tables import read_table
from ercpseg.storage.workspace import Workspace

ROOT = Path(os.environ.get("ERCPSEG_TEST_DATA", "/nonexistent"))
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="ERCPSEG_TEST_DATA is not set")


def test_xca_vessels(tmp_path):
    dataset = import_dataset(ROOT / "xca-vessels", Workspace(tmp_path), "xca")
    assert (dataset.used, dataset.refused, dataset.structures) == (80, 0, ("vessel",))


def test_cxr_lines(tmp_path):
    workspace = Workspace(tmp_path)
    dataset = import_dataset(ROOT / "cxr-lines", workspace, "cxr")
    assert (dataset.used, dataset.refused, len(dataset.structures)) == (100, 0, 8)
    with (ROOT / "cxr-lines" / "index.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) >= 100
    row = read_table(workspace.dataset_folder("cxr") / "frames.csv")[0]
    from PIL import Image

    bitmask = read_png(workspace.raw_folder("cxr") / "labelsTr" / f"{row['frame']}.png")
    stem = Path(row["source"]).stem
    for name in dataset.structures:
        path = ROOT / "cxr-lines" / "masks" / name / f"{stem}.png"
        if path.exists():
            with Image.open(path) as image:
                expected = np.asarray(image) > 0
            assert ((bitmask & dataset.structure_set.value(name) > 0) == expected).all()


def test_ercp_by_masks_and_by_labelme_agree(tmp_path):
    source = ROOT / "ercp-annotated"
    shutil.copytree(source / "images", tmp_path / "labelme" / "images")
    shutil.copytree(source / "labelme", tmp_path / "labelme" / "labelme")
    workspace = Workspace(tmp_path / "ws")
    by_masks = import_dataset(source, workspace, "masks")
    by_labelme = import_dataset(tmp_path / "labelme", workspace, "labelme")
    assert by_masks.structures == by_labelme.structures == ("endoscope", "guidewire", "cbd", "stone")
    assert (by_masks.layout, by_labelme.layout, by_labelme.used) == ("folder", "labelme", by_masks.used)
    for path in (workspace.raw_folder("masks") / "labelsTr").iterdir():
        a, b = read_png(path), read_png(workspace.raw_folder("labelme") / "labelsTr" / path.name)
        polygons = 0xFF & ~by_masks.structure_set.value("guidewire")
        assert (a & polygons == b & polygons).all()
        lines = [(mask & by_masks.structure_set.value("guidewire") > 0) for mask in (a, b)]
        assert (lines[0] & ~lines[1]).sum() <= 0.05 * lines[0].sum()  # the wire was drawn 2–3 px wide, ours is 3


def test_polygons_are_the_reference_masks(tmp_path):
    for path in (ROOT / "ercp-annotated" / "labelme").glob("*.json"):
        shapes = json.loads(path.read_text())["shapes"]
        for name in ("endoscope", "cbd", "stone"):
            drawn = np.zeros((512, 512), bool)
            for shape in shapes:
                if shape["label"] == name:
                    drawn |= fill_polygon(np.array(shape["points"]), (512, 512))
            reference = ROOT / "ercp-annotated" / "masks" / name / f"{path.stem}.png"
            if reference.exists():
                assert (drawn == (read_png(reference) > 0)).all()
            else:
                assert not drawn.any()


def test_every_odd_file_ends_as_frames_or_as_a_record(capfd):
    """1,000 odd, broken and hostile files: nothing raises, nothing is lost, nothing takes long."""
    sources, used, codes = set(), Counter(), Counter()
    last = time.perf_counter()
    for row in iter_frames(ROOT / "odd-files"):
        sources.add(row.source)
        if isinstance(row, Frame):
            used[row.source.split("/")[0]] += 1
            assert row.pixels.ndim == 2
            assert row.pixels.dtype in (np.uint8, np.uint16)
            assert row.pixels.max() < 2**row.bits
        else:
            codes[row.code] += 1
        assert time.perf_counter() - last < 15, row.source
        last = time.perf_counter()
    files = {p.relative_to(ROOT / "odd-files").as_posix() for p in (ROOT / "odd-files").rglob("*") if p.is_file()}
    assert sources == files
    assert used["dicom"] >= 350
    assert used["png"] >= 50
    assert codes["too-large"] >= 1
    assert codes["surplus-data"] >= 4


def test_what_pydicom_decodes_we_decode_to_the_same(capfd):
    """Against pydicom's own decoders, by the stated rules (sign shifted, polarity normalised, grey of colour)."""
    import logging
    import warnings

    import pydicom

    compared = 0
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    for frame in iter_frames(ROOT / "odd-files" / "dicom"):
        if not isinstance(frame, Frame) or (frame.index or 0) > 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset = pydicom.dcmread(ROOT / "odd-files" / "dicom" / frame.source, force=True)
                expected = pydicom.pixels.pixel_array(dataset, index=frame.index).astype(np.int64)
            except Exception:
                continue
            bits = dataset.BitsStored
            coloured = dataset.SamplesPerPixel == 3
            if dataset.PhotometricInterpretation == "PALETTE COLOR":
                expected = pydicom.pixels.apply_color_lut(expected, dataset).astype(np.int64)
                coloured = True
            elif dataset.PixelRepresentation == 1:
                expected = expected + 2 ** (bits - 1)
            if expected.ndim == 3:
                expected = expected @ np.array([0.299, 0.587, 0.114])
            if dataset.PhotometricInterpretation == "MONOCHROME1":
                expected = 2**bits - 1 - expected
        assert np.abs(expected - frame.pixels).max() <= (1 if coloured else 0), frame.source
        compared += 1
    assert compared >= 120
