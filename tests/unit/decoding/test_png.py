import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from ercpseg.decoding import formats
from ercpseg.decoding.png import decode_png
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
TYPES = [
    (0, 1),
    (0, 2),
    (0, 4),
    (0, 8),
    (0, 16),
    (2, 8),
    (2, 16),
    (3, 1),
    (3, 2),
    (3, 4),
    (3, 8),
    (4, 8),
    (4, 16),
    (6, 8),
]
TYPES.append((6, 16))
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
NAME = b"DOE^JANE"


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def packed(rows, depth):
    """Scanlines of (y, x, channels) numbers, filter 0."""
    out = b""
    for row in rows:
        bits = "".join(f"{value:0{depth}b}" for pixel in row for value in pixel)
        bits += "0" * (-len(bits) % 8)
        out += b"\0" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return out


def png(samples, depth, colour, *, interlaced=False, before=b"", after=b""):
    """A PNG written by hand; ``samples`` (y, x) or (y, x, channels) as stored."""
    samples = np.asarray(samples)
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, channels = samples.shape
    assert channels == CHANNELS[colour]
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    data = b"".join(packed(part.tolist(), depth) for part in passes if part.size)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    body = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(data)) + after
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def exif(orientation, order=">", kind=3):
    mark = {">": b"MM\0*", "<": b"II*\0"}[order]
    value = struct.pack(order + {3: "HH", 4: "L"}[kind], *([orientation, 0] if kind == 3 else [orientation]))
    return mark + struct.pack(order + "LHHHL", 8, 1, 0x0112, kind, 1) + value + struct.pack(order + "L", 0)


def turned(stored, orientation):
    """Upright picture by the words of EXIF 2.3 on tag 0112, pixel by pixel."""
    height, width = stored.shape[:2]
    last_y, last_x = height - 1, width - 1
    source = {  # where the upright pixel (y, x) is stored
        1: lambda y, x: (y, x),
        2: lambda y, x: (y, last_x - x),
        3: lambda y, x: (last_y - y, last_x - x),
        4: lambda y, x: (last_y - y, x),
        5: lambda y, x: (x, y),
        6: lambda y, x: (last_y - x, y),
        7: lambda y, x: (last_y - x, last_x - y),
        8: lambda y, x: (x, last_x - y),
    }[orientation]
    shape = (height, width) if orientation < 5 else (width, height)
    return np.array([[stored[source(y, x)] for x in range(shape[1])] for y in range(shape[0])])


def file(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    return Source(tmp_path / "x.png")


def frame(source):
    return formats.frame(formats.listing(source, "png"), 0)


def code(call, *arguments):
    with pytest.raises(InputRefused) as error:
        call(*arguments)
    return error.value.code


# -- every kind of PNG -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), TYPES)
def test_every_depth_colour_interlacing_and_orientation(tmp_path, colour, depth, interlaced, orientation):
    rng = np.random.default_rng(depth * 10 + colour)
    grey = rng.integers(0, 2**depth, (9, 11))
    grey[0, :2] = 0, 2**depth - 1
    samples = np.repeat(grey[..., None], CHANNELS[colour], axis=-1)
    if colour in (4, 6):
        samples[..., -1] = 2**depth - 1
    shown = (grey * {1: 255, 2: 85, 4: 17}.get(depth, 1)).astype(np.uint16 if depth == 16 else np.uint8)
    before = b""
    if colour == 3:
        table = rng.permutation(256)[: 2**depth].astype(np.uint8)
        before = chunk(b"PLTE", np.repeat(table[:, None], 3, axis=1).tobytes())
        shown = table[grey]
    before += chunk(b"eXIf", exif(orientation, "<" if interlaced else ">"))
    source = file(tmp_path, png(samples, depth, colour, interlaced=interlaced, before=before))

    picture = frame(source)
    assert picture.pixels.dtype == shown.dtype
    np.testing.assert_array_equal(picture.pixels, turned(shown, orientation))
    assert picture.bits == (16 if depth == 16 else 8)

    np.testing.assert_array_equal(formats.labels(source, "png"), turned(grey, orientation))
    if colour != 3:
        np.testing.assert_array_equal(formats.mask(source, "png"), turned(grey != 0, orientation))
    if depth != 16:
        np.testing.assert_array_equal(
            formats.colours(source, "png"), turned(shown, orientation)[..., None].repeat(3, -1)
        )


def test_16_bit_colour_keeps_all_bits(tmp_path):
    plane = (np.arange(30).reshape(6, 5) * 2001).astype(np.uint16)
    for interlaced in (False, True):
        data = png(np.stack([plane] * 3, axis=-1), 16, 2, interlaced=interlaced)
        np.testing.assert_array_equal(frame(file(tmp_path, data)).pixels, plane)
    almost = np.stack([plane, plane, plane ^ 1], axis=-1)  # differs in what a cut to 8 bits would lose
    assert "luma" in " ".join(frame(file(tmp_path, png(almost, 16, 2))).notes)


def test_filters_of_real_encoders(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 30)).astype(np.uint16)
    np.testing.assert_array_equal(frame(file(tmp_path, imagecodecs.png_encode(pixels))).pixels, pixels)


# -- transparency ------------------------------------------------------------------------------------------------------


def test_transparency_is_ignored_in_frames_and_counts_in_masks(tmp_path):
    grey = [[0, 100, 100, 200]]
    alpha = file(tmp_path, png([[[v, a] for v, a in zip(grey[0], (255, 255, 0, 9), strict=True)]], 8, 4))
    assert frame(alpha).pixels.tolist() == grey
    assert frame(alpha).notes == ("transparency ignored",)
    assert formats.mask(alpha, "png").tolist() == [[False, True, False, True]]
    assert formats.colours(alpha, "png")[0, :, 0].tolist() == [0, 100, 0, 200]
    assert code(formats.labels, alpha, "png") == "bad-annotation"
    key = file(tmp_path, png(grey, 8, 0, before=chunk(b"tRNS", b"\0\x64")))  # 100 is transparent
    assert frame(key).pixels.tolist() == grey
    assert formats.mask(key, "png").tolist() == [[False, False, False, True]]
    assert code(formats.labels, key, "png") == "bad-annotation"


@pytest.mark.parametrize("interlaced", [False, True])
def test_colours_are_black_where_transparent(tmp_path, interlaced):
    data = png([[[9, 8, 7, 0], [6, 5, 4, 1]]], 8, 6, interlaced=interlaced)
    assert formats.colours(file(tmp_path, data), "png").tolist() == [[[0, 0, 0], [6, 5, 4]]]


def test_the_transparent_colour_of_rgb_and_of_low_depth(tmp_path):
    rgb = file(tmp_path, png([[[9, 0, 0], [9, 0, 1], [0, 0, 0]]], 8, 2, before=chunk(b"tRNS", b"\0\x09\0\0\0\0")))
    assert formats.mask(rgb, "png").tolist() == [[False, True, False]]
    low = file(tmp_path, png([[0, 1, 2, 3]], 2, 0, before=chunk(b"tRNS", b"\0\2")))
    assert formats.mask(low, "png").tolist() == [[False, True, False, True]]


def test_palette_with_transparency(tmp_path):
    table = chunk(b"PLTE", bytes([255, 255, 255, 10, 20, 30, 40, 50, 60])) + chunk(b"tRNS", b"\0\xff")
    source = file(tmp_path, png([[0, 1, 2, 1]], 8, 3, before=table))
    assert formats.mask(source, "png").tolist() == [[False, True, True, True]]  # index 0 is white, but transparent
    assert formats.labels(source, "png").tolist() == [[0, 1, 2, 1]]
    assert formats.colours(source, "png")[0].tolist() == [[0, 0, 0], [10, 20, 30], [40, 50, 60], [10, 20, 30]]


# -- what is beside the pixels -----------------------------------------------------------------------------------------


def test_text_and_exif_stay_outside_the_decoder(tmp_path, monkeypatch):
    seen = []
    decode = imagecodecs.png_decode
    monkeypatch.setattr(imagecodecs, "png_decode", lambda data: seen.append(bytes(data)) or decode(data))
    beside = [(b"tEXt", b"Title\0" + NAME), (b"zTXt", b"a\0\0" + zlib.compress(NAME)), (b"iTXt", b"b\0\0\0\0\0" + NAME)]
    beside += [(b"eXIf", exif(1) + NAME), (b"iCCP", b"c\0\0" + zlib.compress(NAME)), (b"prVt", NAME)]
    extra = b"".join(chunk(name, body) for name, body in beside)
    data = png([[1, 2, 3]], 8, 0, before=extra, after=chunk(b"tEXt", b"Author\0" + NAME)) + NAME
    picture = frame(file(tmp_path, data))
    assert picture.pixels.tolist() == [[1, 2, 3]]
    assert len(seen) == 1
    assert seen[0] == png([[1, 2, 3]], 8, 0)
    assert "JANE" not in repr((picture, decode_png(data)))


def test_a_damaged_text_chunk_does_no_harm(tmp_path):
    bad = struct.pack(">I", 4) + b"tEXt" + b"\xff\xff\xff\xff" + b"\0\0\0\0"  # with a wrong checksum, too
    assert frame(file(tmp_path, png([[1, 2, 3]], 8, 0, before=bad))).pixels.tolist() == [[1, 2, 3]]


def test_orientation_as_long_and_with_the_mark_of_jpeg(tmp_path):
    for block in (exif(6, ">", 4), exif(6, "<", 4), b"Exif\0\0" + exif(6)):
        data = png([[1, 2, 3]], 8, 0, before=chunk(b"eXIf", block))
        assert frame(file(tmp_path, data)).pixels.tolist() == [[1], [2], [3]]


def test_an_orientation_that_programs_disagree_on_is_refused(tmp_path):
    digits = b"\nexif\n      26\n" + (b"Exif\0\0" + exif(6)).hex().encode() + b"\n"
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    packed_xmp = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<tiff:Orientation>6</tiff:Orientation>")
    for name, body in [
        (b"tEXt", b"Raw profile type exif\0" + digits),
        (b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(digits)),
        (b"iTXt", xmp),
        (b"iTXt", packed_xmp),
    ]:
        data = png([[1, 2, 3]], 8, 0, before=chunk(name, body))
        assert code(frame, file(tmp_path, data)) == "unsupported-pixels", name
        both = png([[1, 2, 3]], 8, 0, before=chunk(name, body) + chunk(b"eXIf", exif(3)))
        assert frame(file(tmp_path, both)).pixels.tolist() == [[3, 2, 1]]


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [20, 29, 45, 60, -3])
def test_a_flipped_bit_is_noticed(tmp_path, at):
    data = bytearray(imagecodecs.png_encode(np.arange(4096).reshape(64, 64).astype(np.uint8)))
    data[at] ^= 1
    assert code(frame, file(tmp_path, data)) == "unreadable"


def test_a_wrong_checksum_of_what_is_made_use_of(tmp_path):
    for name, body in [(b"eXIf", exif(6)), (b"tRNS", b"\0\1")]:
        damaged = bytearray(chunk(name, body))
        damaged[-1] ^= 1
        assert code(frame, file(tmp_path, png([[1, 2]], 8, 0, before=bytes(damaged)))) == "unreadable"


def test_truncated_anywhere(tmp_path):
    data = imagecodecs.png_encode(np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8))
    for length in range(8, len(data)):
        assert code(frame, file(tmp_path, data[:length])) == "truncated", length


def test_too_little_image_data_with_right_checksums(tmp_path):
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    for interlace in (0, 1):
        head = chunk(b"IHDR", header[:-1] + bytes([interlace]))
        body = chunk(b"IDAT", zlib.compress(b"\0\1\2\3\4")) + chunk(b"IEND", b"")
        assert code(frame, file(tmp_path, b"\x89PNG\r\n\x1a\n" + head + body)) in ("truncated", "unreadable")


def test_chunks_out_of_place(tmp_path):
    whole = png([[1, 2]], 8, 0)
    head, data = whole[:33], whole[33:-12]
    text, end = chunk(b"tEXt", b"a\0b"), whole[-12:]
    assert code(frame, file(tmp_path, head + data + text + data + end)) == "unreadable"
    assert code(frame, file(tmp_path, head + head[8:] + data + end)) == "unreadable"
    assert code(frame, file(tmp_path, head + end)) == "truncated"
    animated = head + chunk(b"acTL", bytes(8)) + data + end
    assert code(frame, file(tmp_path, animated)) == "unsupported-pixels"


@pytest.mark.parametrize(
    "field",
    [
        struct.pack(">BBBBB", *f)
        for f in [(3, 0, 0, 0, 0), (16, 3, 0, 0, 0), (8, 5, 0, 0, 0), (8, 0, 1, 0, 0), (8, 0, 0, 0, 2)]
    ],
)
def test_no_such_type(tmp_path, field):
    data = png([[1, 2]], 8, 0)
    header = chunk(b"IHDR", struct.pack(">II", 2, 1) + field)
    assert code(frame, file(tmp_path, data[:8] + header + data[33:])) == "unreadable"


def test_a_palette_without_the_colour(tmp_path):
    data = png([[0, 1, 2]], 8, 3, before=chunk(b"PLTE", bytes(6)))
    assert code(frame, file(tmp_path, data)) == "unreadable"
    assert code(frame, file(tmp_path, png([[0, 1]], 8, 3))) == "unreadable"


def test_too_large_is_refused_by_the_header(tmp_path, monkeypatch):
    monkeypatch.setattr(imagecodecs, "png_decode", lambda data: pytest.fail("decoded"))
    data = png([[1]], 8, 0)
    for size, refusal in [((8193, 8192), "too-large"), ((0, 4), "unsupported-pixels")]:
        header = chunk(b"IHDR", struct.pack(">II", *size) + data[24:29])
        assert code(frame, file(tmp_path, data[:8] + header + data[33:])) == refusal


def test_pillow_agrees_on_palettes(tmp_path):
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).convert("P")
    image.putpalette([v for i in range(256) for v in (255 - i,) * 3])
    image.save(tmp_path / "x.png")
    assert frame(Source(tmp_path / "x.png")).pixels.tolist() == (255 - np.arange(48).reshape(6, 8)).tolist()
