import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.draw import polygon2mask

from ercpseg.errors import InputRefused
from ercpseg.importers import places, rle
from ercpseg.importers.annotation import LabelNames
from ercpseg.structures import StructureSet
from tests.unit.importers.surveyed import NAME, Surveyed, box, refused

SIZE = (10, 8)
CATEGORIES = [{"id": 1, "name": "CBD"}, {"id": 2, "name": "guide-wire"}, {"id": "s", "name": "stone"}]


@pytest.fixture
def found(tmp_path):
    """Survey a COCO file of the given objects on image 7, ``images/P1_a.png``, 10 × 8 (height × width)."""

    def make(*objects, names=None, spec=None, images=None, **parts):
        entries = [{"id": i, "image_id": 7, "category_id": 1, **entry} for i, entry in enumerate(objects)]
        image = {"id": 7, "file_name": "images/P1_a.png", "height": 10, "width": 8}
        data = {"images": images or [image], "annotations": entries, "categories": CATEGORIES, **parts}
        (tmp_path / "coco.json").write_text(json.dumps(data))
        return Surveyed(tmp_path, None, names, format="coco", **spec or {})

    return make


@pytest.fixture
def mask(found):
    return lambda *objects, **options: found(*objects, **options).draw("p1_a", SIZE).masks["cbd"]


def polygons(*flat, **more):
    return {"segmentation": list(flat), **more}


def runs(counts, size=(10, 8), **more):
    return {"segmentation": {"counts": counts, "size": list(size)}, **more}


def counted(mask):
    """Runs by hand: column by column, absent first."""
    flat, out, state = mask.T.ravel().tolist(), [0], False
    for value in flat:
        if value != state:
            out.append(0)
            state = value
        out[-1] += 1
    return out


def text_of(counts):
    """Runs as compressed text, number by number, bit by bit as the format is described."""
    text = ""
    for i, count in enumerate(counts):
        value = count - (counts[i - 2] if i > 2 else 0)
        while True:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text += chr(48 + group + (32 if more else 0))
            if not more:
                break
    return text


# -- run-length masks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        # made by pycocotools 2.0.11 from these masks
        ("6", (2, 3), ["000", "000"]),
        ("06", (2, 3), ["111", "111"]),
        ("123", (2, 3), ["010", "100"]),
        ("011001", (2, 3), ["111", "001"]),
        ("1111001OO", (3, 4), ["0110", "1111", "0000"]),
        ("012100O", (2, 5), ["10101", "01010"]),
        ("`U1", (30, 40), ["0" * 40] * 30),
        ("0`U1", (30, 40), ["1" * 40] * 30),
    ],
)
def test_compressed_runs(text, size, expected):
    got = rle.decode(text, size).astype(int).tolist()
    assert ["".join(map(str, row)) for row in got] == expected


def test_a_compressed_mask_of_many_runs():
    """By pycocotools 2.0.11: a rectangle with a hole in one row."""
    text = "i4a0=00000000FD2<ND2<ND2<ND2<ND2<ND2<ND2<ND2<ND2<ND2<8000000000000000000000000_6"
    expected = box((30, 40), 3, 19, 5, 32)
    expected[10, 10:20] = False
    assert (rle.decode(text, (30, 40)) == expected).all()


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
@settings(max_examples=200, deadline=None)
def test_runs_written_come_back_either_way(mask):
    counts = counted(mask)
    assert (rle.decode(counts, mask.shape) == mask).all()
    assert (rle.decode(text_of(counts), mask.shape) == mask).all()


@pytest.mark.parametrize(
    "counts",
    [
        None,
        7,
        [],
        "",
        [79],
        [81],
        [80.0],
        [True, 79],
        [-1, 81],
        [100, -20],
        [10**30],
        [10**9],
        ["80"],
        [[80]],
        {"a": 80},
        NAME,
        "P",
        "PPPPPPPPPPPPPP1",
        "oooooooooooooooooooooooo0",
        "é6",
        "\ud8006",
        "/",
        "O" * 30,
    ],
)
def test_what_is_no_run_length_mask(mask, counts):
    assert refused(lambda: rle.decode(counts, SIZE)) == "bad-annotation"
    assert refused(lambda: mask(runs(counts))) == "bad-annotation"


def test_run_limits(monkeypatch):
    monkeypatch.setattr(rle, "MAX_RUNS", 3)
    assert refused(lambda: rle.decode([20, 20, 20, 20], SIZE)) == "too-large"
    assert refused(lambda: rle.decode("2222", SIZE)) == "too-large"


# -- objects -----------------------------------------------------------------------------------------------------------


def test_polygons_count_from_the_corner_and_unite(mask):
    square = [1, 1, 4, 1, 4, 6, 1, 6]  # from the left edge of column 1 to the right edge of column 3
    assert (mask(polygons(square)) == box(SIZE, 1, 5, 1, 3)).all()
    other = [2, 2, 8, 2, 8, 10, 2, 10]
    assert (mask(polygons(square, other)) == (box(SIZE, 1, 5, 1, 3) | box(SIZE, 2, 9, 2, 7))).all()
    assert (mask(polygons(square), polygons(other, iscrowd=1)) == mask(polygons(square, other))).all()


def test_polygons_agree_with_pycocotools_but_for_the_rim(mask):
    """Its mask (2.0.11) of a triangle whose long side meets pixel centres: ours has those centres, its has not."""
    ours = mask(polygons([1, 1, 7, 1, 1, 7]))
    theirs = np.zeros(SIZE, bool)
    for row, count in zip(range(1, 6), (5, 4, 3, 2, 1), strict=True):
        theirs[row, 1 : 1 + count] = True
    assert not (theirs & ~ours).any()
    assert np.argwhere(ours & ~theirs).tolist() == [[row, 7 - row] for row in range(1, 7)]


def test_objects_overlap_and_have_structures(found):
    square = [1, 1, 4, 1, 4, 6, 1, 6]
    other = counted(box(SIZE, 3, 8, 2, 6))
    both = found(polygons(square), runs(other, category_id=2), runs(text_of(other), category_id="s", iscrowd=1))
    assert both.keys == ["p1_a"]
    masks = both.draw("p1_a", SIZE).masks
    assert (masks["cbd"] == box(SIZE, 1, 5, 1, 3)).all()
    assert (masks["guidewire"] == box(SIZE, 3, 8, 2, 6)).all()
    assert (masks["stone"] == masks["guidewire"]).all()
    assert both.format.overlaps


def test_labels_that_are_left_out_and_words_of_the_descriptor(found):
    names = LabelNames({"stone": ("CBD",)}, ["guide wire"])
    left = found(polygons([1, 1, 4, 1, 4, 6]), polygons([1, 1, 4, 1, 4, 6], category_id=2), names=names).draw(
        "p1_a", SIZE
    )
    assert set(left.masks) == {"stone"}
    assert left.notes == ("objects that have a label that is left out: 1",)


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],
        {},
        NAME,
        7,
        [[]],
        [[1, 1, 2, 2]],
        [[1, 1, 2, 2, 3]],
        [[1, 1, 2, 2, 3, NAME]],
        [[1, 1, 2, 2, 3, None]],
        [[1, 1, 2, 2, 3, True]],
        [[1, 1, 2, 2, 3, 10**400]],
        [1, 1, 2, 2, 3, 3],
        [[[1, 1], [2, 2], [3, 1]]],
        [[-2, 1, 4, 1, 4, 6]],
        [[1, 1, 4, 1, 4, 12]],
        [[1, 1, 4, 1, 10**9, 6]],
        {"counts": [80]},
        {"counts": [80], "size": [10]},
        {"counts": [80], "size": [-10, -8]},
        {"counts": [80], "size": NAME},
    ],
)
def test_objects_that_cannot_be_drawn_refuse_their_own_frame(found, segmentation):
    images = [{"id": i, "file_name": f"{i}.png", "height": 10, "width": 8} for i in (7, 8)]
    two = found({"segmentation": segmentation}, {**polygons([1, 1, 4, 1, 4, 6]), "image_id": 8}, images=images)
    structures = StructureSet(("cbd",))
    assert refused(lambda: two.draw("7", SIZE, structures)) == "bad-annotation"
    assert two.draw("8", SIZE, structures).masks["cbd"].any()


def test_only_a_box_is_no_mask(found):
    assert refused(lambda: found({"bbox": [1, 1, 3, 3]}).draw("p1_a", SIZE)) == "bad-annotation"


def test_sizes_must_agree(found):
    assert refused(lambda: found().draw("p1_a", (8, 10))) == "size-mismatch"
    assert refused(lambda: found(runs([80], (8, 10))).draw("p1_a", SIZE)) == "size-mismatch"
    for height in (None, -10, "10", 10.5, 10**30):
        images = [{"id": 7, "file_name": "a.png", "height": height, "width": 8}]
        assert refused(lambda images=images: found(images=images).draw("a", SIZE)) == "bad-annotation"


# -- images ------------------------------------------------------------------------------------------------------------


def image(id_, name):
    return {"id": id_, "file_name": name, "height": 10, "width": 8}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.png", "a"),
        ("x/y/A.B.jpg", "a.b"),
        ("..\\..\\x\\a.tif", "a"),
        ("/etc/passwd", "passwd"),
        ("a_0001.weird", "a_0001"),
        ("a.nii.gz", "a"),
        ("1.2.840.5", "1.2.840.5"),
        ("1.2.840.5.dcm", "1.2.840.5"),
        (" a.png ", "a"),
    ],
)
def test_a_file_name_is_a_name_and_never_opened(tmp_path, found, name, key):
    os.mkfifo(tmp_path / "a.png")  # whoever opens it waits for ever
    assert found(images=[image(1, name)]).keys == [key]


def test_an_image_without_objects_shows_nothing(found):
    empty = found(images=[image(1, "a_mask.png"), image(2, "b.png")], spec={"suffix": "_mask"})
    assert empty.keys == ["a", "b"]
    assert empty.draw("a", SIZE).masks == {}


def test_two_images_of_one_name_are_refused_alone(found):
    three = found(images=[image(7, "x/a.png"), image(8, "y/A.jpg"), image(9, "b.png")])
    assert sorted(three.keys) == ["a", "b"]
    assert refused(lambda: three.draw("a", SIZE)) == "duplicate"
    assert three.draw("b", SIZE).masks == {}


@pytest.mark.parametrize(
    "parts",
    [
        {"images": [image(7, "a.png"), image(7, "b.png")]},
        {"images": [image(None, "a.png")]},
        {"images": [image([7], "a.png")]},
        {"images": [image(7, 3)]},
        {"images": [image(7, "")]},
        {"images": [image(7, "x/")]},
        {"images": [image(7, NAME * 1000)]},
        {"images": [image(7, "a\0")]},
        {"images": [image(7, "\ud800")]},
        {"images": [NAME]},
        {"annotations": [NAME]},
        {"annotations": [{"image_id": 9, "category_id": 1}]},
        {"annotations": [{"image_id": 7, "category_id": 9}]},
        {"annotations": [{"image_id": 7.0, "category_id": 1}]},
        {"annotations": [{"image_id": {}, "category_id": 1}]},
        {"categories": [*CATEGORIES, {"id": 1, "name": "x"}]},
        {"categories": [7]},
    ],
)
def test_what_leaves_it_open_who_is_meant_refuses_the_file(found, parts):
    assert refused(lambda: found(polygons([1, 1, 4, 1, 4, 6]), **parts)) == "bad-annotation"


@pytest.mark.parametrize("name", [None, 7, "", "日本", NAME * 50, ["cbd"]])
def test_categories_without_a_usable_name(found, name):
    categories = [{"id": 1, "name": name}]
    assert refused(lambda: found(polygons([1, 1, 4, 1, 4, 6]), categories=categories)) == "unknown-structure"
    assert found(categories=categories).keys == ["p1_a"]  # nobody uses it


def test_other_json_is_no_annotation_unless_it_is_named(tmp_path):
    for text in ("{}", "[]", '{"images": [], "annotations": {}}', '{"images": [], "annotations": []}'):
        (tmp_path / "x.json").write_text(text)
        assert Surveyed(tmp_path, format="coco").items == []
        assert refused(lambda: Surveyed(tmp_path, format="coco", path="x.json")) == "bad-annotation"


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b'{"images": [NaN]}', NAME.encode(), b"\xff\xfe\xff"])
def test_damaged_json(tmp_path, text, monkeypatch):
    (tmp_path / "x.json").write_bytes(text)
    assert refused(lambda: Surveyed(tmp_path, format="coco")) == "bad-annotation"
    (tmp_path / "x.json").write_text('{"images": []}')
    monkeypatch.setattr(places, "MAX_BYTES", 5)
    assert refused(lambda: Surveyed(tmp_path, format="coco")) == "too-large"


def test_numbers_that_no_json_can_hold_again(tmp_path):
    """``1e400`` parses as infinity, and lists may lie deeper than they can be written."""
    start = '{"images": [{"id": 7, "file_name": "a.png", "height": 10, "width": 8}], "categories": [{"id": 1, "name": "cbd"}],'
    for inner in ("[[1e400, 1, 2, 2, 3, 3]]", "[" * 900 + "]" * 900):
        text = f'{start} "annotations": [{{"image_id": 7, "category_id": 1, "segmentation": {inner}}}]}}'
        (tmp_path / "x.json").write_text(text)
        hostile = Surveyed(tmp_path, format="coco")
        assert refused(lambda hostile=hostile: hostile.draw("a", SIZE, StructureSet(("cbd",)))) == "bad-annotation"


coordinate = st.integers(-1, 36).map(lambda k: k / 4)
outline = st.lists(st.tuples(coordinate.map(lambda v: min(v, 9.0)), coordinate), min_size=3, max_size=7)


@given(st.lists(outline, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_polygons_written_come_back_as_another_rasteriser_draws_them(mask, outlines):
    expected = np.zeros(SIZE, bool)
    for points in outlines:
        expected |= polygon2mask(SIZE, np.array(points)[:, ::-1] - 0.5)
    assert (mask(polygons(*([v for point in points for v in point] for points in outlines))) == expected).all()


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3), lambda inner: (
    st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["counts", "size", "id", "name"]), inner, max_size=3)
), max_leaves=15), st.sampled_from(["segmentation", "image_id", "category_id", "images", "categories"]))  # fmt: skip
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_drawn_or_refused(found, value, where):
    try:
        parts = {where: value} if where in ("images", "categories") and isinstance(value, list) else {}
        one = found({**polygons([1, 1, 4, 1, 4, 6]), where: value}, **parts)
        for key in one.keys:
            one.draw(key, SIZE)
    except InputRefused as error:
        assert error.code in ("bad-annotation", "unknown-structure", "size-mismatch", "duplicate", "too-large")
