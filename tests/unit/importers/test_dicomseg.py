import shutil
import warnings

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from ercpseg.decoding.decoders import Decoders
from ercpseg.errors import InputRefused
from ercpseg.importers.annotation import LabelNames
from ercpseg.structures import StructureSet
from tests.unit.importers.surveyed import NAME, Surveyed, box, refused

SIZE = (3, 5)  # 15 pixels, so that frames do not begin at whole bytes
SEG = "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture(scope="module")
def decoders():
    with Decoders(children=1) as pool:
        yield pool


def bits(frames):
    """Bytes of binary frames as PS3.5 8.1.1 says: pixel after pixel, the first in the lowest bit, frames without gaps."""
    flat = np.concatenate([np.asarray(frame, bool).ravel() for frame in frames] or [np.zeros(0, bool)]).tolist()
    packed = bytes(sum(bit << k for k, bit in enumerate(flat[i : i + 8])) for i in range(0, len(flat), 8))
    return packed + b"\0" * (len(packed) % 2)


def item(**elements):
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def group(segment=None, uid=None, frame=None):
    """What belongs to one frame of a segmentation."""
    data = Dataset()
    if segment is not None:
        data.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=segment)]
    if uid is not None:
        source = item(ReferencedSOPInstanceUID=uid)
        if frame is not None:
            source.ReferencedFrameNumber = frame
        data.DerivationImageSequence = [item(SourceImageSequence=[source])]
    return data


def segmentation(frames, groups, labels=("CBD", "guide wire", "stone"), images=(), *, syntax=None, **changes):
    """A segmentation with the elements that say what is what."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = SEG
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.9"
    data.PatientName, data.Modality, data.SegmentationType = f"{NAME}^John", "SEG", "BINARY"
    data.Rows, data.Columns, data.NumberOfFrames = *SIZE, len(frames)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 1, 1, 0
    data.SegmentSequence = [item(SegmentNumber=i, SegmentLabel=label) for i, label in enumerate(labels, start=1)]
    data.PerFrameFunctionalGroupsSequence = groups
    if images:
        instances = [item(ReferencedSOPInstanceUID=uid) for uid in images]
        data.ReferencedSeriesSequence = [item(SeriesInstanceUID="1.2.3.1", ReferencedInstanceSequence=instances)]
    data.PixelData = changes.pop("pixels", bits(frames))
    data["PixelData"].VR = "OB" if data.file_meta.TransferSyntaxUID != ImplicitVRLittleEndian else "OW"
    for keyword, value in changes.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    return data


@pytest.fixture
def found(tmp_path, decoders):
    def make(*objects, names=None, **spec):
        for i, data in enumerate(objects):
            path = tmp_path / "segs" / f"{i}.dcm"
            path.parent.mkdir(exist_ok=True)
            if isinstance(data, bytes):
                path.write_bytes(data)
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about the odd values that some tests want
                    data.save_as(path, enforce_file_format=True)
        return Surveyed(tmp_path, decoders, names, **{"format": "dicom-seg", "path": "segs", **spec})

    return make


A, B = box(SIZE, 0, 1, 1, 3), box(SIZE, 1, 2, 0, 2)


def test_bits_are_packed_as_the_standard_says():
    frame = np.zeros(SIZE, bool)
    frame[0, 0] = frame[1, 3] = frame[2, 4] = True  # pixels 0, 8, 14
    assert bits([frame]) == bytes([0b00000001, 0b01000001])
    assert bits([frame, frame])[1:3] == bytes([0b11000001, 0b10000000])  # the second begins in bit 7


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_segments_of_a_single_image_overlap(found, syntax):
    seg = found(segmentation([A, B], [group(1, "1.2.3.4"), group(2, "1.2.3.4")], images=["1.2.3.4"], syntax=syntax))
    assert seg.keys == ["instance:1.2.3.4:"]
    masks = seg.draw(seg.keys[0], SIZE).masks
    assert (masks["cbd"] == A).all()
    assert (masks["guidewire"] == B).all()
    assert not masks["stone"].any()  # a segment without a frame is empty
    assert seg.format.overlaps


def test_frames_of_a_cine(found):
    groups = [group(1, "1.2.3", 1), group(1, "1.2.3", 3), group(2, "1.2.3", 3)]
    cine = found(segmentation([A, B, A], groups, images=["1.2.3"]))
    assert cine.keys == ["instance:1.2.3:0", "instance:1.2.3:2"]
    assert (cine.draw("instance:1.2.3:0", SIZE).masks["cbd"] == A).all()
    third = cine.draw("instance:1.2.3:2", SIZE).masks
    assert (third["cbd"] == B).all()
    assert (third["guidewire"] == A).all()


def test_images_of_a_series_and_those_without_a_frame(found):
    series = found(segmentation([A, B], [group(1, "1.2.1"), group(2, "1.2.2")], images=["1.2.1", "1.2.2", "1.2.5"]))
    assert series.keys == ["instance:1.2.1:", "instance:1.2.2:", "instance:1.2.5:"]
    assert not any(mask.any() for mask in series.draw("instance:1.2.5:", SIZE).masks.values())
    assert (series.draw("instance:1.2.2:", SIZE).masks["guidewire"] == B).all()


def test_what_holds_for_all_frames_is_shared(found):
    shared = group(2, "1.2.3.4")
    data = segmentation([A], [Dataset()], SharedFunctionalGroupsSequence=[shared])
    assert (found(data).draw("instance:1.2.3.4:", SIZE).masks["guidewire"] == A).all()


def test_an_object_that_refers_to_one_image_as_a_whole(found):
    whole = segmentation([A, B], [group(1), group(2)], images=["1.2.3.4"])
    assert (found(whole).draw("instance:1.2.3.4:", SIZE).masks["guidewire"] == B).all()
    for images in ((), ("1.2.3.4", "1.2.3.5")):
        unclear = segmentation([A, B], [group(1), group(2)], images=images)
        assert refused(lambda unclear=unclear: found(unclear)) == "bad-annotation"
    twice = segmentation([A, B], [group(1), group(1)], images=["1.2.3.4"])
    assert refused(lambda: found(twice)) == "bad-annotation"


def test_no_frames_at_all(found):
    empty = found(segmentation([], [], images=["1.2.3.4"], pixels=b""))
    assert {name: mask.sum() for name, mask in empty.draw("instance:1.2.3.4:", SIZE).masks.items()} == {
        "cbd": 0, "guidewire": 0, "stone": 0,
    }  # fmt: skip


def test_several_objects_about_one_image(found):
    two = found(
        segmentation([A], [group(1, "1.2.3.4")], ["cbd"]),
        segmentation([B], [group(1, "1.2.3.4")], ["stone"]),
    )
    masks = two.draw("instance:1.2.3.4:", SIZE).masks
    assert (masks["cbd"] == A).all()
    assert (masks["stone"] == B).all()


def test_words_of_the_descriptor(found):
    names = LabelNames({"stone": ("Calculus 1", "Calculus 2")}, ["guide wire"])
    frames = [group(1, "1.2.3"), group(2, "1.2.3"), group(3, "1.2.3")]
    named = found(segmentation([A, B, B], frames, ["Calculus 1", "guide wire", "calculus_2"]), names=names)
    masks = named.draw("instance:1.2.3:", SIZE).masks
    assert list(masks) == ["stone"]
    assert (masks["stone"] == (A | B)).all()


def test_label_maps(found):
    plane = np.array([[0, 1, 1, 0, 0], [2, 2, 0, 0, 3], [0, 0, 0, 0, 0]])
    for bits_, dtype in ((8, np.uint8), (16, np.uint16)):
        sizes = {"BitsAllocated": bits_, "BitsStored": bits_, "HighBit": bits_ - 1, "SegmentationType": "LABELMAP"}
        pixels = plane.astype(dtype).tobytes()
        maps = {"pixels": pixels + b"\0" * (len(pixels) % 2), "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.7", **sizes}
        masks = found(segmentation([plane], [group(None, "1.2.3", 2)], **maps)).draw("instance:1.2.3:1", SIZE).masks
        assert {name: np.argwhere(mask).tolist() for name, mask in masks.items()} == {
            "cbd": [[0, 1], [0, 2]], "guidewire": [[1, 0], [1, 1]], "stone": [[1, 4]],
        }  # fmt: skip
        unknown = found(segmentation([plane], [group(None, "1.2.3", 2)], ["cbd", "stone"], **maps))
        assert refused(lambda unknown=unknown: unknown.draw("instance:1.2.3:1", SIZE)) == "bad-label-value"


def test_too_few_and_too_many_bytes(found):
    groups = [group(1, "1.2.3"), group(2, "1.2.3")]
    whole = bits([A, B])  # 30 bits: 4 bytes
    assert refused(lambda: found(segmentation([A, B], groups, pixels=whole[:2]))) == "truncated"
    assert refused(lambda: found(segmentation([A, B], groups, pixels=whole + b"\0\0"))) == "surplus-data"
    assert refused(lambda: found(segmentation([A, B], groups, PixelData=None))) == "truncated"
    three = segmentation([A], [group(1, "1.2.3")], Columns=7)  # 21 bits: 3 bytes and one to make them even
    assert refused(lambda: found(three)) == "truncated"
    three.PixelData = bytes(4)
    assert found(three).keys == ["instance:1.2.3:"]


def test_a_file_that_is_cut_off(found, tmp_path):
    data = segmentation([A, B], [group(1, "1.2.3"), group(2, "1.2.3")])
    found(data)
    whole = (tmp_path / "segs" / "0.dcm").read_bytes()
    for length in (0, 10, 131, 200, len(whole) // 2, len(whole) - 30, len(whole) - 3, len(whole) - 1):
        code = refused(lambda length=length: found(whole[:length], path="segs/0.dcm"))
        assert code in ("truncated", "unreadable", "bad-annotation"), length
    one = found(whole)
    (tmp_path / "segs" / "0.dcm").write_bytes(whole + b"xx")
    assert refused(lambda: one.draw("instance:1.2.3:", SIZE)) == "unreadable"


@pytest.mark.parametrize(
    "changes",
    [
        {"SegmentationType": "FRACTIONAL", "BitsAllocated": 8, "BitsStored": 8},
        {"SegmentationType": NAME},
        {"SegmentationType": None},
        {"SegmentationType": "LABELMAP"},
        {"BitsAllocated": 8},
        {"BitsStored": 7},
        {"BitsAllocated": None},
        {"SamplesPerPixel": 3},
        {"PixelRepresentation": 1},
        {"Rows": 0},
        {"Rows": None},
        {"Rows": 65535, "Columns": 65535},
        {"NumberOfFrames": 3},
        {"NumberOfFrames": 10**9},
        {"NumberOfFrames": None},
        {"PerFrameFunctionalGroupsSequence": None},
        {"SegmentSequence": None},
        {"segments": [{"SegmentNumber": 1, "SegmentLabel": "a"}, {"SegmentNumber": 1, "SegmentLabel": "b"}]},
        {"segments": [{"SegmentNumber": 1}]},
        {"segments": [{"SegmentLabel": "a"}]},
        {"groups": [(1, "1.2.3"), (9, "1.2.3")]},
        {"groups": [(1, "1.2.3"), (None, "1.2.3")]},
        {"groups": [(1, "1.2.3"), (1, "1.2.3")]},
        {"groups": [(1, "1.2.3"), (2, "1.2.3", 0)]},
        {"groups": [(1, "1.2.3"), (2, "1.2.3", -1)]},
        {"groups": [(1, "1.2.3"), (2, "1.2.3", [1, 2])]},
        {"groups": [(1, "1.2.3"), (2, NAME)]},
        {"groups": [(1, "1.2.3"), (2, "1." * 40 + "1")]},
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_objects_that_do_not_say_what_is_what(found, changes):
    if "segments" in changes:
        changes = {"SegmentSequence": [item(**segment) for segment in changes["segments"]]}
    groups = [group(*arguments) for arguments in changes.get("groups", [(1, "1.2.3"), (2, "1.2.3")])]
    data = segmentation([A, B], groups, **{key: value for key, value in changes.items() if key != "groups"})
    assert refused(lambda: found(data)) in ("bad-annotation", "unreadable", "unsupported-pixels", "too-large")


def test_a_frame_on_several_images_is_refused(found):
    several = group(1, "1.2.3")
    several.DerivationImageSequence[0].SourceImageSequence.append(item(ReferencedSOPInstanceUID="1.2.4"))
    assert refused(lambda: found(segmentation([A], [several]))) == "bad-annotation"
    same = group(1, "1.2.3")
    same.DerivationImageSequence.append(same.DerivationImageSequence[0])
    assert found(segmentation([A], [same])).keys == ["instance:1.2.3:"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", ["", "日本", NAME * 15, "7"])
def test_labels_that_cannot_name_a_structure(found, label):
    data = segmentation([A], [group(1, "1.2.3")], [label], SpecificCharacterSet="ISO_IR 192")
    assert refused(lambda: found(data)) in ("unknown-structure", "bad-annotation")


def test_compressed_objects_are_refused(found):
    data = segmentation([A], [group(1, "1.2.3")], pixels=pydicom.encaps.encapsulate([bits([A])]), syntax=RLELossless)
    data["PixelData"].is_undefined_length = True
    assert refused(lambda: found(data)) == "unsupported-syntax"


def test_other_dicom_is_no_segmentation_unless_it_is_named(found):
    picture = segmentation([A], [group(1, "1.2.3")], SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1")
    assert found(picture).items == []
    assert refused(lambda: found(picture, path="segs/0.dcm")) == "bad-annotation"
    assert found(picture, path="other").claimed == []


def test_sizes_and_structures(found):
    seg = found(segmentation([A], [group(1, "1.2.3")]))
    assert refused(lambda: seg.draw("instance:1.2.3:", (5, 3))) == "size-mismatch"
    assert refused(lambda: seg.draw("instance:1.2.3:", SIZE, StructureSet(("stone",)))) == "unknown-structure"


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_masks_written_come_back(found, data):
    """Any size, any share of segments and frames: what is left out comes back empty."""
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    count = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    truth = {(name, k): rng.random(shape) < 0.5 for name in ("cbd", "stone") for k in range(count)}
    kept = [key for key in truth if data.draw(st.booleans())]
    groups = [group(1 + (name == "stone"), "1.2.3", k + 1) for name, k in kept]
    seg = segmentation([truth[key] for key in kept], groups, ["cbd", "stone"], Rows=shape[0], Columns=shape[1])
    read = found(seg)
    assert sorted(read.keys) == sorted({f"instance:1.2.3:{k}" for _, k in kept})
    for key in read.keys:
        masks = read.draw(key, shape).masks
        for name in ("cbd", "stone"):
            number = int(key.rpartition(":")[2])
            expected = truth[name, number] if (name, number) in kept else np.zeros(shape, bool)
            assert (masks[name] == expected).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_objects_are_drawn_or_refused(found, tmp_path, seed):
    rng = np.random.default_rng(seed)
    groups = [group(1, "1.2.3"), group(2, "1.2.3")]
    segmentation([A, B], groups, images=["1.2.3"]).save_as(tmp_path / "whole.dcm", enforce_file_format=True)
    content = bytearray((tmp_path / "whole.dcm").read_bytes())
    for at in rng.integers(132, len(content), rng.integers(1, 9)):
        content[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
    try:
        one = found(bytes(content))
        for key in one.keys:
            one.draw(key, SIZE, StructureSet.ordered({name for _, item_ in one.items for name in item_.structures}))
    except InputRefused as error:
        assert NAME.lower() not in error.message.lower()


def test_what_highdicom_writes(found):
    """Two overlapping segments on a radiograph and one that is empty; more images it does not write without geometry."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    def radiograph(uid):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid
        data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = "1.2.3", "1.2.3.1", "CR"
        data.PatientID = data.PatientName = data.PatientBirthDate = data.PatientSex = ""
        data.StudyDate = data.StudyTime = data.StudyID = data.AccessionNumber = data.ReferringPhysicianName = ""
        data.SeriesNumber = data.InstanceNumber = data.SamplesPerPixel = 1
        data.PatientOrientation, data.PhotometricInterpretation = ["L", "F"], "MONOCHROME2"
        data.Rows, data.Columns, data.PixelRepresentation = *SIZE, 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.PixelData = bytes(30)
        return data

    segments = [
        hd.seg.SegmentDescription(i, label, codes.SCT.PhysicalObject, codes.SCT.GuideWire, "MANUAL")
        for i, label in enumerate(("cbd", "guide wire", "stone"), start=1)
    ]
    masks = np.stack([A, B, np.zeros(SIZE, bool)], axis=-1)[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = hd.seg.Segmentation(
            source_images=[radiograph("1.2.3.11")],
            pixel_array=masks,
            segmentation_type="BINARY",
            segment_descriptions=segments,
            series_instance_uid="1.2.3.2",
            series_number=2,
            sop_instance_uid="1.2.3.21",
            instance_number=1,
            manufacturer="m",
            manufacturer_model_name="m",
            software_versions="0",
            device_serial_number="0",
        )
    read = found(written)
    assert read.keys == ["instance:1.2.3.11:"]
    drawn = read.draw(read.keys[0], SIZE).masks
    assert (drawn["cbd"] == A).all()
    assert (drawn["guidewire"] == B).all()
    assert not drawn["stone"].any()


@pytest.mark.parametrize(("name", "code"), [
    ("liver", None),
    ("liver_nonbyte_aligned", None),
    ("liver_rle", "unsupported-syntax"),
    ("liver_expb", "unsupported-syntax"),
    ("liver_deflate", "unsupported-syntax"),
])  # fmt: skip
def test_files_of_another_program(real_data, found, tmp_path, name, code):
    """Three slices of a liver, read back by pydicom itself."""
    source = real_data / "odd-files" / "dicom" / "pydicom-data" / f"{name}.dcm"
    (tmp_path / "segs").mkdir()
    shutil.copy(source, tmp_path / "segs" / "liver.dcm")
    if code is not None:
        assert refused(found) == code
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pydicom.dcmread(source)
        expected = data.pixel_array.astype(bool)
    seg = found()
    assert len(seg.keys) == len(set(seg.keys)) == len(expected) == 3
    for key, frame in zip(seg.keys, expected, strict=True):
        (mask,) = seg.draw(key, expected.shape[1:]).masks.values()
        assert (mask == frame).all()
        assert mask.any()
