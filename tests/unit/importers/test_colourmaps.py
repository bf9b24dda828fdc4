import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ercpseg.decoding.decoders import Decoders
from ercpseg.errors import DataError, InputRefused
from ercpseg.importers.annotation import LabelNames
from ercpseg.structures import StructureSet
from tests.unit.importers.surveyed import NAME, Surveyed, refused

RED, GREEN, BLACK, NEARLY = (255, 0, 0), (0, 200, 0), (0, 0, 0), (254, 0, 0)
IMAGE = np.array([[RED, GREEN, BLACK], [BLACK, GREEN, GREEN]], np.uint8)
TABLE = {"cbd": ("#FF0000",), "stone": ("#00c800",)}


@pytest.fixture(scope="module")
def decoders():
    with Decoders(children=1) as pool:
        yield pool


@pytest.fixture
def found(tmp_path, decoders):
    def make(image, colours=TABLE, names=None, **spec):
        path = tmp_path / "labels" / "a.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image if isinstance(image, bytes) else imagecodecs.png_encode(image))
        return Surveyed(
            tmp_path, decoders, names, **{"format": "colours", "path": "labels", "colours": colours, **spec}
        )

    return make


def test_colours_stand_for_structures(found):
    plain = found(IMAGE)
    assert (plain.keys, set(plain.structures), plain.format.overlaps) == (["a"], {"cbd", "stone"}, False)
    masks = plain.draw("a", (2, 3)).masks
    assert masks["cbd"].astype(int).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert masks["stone"].astype(int).tolist() == [[0, 1, 0], [0, 1, 1]]


def test_a_colour_may_stand_for_several_structures(found):
    both = found(IMAGE, {"cbd": ("#ff0000", "#00c800"), "stone": ("#00c800",)})
    masks = both.draw("a", (2, 3)).masks
    assert (masks["cbd"].sum(), masks["stone"].sum(), both.format.overlaps) == (4, 3, True)


def test_the_nearest_colour_is_never_taken(found):
    image = IMAGE.copy()
    image[1, :2] = NEARLY
    with pytest.raises(InputRefused) as error:
        found(image).draw("a", (2, 3))
    assert error.value.code == "bad-label-value"
    assert error.value.detail == "2 pixels of 1 colours that are not declared, most of them #fe0000 (2)"


def test_background_is_stated(found):
    white = np.where((IMAGE == 0).all(axis=-1, keepdims=True), np.uint8(255), IMAGE)
    assert refused(lambda: found(white).draw("a", (2, 3))) == "bad-label-value"
    stated = found(white, background=("#ffffff",)).draw("a", (2, 3))
    assert stated.masks["stone"].sum() == 3
    assert refused(lambda: found(IMAGE, background=("#ffffff",)).draw("a", (2, 3))) == "bad-label-value"
    black = found(IMAGE, {**TABLE, "guidewire": ("#000000",)}).draw("a", (2, 3))
    assert black.masks["guidewire"].sum() == 2
    with pytest.raises(DataError):
        found(IMAGE, {**TABLE, "guidewire": ("#000000",)}, background=("#000000", "#ffffff"))


def test_words_of_the_descriptor(found):
    named = found(
        IMAGE, {"Choledoque": ("#ff0000",), "text": ("#00c800",)}, LabelNames({"cbd": ["choledoque"]}, ["text"])
    )
    assert {name: mask.sum() for name, mask in named.draw("a", (2, 3)).masks.items()} == {"cbd": 1}


def saved(image, kind):
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def test_palettes_are_resolved_and_rounding_is_refused(found):
    palette = Image.new("P", (3, 2))
    palette.putdata([2, 1, 0, 0, 1, 1])
    palette.putpalette([*BLACK, *GREEN, *RED])
    masks = found(saved(palette, "PNG")).draw("a", (2, 3)).masks
    assert masks["cbd"].astype(int).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert masks["stone"].astype(int).tolist() == [[0, 1, 0], [0, 1, 1]]
    assert refused(lambda: found(saved(Image.fromarray(IMAGE), "JPEG")).draw("a", (2, 3))) == "bad-annotation"


@pytest.mark.parametrize("content", [b"", NAME.encode(), b"\x89PNG\r\n\x1a\n" + NAME.encode()])
def test_damaged_images(found, content):
    assert refused(lambda: found(content).draw("a", (2, 3))) == "bad-annotation"


def test_sizes_and_structures(found):
    assert refused(lambda: found(IMAGE).draw("a", (3, 2))) == "size-mismatch"
    assert refused(lambda: found(IMAGE).draw("a", (2, 3), StructureSet(("stone",)))) == "unknown-structure"


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(0, 3)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_colours_written_come_back(found, which):
    image = np.array([BLACK, RED, GREEN, NEARLY], np.uint8)[which]
    one = found(image)
    if (which == 3).any():
        assert refused(lambda: one.draw("a", which.shape)) == "bad-label-value"
    else:
        masks = one.draw("a", which.shape).masks
        assert (masks["cbd"] == (which == 1)).all()
        assert (masks["stone"] == (which == 2)).all()
