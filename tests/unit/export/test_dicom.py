"""DICOM results come back bit for bit through highdicom and pydicom, are filed under the right patient, and are valid."""

from __future__ import annotations

import logging
import shutil
import subprocess
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedXAImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    XRayRadiofluoroscopicImageStorage,
)

from ercpseg.decoding.dicom_seg import read_plane, read_segmentation
from ercpseg.decoding.source import Source
from ercpseg.errors import StorageError
from ercpseg.export import dicom_object
from ercpseg.export.dicom_object import NOT_FOR_DIAGNOSIS
from ercpseg.frames.lettering import strip
from ercpseg.storage.images import read_png, write_png
from ercpseg.structures import DEFAULT_STRUCTURES
from tests.unit.export.made import exports, predicted, write_dicom

OWN = ("stone", "airway", "a_structure_with_a_name_of_forty_letters")
KINDS = {
    "xa-1": {},
    "xa-5": {"frames": 5, "FrameTime": "66.7", "FrameIncrementPointer": 0x00181063},
    "rf-7-odd": {"frames": 7, "shape": (17, 21), "SOPClassUID": XRayRadiofluoroscopicImageStorage, "Modality": "RF"},
    "rf-1-deflated": {"SOPClassUID": XRayRadiofluoroscopicImageStorage, "syntax": DeflatedExplicitVRLittleEndian},
    "cr": {"SOPClassUID": ComputedRadiographyImageStorage, "Modality": "CR", "ImagerPixelSpacing": [0.2, 0.2]},
    "sc-3": {"frames": 3, "SOPClassUID": MultiFrameGrayscaleWordSecondaryCaptureImageStorage, "Modality": "OT"},
    "enhanced-3": {"frames": 3, "SOPClassUID": EnhancedXAImageStorage, "FrameOfReferenceUID": "1.2.3.9"},
    "inverse": {"frames": 2, "photometric": "MONOCHROME1", "BurnedInAnnotation": "NO"},
    "bare": {
        **dict.fromkeys(("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"), ""),
        **dict.fromkeys(("StudyID", "AccessionNumber", "ReferringPhysicianName"), ""),
    },
    "lossy": {
        "frames": 2,
        **{"LossyImageCompression": "01", "LossyImageCompressionRatio": [10, 3]},
        "LossyImageCompressionMethod": ["ISO_10918_1", "ISO_15444_1"],
    },
    "removed": {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "by hand"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM file of every kind, predicted into ``out`` as segmentation and secondary capture."""
    root = tmp_path_factory.mktemp("dicom")
    for name, elements in KINDS.items():
        write_dicom(root / "in" / f"{name}.dcm", **elements)
    predicted(root / "in", root / "out", ["dicom-seg", "dicom-sc"])
    return root


def frames_of(name: str) -> list[str]:
    count = int(KINDS[name].get("frames", 1))
    return [f"{name}_f{i:04d}" for i in range(count)] if count > 1 else [name]


def labels(folder: Path, name: str) -> np.ndarray:
    """(frames, y, x) bitmasks."""
    return np.stack([read_png(folder / "out/labels" / f"{frame}.png") for frame in frames_of(name)])


def by_highdicom(path: Path, source: pydicom.Dataset, count: int) -> np.ndarray:
    """(frames, y, x, segments) booleans."""
    import highdicom as hd

    seg = hd.seg.segread(path)
    if count > 1:
        found = seg.get_pixels_by_source_frame(
            source.SOPInstanceUID,
            list(range(1, count + 1)),
            ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        )
    else:
        found = seg.get_pixels_by_source_instance([source.SOPInstanceUID], ignore_spatial_locations=True)
    return found.astype(bool)


def bits(bitmasks: np.ndarray, count: int) -> np.ndarray:
    return np.stack([bitmasks >> i & 1 for i in range(count)], axis=-1).astype(bool)


# -- segmentations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_highdicom_reads_back_every_bit(folder: Path, name: str) -> None:
    source = pydicom.dcmread(folder / "in" / f"{name}.dcm")
    expected = bits(labels(folder, name), 4)
    found = by_highdicom(folder / "out/dicom-seg" / f"{name}.dcm", source, len(expected))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", KINDS)
def test_pydicom_reads_back_every_bit_of_every_plane(folder: Path, name: str) -> None:
    seg = pydicom.dcmread(folder / "out/dicom-seg" / f"{name}.dcm")
    bitmasks = labels(folder, name)
    planes = seg.pixel_array.reshape(-1, *bitmasks.shape[1:])
    seen = set()
    for plane, group in zip(planes, seg.PerFrameFunctionalGroupsSequence, strict=True):
        segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        content = group.FrameContentSequence[0]
        (image,) = group.DerivationImageSequence[0].SourceImageSequence
        number = image.get("ReferencedFrameNumber", 1)
        assert ("ReferencedFrameNumber" in image) == (len(bitmasks) > 1)
        assert list(content.DimensionIndexValues) == [segment, content.TemporalPositionIndex] == [segment, number]
        assert np.array_equal(plane, bitmasks[number - 1] >> (segment - 1) & 1)
        seen.add((number - 1, segment - 1))
    there = {(f, s) for f in range(len(bitmasks)) for s in range(4) if (bitmasks[f] >> s & 1).any()}
    assert seen == there  # what is empty is left out, and nothing else


@pytest.mark.parametrize("name", ["xa-1", "rf-7-odd"])
def test_our_own_importer_reads_it_back(folder: Path, name: str) -> None:
    source = Source(folder / "out/dicom-seg" / f"{name}.dcm")
    seg = read_segmentation(source)
    assert seg is not None
    assert [label for _, label in seg.segments] == list(DEFAULT_STRUCTURES)
    bitmasks = labels(folder, name)
    for number, plane in enumerate(seg.planes):
        mask = read_plane(source, (seg.rows, seg.columns), seg.bits, seg.offset, number)
        assert np.array_equal(mask, bitmasks[plane.frame or 0] >> (plane.segment - 1) & 1)


@pytest.mark.parametrize("kind", ["dicom-seg", "dicom-sc"])
@pytest.mark.parametrize("name", KINDS)
def test_a_result_is_filed_under_the_patient_and_the_study_of_its_source(folder: Path, kind: str, name: str) -> None:
    source = pydicom.dcmread(folder / "in" / f"{name}.dcm")
    result = pydicom.dcmread(folder / "out" / kind / f"{name}.dcm")
    for keyword in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
        *("StudyID", "AccessionNumber", "ReferringPhysicianName", "PatientIdentityRemoved", "DeidentificationMethod"),
        "LossyImageCompressionRatio",
    ):
        assert result.get(keyword) == source.get(keyword), keyword
    assert result.LossyImageCompression == source.get("LossyImageCompression", "00")
    assert result.SeriesInstanceUID != source.SeriesInstanceUID
    references = list(result.SourceImageSequence)
    assert [(r.ReferencedSOPClassUID, r.ReferencedSOPInstanceUID) for r in references] == [
        (source.SOPClassUID, source.SOPInstanceUID)
    ]
    assert "FrameOfReferenceUID" not in result  # a projection has none, and none is made up
    assert "PixelSpacing" not in result
    assert "PlanePositionSequence" not in str(result)


def test_that_identity_was_removed_is_repeated_only_with_how(tmp_path: Path) -> None:
    """The flag without a method is against the standard (PS3.3 C.7.1.1, type 1C)."""
    write_dicom(tmp_path / "in/a.dcm", PatientIdentityRemoved="YES")
    predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg"])
    assert "PatientIdentityRemoved" not in pydicom.dcmread(tmp_path / "out/dicom-seg/a.dcm")
    assert valid(tmp_path / "out/dicom-seg/a.dcm") == []


def test_the_segmentation_refers_to_its_series(folder: Path) -> None:
    """Without this OHIF does not find the image that a segmentation lies on."""
    source = pydicom.dcmread(folder / "in/xa-5.dcm")
    (series,) = pydicom.dcmread(folder / "out/dicom-seg/xa-5.dcm").ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    (instance,) = series.ReferencedInstanceSequence
    assert instance.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert instance.ReferencedSOPClassUID == source.SOPClassUID


def test_segments_are_coded(folder: Path) -> None:
    seg = pydicom.dcmread(folder / "out/dicom-seg/xa-5.dcm")
    found = [
        (
            item.SegmentLabel,
            item.SegmentedPropertyCategoryCodeSequence[0].CodeValue,
            item.SegmentedPropertyTypeCodeSequence[0].CodeValue,
            [region.CodeValue for region in item.get("AnatomicRegionSequence", [])],
        )
        for item in seg.SegmentSequence
    ]
    assert found == [  # ecosystem reference, 2.7
        ("endoscope", "260787004", "37270008", []),
        ("guidewire", "260787004", "272224001", []),
        ("cbd", "91723000", "79741001", []),
        ("stone", "49755003", "56381008", ["79741001"]),
    ]
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"AUTOMATIC"}
    assert seg.SegmentationType == "BINARY"


def test_structures_of_a_dataset_s_own_get_codes_of_our_own(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in/a.dcm")
    _, bitmasks, _ = predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg"], OWN)
    path = tmp_path / "out/dicom-seg/a.dcm"
    seg = pydicom.dcmread(path)
    kinds = [item.SegmentedPropertyTypeCodeSequence[0] for item in seg.SegmentSequence]
    assert [kind.CodingSchemeDesignator for kind in kinds] == ["SCT", "99ERCPSEG", "99ERCPSEG"]
    assert [kind.CodeMeaning for kind in kinds][1:] == list(OWN[1:])
    assert len(kinds[2].CodeValue) <= 16
    assert [item.SegmentLabel for item in seg.SegmentSequence] == list(OWN)
    found = by_highdicom(path, pydicom.dcmread(tmp_path / "in/a.dcm"), 1)
    assert np.array_equal(found[0], bits(bitmasks["a"], 3))
    assert valid(path) == []


def test_a_file_in_a_zip_has_its_segmentation(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "plain/a.dcm", frames=2)
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in/packed.zip", "w") as archive:
        archive.write(path, "deep/a.dcm")
    _, bitmasks, _ = predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg"])
    (result,) = (tmp_path / "out/dicom-seg").iterdir()
    found = by_highdicom(result, pydicom.dcmread(path), 2)
    assert np.array_equal(found, bits(np.stack(list(bitmasks.values())), 4))


def test_nothing_found_is_a_segmentation_too(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in/a.dcm", frames=3)
    predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg"], of=lambda _, shape: np.zeros(shape, np.uint8))
    path = tmp_path / "out/dicom-seg/a.dcm"
    assert not by_highdicom(path, pydicom.dcmread(tmp_path / "in/a.dcm"), 3).any()
    seg = pydicom.dcmread(path)
    assert (seg.NumberOfFrames, seg.SegmentsOverlap) == (1, "NO")
    assert valid(path) == []


def test_frames_that_could_not_be_read_are_told_of(tmp_path: Path) -> None:
    """Frame 1 of 3 is damaged: its planes are missing, and the object says so."""
    source = pydicom.dcmread(write_dicom(tmp_path / "in/a.dcm", frames=3))
    noise = np.random.default_rng(0).integers(0, 255, (3, 19, 23)).astype(np.uint8)
    source.BitsAllocated, source.BitsStored, source.HighBit = 8, 8, 7
    source.PixelData = noise.tobytes()
    source.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    whole = list(generate_frames(source.PixelData, number_of_frames=3))
    source.PixelData = encapsulate([whole[0], whole[1][:70], whole[2]])
    source.save_as(tmp_path / "in/a.dcm", enforce_file_format=True)
    summary, bitmasks, _ = predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg", "dicom-sc"])
    assert (summary.used, summary.refused) == (2, 1)
    seg = pydicom.dcmread(tmp_path / "out/dicom-seg/a.dcm")
    numbers = {
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for group in seg.PerFrameFunctionalGroupsSequence
    }
    assert numbers == {1, 3}
    assert seg.ContentDescription == "1 frames could not be segmented"
    found = by_highdicom(tmp_path / "out/dicom-seg/a.dcm", source, 3)
    assert np.array_equal(found[2], bits(bitmasks["a_f0002"], 4))
    capture = pydicom.dcmread(tmp_path / "out/dicom-sc/a.dcm")
    assert list(capture.SourceImageSequence[0].ReferencedFrameNumber) == [1, 3]
    assert "1 frames could not be segmented" in capture.DerivationDescription


# -- secondary captures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["xa-1", "xa-5", "rf-7-odd"])
def test_captures_are_the_overlays_above_a_strip(folder: Path, name: str) -> None:
    capture = pydicom.dcmread(folder / "out/dicom-sc" / f"{name}.dcm")
    frames = frames_of(name)
    pixels = capture.pixel_array.reshape(len(frames), capture.Rows, capture.Columns, 3)
    for picture, frame in zip(pixels, frames, strict=True):
        overlay = read_png(folder / "out/overlays" / f"{frame}.png")
        assert np.array_equal(picture[: len(overlay)], overlay)
        assert np.array_equal(picture[len(overlay) :], strip(NOT_FOR_DIAGNOSIS, overlay.shape[1], 10))
    assert list(capture.ImageType) == ["DERIVED", "SECONDARY"]


def test_captures_say_what_is_burned_in_and_how_fast_they_play(folder: Path) -> None:
    def read(name: str) -> pydicom.Dataset:
        return pydicom.dcmread(folder / "out/dicom-sc" / f"{name}.dcm", stop_before_pixels=True)

    assert read("inverse").BurnedInAnnotation == "NO"
    assert read("xa-5").BurnedInAnnotation == "YES"  # the source does not say, and the picture shows the source
    assert (read("xa-5").FrameTime, read("xa-5").FrameIncrementPointer) == (66.7, 0x00181063)
    assert "FrameTime" not in read("rf-7-odd")
    assert list(read("rf-7-odd").PageNumberVector) == list(range(1, 8))


# -- validity ----------------------------------------------------------------------------------------------------------


def valid(path: Path) -> list[str]:
    """The errors that dciodvfy finds."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert "Segmentation" in text or "SCImage" in text, text  # that it knew what to check
    return [line for line in text.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("kind", ["dicom-seg", "dicom-sc"])
@pytest.mark.parametrize("name", KINDS)
def test_dciodvfy_finds_no_error(folder: Path, kind: str, name: str) -> None:
    assert valid(folder / "out" / kind / f"{name}.dcm") == []


def test_dciodvfy_would_find_one(folder: Path, tmp_path: Path) -> None:
    seg = pydicom.dcmread(folder / "out/dicom-seg/xa-1.dcm")
    del seg.SegmentSequence[0].SegmentNumber
    seg.save_as(tmp_path / "a.dcm")
    assert valid(tmp_path / "a.dcm") != []


# -- whose it is -------------------------------------------------------------------------------------------------------


def test_the_patient_is_in_the_dicom_result_and_nowhere_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    name = "ZQX^Zoë=漢字"
    write_dicom(
        tmp_path / "in/a.dcm",
        **{"SpecificCharacterSet": "ISO_IR 192", "PatientName": name, "PatientID": "ZQX-1", "StudyID": "ZQX2"},
        AccessionNumber="ZQX3",
        StudyDescription="ZQX4",
    )
    predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg", "dicom-sc", "contact-sheet", "seg-nrrd"])
    result = pydicom.dcmread(tmp_path / "out/dicom-seg/a.dcm")
    assert (str(result.PatientName), result.PatientID) == (name, "ZQX-1")
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert result.StudyDescription == "ZQX4"
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert (b"ZQX" in path.read_bytes()) == (path.parent.name in ("dicom-seg", "dicom-sc")), path.name
        assert "ZQX" not in path.name
    assert "ZQX" not in caplog.text


@pytest.mark.parametrize(
    ("charset", "name", "encoding"),
    [
        ("ISO_IR 100", "Müller^Jürgen", "latin-1"),
        (None, "Müller^Jürgen", "latin-1"),  # undeclared, as older devices write
        ("ISO_IR 144", "Люкceмбypг", "iso8859-5"),
        ("GB18030", "Wang^XiaoDong=王^小东", "gb18030"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", "iso2022_jp"),
    ],
)
def test_names_survive_their_character_sets(tmp_path: Path, charset, name: str, encoding: str) -> None:
    raw = name.encode(encoding)
    raw += b" " * (len(raw) % 2)
    elements = {} if charset is None else {"SpecificCharacterSet": charset}
    path = write_dicom(tmp_path / "in/a.dcm", PatientName="X" * len(raw), **elements)
    path.write_bytes(path.read_bytes().replace(b"X" * len(raw), raw))
    predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg"])
    assert str(pydicom.dcmread(tmp_path / "out/dicom-seg/a.dcm").PatientName) == name


def test_what_is_no_dicom_is_refused_and_the_others_are_written(tmp_path: Path) -> None:
    write_png(tmp_path / "in/p.png", np.arange(400, dtype=np.uint8).reshape(20, 20))
    write_dicom(tmp_path / "in/a.dcm")
    write_dicom(tmp_path / "in/no-series.dcm", SeriesInstanceUID="")
    write_dicom(tmp_path / "in/odd-id.dcm", PatientID="A" * 65)
    write_dicom(tmp_path / "in/odd-sex.dcm", PatientSex="female", StudyDate="20241399", PatientAge="abc")
    summary, _, _ = predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg"])
    assert summary.used == 5
    assert summary.exports == {"dicom-seg": {"written": 2, "refused": 3}}
    assert exports(tmp_path / "out") == {
        ("dicom-seg", "a"): ("written", ""),
        ("dicom-seg", "no-series"): ("refused", "incomplete-header"),
        ("dicom-seg", "odd-id"): ("refused", "incomplete-header"),
        ("dicom-seg", "odd-sex"): ("written", ""),
        ("dicom-seg", "p"): ("refused", "not-dicom"),
    }
    text = (tmp_path / "out/exports.csv").read_text()
    assert "no SeriesInstanceUID" in text
    assert "PatientID is no LO" in text
    assert "AAAA" not in text
    odd = pydicom.dcmread(tmp_path / "out/dicom-seg/odd-sex.dcm")
    assert (odd.PatientSex, odd.StudyDate, "PatientAge" in odd) == ("", "", False)  # left out rather than guessed
    assert {path.name for path in (tmp_path / "out/dicom-seg").iterdir()} == {"a.dcm", "odd-sex.dcm"}


def test_a_uid_against_the_rules_is_referred_to_as_it_is_and_not_quoted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Some devices write parts that begin with 0; pydicom and highdicom would warn about them, word by word."""
    odd = {"SOPInstanceUID": "1.2.077341.5", "StudyInstanceUID": "1.2.077342.5", "SeriesInstanceUID": "1.2.077343.5"}
    write_dicom(tmp_path / "in/a.dcm", **odd, PatientName="a^b^c^d^e^f", StudyTime="996199")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        recwarn.clear()
        caplog.clear()
        predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg", "dicom-sc"])
        assert "07734" not in caplog.text + "".join(str(warning.message) for warning in recwarn)
        for kind in ("dicom-seg", "dicom-sc"):
            result = pydicom.dcmread(tmp_path / "out" / kind / "a.dcm")
            (source,) = result.SourceImageSequence
            assert source.ReferencedSOPInstanceUID == odd["SOPInstanceUID"]
            assert result.StudyInstanceUID == odd["StudyInstanceUID"]
            assert (str(result.PatientName), result.StudyTime) == ("a^b^c^d^e^f", "")


def test_the_same_result_has_the_same_uids_and_another_one_has_others(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in/a.dcm")

    def uids(output: str, **options) -> tuple[str, str]:
        predicted(tmp_path / "in", tmp_path / output, ["dicom-seg"], **options)
        seg = pydicom.dcmread(tmp_path / output / "dicom-seg/a.dcm")
        return seg.SOPInstanceUID, seg.SeriesInstanceUID

    first = uids("out")
    assert uids("again") == first
    write_dicom(tmp_path / "in/a.dcm", shape=(19, 24))
    assert not {*uids("other")} & {*first}


def test_a_full_disk_leaves_no_half_object_and_the_next_run_writes_it(tmp_path: Path, monkeypatch) -> None:
    write_dicom(tmp_path / "in/a.dcm", frames=3)
    write_dicom(tmp_path / "in/b.dcm", frames=3)
    real = dicom_object.write_chunks

    def full(path: Path, chunks) -> None:
        def some():
            for number, chunk in enumerate(chunks):
                if path.name == "b.dcm" and number == 3:
                    raise OSError(28, "No space left on device")
                yield chunk

        real(path, some())

    monkeypatch.setattr(dicom_object, "write_chunks", full)
    with pytest.raises(StorageError, match="No space left"):
        predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg"])
    assert [path.name for path in (tmp_path / "out/dicom-seg").iterdir()] == ["a.dcm"]
    before = (tmp_path / "out/dicom-seg/a.dcm").stat().st_mtime_ns
    monkeypatch.undo()
    _, _, fresh = predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg"])
    assert fresh == []  # nothing was predicted again
    assert (tmp_path / "out/dicom-seg/a.dcm").stat().st_mtime_ns == before
    assert exports(tmp_path / "out") == {("dicom-seg", name): ("written", "") for name in "ab"}
    assert valid(tmp_path / "out/dicom-seg/b.dcm") == []


# -- real files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["nema-wg04/JPLL/XA1_JPLL", "nema-wg04/RLE/XA1_RLE"])
def test_a_real_x_ray_angiogram(real_data: Path, tmp_path: Path, file: str) -> None:
    source = real_data / "odd-files/dicom" / file
    if not source.is_file():
        pytest.skip("this file is not there")
    _, bitmasks, _ = predicted(source, tmp_path / "out", ["dicom-seg", "dicom-sc"])
    (bitmask,) = bitmasks.values()
    (seg,) = (tmp_path / "out/dicom-seg").iterdir()
    found = by_highdicom(seg, pydicom.dcmread(source, stop_before_pixels=True), 1)
    assert np.array_equal(found[0], bits(bitmask, 4))
    for kind in ("dicom-seg", "dicom-sc"):
        assert valid(tmp_path / "out" / kind / seg.name) == []


@pytest.mark.slow
def test_a_real_cine_of_96_frames(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "odd-files/dicom/fo-dicom/HasFragmentSequence.dcm"
    _, bitmasks, _ = predicted(source, tmp_path / "out", ["dicom-seg", "dicom-sc"])
    path = tmp_path / "out/dicom-seg/HasFragmentSequence.dcm"
    found = by_highdicom(path, pydicom.dcmread(source, stop_before_pixels=True), 96)
    assert np.array_equal(found, bits(np.stack(list(bitmasks.values())), 4))
    for kind in ("dicom-seg", "dicom-sc"):
        assert valid(tmp_path / "out" / kind / path.name) == []
