import base64
import json
import os

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from ercpseg.decoding.decoders import Decoders
from ercpseg.importers import places, strokes
from ercpseg.importers.annotation import LabelNames
from ercpseg.storage.images import read_png
from ercpseg.structures import StructureSet
from tests.unit.importers.surveyed import NAME, Surveyed, box, refused

STRUCTURES = StructureSet(("endoscope", "guidewire", "cbd", "stone"))
SIZE = (10, 8)


@pytest.fixture(scope="module")
def decoders():
    with Decoders(children=1) as pool:
        yield pool


@pytest.fixture
def drawn(tmp_path, decoders):
    """Write a labelme file of 10 × 8 (height × width) and draw it."""

    def draw(*shapes, structures=STRUCTURES, size=SIZE, names=None, spec=None, **fields):
        data = {
            "imageHeight": 10,
            "imageWidth": 8,
            "imageData": None,
            "imagePath": "..\\..\\etc/X.png",
            "shapes": shapes,
        }
        (tmp_path / "X.json").write_text(json.dumps({**data, **fields}))
        return Surveyed(tmp_path, decoders, names, format="labelme", **spec or {}).draw("x", size, structures)

    return draw


@pytest.fixture
def bits(drawn):
    return lambda *shapes, **options: STRUCTURES.encode(drawn(*shapes, **options).masks, SIZE)


@pytest.fixture
def refusal(drawn):
    return lambda *shapes, **options: refused(lambda: drawn(*shapes, **options))


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def area(*bounds):
    return box(SIZE, *bounds)


def png(pixels):
    return base64.b64encode(imagecodecs.png_encode(pixels)).decode()


def test_polygons_overlap_and_unite(drawn):
    square = [[1.5, 1.5], [4.5, 1.5], [4.5, 5.5], [1.5, 5.5]]  # x 2–4, y 2–5
    other = [[3.5, 3.5], [6.5, 3.5], [6.5, 8.5], [3.5, 8.5]]  # x 4–6, y 4–8
    result = drawn(shape("CBD", square), shape("stone", other), shape("stone", square))
    cbd, second = area(2, 5, 2, 4), area(4, 8, 4, 6)
    assert (result.masks["cbd"] == cbd).all()
    assert (result.masks["stone"] == (cbd | second)).all()
    assert result.notes == ()
    assert result.lines == {}


def test_rectangle_in_any_order_is_its_polygon(bits):
    for points in ([[1.5, 1.5], [4.5, 5.5]], [[4.5, 1.5], [1.5, 5.5]]):
        assert (bits(shape("cbd", points, "rectangle")) == 4 * area(2, 5, 2, 4)).all()
    turned = [[4, 1], [6, 3], [4, 5], [2, 3]]
    expected = polygon2mask(SIZE, np.array(turned)[:, ::-1])
    assert (bits(shape("cbd", turned, "oriented_rectangle")) == 4 * expected).all()


def test_circle_is_centre_and_rim(bits):
    y, x = np.mgrid[:10, :8]
    assert ((bits(shape("stone", [[4, 4], [4, 6]], "circle")) > 0) == ((x - 4) ** 2 + (y - 4) ** 2 <= 4)).all()


def test_lines_have_the_stated_width_and_stay_as_lines(drawn):
    line = shape("wire", [[2, 4], [5, 4]], "line")
    strip = shape("guide-wire", [[2, 4], [4, 4], [5, 4]], "linestrip")
    result = drawn(line, strip)
    assert result.masks["guidewire"][:, 3].tolist() == [False] * 3 + [True] * 3 + [False] * 4
    assert [points.tolist() for points in result.lines["guidewire"]] == [
        [[4, 2], [4, 5]],
        [[4, 2], [4, 4], [4, 5]],
    ]  # (y, x)
    assert (drawn(strip).masks["guidewire"] == drawn(line).masks["guidewire"]).all()
    assert drawn(line, spec={"width_px": 1.0}).masks["guidewire"][:, 3].tolist() == [i == 4 for i in range(10)]


def test_a_line_thinner_than_a_pixel_does_not_vanish(drawn):
    result = drawn(shape("wire", [[2, 4.4], [5, 4.4]], "line"), spec={"width_px": 0.1})
    assert result.masks["guidewire"].any()
    assert result.notes == ("shapes that are lines thinner than a pixel, drawn one pixel wide: 1",)


def test_what_is_not_drawn_is_said(drawn):
    result = drawn(
        shape("stone", [[2, 2]], "point"),
        shape("stone", [[2, 2], [3, 3]], "points"),
        shape("_background_", [[0, 0], [5, 0], [5, 5]]),
        shape("cbd", [[2.1, 2.1], [2.4, 2.1], [2.4, 2.4]]),
    )
    assert not result.masks["cbd"].any()
    assert result.notes == (
        "shapes that are points and have no area: 2",
        "shapes that have a label that is left out: 1",
        "shapes that cover no pixel: 1",
    )


def test_a_frame_with_nothing_on_it_is_annotated(tmp_path, decoders):
    (tmp_path / "x.json").write_text('{"imageHeight": 10, "imageWidth": 8, "shapes": []}')
    found = Surveyed(tmp_path, decoders, format="labelme")
    assert found.keys == ["x"]
    assert found.draw("x", SIZE).masks == {}
    assert refused(lambda: found.draw("x", (8, 10))) == "size-mismatch"


def test_names_and_suffixes_are_those_of_the_descriptor(tmp_path, decoders):
    data = {"imageHeight": 10, "imageWidth": 8, "shapes": [shape("Choledoque", [[1, 1], [4, 1], [4, 4]])]}
    for name in ("a_ann.json", "b.json", "sub/C_ann.JSON"):
        path = tmp_path / "labels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data))
    (tmp_path / "d_ann.json").write_text(json.dumps(data))
    names = LabelNames({"cbd": ("Choledoque",)})
    found = Surveyed(tmp_path, decoders, names, format="labelme", path="labels", suffix="_ann")
    assert found.keys == ["a", "c"]
    assert {name for _, item in found.items for name in item.structures} == {"cbd"}


def test_mask_shapes(drawn, refusal):
    small = np.array([[1, 0, 1], [1, 1, 0]], np.uint8) * 255
    result = drawn(shape("cbd", [[2, 3], [4, 4]], "mask", mask=png(small)))
    assert (result.masks["cbd"][3:5, 2:5] == (small > 0)).all()
    assert result.masks["cbd"].sum() == 4
    over = drawn(shape("cbd", [[-1, 3], [1, 4]], "mask", mask=png(small)))
    assert (over.masks["cbd"][3:5, :2] == (small[:, 1:] > 0)).all()
    for points, mask in (
        ([[2, 3], [5, 4]], png(small)),  # not the size of its box
        ([[2, 3], [4, 4]], None),
        ([[2, 3], [4, 4]], NAME),
        ([[2, 3], [4, 4]], base64.b64encode(NAME.encode()).decode()),
        ([[2, 3], [4, 4]], png(small)[:60]),
        ([[2, 3], [4, 4]], 7),
    ):
        assert refusal(shape("cbd", points, "mask", mask=mask)) == "bad-annotation"


def test_a_slip_over_the_edge_is_cut_more_is_refused(drawn, refusal):
    slip = drawn(shape("cbd", [[-1.5, -1.5], [8.5, -1.5], [8.5, 10.5], [-1.5, 10.5]]))
    assert slip.masks["cbd"].all()
    assert slip.notes == ("shapes that reach over the edge and are cut: 1",)
    line = drawn(shape("wire", [[-1.5, 4], [8.5, 4]], "line"))
    assert line.lines["guidewire"][0].tolist() == [[4, -0.5], [4, 7.5]]
    assert refusal(shape("cbd", [[-1.6, 0], [4, 0], [4, 4]])) == "bad-annotation"
    assert refusal(shape("cbd", [[0, 0], [4, 0], [4, 10.6]])) == "bad-annotation"


@pytest.mark.parametrize(
    "bad",
    [
        shape("cbd", [[1, 1], [2, 2]]),
        shape("cbd", []),
        shape("cbd", [[1, 1], [2, 2], [3]]),
        shape("cbd", [[1, 1], [2, 2], [NAME, 1]]),
        shape("cbd", [[1, 1], [2, 2], [True, 1]]),
        shape("cbd", [[1, 1], [2, 2], [None, 1]]),
        shape("cbd", [[1, 1], [2, 2], [10**400, 1]]),
        shape("cbd", [[1, 1], [2, 2], [-(10**9), 1]]),
        shape("cbd", NAME),
        shape("cbd", {NAME: 1}),
        shape("cbd", None),
        shape("cbd", [[1, 1]], "circle"),
        shape("cbd", [[1, 1], [2, 2], [3, 1]], NAME),
        shape("cbd", [[1, 1], [2, 2], [3, 1]], [NAME]),
        shape(7, [[1, 1], [2, 2], [3, 1]]),
        NAME,
        None,
    ],
)
def test_what_is_no_shape(refusal, bad):
    assert refusal(bad) == "bad-annotation"


@pytest.mark.parametrize("label", ["", "日本", "7up", NAME * 40, "instrument", "../" + NAME[:0], "\ud800"])
def test_labels_that_cannot_name_a_structure(refusal, label):
    assert refusal(shape(label, [[1, 1], [4, 1], [4, 4]])) == "unknown-structure"


def test_sizes_and_labels(refusal):
    square = [[1, 1], [4, 1], [4, 4]]
    assert refusal(shape("cbd", square), size=(8, 10)) == "size-mismatch"
    for height in (None, 0, -3, 10.0, True, "10", 10**30):
        assert refusal(imageHeight=height) == "bad-annotation"
    assert refusal(shape(f"John {NAME}", square)) == "unknown-structure"


def test_other_json_is_no_drawing_unless_it_is_named(tmp_path, decoders):
    path = tmp_path / "x.json"
    for text in ('{"patients": [1]}', "[]", "7", '{"shapes": {}}'):
        path.write_text(text)
        assert Surveyed(tmp_path, decoders, format="labelme").items == []
        assert refused(lambda: Surveyed(tmp_path, decoders, format="labelme", path="x.json")) == "bad-annotation"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"shapes": [], "shapes": []}',
        b"[" * 100_000,
        b'{"shapes": [' + b"[" * 50_000,
        b'{"shapes": [NaN]}',
        b'{"shapes": [' + b"9" * 5000 + b"]}",
        b'{"shapes": "\xff"}',
        NAME.encode(),
        b'{"imageHeight": 10, "imageWidth": 8, "shapes": [{"label": "cbd", "points": [[1e400, 1], [2, 2], [3, 1]]}]}',
    ],
)
def test_damaged_json(tmp_path, decoders, text):
    (tmp_path / "x.json").write_bytes(text)
    assert refused(lambda: Surveyed(tmp_path, decoders, format="labelme")) == "bad-annotation"


def test_limits(tmp_path, decoders, monkeypatch, refusal):
    many = [[i % 8, i % 9] for i in range(1001)]
    monkeypatch.setattr(strokes, "MAX_POINTS", 1000)
    assert refusal(shape("cbd", many)) == "too-large"
    assert refusal(shape("cbd", many[:501]), shape("cbd", many[:501])) == "too-large"
    monkeypatch.setattr(strokes, "MAX_POINTS", 10**6)
    monkeypatch.setattr(strokes, "MAX_SHAPES", 3)
    assert refusal(*[shape("cbd", many)] * 4) == "too-large"
    monkeypatch.setattr(strokes, "MAX_SHAPES", 10_000)
    monkeypatch.setattr(strokes, "MAX_EFFORT", 1000)
    assert refusal(shape("cbd", many)) == "too-large"
    monkeypatch.setattr(places, "MAX_BYTES", 100)
    assert refusal(shape("cbd", many)) == "too-large"


def test_the_stated_limits():
    assert (strokes.MAX_POINTS, places.MAX_BYTES) == (10**6, 256 * 1024**2)


def test_image_path_is_never_followed(tmp_path, decoders):
    os.mkfifo(tmp_path / "trap.png")  # whoever opens it waits for ever
    data = {"imageHeight": 10, "imageWidth": 8, "imagePath": "trap.png", "imageData": NAME, "shapes": []}
    (tmp_path / "x.json").write_text(json.dumps(data))
    assert Surveyed(tmp_path, decoders, format="labelme").draw("x", SIZE).masks == {}


number = st.integers(-4, 36).map(lambda k: k / 4) | st.floats(-1.5, 8.5, width=32)
outline = st.lists(st.tuples(number.map(lambda v: min(v, 8.5)), number), min_size=3, max_size=8)


@given(st.lists(st.tuples(st.sampled_from(list(STRUCTURES)), outline), max_size=4))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_polygons_written_come_back_as_another_rasteriser_draws_them(drawn, outlines):
    expected = {name: np.zeros(SIZE, bool) for name in STRUCTURES}
    for name, points in outlines:
        expected[name] |= polygon2mask(SIZE, np.array(points)[:, ::-1])
    result = drawn(*(shape(name, [list(point) for point in points]) for name, points in outlines))
    assert (STRUCTURES.encode(result.masks, SIZE) == STRUCTURES.encode(expected, SIZE)).all()


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5), lambda inner: (
    st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["label", "points", "shape_type", "mask", "shapes", "imageHeight", "imageWidth"]), inner, max_size=5
    )
), max_leaves=20))  # fmt: skip
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_drawn_or_refused(tmp_path, decoders, data):
    from ercpseg.errors import InputRefused

    if isinstance(data, dict):
        data = {"imageHeight": 10, "imageWidth": 8, **data, "shapes": data.get("shapes", [data])}
    (tmp_path / "x.json").write_text(json.dumps(data))
    try:
        found = Surveyed(tmp_path, decoders, format="labelme")
        for key in found.keys:
            found.draw(key, SIZE)
    except InputRefused as error:
        assert error.code in ("bad-annotation", "unknown-structure", "size-mismatch", "too-large")


def test_real_drawings_give_the_masks_drawn_beside_them(real_data, decoders):
    """Hand-made annotations of real frames. Masks of polygons were drawn with scikit-image, wires by hand."""
    root = real_data / "ercp-annotated"
    found = Surveyed(root, decoders, format="labelme", path="labelme")
    assert len(found.keys) == len(list((root / "labelme").glob("*.json"))) > 0
    for (claimed, _), key in zip(found.items, found.keys, strict=True):
        shape_of = read_png(root / "images" / f"{claimed.stem}.png").shape[:2]
        drawn = found.draw(key, shape_of)
        assert set(drawn.lines) <= {"guidewire"}
        for name in set(found.structures) - {"guidewire"}:
            path = root / "masks" / name / f"{claimed.stem}.png"
            expected = read_png(path) > 0 if path.exists() else np.zeros(shape_of, bool)
            assert (drawn.masks.get(name, np.zeros(shape_of, bool)) == expected).all(), (claimed.stem, name)


def test_free_text_is_no_structure(drawn):
    """Nobody said which structures there are, so a label that may name a person must not become one."""
    for text in ("Muster, Eva 1961", "DOE^JANE <script>", "patient 19610203", "ask the senior about this"):
        assert (
            refused(lambda text=text: drawn(shape(text, [[1, 1], [5, 1], [5, 5]]), structures=None))
            == "unknown-structure"
        )
    names = LabelNames({"stone": ("Muster, Eva 1961",)})
    assert drawn(shape("Muster, Eva 1961", [[1, 1], [5, 1], [5, 5]]), names=names).masks["stone"].any()


def test_a_file_that_was_drawn_on_another_is_said(drawn):
    assert not [note for note in drawn(shape("cbd", [[1, 1], [5, 1], [5, 5]])).notes if "another name" in note]
    assert [
        note
        for note in drawn(shape("cbd", [[1, 1], [5, 1], [5, 5]]), imagePath="b.png").notes
        if "another name" in note
    ]
    assert not [
        note for note in drawn(shape("cbd", [[1, 1], [5, 1], [5, 5]]), imagePath=7).notes if "another name" in note
    ]
