import base64
import json

import imagecodecs
import numpy as np
import pytest

from ercpseg.errors import InputRefused
from ercpseg.importers.labelme import annotation, read_drawing
from ercpseg.structures import StructureSet

STRUCTURES = StructureSet(("endoscope", "guidewire", "cbd", "stone"))


@pytest.fixture
def drawn(tmp_path):
    """Write a labelme file of 10 × 8 (height × width) and draw it."""

    def draw(*shapes, structures=STRUCTURES, size=(10, 8), width=3.0, **fields):
        path = tmp_path / "x.json"
        data = {
            "imageHeight": 10,
            "imageWidth": 8,
            "imageData": None,
            "imagePath": "../../etc/passwd",
            "shapes": shapes,
        }
        path.write_text(json.dumps({**data, **fields}))
        drawing = read_drawing(path)
        assert drawing is not None
        bitmask, notes = annotation(drawing, "x.json", width).draw(size, structures)
        return bitmask, notes

    return draw


@pytest.fixture
def refusal(drawn):
    def get(*shapes, **options):
        with pytest.raises(InputRefused) as error:
            drawn(*shapes, **options)
        assert "Doe" not in error.value.message
        return error.value.code

    return get


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def box(top, bottom, left, right):
    """Rows and columns, inclusive."""
    mask = np.zeros((10, 8), bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def test_polygons_overlap_and_unite(drawn):
    square = [[1.5, 1.5], [4.5, 1.5], [4.5, 5.5], [1.5, 5.5]]  # x 2–4, y 2–5
    other = [[3.5, 3.5], [6.5, 3.5], [6.5, 8.5], [3.5, 8.5]]  # x 4–6, y 4–8
    bitmask, notes = drawn(shape("CBD", square), shape("stone", other), shape("stone", square))
    cbd, second = box(2, 5, 2, 4), box(4, 8, 4, 6)
    assert (bitmask == 4 * cbd + 8 * (cbd | second)).all()
    assert notes == ()


def test_rectangle_in_any_order_is_its_polygon(drawn):
    for points in ([[1.5, 1.5], [4.5, 5.5]], [[4.5, 1.5], [1.5, 5.5]]):
        assert (drawn(shape("cbd", points, "rectangle"))[0] == 4 * box(2, 5, 2, 4)).all()


def test_circle_is_centre_and_rim(drawn):
    bitmask, _ = drawn(shape("stone", [[4, 4], [4, 6]], "circle"))
    y, x = np.mgrid[:10, :8]
    assert ((bitmask > 0) == ((x - 4) ** 2 + (y - 4) ** 2 <= 4)).all()


def test_lines_have_the_stated_width(drawn):
    line = shape("wire", [[2, 4], [5, 4]], "line")
    strip = shape("guide-wire", [[2, 4], [4, 4], [5, 4]], "linestrip")
    bitmask, _ = drawn(line)
    assert bitmask[:, 3].tolist() == [0, 0, 0, 2, 2, 2, 0, 0, 0, 0]
    assert (drawn(strip)[0] == bitmask).all()
    assert drawn(line, width=1.0)[0][:, 3].tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 0, 0]


def test_points_and_background_are_said_and_left_out(drawn):
    bitmask, notes = drawn(shape("stone", [[2, 2]], "point"), shape("_background_", [[0, 0], [5, 0], [5, 5]]))
    assert not bitmask.any()
    assert len(notes) == 2


def test_mask_shapes(drawn, refusal):
    small = np.array([[1, 0, 1], [1, 1, 0]], np.uint8) * 255
    text = base64.b64encode(imagecodecs.png_encode(small)).decode()
    bitmask, _ = drawn(shape("cbd", [[2, 3], [4, 4]], "mask", mask=text))
    assert (bitmask[3:5, 2:5] == 4 * (small > 0)).all()
    assert bitmask.sum() == 4 * 4
    assert refusal(shape("cbd", [[2, 3], [5, 4]], "mask", mask=text)) == "bad-annotation"
    assert refusal(shape("cbd", [[2, 3], [4, 4]], "mask")) == "bad-annotation"
    assert refusal(shape("cbd", [[2, 3], [4, 4]], "mask", mask="Doe")) == "bad-annotation"


def test_a_slip_over_the_edge_is_cut_more_is_refused(drawn, refusal):
    slip = [[-1.5, -1.5], [8.5, -1.5], [8.5, 10.5], [-1.5, 10.5]]
    assert (drawn(shape("cbd", slip))[0] == 4).all()
    assert refusal(shape("cbd", [[-1.6, 0], [4, 0], [4, 4]])) == "bad-annotation"
    assert refusal(shape("cbd", [[0, 0], [4, 0], [4, 10.6]])) == "bad-annotation"


@pytest.mark.parametrize(
    "bad",
    [
        shape("cbd", [[1, 1], [2, 2]]),
        shape("cbd", []),
        shape("cbd", [[1, 1], [2, 2], [3]]),
        shape("cbd", [[1, 1], [2, 2], ["Doe", 1]]),
        shape("cbd", "Doe"),
        shape("cbd", [[1, 1], [2, 2], [1e400, 2]]),
        shape("cbd", [[1, 1]], "circle"),
        shape("cbd", [[1, 1], [2, 2], [3, 1]], "Doe"),
        shape(7, [[1, 1], [2, 2], [3, 1]]),
        "Doe",
    ],
)
def test_what_is_no_shape(refusal, bad):
    assert refusal(bad) == "bad-annotation"


def test_sizes_and_labels(refusal):
    square = [[1, 1], [4, 1], [4, 4]]
    assert refusal(shape("cbd", square), size=(8, 10)) == "size-mismatch"
    assert refusal(imageHeight=None) == "bad-annotation"
    assert refusal(shape("John Doe", square)) == "unknown-structure"


def test_other_json_is_no_drawing(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"patients": [1]}')
    assert read_drawing(path) is None
    for text in ("{", '{"shapes": [], "shapes": []}', "[" * 100_000, '{"shapes": [NaN]}'):
        path.write_text(text)
        with pytest.raises(InputRefused):
            read_drawing(path)
