import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from ercpseg.decoding.grey import EQUAL, collapse, exif_orientation, sole_orientation, upright, xmp_orientation
from ercpseg.errors import InputRefused


def grey(height=20, width=50):
    return (np.arange(height * width).reshape(height, width) % 200 + 20).astype(np.uint8)


def stack(r, g, b):
    return np.stack([r, g, b], axis=-1)


def test_equal_channels_are_taken_as_they_are():
    for dtype in (np.uint8, np.uint16):
        plane = grey().astype(dtype) * dtype(1 if dtype == np.uint8 else 250)
        pixels, notes = collapse(stack(plane, plane, plane))
        assert (pixels == plane).all()
        assert notes == (EQUAL,)


def test_rounding_of_jpeg_is_tolerated_and_said():
    plane = grey()
    pixels, notes = collapse(stack(plane, plane, plane + np.uint8(3)))
    assert np.abs(pixels.astype(int) - plane).max() <= 1  # 0.114 · 3
    assert notes


def test_coloured_marks_up_to_five_per_cent():
    image = stack(grey(), grey(), grey())
    image[0, :40] = (255, 0, 0)  # 4 %
    pixels, notes = collapse(image)
    assert "coloured marks" in " ".join(notes)
    assert pixels[0, 0] == round(0.299 * 255)
    image[:2, :40] = (255, 0, 0)  # 8 %
    with pytest.raises(InputRefused) as error:
        collapse(image)
    assert error.value.code == "colour"


def test_an_even_cast_is_removed_but_a_strong_one_is_colour():
    plane = grey().astype(int)
    mild = stack(plane - 12, plane + 6, plane + 12).clip(0, 255).astype(np.uint8)
    assert "cast" in " ".join(collapse(mild)[1])
    red = stack(grey(), np.zeros_like(grey()), np.zeros_like(grey()))
    with pytest.raises(InputRefused):
        collapse(red)


def test_a_colour_picture_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputRefused):
        collapse(rng.integers(0, 255, (30, 30, 3)).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_pillow(orientation):
    plane = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image.fromarray(plane)
    exif = image.getexif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    with Image.open(buffer) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert (upright(plane, orientation) == expected).all()
    assert exif_orientation(exif.tobytes().removeprefix(b"Exif\0\0")) == orientation


@pytest.mark.parametrize(
    "block", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"XX*\0" + bytes(40), b"MM\0*\0\0\0\x08\0\1"]
)
def test_damaged_exif_says_nothing(block):
    assert exif_orientation(block) == 0


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (8, 8), (9, 0), (0, 0)])
def test_orientation_of_another_type_or_value(value, expected):
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        head = mark + struct.pack(order + "LH", 8, 1)
        assert exif_orientation(head + struct.pack(order + "HHLHH", 0x0112, 3, 1, value, 0)) == expected
        assert exif_orientation(head + struct.pack(order + "HHLL", 0x0112, 4, 1, value)) == expected
        assert exif_orientation(b"Exif\0\0" + head + struct.pack(order + "HHLL", 0x0112, 4, 1, value)) == expected
        assert exif_orientation(head + struct.pack(order + "HHLL", 0x0112, 2, 1, value)) == 0


def test_xmp():
    assert xmp_orientation(b'<rdf tiff:Orientation="6" DOE="1">') == 6
    assert xmp_orientation(b"<tiff:Orientation>3</tiff:Orientation>") == 3
    assert xmp_orientation(b'tiff:Orientation="9"') == 0
    assert xmp_orientation(b"") == 0


def test_two_orientations():
    assert sole_orientation(0, 0) == 1
    assert sole_orientation(6, 0) == 6
    assert sole_orientation(1, 6) == 1  # turned since, and EXIF says so
    assert sole_orientation(0, 1) == 1
    with pytest.raises(InputRefused) as error:
        sole_orientation(0, 6)
    assert error.value.code == "unsupported-pixels"
