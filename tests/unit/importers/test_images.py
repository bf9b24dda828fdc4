import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from ercpseg.importers.images import read_labels, read_mask


def ramp(height=6, width=5, dtype=np.uint8, step=7):
    """Values 0, step, 2·step, … row by row."""
    return (np.arange(height * width).reshape(height, width) * step).astype(dtype)


def save(path, image, **options):
    image.save(path, **options)
    return path


def png_of(rows, depth, colour, extra=b""):
    """A PNG written by hand: ``rows`` are packed bytes."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    width = len(rows[0]) * 8 // (depth * channels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0))
        + extra
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + chunk(b"IEND", b"")
    )


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_of_8_and_16_bits(tmp_path, one, dtype):
    pixels = ramp(dtype=dtype, step=7 if dtype == np.uint8 else 2000)
    (tmp_path / "p9_x.png").write_bytes(imagecodecs.png_encode(pixels))
    frame = one(tmp_path)
    assert frame.pixels.dtype == dtype
    assert (frame.pixels == pixels).all()
    assert (frame.name, frame.bits, frame.source, frame.index) == ("p9_x", pixels.itemsize * 8, "p9_x.png", None)
    assert (frame.patient, frame.series, frame.spacing_mm) == ("p9", None, None)


def test_16_bit_colour_keeps_all_bits(tmp_path, one):
    plane = ramp(dtype=np.uint16, step=2001)
    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(np.stack([plane] * 3, axis=-1)))
    assert (one(tmp_path).pixels == plane).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_in_other_clothes(tmp_path, one, mode):
    image = Image.fromarray(ramp())
    if mode == "P":
        image = image.convert("P")
        image.putpalette([v for i in range(256) for v in (255 - i,) * 3])  # an inverted grey palette
    else:
        image = image.convert(mode)
    frame = one(save(tmp_path / "x.png", image))
    assert (frame.pixels == (255 - ramp() if mode == "P" else ramp())).all()


def test_1_and_4_bit_grey_are_stretched(tmp_path, one):
    (tmp_path / "x.png").write_bytes(png_of([b"\xa0", b"\x0f"], 1, 0))
    assert one(tmp_path).pixels[0].tolist() == [255, 0, 255, 0, 0, 0, 0, 0]
    (tmp_path / "x.png").write_bytes(png_of([b"\x01\x2f"], 4, 0))
    assert one(tmp_path).pixels.tolist() == [[0, 17, 34, 255]]


@pytest.mark.parametrize("dtype", [np.uint8, np.dtype(">u2")])
def test_interlaced_png(tmp_path, one, dtype, capfd):
    pixels = ramp(9, 10, dtype=dtype)
    body = b""
    for x, y, dx, dy in [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]:
        body += b"".join(b"\0" + row.tobytes() for row in pixels[y::dy, x::dx])
    data = png_of([bytes(10 * pixels.itemsize)] * 9, 8 * pixels.itemsize, 0)
    header = data[12:28] + b"\1"
    idat = b"IDAT" + zlib.compress(body)
    (tmp_path / "x.png").write_bytes(
        data[:12] + header + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat)) + data[-12:]
    )  # fmt: skip
    assert (one(tmp_path).pixels == pixels).all()


def test_transparency_is_dropped_not_blended(tmp_path, one):
    rgba = np.dstack([np.stack([ramp()] * 3, axis=-1), np.full((6, 5), 100, np.uint8)])
    assert (one(save(tmp_path / "x.png", Image.fromarray(rgba))).pixels == ramp()).all()


def test_other_chunks_never_reach_the_decoder(tmp_path, one):
    bad_text = struct.pack(">I", 4) + b"tEXt" + b"\xff\xff\xff\xff" + b"\0\0\0\0"  # with a wrong checksum, too
    (tmp_path / "x.png").write_bytes(png_of([bytes([1, 2, 3])], 8, 0, bad_text))
    assert one(tmp_path).pixels.tolist() == [[1, 2, 3]]


def test_jpeg_is_turned_upright(tmp_path, one):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :8] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: turn right
    frame = one(save(tmp_path / "x.jpg", Image.fromarray(pixels), quality=95, exif=exif))
    assert frame.pixels.shape == (32, 16)
    assert frame.pixels[:8].min() > 150 > 50 > frame.pixels[12:].max()


def test_bmp(tmp_path, one):
    assert (one(save(tmp_path / "x.bmp", Image.fromarray(ramp()))).pixels == ramp()).all()
    assert (one(save(tmp_path / "x.bmp", Image.fromarray(ramp()).convert("RGB"))).pixels == ramp()).all()


@pytest.mark.parametrize("compression", [None, "deflate", "lzw"])
def test_tiff_of_16_bits(tmp_path, one, compression):
    pixels = ramp(dtype=np.uint16, step=2000)
    tifffile.imwrite(tmp_path / "x.tif", pixels, compression=compression)
    frame = one(tmp_path)
    assert frame.pixels.dtype == np.uint16
    assert (frame.pixels == pixels).all()


def test_tiff_white_is_zero_is_inverted(tmp_path, one):
    tifffile.imwrite(tmp_path / "x.tif", ramp(), photometric="miniswhite")
    assert (one(tmp_path).pixels == 255 - ramp()).all()


def test_tiff_orientation_is_applied(tmp_path, one):
    tifffile.imwrite(tmp_path / "x.tif", ramp(), extratags=[(274, "H", 1, 3, True)])
    assert (one(tmp_path).pixels == ramp()[::-1, ::-1]).all()


def test_pages_are_frames(tmp_path, read):
    pages = np.stack([ramp(), 255 - ramp(), ramp(step=3)])
    tifffile.imwrite(tmp_path / "run_1.tif", pages, photometric="minisblack")
    frames = read(tmp_path)
    assert [f.name for f in frames] == ["run_1_f0000", "run_1_f0001", "run_1_f0002"]
    assert [f.index for f in frames] == [0, 1, 2]
    assert {f.series for f in frames} == {"run_1.tif"}
    assert all((f.pixels == page).all() for f, page in zip(frames, pages, strict=True))


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_truncated_files(tmp_path, code):
    png = imagecodecs.png_encode(ramp(64, 64, step=1))
    jpeg = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)).save(jpeg, "JPEG")
    bmp = io.BytesIO()
    Image.fromarray(ramp(64, 64, step=1)).save(bmp, "BMP")
    for name, data in {"x.png": png, "x.jpg": jpeg.getvalue(), "x.bmp": bmp.getvalue()}.items():
        path = tmp_path / name
        path.write_bytes(data[: len(data) // 2])
        assert code(path) == "truncated", name
    tifffile.imwrite(tmp_path / "x.tif", ramp(64, 64, step=1))
    data = (tmp_path / "x.tif").read_bytes()
    (tmp_path / "x.tif").write_bytes(data[:-100])
    assert code(tmp_path / "x.tif") == "truncated"


def test_a_flipped_bit_in_a_png_is_noticed(tmp_path, code):
    data = bytearray(imagecodecs.png_encode(ramp(64, 64, step=1)))
    data[60] ^= 1
    (tmp_path / "x.png").write_bytes(data)
    assert code(tmp_path) == "unreadable"


def test_a_header_that_promises_too_much_costs_nothing(tmp_path, code):
    row = b"\0"
    png = bytearray(png_of([row], 8, 0))
    png[16:24] = struct.pack(">II", 60000, 60000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    (tmp_path / "x.png").write_bytes(png)
    assert code(tmp_path) == "too-large"
    bmp = bytearray(54)
    bmp[:2], bmp[14:18], bmp[18:26] = b"BM", b"\x28\0\0\0", struct.pack("<ii", 60000, -60000)
    (tmp_path / "x.png").write_bytes(bmp)
    assert code(tmp_path) == "too-large"


def test_colour_constant_float_and_empty(tmp_path, code):
    rgb = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    assert code(save(tmp_path / "a.png", Image.fromarray(rgb))) == "colour"
    assert code(save(tmp_path / "b.png", Image.fromarray(np.full((4, 4), 9, np.uint8)))) == "constant"
    tifffile.imwrite(tmp_path / "c.tif", ramp().astype(np.float32))
    assert code(tmp_path / "c.tif") == "unsupported-pixels"
    (tmp_path / "d.png").write_bytes(b"")
    assert code(tmp_path / "d.png") == "truncated"
    assert code(save(tmp_path / "e.gif", Image.fromarray(ramp()))) == "unknown-format"


def test_messages_never_quote_the_file(tmp_path, read):
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\4DOE^JANE" + bytes(40))
    (tmp_path / "y.tif").write_bytes(b"II*\0" + b"DOE^JANE" * 10)
    for record in read(tmp_path):
        assert record.status == "refused"
        assert "JANE" not in record.model_dump_json()


# -- masks and labels --------------------------------------------------------------------------------------------------


def test_masks_of_every_kind_mean_the_same(tmp_path):
    mask = ramp() % 2 == 1
    palette = Image.fromarray(mask.astype(np.uint8) * 3).convert("P")
    palette.putpalette([0, 0, 0, 9, 9, 9, 0, 0, 0, 0, 0, 0])  # index 3 is drawn black: still present
    rgba = np.zeros((6, 5, 4), np.uint8)
    rgba[...] = (255, 0, 0, 0)  # red everywhere, but transparent
    rgba[mask] = (255, 0, 0, 255)
    images = {
        "l255": Image.fromarray(mask.astype(np.uint8) * 255),
        "l1": Image.fromarray(mask.astype(np.uint8)),
        "bit": Image.fromarray(mask.astype(np.uint8) * 255).convert("1"),
        "rgb": Image.fromarray(np.stack([mask * 0, mask * 0, mask * 7], axis=-1).astype(np.uint8)),
        "rgba": Image.fromarray(rgba),
        "p": palette,
    }
    for name, image in images.items():
        assert (read_mask(save(tmp_path / f"{name}.png", image), "png") == mask).all(), name
    tifffile.imwrite(tmp_path / "m.tif", mask.astype(np.uint16) * 1000)
    assert (read_mask(tmp_path / "m.tif", "tiff") == mask).all()
    assert (read_mask(save(tmp_path / "m.bmp", images["bit"]), "bmp") == mask).all()


def test_jpeg_masks_are_cut_at_half(tmp_path):
    mask = np.zeros((32, 32), bool)
    mask[8:24, 8:24] = True
    path = save(tmp_path / "m.jpg", Image.fromarray(mask.astype(np.uint8) * 255), quality=60)
    assert (read_mask(path, "jpeg") == mask).all()


def test_labels_are_stored_values(tmp_path):
    (tmp_path / "a.png").write_bytes(png_of([b"\x01\x2f"], 4, 0))
    assert read_labels(tmp_path / "a.png", "png").tolist() == [[0, 1, 2, 15]]
    (tmp_path / "b.png").write_bytes(png_of([b"\xa0"], 1, 0))
    assert read_labels(tmp_path / "b.png", "png").tolist() == [[1, 0, 1, 0, 0, 0, 0, 0]]
    image = Image.fromarray(ramp(step=1)).convert("P")
    image.putpalette([v for i in range(256) for v in (255 - i, i, 7)])
    assert (read_labels(save(tmp_path / "c.png", image), "png") == ramp(step=1)).all()
