import struct
import time
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from ercpseg.decoding import formats, tiff
from ercpseg.decoding.grey import EQUAL
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

NAME = "DOE^JANE"


def ramp(height=33, width=21, dtype=np.uint16, step=90):
    return (np.arange(height * width).reshape(height, width) * step).astype(dtype)


def frames(path):
    listing = formats.listing(Source(path), "tiff")
    return [formats.frame(listing, i) for i in range(listing.count)]


def code(path, call=frames):
    with pytest.raises(InputRefused) as error:
        call(path)
    assert NAME not in str(error.value)
    return error.value.code


def tiff_of(tags, data=b"", *, order="<", big=False, following=0):
    """One directory, written by hand: ``tags`` maps code to (type, values). ``data`` lies at 16."""
    head = struct.pack(order + ("2sHHHQ" if big else "2sHI"), b"II" if order == "<" else b"MM", 43 if big else 42,
                       *((8, 0, 16 + len(data)) if big else (16 + len(data),)))  # fmt: skip
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        value = struct.pack(order + {3: "H", 4: "I", 16: "Q"}[kind] * len(values), *values)
        assert len(value) <= (8 if big else 4)
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values)) + value.ljust(
            8 if big else 4, b"\0"
        )
    count, end = (
        struct.pack(order + ("Q" if big else "H"), len(tags)),
        struct.pack(order + ("Q" if big else "I"), following),
    )
    return head.ljust(16, b"\0") + data + count + entries + end


def grey(width, height, bits, data, **more):
    tags = {256: (3, [width]), 257: (3, [height]), 258: (3, [bits]), 259: (3, [1]), 262: (3, [1]), 273: (4, [16]),
            277: (3, [1]), 278: (3, [height]), 279: (4, [len(data)])}  # fmt: skip
    return {**tags, **{int(tag[1:]): value for tag, value in more.items()}}


# -- one page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "packbits"])
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 5}, {"tile": (16, 16)}])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_lossless_layout(tmp_path, compression, layout, byteorder, dtype):
    pixels = ramp(dtype=dtype)
    for predictor in (False, True) if compression in ("deflate", "lzw") else (False,):
        for bigtiff in (False, True):
            options = {"compression": compression, "byteorder": byteorder, "predictor": predictor, "bigtiff": bigtiff}
            tifffile.imwrite(tmp_path / "x.tif", pixels, **options, **layout)
            (frame,) = frames(tmp_path / "x.tif")
            assert frame.pixels.dtype == dtype
            np.testing.assert_array_equal(frame.pixels, pixels)
            assert (frame.bits, frame.notes) == (8 * pixels.itemsize, ())


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_12_bits_packed(tmp_path, order, big):
    data = bytes([0x12, 0x3A, 0xBC, 0xFF, 0xF0, 0x01])
    (tmp_path / "x.tif").write_bytes(tiff_of(grey(4, 1, 12, data), data, order=order, big=big))
    (frame,) = frames(tmp_path / "x.tif")
    assert frame.pixels.tolist() == [[0x123, 0xABC, 0xFFF, 0x001]]
    assert frame.bits == 12
    (tmp_path / "x.tif").write_bytes(tiff_of(grey(4, 1, 12, data, t262=(3, [0])), data, order=order, big=big))
    assert frames(tmp_path / "x.tif")[0].pixels.tolist() == [[0xEDC, 0x543, 0x000, 0xFFE]]


@pytest.mark.parametrize(("bits", "data", "stored", "step"), [
    (1, b"\xa0", [1, 0, 1, 0, 0, 0], 255), (2, b"\x1b\x40", [0, 1, 2, 3, 1, 0], 85),
    (4, b"\x01\x2f\x00", [0, 1, 2, 15, 0, 0], 17),
])  # fmt: skip
def test_low_depth_is_stretched_and_labels_are_not(tmp_path, bits, data, stored, step):
    path = tmp_path / "x.tif"
    path.write_bytes(tiff_of(grey(6, 1, bits, data), data))
    assert frames(path)[0].pixels.tolist() == [[value * step for value in stored]]
    assert formats.labels(Source(path), "tiff").tolist() == [stored]
    path.write_bytes(tiff_of(grey(6, 1, bits, data, t262=(3, [0])), data))
    assert frames(path)[0].pixels.tolist() == [[255 - value * step for value in stored]]
    assert frames(path)[0].notes == ("inverted (white is zero)",)


def test_colour_that_is_grey(tmp_path):
    plane = ramp()
    for options in ({"planarconfig": "contig"}, {"planarconfig": "separate"}):
        rgb = np.stack([plane] * 3, axis=-1 if options["planarconfig"] == "contig" else 0)
        tifffile.imwrite(tmp_path / "x.tif", rgb, photometric="rgb", **options)
        np.testing.assert_array_equal(frames(tmp_path / "x.tif")[0].pixels, plane)
    for meaning, accepted in (("unassalpha", True), ("assocalpha", False)):
        rgba = np.dstack([*[plane] * 3, np.where(plane < 9000, 65535, plane)])
        tifffile.imwrite(tmp_path / "x.tif", rgba, photometric="rgb", extrasamples=[meaning])
        if accepted:
            (frame,) = frames(tmp_path / "x.tif")
            assert frame.notes == (EQUAL, "transparency ignored")
            np.testing.assert_array_equal(frame.pixels, plane)
        else:  # what is stored was multiplied by alpha
            assert code(tmp_path / "x.tif") == "unsupported-pixels"


def test_palette(tmp_path):
    indices = np.array([[0, 1, 2, 255]], np.uint8)
    table = np.tile(np.arange(255, -1, -1, dtype=np.uint16) * 257, (3, 1))
    tifffile.imwrite(tmp_path / "x.tif", indices, photometric="palette", colormap=table)
    assert frames(tmp_path / "x.tif")[0].pixels.tolist() == [[255, 254, 253, 0]]
    assert formats.labels(Source(tmp_path / "x.tif"), "tiff").tolist() == indices.tolist()
    assert formats.colours(Source(tmp_path / "x.tif"), "tiff")[0, :, 1].tolist() == [255, 254, 253, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path, orientation):
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", stored, extratags=[(274, "H", 1, orientation, True)])
    upright = {1: [[1, 2, 3], [4, 5, 6]], 2: [[3, 2, 1], [6, 5, 4]], 3: [[6, 5, 4], [3, 2, 1]], 4: [[4, 5, 6], [1, 2, 3]],
               5: [[1, 4], [2, 5], [3, 6]], 6: [[4, 1], [5, 2], [6, 3]], 7: [[6, 3], [5, 2], [4, 1]],
               8: [[3, 6], [2, 5], [1, 4]]}  # fmt: skip
    assert frames(tmp_path / "x.tif")[0].pixels.tolist() == upright[orientation]


def test_jpeg_inside_says_lossy(tmp_path):
    pixels = np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1))
    tifffile.imwrite(tmp_path / "x.tif", pixels, compression="jpeg", tile=(16, 16))
    assert np.abs(frames(tmp_path / "x.tif")[0].pixels.astype(int) - pixels).max() <= 6
    assert formats.listing(Source(tmp_path / "x.tif"), "tiff").about.lossy
    assert code(tmp_path / "x.tif", lambda path: formats.labels(Source(path), "tiff")) == "bad-annotation"
    tifffile.imwrite(tmp_path / "x.tif", pixels)
    assert not formats.listing(Source(tmp_path / "x.tif"), "tiff").about.lossy


# -- stacks ------------------------------------------------------------------------------------------------------------


def stack(n=5):
    return np.stack([ramp() + np.uint16(i) for i in range(n)])


@pytest.mark.parametrize("options", [
    {}, {"compression": "lzw"}, {"bigtiff": True}, {"byteorder": ">"}, {"imagej": True},
    {"ome": True, "metadata": {"axes": "TYX"}},
    {"truncate": True}, {"truncate": True, "byteorder": ">"}, {"truncate": True, "bigtiff": True},
])  # fmt: skip
def test_pages_are_frames(tmp_path, options):
    """``truncate``: one directory, with all images behind the first, as ImageJ writes large stacks."""
    extra = {} if options.get("imagej") else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "x.tif", stack(), **options, **extra)
    listing = formats.listing(Source(tmp_path / "x.tif"), "tiff")
    assert (listing.count, listing.numbered) == (5, True)
    for i in (0, 4, 2, 3, 1):
        np.testing.assert_array_equal(formats.frame(listing, i).pixels, stack()[i])


def imagej(images, data, text=b"ImageJ=1.54f\nimages=%d\n"):
    description = (text % images).ljust(64, b"\0")
    body = description + data
    tags = grey(4, 3, 8, data[:12], t273=(4, [16 + 64]), t270=(4, [16]))
    raw = bytearray(tiff_of(tags, body))
    at = raw.index(struct.pack("<HHI", 270, 4, 1))
    raw[at : at + 8] = struct.pack("<HHI", 270, 2, 64)
    return bytes(raw)


def test_imagej_stack_with_one_directory(tmp_path):
    data = bytes(range(36))
    (tmp_path / "x.tif").write_bytes(imagej(3, data))
    assert [f.pixels.ravel().tolist() for f in frames(tmp_path / "x.tif")] == [
        list(range(i, i + 12)) for i in (0, 12, 24)
    ]
    (tmp_path / "x.tif").write_bytes(imagej(30, data))  # never only the first frame in silence
    assert code(tmp_path / "x.tif") == "truncated"
    (tmp_path / "x.tif").write_bytes(imagej(3, data, b"ImageJ=1.54f\nimages=%d\nchannels=3\nmode=composite\n"))
    assert code(tmp_path / "x.tif") == "colour"


@pytest.mark.parametrize("gap", [0, 4])
def test_imagej_stack_in_pieces(tmp_path, gap):
    """Where the strips of the first image do not follow each other, nobody knows where the second begins."""
    text = b"ImageJ=1.54f\nimages=2\n".ljust(64, b"\0")
    data = bytes(range(24 + gap))
    tags = grey(4, 3, 8, data, t278=(3, [2]), t273=(4, [80, 88 + gap]), t279=(4, [8, 4]), t270=(4, [16]))
    raw = bytearray(tiff_of(tags, text + data, big=True))
    at = raw.index(struct.pack("<HHQ", 270, 4, 1))
    raw[at : at + 12] = struct.pack("<HHQ", 270, 2, 64)
    (tmp_path / "x.tif").write_bytes(raw)
    if gap:
        assert code(tmp_path / "x.tif") == "unsupported-pixels"
    else:
        assert [f.pixels.ravel().tolist() for f in frames(tmp_path / "x.tif")] == [list(range(12)), list(range(12, 24))]


def test_images_without_pages_that_cannot_be_told(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for _ in range(2):
            writer.write(ramp(), compression="lzw", description="ImageJ=1.54f\nimages=7\n", metadata=None)
    assert code(tmp_path / "x.tif") == "unsupported-pixels"
    data = bytes(range(24))  # two images in one strip of a page that declares one
    (tmp_path / "x.tif").write_bytes(tiff_of(grey(4, 3, 8, data), data))
    assert code(tmp_path / "x.tif") == "surplus-data"
    tifffile.imwrite(tmp_path / "x.tif", stack(16), photometric="minisblack", volumetric=True, tile=(16, 16, 16))
    assert code(tmp_path / "x.tif") == "unsupported-pixels"


def test_thumbnails_and_transparency_masks_are_no_frames(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(ramp()[::4, ::4], subfiletype=1, photometric="minisblack")
        writer.write(ramp(), subifds=1, photometric="minisblack")
        writer.write(ramp()[::2, ::2], subfiletype=1, photometric="minisblack")  # the SubIFD
        writer.write(ramp() + np.uint16(7), photometric="minisblack", subfiletype=2)  # a page of several
        writer.write(ramp() > 9, subfiletype=4, photometric="minisblack")
    found = frames(tmp_path / "x.tif")
    assert len(found) == 2
    np.testing.assert_array_equal(found[0].pixels, ramp())
    np.testing.assert_array_equal(found[1].pixels, ramp() + 7)
    old = grey(4, 3, 8, bytes(12), t255=(3, [2]))
    (tmp_path / "x.tif").write_bytes(tiff_of(old, bytes(12)))
    assert code(tmp_path / "x.tif") == "unreadable"


def test_a_frame_costs_the_same_wherever_it_lies(tmp_path):
    """2,000 pages: a walk from the first page for each frame would take minutes."""
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for i in range(2000):
            writer.write(
                np.full((8, 8), i, np.uint16) + np.eye(8, dtype=np.uint16), photometric="minisblack", contiguous=False
            )
    reads = []
    source = Source(tmp_path / "x.tif")
    begin = time.perf_counter()
    listing = formats.listing(source, "tiff")
    assert listing.count == 2000
    for i in range(1999, -1, -10):
        assert formats.frame(listing, i).pixels[0, 1] == i
    assert time.perf_counter() - begin < 5
    with source.open() as stream:
        original = stream.read
        stream_reads = lambda *a: reads.append(1) or original(*a)  # noqa: E731
        wrapped = type("Counting", (), {"read": staticmethod(stream_reads), "seek": stream.seek, "tell": stream.tell})()
        tiff.find_pages(wrapped, source.size)
    assert len(reads) <= 2 * 2000 + 10


def test_masks_and_labels_are_one_page(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", stack(2), photometric="minisblack")
    for call in (formats.mask, formats.labels, formats.colours):
        assert code(tmp_path / "x.tif", lambda path, call=call: call(Source(path), "tiff")) == "bad-annotation"


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int16, np.int8, np.float32, np.uint32, np.float16])
def test_signed_float_and_wide_are_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "x.tif", ramp(step=1).astype(dtype) % 100)
    assert code(tmp_path / "x.tif") == "unsupported-pixels"


@pytest.mark.parametrize("compression", ["zstd", "jpeg2000", "lzma"])
def test_other_compressions_are_refused(tmp_path, compression):
    tifffile.imwrite(tmp_path / "x.tif", ramp(), compression=compression)
    assert code(tmp_path / "x.tif") == "unsupported-pixels"


def test_truncated(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", stack(3), photometric="minisblack", description=NAME)
    data = (tmp_path / "x.tif").read_bytes()
    for length in (4, 8, 20, len(data) // 2, len(data) - 40):  # the last bytes are padding of a directory
        (tmp_path / "x.tif").write_bytes(data[:length])
        assert code(tmp_path / "x.tif") == "truncated", length


@pytest.mark.parametrize("compression", [8, 5, 32773])
def test_a_strip_that_unpacks_to_too_little(tmp_path, compression):
    """tifffile must never hand out memory that nothing was written to."""
    full = bytes(range(200)) * 2
    pack = {8: zlib.compress, 5: imagecodecs.lzw_encode, 32773: imagecodecs.packbits_encode}[compression]
    for rows in (5, 9):
        data = bytes(pack(full[: rows * 40]))
        path = tmp_path / "x.tif"
        path.write_bytes(tiff_of(grey(40, 10, 8, data, t259=(3, [compression])), data))
        assert code(path) in ("unreadable", "truncated")
    data = bytes(pack(full))
    path.write_bytes(tiff_of(grey(40, 10, 8, data, t259=(3, [compression])), data))
    assert frames(path)[0].pixels.tobytes() == full


def test_strips_that_are_missing(tmp_path):
    data = bytes(range(40))
    (tmp_path / "x.tif").write_bytes(
        tiff_of(grey(4, 10, 8, data, t278=(3, [5])), data)
    )  # two strips by the height, one there
    assert code(tmp_path / "x.tif") == "truncated"
    (tmp_path / "x.tif").write_bytes(tiff_of(grey(4, 10, 8, data, t273=(4, [0])), data))
    assert code(tmp_path / "x.tif") == "truncated"
    for compression in (1, 8):
        outside = grey(4, 10, 8, data, t273=(4, [10_000]), t259=(3, [compression]))
        (tmp_path / "x.tif").write_bytes(tiff_of(outside, data))
        assert code(tmp_path / "x.tif") == "truncated"
    (tmp_path / "x.tif").write_bytes(tiff_of(grey(4, 10, 8, data[:39]), data[:39]))
    assert code(tmp_path / "x.tif") == "truncated"


def test_a_jpeg_tile_cut_short(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16)).astype(np.uint8)
    stream = imagecodecs.jpeg8_encode(pixels)[:-80]
    (tmp_path / "x.tif").write_bytes(tiff_of(grey(16, 16, 8, stream, t259=(3, [7])), stream))
    assert code(tmp_path / "x.tif") == "truncated"


def test_the_chain_of_pages(tmp_path):
    data = bytes(range(12))
    path = tmp_path / "x.tif"
    path.write_bytes(tiff_of(grey(4, 3, 8, data), data, following=28))  # the page itself: a circle
    assert code(path) == "unreadable"
    path.write_bytes(tiff_of(grey(4, 3, 8, data), data, following=10_000_000))
    assert code(path) == "truncated"
    path.write_bytes(b"II*\0" + NAME.encode() * 10)
    assert code(path) in ("truncated", "unreadable")
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 60000) + bytes(720_020))
    assert code(path) == "unreadable"


def test_size_is_checked_by_the_header(tmp_path, monkeypatch):
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("decoded"))
    data = bytes(12)
    for width, height, refusal in [(60000, 60000, "too-large"), (4, 0, "unsupported-pixels")]:
        (tmp_path / "x.tif").write_bytes(tiff_of(grey(width, height, 8, data), data))
        assert code(tmp_path / "x.tif") == refusal


def test_colour_is_refused(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", rgb, photometric="rgb")
    assert code(tmp_path / "x.tif") == "colour"
    tifffile.imwrite(tmp_path / "x.tif", np.dstack([rgb, rgb[..., 0]]), photometric="separated")
    assert code(tmp_path / "x.tif") == "colour"
