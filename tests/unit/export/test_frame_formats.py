"""Formats of single frames come back bit for bit through the libraries that people open them with."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ercpseg.decoding.seg_nrrd import read_layers
from ercpseg.decoding.source import Source
from ercpseg.decoding.volume import read_volume
from ercpseg.errors import UsageError
from ercpseg.export import nifti, nrrd
from ercpseg.export.codes import CODES, coded
from ercpseg.export.formats import FORMATS, FRAME_FORMATS, SERIES_FORMATS, chosen
from ercpseg.export.protocol import Result
from ercpseg.frames.about import About
from ercpseg.frames.frame import Frame
from ercpseg.structures import COLOURS, DEFAULT_STRUCTURES, StructureSet

STRUCTURES = StructureSet(DEFAULT_STRUCTURES)
SPACED = About(spacing_mm=(0.3, 0.25), spacing_source="DETECTOR")


def result(
    bitmask: np.ndarray | None = None, structures: StructureSet = STRUCTURES, about: About = SPACED, **rest
) -> Result:
    """Overlapping structures on a frame of 20 × 30; the stone is absent."""
    if bitmask is None:
        bitmask = np.zeros((20, 30), np.uint8)
        bitmask[2:10, 4:20] = 1 | 4
        bitmask[5, 1:22] |= 2
    return Result(Frame("p_f0007", bitmask * 9, 8, about=about), bitmask, structures, **rest)


# -- .seg.nrrd ---------------------------------------------------------------------------------------------------------


SHAPES = [(1, 1), (1, 9), (9, 1), (7, 8), (8, 7), (9, 9)]


@pytest.mark.parametrize("shape", SHAPES)
def test_segments_come_back_through_itk(tmp_path: Path, shape: tuple[int, int]) -> None:
    bitmask = np.random.default_rng(shape[0]).integers(0, 256, shape).astype(np.uint8)
    structures = StructureSet((*DEFAULT_STRUCTURES, "a", "b", "c", "d"))
    path = tmp_path / "t.seg.nrrd"
    path.write_bytes(nrrd.encode(result(bitmask, structures)))
    image = sitk.ReadImage(path)
    layers = sitk.GetArrayFromImage(image)  # (slice, y, x, layer)
    assert layers.shape == (1, *bitmask.shape, 8)
    for i, name in enumerate(structures):
        assert image.GetMetaData(f"Segment{i}_Name") == name
        assert np.array_equal(layers[0, :, :, int(image.GetMetaData(f"Segment{i}_Layer"))], bitmask >> i & 1)


def test_segments_say_what_they_are(tmp_path: Path) -> None:
    given_ = result()
    FORMATS["seg-nrrd"].write(tmp_path, given_)
    image = sitk.ReadImage(tmp_path / "seg-nrrd/p_f0007.seg.nrrd")
    assert image.GetSpacing() == (0.25, 0.3, 1.0)
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    about = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    assert about["ercpseg_spacing"] == "DETECTOR"
    assert about["Segmentation_SourceRepresentation"] == "Binary labelmap"
    assert about["Segment0_Extent"] == "4 19 2 9 0 0"
    assert about["Segment3_Extent"] == "0 -1 0 -1 0 -1"  # what Slicer calls empty
    assert [round(255 * float(x)) for x in about["Segment1_Color"].split()] == list(COLOURS[1])
    category, kind, region = (about["Segment3_Tags"].split("~")[i] for i in (1, 2, 5))
    assert category == "SCT^49755003^Morphologically Abnormal Structure"
    assert kind == "SCT^56381008^Calculus"
    assert region == "SCT^79741001^Common bile duct"


def test_our_own_reader_takes_the_segments_back(tmp_path: Path) -> None:
    given_ = result()
    (tmp_path / "t.seg.nrrd").write_bytes(nrrd.encode(given_))
    layers = read_layers(Source(tmp_path / "t.seg.nrrd"))
    assert [name for name, _, _ in layers.segments] == list(STRUCTURES)
    for name, value, layer in layers.segments:
        assert np.array_equal(layers.planes[layer, 0] == value, given_.masks[name])


def test_a_single_structure_has_no_axis_of_layers(tmp_path: Path) -> None:
    bitmask = np.eye(4, 6, dtype=np.uint8)
    (tmp_path / "t.seg.nrrd").write_bytes(nrrd.encode(result(bitmask, StructureSet(("stone",)))))
    image = sitk.ReadImage(tmp_path / "t.seg.nrrd")
    assert np.array_equal(sitk.GetArrayFromImage(image)[0], bitmask)
    assert read_layers(Source(tmp_path / "t.seg.nrrd")).segments == (("stone", 1, 0),)


@pytest.mark.parametrize("name", ["seg-nrrd", "nifti"])
def test_an_unknown_spacing_is_called_unknown(tmp_path: Path, name: str) -> None:
    FORMATS[name].write(tmp_path, result(about=About()))
    (path, *_) = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert sitk.ReadImage(path).GetSpacing() == (1, 1, 1)  # nothing else can be said in these formats
    if name == "seg-nrrd":
        text = path.read_bytes().split(b"\n\n")[0].decode()
        assert 'space units: "px" "px" "px"' in text
        assert "ercpseg_spacing:=unknown" in text
    else:
        header = gzip.decompress(path.read_bytes())[:348]
        assert header[123] == 0  # NIFTI_UNITS_UNKNOWN
        assert header[148:].startswith(b"ercpseg cbd; spacing unknown: a pixel is 1\0")


# -- NIfTI -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_mask_comes_back_through_itk(tmp_path: Path, shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(shape[0]).random(shape) < 0.5
    path = tmp_path / "t.nii.gz"
    path.write_bytes(nifti.encode(mask, (0.5, 0.25), "x"))
    image = sitk.ReadImage(path)
    assert image.GetSpacing() == (0.25, 0.5, 1.0)
    assert image.GetOrigin() == (0, 0, 0)
    assert np.allclose(image.GetDirection(), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    array = sitk.GetArrayFromImage(image)
    assert array.dtype == np.uint8
    assert np.array_equal(array[0], mask)


def test_the_header_is_what_itk_writes_for_the_same_mask(tmp_path: Path) -> None:
    mask = result().masks["cbd"]
    image = sitk.GetImageFromArray(mask.astype(np.uint8)[None])
    image.SetSpacing((0.25, 0.5, 1))
    sitk.WriteImage(image, tmp_path / "itk.nii.gz")
    theirs = gzip.decompress((tmp_path / "itk.nii.gz").read_bytes())
    ours = gzip.decompress(nifti.encode(mask, (0.5, 0.25), ""))
    differ = {i for i in range(352) if ours[i] != theirs[i]}
    # regular (an ANALYZE relic), the unit of time, and zeros of either sign
    assert all(i in (38, 123) or ours[i] & 0x7F == theirs[i] & 0x7F for i in differ)
    assert ours[352:] == theirs[352:]


def test_each_structure_has_its_file_and_our_own_reader_takes_it_back(tmp_path: Path) -> None:
    given_ = result()
    FORMATS["nifti"].write(tmp_path, given_)
    for name, mask in given_.masks.items():
        array, _ = read_volume(Source(tmp_path / "nifti" / name / "p_f0007.nii.gz"))
        assert np.array_equal(np.squeeze(array), mask)


# -- probabilities -----------------------------------------------------------------------------------------------------


def test_probabilities_come_back_whatever_structures_are_called(tmp_path: Path) -> None:
    structures = StructureSet(("stone", "file"))  # numpy.savez cannot take an array of that name
    probabilities = np.random.default_rng(0).random((2, 20, 30)).astype(np.float16)
    given_ = result(np.zeros((20, 30), np.uint8), structures, probabilities=probabilities)
    FORMATS["npz"].write(tmp_path, given_)
    path = tmp_path / "probabilities/p_f0007.npz"
    first = path.read_bytes()
    with np.load(path, allow_pickle=False) as archive:
        assert archive.files == ["stone", "file"]
        for i, name in enumerate(archive.files):
            assert archive[name].dtype == np.float16
            assert np.array_equal(archive[name], probabilities[i])
    with zipfile.ZipFile(path) as packed:
        assert {entry.compress_type for entry in packed.infolist()} == {zipfile.ZIP_DEFLATED}
    FORMATS["npz"].write(tmp_path, given_)
    assert path.read_bytes() == first


# -- the table ---------------------------------------------------------------------------------------------------------


def test_names_are_chosen_in_the_order_of_the_table_and_png_is_always_there() -> None:
    assert chosen("npz, seg-nrrd") == ("png", "seg-nrrd", "npz")
    with pytest.raises(UsageError, match="unknown format 'nope'"):
        chosen("png,nope")
    with pytest.raises(UsageError, match="unknown format ''"):
        chosen("png,")


def test_no_two_formats_write_into_one_folder() -> None:
    of_frames = [{folder.split("/")[0] for folder in f.folders(STRUCTURES)} for f in FRAME_FORMATS.values()]
    folders = [name for names in of_frames for name in names] + [f.folder for f in SERIES_FORMATS.values()]
    assert len(set(folders)) == len(folders) == len(FORMATS)
    assert not {"labels", "overlays"} & set(folders)


def test_codes_are_short_enough_for_dicom_and_only_known_structures_have_public_ones() -> None:
    for name in (*DEFAULT_STRUCTURES, "a" * 40):
        for code in filter(None, coded(name)):
            assert len(code.value) <= 16
            assert len(code.scheme) <= 16
            assert len(code.meaning) <= 64
    assert set(CODES) == set(DEFAULT_STRUCTURES)
    assert {code.scheme for code in coded("airway")[:2]} == {"99ERCPSEG"}
