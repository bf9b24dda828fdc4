"""Holes in JPEG streams: what is missing is told, and what is whole is not suspected."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from ercpseg.decoding.jpeg_scans import decode_whole, take_apart
from ercpseg.errors import InputRefused
from tests.unit.decoding.conftest import smooth

JPEG = "1.2.840.10008.1.2.4."
RNG = np.random.default_rng(3)
GREY = (smooth(8, 160, 144) // 2 + RNG.integers(0, 60, (160, 144))).astype(np.uint8)
DEEP = (smooth(12, 160, 144) // 2 + RNG.integers(0, 800, (160, 144))).astype(np.uint16)


def by_pillow(pixels=GREY, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def decode(data: bytes):
    return np.asarray(imagecodecs.jpeg8_decode(data))


STREAMS = {
    "baseline": by_pillow(),
    "colour": by_pillow(np.dstack([GREY, GREY // 2, GREY])),
    "restarts by row": by_pillow(restart_marker_rows=1),
    "restarts by block": by_pillow(restart_marker_blocks=3),
    "progressive": by_pillow(progressive=True),
    "12 bits": imagecodecs.jpeg8_encode(DEEP, level=95, bitspersample=12),
    "lossless": imagecodecs.ljpeg_encode(DEEP, bitspersample=12),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_whole_stream_is_whole(name):
    data = STREAMS[name]
    assert (decode_whole(data, decode) == decode(data)).all()


@pytest.mark.parametrize("name", STREAMS)
def test_holes_are_seen(name):
    """Cut anywhere in the entropy-coded data, by any length; the end marker stays."""
    data, whole = STREAMS[name], decode(STREAMS[name])
    begin, rng = data.index(b"\xff\xda") + 12, np.random.default_rng(5)
    unseen = cuts = 0
    for _ in range(60):
        start = int(rng.integers(begin, len(data) - 40))
        cut = data[:start] + data[min(len(data) - 2, start + int(rng.integers(30, len(data) // 2))) :]
        try:
            decode(cut)
        except Exception:
            continue  # the decoder sees it by itself
        cuts += 1
        try:
            unseen += not np.array_equal(decode_whole(cut, decode), whole)
        except InputRefused as error:
            assert error.code == "truncated"
        except Exception:
            continue
    assert cuts > 10
    # Now and then what follows a hole is taken for as many blocks as were lost; nothing in a stream could tell.
    assert unseen <= (0.15 if name == "progressive" else 0.04) * cuts


def test_restart_markers_are_counted():
    data = STREAMS["restarts by block"]
    scans = take_apart(data)
    assert (scans.interval, scans.blocks) == (3, 20 * 18)
    assert [len(numbers) for numbers in scans.restarts] == [119]
    at = [i for i in range(len(data) - 1) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    eight_gone = data[: at[8]] + data[at[16] :]  # the numbers still count up
    assert take_apart(eight_gone).restarts_fit is False
    with pytest.raises(InputRefused, match="missing"):
        decode_whole(eight_gone, decode)


@pytest.mark.parametrize("syntax", ["50", "51", "57", "70"])
def test_a_hole_in_a_dicom_frame(make_dicom, one, code, syntax):
    stream = {"50": STREAMS["baseline"], "51": STREAMS["12 bits"]}.get(syntax, STREAMS["lossless"])
    allocated = {"allocated": 8} if syntax == "50" else {"allocated": 16, "stored": 12}
    options = {"shape": (160, 144), "syntax": JPEG + syntax, **allocated}
    assert one(make_dicom([stream], **options)).pixels.shape == (160, 144)
    third = len(stream) // 3
    for hole in (stream[:third] + stream[2 * third :], stream[: len(stream) // 2] + b"\xff\xd9"):
        assert code(make_dicom([hole + b"\0" * (len(hole) % 2)], **options)) == "truncated"


def test_progressive_is_no_dicom(make_dicom, code):
    """None of the transfer syntaxes in use knows it, and its scans cannot all be checked."""
    stream = STREAMS["progressive"]
    data = make_dicom([stream + b"\0" * (len(stream) % 2)], shape=(160, 144), allocated=8, syntax=JPEG + "50")
    assert code(data) == "unsupported-syntax"


def test_a_hole_in_a_tiff_strip(tmp_path, one, code):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, compression="jpeg", photometric="minisblack", rowsperstrip=160)
    assert one(path).pixels.shape == GREY.shape
    with tifffile.TiffFile(path) as file:
        (offset,), (count,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
    data = bytearray(path.read_bytes())
    strip = bytes(data[offset : offset + count])
    third = count // 3
    hole = strip[:third] + strip[2 * third : -2]
    data[offset : offset + count] = hole[: count - 2].ljust(0) + b"\xff\xd9" + b"\0" * (count - len(hole) - 2)
    path.write_bytes(bytes(data[:offset]) + bytes(data[offset:]))
    assert code(path) == "truncated"
