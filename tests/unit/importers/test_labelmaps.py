import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ercpseg.decoding.decoders import Decoders
from ercpseg.errors import DataError
from ercpseg.importers.annotation import LabelNames
from ercpseg.storage.images import write_png
from ercpseg.structures import StructureSet
from tests.unit.importers.surveyed import NAME, Surveyed, refused

IMAGE = np.array([[0, 1, 2], [3, 3, 0]], np.uint8)


@pytest.fixture(scope="module")
def decoders():
    with Decoders(children=1) as pool:
        yield pool


@pytest.fixture
def found(tmp_path, decoders):
    def make(image, values, names=None, file="labels/a.png", **spec):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(image, bytes):
            path.write_bytes(image)
        elif image is not None:
            write_png(path, image)
        return Surveyed(tmp_path, decoders, names, **{"format": "labels", "path": "labels", "values": values, **spec})

    return make


def test_values_stand_for_structures(found):
    plain = found(IMAGE, {"cbd": (1,), "stone": (2, 3)})
    assert plain.keys == ["a"]
    assert set(plain.structures) == {"cbd", "stone"}
    masks = plain.draw("a", (2, 3)).masks
    assert masks["cbd"].astype(int).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert masks["stone"].astype(int).tolist() == [[0, 0, 1], [1, 1, 0]]
    assert not plain.format.overlaps


def test_a_value_may_stand_for_several_structures(found):
    bitmask = found(IMAGE, {"endoscope": (1, 3), "guidewire": (2, 3)})
    masks = bitmask.draw("a", (2, 3)).masks
    assert masks["endoscope"].astype(int).tolist() == [[0, 1, 0], [1, 1, 0]]
    assert masks["guidewire"].astype(int).tolist() == [[0, 0, 1], [1, 1, 0]]
    assert bitmask.format.overlaps


def test_what_is_not_declared_is_refused(found):
    assert refused(lambda: found(IMAGE, {"cbd": (1,), "stone": (2,)}).draw("a", (2, 3))) == "bad-label-value"
    masks = IMAGE // 3 * 255  # 0 and 255: that 255 means 1 has to be said
    assert refused(lambda: found(masks, {"cbd": (1,)}).draw("a", (2, 3))) == "bad-label-value"
    assert found(masks, {"cbd": (255,)}).draw("a", (2, 3)).masks["cbd"].sum() == 2
    large = IMAGE.astype(np.uint16) * 20000
    assert refused(lambda: found(large, {"cbd": (1,)}).draw("a", (2, 3))) == "bad-label-value"
    assert found(large, {"cbd": (20000, 40000), "stone": (60000,)}).draw("a", (2, 3)).masks["stone"].sum() == 2


def test_background_and_words_that_are_left_out(found):
    named = found(
        IMAGE, {"Choledoque": (1,), "text": (2,), "background": (0, 3)}, LabelNames({"cbd": ["choledoque"]}, ["text"])
    )
    assert set(named.structures) == {"cbd"}
    assert named.draw("a", (2, 3)).masks["cbd"].sum() == 1
    zero = found(IMAGE, {"cbd": (0,), "background": (1, 2, 3)})  # 0 is what the table says it is
    assert zero.draw("a", (2, 3)).masks["cbd"].sum() == 2
    ignored = found(IMAGE, {"cbd": (1, 2), "ignore": (3,)})
    assert refused(lambda: ignored.draw("a", (2, 3))) == "bad-label-value"


def test_tables_that_contradict_themselves(found):
    for values in ({"cbd": (1,), "background": (1,)}, {"日本": (1,)}):
        with pytest.raises(DataError):
            found(IMAGE, values)


def test_palette_indices_count_not_colours(found, tmp_path):
    (tmp_path / "labels").mkdir()
    image = Image.new("P", (3, 2))
    image.putdata(IMAGE.ravel().tolist())
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    image.save(tmp_path / "labels" / "a.png")
    assert found(None, {"cbd": (1,), "stone": (2, 3)}).draw("a", (2, 3)).masks["stone"].sum() == 3


def test_label_volumes_of_one_slice(found, tmp_path):
    (tmp_path / "labels").mkdir()
    for kind in (np.uint8, np.int16, np.float32):
        sitk.WriteImage(sitk.GetImageFromArray(IMAGE[None].astype(kind)), tmp_path / "labels" / "b_seg.nii.gz")
        one = found(None, {"cbd": (1,), "stone": (2, 3)}, suffix="_seg")
        assert one.keys == ["b"]
        assert one.draw("b", (2, 3)).masks["stone"].astype(int).tolist() == [[0, 0, 1], [1, 1, 0]]
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([IMAGE] * 2)), tmp_path / "labels" / "b_seg.nii.gz")
    two = found(None, {"cbd": (1, 2, 3)}, suffix="_seg")
    assert refused(lambda: two.draw("b", (2, 3))) == "bad-annotation"


def test_places(found):
    assert found(IMAGE, {"cbd": (1,)}, file="other/a.png").keys == []
    beside = {"path": "", "file": "images/a_label.png"}
    assert found(IMAGE, {"cbd": (1,)}, **beside).keys == []  # nothing tells it from a frame
    assert found(IMAGE, {"cbd": (1,)}, suffix="_label", **beside).keys == ["a"]


def test_sizes_and_structures(found):
    one = found(IMAGE, {"cbd": (1, 2, 3)})
    assert refused(lambda: one.draw("a", (3, 2))) == "size-mismatch"
    assert refused(lambda: one.draw("a", (2, 3), StructureSet(("stone",)))) == "unknown-structure"


@pytest.mark.parametrize(
    "content", [b"", NAME.encode(), b"\x89PNG\r\n\x1a\n" + NAME.encode(), b"\xff\xd8\xff" + NAME.encode()]
)
def test_damaged_images(found, content):
    assert refused(lambda: found(content, {"cbd": (1,)}).draw("a", (2, 3))) == "bad-annotation"


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 7)),
    st.dictionaries(st.sampled_from(["cbd", "stone", "guidewire"]), st.sets(st.integers(1, 7), min_size=1), min_size=1),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_written_come_back(found, image, values):
    drawn = found(image, {name: tuple(numbers) for name, numbers in values.items()})
    declared = {0}.union(*values.values())
    if set(image.ravel().tolist()) <= declared:
        masks = drawn.draw("a", image.shape).masks
        for name, numbers in values.items():
            assert masks[name].tolist() == [[value in numbers for value in row] for row in image.tolist()]
    else:
        assert refused(lambda: drawn.draw("a", image.shape)) == "bad-label-value"
