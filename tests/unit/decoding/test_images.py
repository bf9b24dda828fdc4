import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from ercpseg.decoding import formats, jpeg
from ercpseg.decoding.sniff import HEAD_BYTES, sniff
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

NAME = b"DOE^JANE"


def ramp(height=6, width=5, dtype=np.uint8, step=7):
    """Values 0, step, 2·step, … row by row."""
    return (np.arange(height * width).reshape(height, width) * step).astype(dtype)


def smooth(height=32, width=48):
    return np.add.outer(np.arange(height) * 3, np.arange(width) * 2).astype(np.uint8)


def put(path, content, **options):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.save(path, **options)
    return path


def kind_of(path):
    data = path.read_bytes()
    return sniff(data[:HEAD_BYTES], len(data))


def listing(path):
    return formats.listing(Source(path), kind_of(path))


def frame(path):
    return formats.frame(listing(path), 0)


def mask(path):
    return formats.mask(Source(path), kind_of(path))


def labels(path):
    return formats.labels(Source(path), kind_of(path))


def colours(path):
    return formats.colours(Source(path), kind_of(path))


def code(path, call=frame):
    with pytest.raises(InputRefused) as error:
        call(path)
    assert "JANE" not in str(error.value)
    return error.value.code


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_the_same_picture_in_every_format(tmp_path, suffix, mode):
    picture = frame(put(tmp_path / f"x.{suffix}", Image.fromarray(ramp()).convert(mode)))
    assert picture.pixels.dtype == np.uint8
    np.testing.assert_array_equal(picture.pixels, ramp())
    assert picture.bits == 8
    assert listing(tmp_path / f"x.{suffix}").count == 1
    assert not listing(tmp_path / f"x.{suffix}").numbered


@pytest.mark.parametrize("bits", [1, 4])
def test_bmp_of_low_depth(tmp_path, bits):
    image = Image.fromarray(((ramp() % 2) * 255).astype(np.uint8)).convert("1" if bits == 1 else "P")
    path = put(tmp_path / "x.bmp", image, **({} if bits == 1 else {"bits": 4}))
    np.testing.assert_array_equal(frame(path).pixels, ramp() % 2 * 255)
    np.testing.assert_array_equal(mask(path), ramp() % 2 == 1)


def test_a_flat_frame_is_refused(tmp_path):
    assert code(put(tmp_path / "b.png", Image.fromarray(np.full((4, 4), 9, np.uint8)))) == "constant"


def test_colour_is_refused(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    for suffix in ("png", "bmp", "tif", "jpg"):
        assert code(put(tmp_path / f"a.{suffix}", Image.fromarray(rgb))) == "colour"


# -- JPEG --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_of_8_bits(tmp_path, mode, options):
    path = put(tmp_path / "x.jpg", Image.fromarray(smooth()).convert(mode), quality=95, **options)
    picture = frame(path)
    assert picture.pixels.dtype == np.uint8
    assert np.abs(picture.pixels.astype(int) - smooth()).max() <= 3
    assert listing(path).about.lossy


def test_jpeg_of_12_bits(tmp_path):
    pixels = smooth().astype(np.uint16) * 17
    path = put(tmp_path / "x.jpg", imagecodecs.jpeg8_encode(pixels, bitspersample=12, level=98))
    picture = frame(path)
    assert (picture.pixels.dtype, picture.bits) == (np.uint16, 12)
    assert np.abs(picture.pixels.astype(int) - pixels).max() <= 20
    assert listing(path).about.lossy


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_lossless_jpeg(tmp_path, bits):
    pixels = np.random.default_rng(0).integers(0, 2**bits, (20, 30)).astype(np.uint8 if bits == 8 else np.uint16)
    path = put(tmp_path / "x.jpg", imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits))
    picture = frame(path)
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.bits == bits
    assert not listing(path).about.lossy
    np.testing.assert_array_equal(labels(path), pixels)


def test_cmyk_is_refused(tmp_path):
    assert code(put(tmp_path / "x.jpg", Image.fromarray(smooth()).convert("CMYK"))) == "colour"


def test_jpeg_ls_and_2_bits_are_refused(tmp_path):
    assert code(put(tmp_path / "x.jpg", imagecodecs.jpegls_encode(smooth()))) == "unsupported-pixels"
    lossless = bytearray(imagecodecs.jpeg8_encode(smooth(), lossless=True))
    lossless[lossless.index(b"\xff\xc3") + 4] = 2
    assert code(put(tmp_path / "x.jpg", bytes(lossless))) == "unsupported-pixels"


def jpeg_bytes(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("encode", [
    lambda p: jpeg_bytes(p), lambda p: jpeg_bytes(p, progressive=True),
    lambda p: imagecodecs.jpeg8_encode(p, lossless=True),
    lambda p: imagecodecs.jpeg8_encode(p.astype(np.uint16) * 16, bitspersample=12),
])  # fmt: skip
def test_truncated_jpeg(tmp_path, encode):
    data = bytes(encode(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)))
    for length in (len(data) // 2, len(data) * 9 // 10, len(data) - 2):
        assert code(put(tmp_path / "x.jpg", data[:length])) == "truncated"
    assert code(put(tmp_path / "x.jpg", data[:20])) in ("truncated", "unreadable")


@pytest.mark.parametrize("kind", ["baseline", "progressive", "restarts", "12 bits", "lossless"])
def test_an_end_marker_alone_does_not_make_a_jpeg_whole(tmp_path, kind):
    """libjpeg fills up with grey and says nothing."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    options = {"baseline": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 3}}
    if kind == "12 bits":
        data = bytes(imagecodecs.jpeg8_encode(pixels.astype(np.uint16) * 16, bitspersample=12))
    elif kind == "lossless":
        data = bytes(imagecodecs.jpeg8_encode(pixels, lossless=True))
    else:
        data = jpeg_bytes(pixels, **options[kind])
    frame(put(tmp_path / "x.jpg", data))
    for missing in (12, 100, 1000):
        cut = data[: -2 - missing]
        cut = cut[:-1] if cut.endswith(b"\xff") else cut
        assert code(put(tmp_path / "x.jpg", cut + b"\xff\xd9")) in ("truncated", "unreadable"), missing


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_is_turned_upright(tmp_path, orientation):
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}[
        orientation
    ]
    stored = np.zeros((16, 32), np.uint8)
    stored[:8, :8] = 200  # row 0 and column 0 of what is stored meet here
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = frame(put(tmp_path / "x.jpg", Image.fromarray(stored), quality=95, exif=exif))
    assert picture.pixels.shape == ((16, 32) if orientation < 5 else (32, 16))
    assert picture.pixels[corner] > 150
    assert (picture.pixels > 100).sum() == 64


def test_what_is_beside_the_pixels_never_reaches_the_decoder(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = NAME.decode()
    data = jpeg_bytes(smooth(), exif=exif, comment=NAME, icc_profile=NAME)
    assert data.count(NAME) == 3
    header = jpeg.read_header(data)
    assert NAME not in header.stripped
    assert "JANE" not in repr(frame(put(tmp_path / "x.jpg", data)))


def test_an_orientation_in_xmp_only_is_refused(tmp_path):
    packet = b'http://ns.adobe.com/xap/1.0/\0<a tiff:Orientation="%d"/>'
    plain = jpeg_bytes(smooth())
    for orientation, refused in ((6, True), (1, False)):
        body = packet % orientation
        data = plain[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + plain[2:]
        path = put(tmp_path / "x.jpg", data)
        if refused:
            assert code(path) == "unsupported-pixels"
        else:
            assert frame(path).pixels.shape == smooth().shape


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_bmp_ends_early(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(ramp(64, 64, step=1)).save(buffer, "BMP")
    assert code(put(tmp_path / "x.bmp", buffer.getvalue()[:-100])) == "truncated"


@pytest.mark.parametrize("suffix", ["bmp", "jpg"])
def test_a_header_that_promises_too_much_costs_nothing(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded"))
    if suffix == "bmp":
        data = bytearray(54)
        data[:2], data[14:18], data[18:26] = b"BM", b"\x28\0\0\0", (60000).to_bytes(4, "little") * 2
    else:
        data = bytearray(jpeg_bytes(smooth()))
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    assert code(put(tmp_path / f"x.{suffix}", bytes(data))) == "too-large"


def test_messages_never_quote_the_file(tmp_path):
    assert code(put(tmp_path / "x.png", b"\x89PNG\r\n\x1a\n" + b"\0\0\0\4DOE^JANE" + bytes(40))) == "unreadable"
    assert code(put(tmp_path / "x.jpg", b"\xff\xd8\xff\xe0" + NAME * 10)) in ("truncated", "unreadable")
    assert code(put(tmp_path / "y.tif", b"II*\0" + NAME * 10)) in ("truncated", "unreadable")


# -- masks -------------------------------------------------------------------------------------------------------------

PRESENT = ramp() % 2 == 1


def palette(colours, pixels=PRESENT):
    image = Image.new("P", pixels.shape[::-1])
    image.putdata(pixels.astype(int).ravel().tolist())
    image.putpalette([v for colour in colours for v in colour])
    return image


def test_masks_of_every_kind_mean_the_same(tmp_path):
    rgba = np.zeros((6, 5, 4), np.uint8)
    rgba[...] = (255, 0, 0, 0)  # red everywhere, but transparent
    rgba[PRESENT] = (255, 0, 0, 255)
    images = {
        "l255": Image.fromarray(PRESENT.astype(np.uint8) * 255),
        "l1": Image.fromarray(PRESENT.astype(np.uint8)),
        "bit": Image.fromarray(PRESENT.astype(np.uint8) * 255).convert("1"),
        "rgb": Image.fromarray(np.stack([PRESENT * 0, PRESENT * 0, PRESENT * 7], axis=-1).astype(np.uint8)),
        "rgba": Image.fromarray(rgba),
        "p": palette([(0, 0, 0), (0, 0, 9)]),
        "p3": palette([(0, 0, 0), (1, 1, 1), (0, 0, 0), (9, 9, 9)], PRESENT * 3),
    }
    for name, image in images.items():
        np.testing.assert_array_equal(mask(put(tmp_path / f"{name}.png", image)), PRESENT, err_msg=name)
    tifffile.imwrite(tmp_path / "m.tif", PRESENT.astype(np.uint16) * 1000)
    np.testing.assert_array_equal(mask(tmp_path / "m.tif"), PRESENT)
    (tmp_path / "m16.png").write_bytes(imagecodecs.png_encode(PRESENT.astype(np.uint16)))
    np.testing.assert_array_equal(mask(tmp_path / "m16.png"), PRESENT)
    np.testing.assert_array_equal(mask(put(tmp_path / "m.bmp", images["bit"])), PRESENT)


@pytest.mark.parametrize(("table", "pixels"), [
    ([(255, 255, 255), (0, 0, 0)], PRESENT),  # numbered as the colours came: 0 is white
    ([(255, 255, 255), (0, 0, 0)], PRESENT * 0 + 1),  # an empty mask from the same program
    ([(9, 0, 0), (0, 9, 0)], PRESENT),
    ([(0, 0, 0), (0, 0, 0), (9, 9, 9)], PRESENT * 1),
])  # fmt: skip
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_palette_whose_colours_contradict_its_numbers(tmp_path, table, pixels, suffix):
    path = put(tmp_path / f"x.{suffix}", palette(table, pixels))
    assert code(path, mask) == "bad-annotation"


def test_a_reduced_black_and_white_picture(tmp_path):
    grey = Image.fromarray(PRESENT.astype(np.uint8) * 255).convert("RGB")
    path = put(tmp_path / "x.png", grey.quantize(2))
    if np.asarray(Image.open(path))[0, 0] == 0:
        np.testing.assert_array_equal(mask(path), PRESENT)
    else:  # what Pillow does: white is 0
        assert code(path, mask) == "bad-annotation"


def test_colour_and_transparency_that_contradict_each_other(tmp_path):
    clear = np.zeros((6, 5, 4), np.uint8)
    painted_black = clear.copy()
    painted_black[PRESENT, 3] = 255
    painted_clear = clear.copy()
    painted_clear[PRESENT, :3] = 255
    assert code(put(tmp_path / "a.png", Image.fromarray(painted_black)), mask) == "bad-annotation"
    assert code(put(tmp_path / "b.png", Image.fromarray(painted_clear)), mask) == "bad-annotation"
    assert code(tmp_path / "b.png", colours) == "bad-annotation"
    assert not mask(put(tmp_path / "c.png", Image.fromarray(clear))).any()


def test_white_as_zero_is_no_mask(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PRESENT.astype(np.uint8) * 255, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "b.tif", PRESENT, photometric="miniswhite")
    assert code(tmp_path / "a.tif", mask) == "bad-annotation"
    assert code(tmp_path / "b.tif", mask) == "bad-annotation"
    assert code(tmp_path / "b.tif", labels) == "bad-annotation"


def test_jpeg_masks_are_cut_at_half(tmp_path):
    square = np.zeros((32, 32), bool)
    square[8:24, 8:24] = True
    path = put(tmp_path / "m.jpg", Image.fromarray(square.astype(np.uint8) * 255), quality=60)
    np.testing.assert_array_equal(mask(path), square)
    deep = imagecodecs.jpeg8_encode(np.where(square, 4000, 1000).astype(np.uint16), bitspersample=12, level=60)
    np.testing.assert_array_equal(mask(put(tmp_path / "m12.jpg", deep)), square)


# -- labels and colours ------------------------------------------------------------------------------------------------


def test_labels_are_stored_values(tmp_path):
    image = Image.fromarray(ramp(step=1)).convert("P")
    image.putpalette([v for i in range(256) for v in (255 - i, i, 7)])
    for suffix in ("png", "bmp", "tif"):
        np.testing.assert_array_equal(labels(put(tmp_path / f"c.{suffix}", image)), ramp(step=1))
    deep = ramp(dtype=np.uint16, step=2000)
    (tmp_path / "d.png").write_bytes(imagecodecs.png_encode(deep))
    np.testing.assert_array_equal(labels(tmp_path / "d.png"), deep)
    same = Image.fromarray(np.stack([ramp()] * 3, axis=-1))
    np.testing.assert_array_equal(labels(put(tmp_path / "e.bmp", same)), ramp())


def test_labels_in_colour_or_lossy_are_refused(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    assert code(put(tmp_path / "a.png", Image.fromarray(rgb)), labels) == "bad-annotation"
    assert code(put(tmp_path / "a.jpg", Image.fromarray(smooth())), labels) == "bad-annotation"


def test_colours_are_what_a_viewer_shows(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (6, 5, 3)).astype(np.uint8)
    for suffix in ("png", "bmp", "tif"):
        found = colours(put(tmp_path / f"a.{suffix}", Image.fromarray(rgb)))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, rgb)
    table = [(10, 20, 30), (200, 100, 0)]
    found = colours(put(tmp_path / "p.png", palette(table)))
    np.testing.assert_array_equal(found, np.array(table)[PRESENT.astype(int)])
    grey = colours(put(tmp_path / "g.png", Image.fromarray(ramp())))
    np.testing.assert_array_equal(grey, ramp()[..., None].repeat(3, axis=-1))
    clear = np.dstack([rgb, np.where(PRESENT, 1, 0).astype(np.uint8)])
    found = colours(put(tmp_path / "t.png", Image.fromarray(clear)))
    np.testing.assert_array_equal(found, rgb * PRESENT[..., None])
    tifffile.imwrite(tmp_path / "w.tif", ramp(), photometric="miniswhite")
    np.testing.assert_array_equal(colours(tmp_path / "w.tif")[..., 0], 255 - ramp())


def test_16_bit_colours_only_where_8_would_do(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (6, 5, 3)).astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(rgb))
    np.testing.assert_array_equal(colours(tmp_path / "a.png"), rgb // 257)
    rgb[0, 0, 0] += 1
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(rgb))
    assert code(tmp_path / "a.png", colours) == "bad-annotation"


def test_colours_of_a_lossy_jpeg_are_refused(tmp_path):
    assert code(put(tmp_path / "a.jpg", Image.fromarray(smooth())), colours) == "bad-annotation"
