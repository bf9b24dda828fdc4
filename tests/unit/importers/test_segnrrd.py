import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ercpseg.decoding.decoders import Decoders
from ercpseg.importers.annotation import LabelNames
from ercpseg.structures import StructureSet
from tests.unit.importers.surveyed import NAME, Surveyed, box, refused

SIZE = (4, 5)


@pytest.fixture(scope="module")
def decoders():
    with Decoders(children=1) as pool:
        yield pool


def nrrd(voxels, segments, *, layered=False, packed=True, **changes):
    """A file as Slicer writes it; ``voxels`` are (z, y, x) or, layered, (z, y, x, layers). ``segments``: name, value, layer."""
    lines = {
        "type": {"uint8": "unsigned char", "int16": "short", "float32": "float"}[voxels.dtype.name],
        "dimension": str(voxels.ndim),
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, voxels.shape[::-1])),
        "space directions": ("none " if layered else "") + "(-0.3,0,0) (0,-0.3,0) (0,0,1)",
        "kinds": ("list " if layered else "") + "domain domain domain",
        "endian": "little",
        "encoding": "gzip" if packed else "raw",
        "space origin": "(1,2,3)",
    }
    pairs = {"Segmentation_MasterRepresentation": "Binary labelmap", "Segmentation_ReferenceImageExtentOffset": "0 0 0"}
    for i, (name, value, layer) in enumerate(segments):
        pairs |= {f"Segment{i}_ID": f"Segment_{i}", f"Segment{i}_Name": name, f"Segment{i}_LabelValue": str(value)}
        pairs |= {f"Segment{i}_Layer": str(layer), f"Segment{i}_Extent": "0 4 0 3 0 0", f"Segment{i}_Color": "1 0 0"}
    for key, value in changes.items():
        into = lines if key in lines or key == "data file" else pairs
        if value is None:
            into.pop(key)
        else:
            into[key] = value
    head = "NRRD0004\n# a comment\n" + "".join(f"{key}: {value}\n" for key, value in lines.items())
    head += "".join(f"{key}:={value}\n" for key, value in pairs.items())
    data = voxels.tobytes()
    return head.encode() + b"\n" + (gzip.compress(data) if packed else data)


@pytest.fixture
def found(tmp_path, decoders):
    def make(content, names=None, file="A_1.seg.nrrd", **spec):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Surveyed(tmp_path, decoders, names, **{"format": "seg-nrrd", **spec})

    return make


FLAT = np.array([[[0, 1, 1, 0, 0], [0, 2, 2, 0, 0], [0, 0, 0, 0, 0], [3, 0, 0, 0, 3]]], np.uint8)


@pytest.mark.parametrize("packed", [True, False])
def test_one_slice_is_the_frame_of_that_stem(found, packed):
    flat = found(nrrd(FLAT, [("CBD", 1, 0), ("guide wire", 2, 0), ("stone", 3, 0)], packed=packed))
    assert flat.keys == ["a_1"]
    masks = flat.draw("a_1", SIZE).masks
    assert (masks["cbd"] == box(SIZE, 0, 0, 1, 2)).all()
    assert (masks["guidewire"] == box(SIZE, 1, 1, 1, 2)).all()
    assert np.argwhere(masks["stone"]).tolist() == [[3, 0], [3, 4]]
    assert flat.format.overlaps


def test_layers_overlap(found):
    first, second = np.zeros((2, 1, *SIZE), np.uint8)
    first[0, :2], second[0, 1:3] = 1, 1
    second[0, 3] = 2
    voxels = np.stack([first, second], axis=-1)  # the list axis is the file's fastest
    layers = found(nrrd(voxels, [("cbd", 1, 0), ("stone", 1, 1), ("endoscope", 2, 1)], layered=True))
    masks = layers.draw("a_1", SIZE).masks
    assert (masks["cbd"] == box(SIZE, 0, 1, 0, 4)).all()
    assert (masks["stone"] == box(SIZE, 1, 2, 0, 4)).all()
    assert (masks["endoscope"] == box(SIZE, 3, 3, 0, 4)).all()


def test_several_slices_are_the_frames_of_a_cine(found):
    voxels = np.stack([box(SIZE, i, i, 0, i).astype(np.uint8) for i in range(3)])
    cine = found(nrrd(voxels, [("cbd", 1, 0)]), file="segs/clip_x.nrrd", path="segs", suffix="_x")
    assert cine.keys == ["clip_f0000", "clip_f0001", "clip_f0002"]
    for i, key in enumerate(cine.keys):
        assert (cine.draw(key, SIZE).masks["cbd"] == box(SIZE, i, i, 0, i)).all()


def test_simpleitk_writes_what_is_read(found, tmp_path):
    image = sitk.GetImageFromArray(FLAT)
    image.SetSpacing((0.3, 0.4, 1.0))
    for i in range(3):
        for key, value in (("Name", ("cbd", "guidewire", "stone")[i]), ("LabelValue", str(i + 1)), ("Layer", "0")):
            image.SetMetaData(f"Segment{i}_{key}", value)
    sitk.WriteImage(image, tmp_path / "a_1.seg.nrrd", useCompression=True)
    one = found((tmp_path / "a_1.seg.nrrd").read_bytes(), file="a_1.seg.nrrd")
    assert {name: mask.sum() for name, mask in one.draw("a_1", SIZE).masks.items()} == {
        "cbd": 2,
        "guidewire": 2,
        "stone": 2,
    }


def test_a_cropped_file_says_where_it_lay(found):
    small = np.ones((1, 2, 2), np.uint8)
    cropped = found(nrrd(small, [("cbd", 1, 0)], Segmentation_ReferenceImageExtentOffset="3 1 0"))  # i j k
    assert (cropped.draw("a_1", SIZE).masks["cbd"] == box(SIZE, 1, 2, 3, 4)).all()
    assert refused(lambda: cropped.draw("a_1", (3, 4))) == "size-mismatch"
    slices = nrrd(small, [("cbd", 1, 0)], Segmentation_ReferenceImageExtentOffset="0 0 1")
    assert refused(lambda: found(slices)) == "bad-annotation"
    before = found(nrrd(small, [("cbd", 1, 0)], Segmentation_ReferenceImageExtentOffset="-1 0 0"))
    assert refused(lambda: before.draw("a_1", SIZE)) == "size-mismatch"


def test_a_single_voxel_means_that_all_segments_are_empty(found):
    empty = found(nrrd(np.zeros((1, 1, 1), np.uint8), [("cbd", 1, 0), ("stone", 2, 0)]))
    masks = empty.draw("a_1", SIZE).masks
    assert {name: mask.sum() for name, mask in masks.items()} == {"cbd": 0, "stone": 0}


def test_words_of_the_descriptor(found):
    named = found(
        nrrd(FLAT, [("Choledoque", 1, 0), ("Segment_2", 2, 0), ("Choledoque distal", 3, 0)]),
        LabelNames({"cbd": ("Choledoque", "Choledoque distal")}, ["segment 2"]),
    )
    assert {name: mask.sum() for name, mask in named.draw("a_1", SIZE).masks.items()} == {"cbd": 4}


def test_values_that_belong_to_no_segment(found):
    assert refused(lambda: found(nrrd(FLAT, [("cbd", 1, 0)])).draw("a_1", SIZE)) == "bad-label-value"


def test_sizes_and_structures(found):
    one = found(nrrd(FLAT, [("cbd", 1, 0), ("stone", 2, 0), ("wire", 3, 0)]))
    assert refused(lambda: one.draw("a_1", SIZE[::-1])) == "size-mismatch"
    assert refused(lambda: one.draw("a_1", SIZE, StructureSet(("stone",)))) == "unknown-structure"


@pytest.mark.parametrize(
    "changes",
    [
        {"Segmentation_MasterRepresentation": "Fractional labelmap"},
        {"Segmentation_SourceRepresentation": NAME},
        {"Segmentation_ReferenceImageExtentOffset": NAME},
        {"Segmentation_ReferenceImageExtentOffset": "0 0"},
        {"Segment0_Name": None},
        {"Segment0_LabelValue": None},
        {"Segment0_Layer": None},
        {"Segment0_Layer": "1"},
        {"Segment0_Layer": "-1"},
        {"Segment0_Layer": "1e9"},
        {"Segment0_LabelValue": "0"},
        {"Segment0_LabelValue": NAME},
        {"Segment0_LabelValue": "²"},
        {"Segment0_LabelValue": "9" * 500},
        {"Segment0_LabelValue": "2"},  # as segment 1
        {"Segment7_Color": "1 0 0"},
        {"kinds": "list list domain"},
        {"kinds": "list domain domain domain"},
        {"sizes": "5 4 9"},
        {"sizes": "5 4 1000000000"},
        {"sizes": "-5 4 1"},
        {"sizes": NAME},
        {"dimension": "2"},
        {"encoding": NAME},
        {"type": "block"},
        {"data file": NAME},
    ],
)
def test_headers_that_are_wrong(found, changes):
    segments = [("cbd", 1, 0), ("stone", 2, 0), ("guidewire", 3, 0)]
    structures = StructureSet(("cbd", "stone", "guidewire"))
    assert found(nrrd(FLAT, segments)).draw("a_1", SIZE, structures).masks["cbd"].any()
    code = refused(lambda: found(nrrd(FLAT, segments, **changes)).draw("a_1", SIZE, structures))
    assert code in ("bad-annotation", "unreadable", "unsupported-pixels", "truncated", "too-large")


@pytest.mark.parametrize("name", ["", "日本", NAME * 30])
def test_segments_that_cannot_name_a_structure(found, name):
    assert refused(lambda: found(nrrd(FLAT, [(name, 1, 0)]))) == "unknown-structure"


def test_broken_files(found):
    whole = nrrd(FLAT, [("cbd", 1, 0), ("stone", 2, 0), ("wire", 3, 0)])
    for content in (b"", NAME.encode(), b"NRRD0004\n", whole[:300], whole[:-8], whole + b"x" * 20):
        assert refused(lambda content=content: found(content).draw("a_1", SIZE)) in (
            "bad-annotation", "unreadable", "truncated", "surplus-data", "unsupported-pixels",
        )  # fmt: skip
    half = FLAT.astype(np.float32) / 2
    assert refused(lambda: found(nrrd(half, [("cbd", 1, 0)]))) == "unsupported-pixels"


def test_only_its_own_files_are_claimed(found):
    content = nrrd(FLAT, [("cbd", 1, 0)])
    assert found(content, file="images/frame.nrrd").claimed == []
    assert [one.source for one in found(content, file="segs/frame.nrrd", path="segs").claimed] == ["segs/frame.nrrd"]


@given(
    hnp.arrays(np.uint8, st.tuples(st.just(2), st.integers(1, 3), st.integers(2, 6), st.integers(1, 6)),
               elements=st.integers(0, 2)),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_layers_written_come_back(found, layers, packed):
    segments = [("cbd", 1, 0), ("stone", 2, 0), ("cbd", 1, 1), ("guidewire", 2, 1)]
    every = found(nrrd(np.moveaxis(layers, 0, -1), segments, layered=True, packed=packed))
    assert len(every.keys) == layers.shape[1]
    for number, key in enumerate(every.keys):
        masks = every.draw(key, layers.shape[2:]).masks
        assert (masks["cbd"] == (layers[:, number] == 1).any(axis=0)).all()
        assert (masks["stone"] == (layers[0, number] == 2)).all()
        assert (masks["guidewire"] == (layers[1, number] == 2)).all()
