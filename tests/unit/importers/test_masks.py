import zipfile

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ercpseg.decoding.decoders import Decoders
from ercpseg.importers.annotation import LabelNames
from ercpseg.storage.images import write_png
from ercpseg.structures import StructureSet
from tests.unit.importers.surveyed import NAME, Surveyed, box, refused

SIZE = (6, 5)
SQUARE = box(SIZE, 1, 3, 1, 3)


@pytest.fixture(scope="module")
def decoders():
    with Decoders(children=1) as pool:
        yield pool


@pytest.fixture
def found(tmp_path, decoders):
    """Files of the folder ``masks`` as given: name → what is written."""

    def make(files, names=None, **spec):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                write_png(path, content)
        return Surveyed(tmp_path, decoders, names, **{"format": "masks", "path": "masks", **spec})

    return make


def test_folders_name_structures_and_masks_overlap(found):
    other = box(SIZE, 3, 5, 0, 4)
    both = found(
        {
            "masks/CBD/p1_A.png": SQUARE,
            "masks/stone/deep/p1_a.png": other,
            "masks/stone/p2.png": SQUARE,
            "masks/p3.png": SQUARE,
            "images/cbd/p4.png": SQUARE,
            "masks/cbd/notes.txt": b"text",
            "masks/cbd/.hidden.png": SQUARE,
        }
    )
    assert both.keys == ["p1_a", "p1_a", "p2"]
    drawn = both.draw("p1_a", SIZE)
    assert (drawn.masks["cbd"] == SQUARE).all()
    assert (drawn.masks["stone"] == other).all()
    assert both.format.overlaps


def test_items_of_one_structure_can_be_told_to_be_two(found):
    twice = found({"masks/stone/a.png": SQUARE, "masks/lithiasis/a.png": SQUARE, "masks/cbd/a.png": SQUARE})
    told = [(item.key, item.payload) for _, item in twice.items]
    assert sorted(told) == [("a", "cbd"), ("a", "stone"), ("a", "stone")]  # the import refuses what is there twice


def test_words_of_the_descriptor_and_suffixes(found):
    named = found(
        {"gt/Choledoque/a_mask.png": SQUARE, "gt/text/a_mask.png": SQUARE, "gt/Choledoque/b.png": SQUARE},
        LabelNames({"cbd": ("Choledoque",)}, ["text"]),
        path="gt",
        suffix="_mask",
    )
    assert [(item.key, item.payload) for _, item in named.items] == [("a", "cbd")]


def test_any_image_format(found):
    def pillow(kind, mode):
        import io

        out = io.BytesIO()
        Image.fromarray(SQUARE.astype(np.uint8) * 255).convert(mode).save(out, kind)
        return out.getvalue()

    def tiff(pages):
        import io

        out = io.BytesIO()
        tifffile.imwrite(out, np.stack([SQUARE.astype(np.uint8)] * pages), photometric="minisblack")
        return out.getvalue()

    value = SQUARE.astype(np.uint16) * 300
    images = {
        "a.png": imagecodecs.png_encode(value),
        "b.bmp": pillow("BMP", "L"),
        "c.tif": tiff(1),
        "d.png": pillow("PNG", "1"),
        "e.png": pillow("PNG", "RGBA"),
    }
    all_ = found({f"masks/cbd/{name}": content for name, content in images.items()})
    for key in "abcde":
        assert (all_.draw(key, SIZE).masks["cbd"] == SQUARE).all(), key
    stack = found({"masks/cbd/f.tif": tiff(2)})
    assert refused(lambda: stack.draw("f", SIZE)) == "bad-annotation"


def test_masks_in_a_zip(tmp_path, decoders):
    write_png(tmp_path / "a.png", SQUARE)
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "cbd/a.png")
    packed = Surveyed(tmp_path, decoders, format="masks", path="gt.zip")
    assert (packed.draw("a", SIZE).masks["cbd"] == SQUARE).all()


@pytest.mark.parametrize(
    "content",
    [b"", NAME.encode(), b"\x89PNG\r\n\x1a\n" + NAME.encode(), bytes(128) + b"DICM", b"BM" + bytes(100), b"NRRD0004\n"],
)
def test_what_is_no_mask_refuses_its_frame(found, content):
    damaged = found({"masks/cbd/a.png": content})
    assert damaged.keys == ["a"]
    assert refused(lambda: damaged.draw("a", SIZE)) == "bad-annotation"


def test_sizes_and_structures(found):
    one = found({"masks/cbd/a.png": SQUARE})
    assert refused(lambda: one.draw("a", (5, 6))) == "size-mismatch"
    assert refused(lambda: one.draw("a", SIZE, StructureSet(("stone",)))) == "unknown-structure"


@pytest.mark.parametrize("folder", ["日本", "7", "duct", NAME * 20])
def test_folders_that_cannot_name_a_structure(found, folder):
    assert refused(lambda: found({f"masks/{folder}/a.png": SQUARE})) == "unknown-structure"


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 0, 1, 255]))
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_masks_written_come_back(found, pixels):
    drawn = found({"masks/cbd/a.png": pixels}).draw("a", pixels.shape)
    assert (drawn.masks["cbd"] == (pixels != 0)).all()
