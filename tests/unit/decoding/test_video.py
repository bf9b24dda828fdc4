import gc
import sys
import zipfile
from fractions import Fraction

import av
import numpy as np
import pytest

from ercpseg.decoding import formats, video
from ercpseg.decoding.grey import EQUAL
from ercpseg.decoding.sniff import HEAD_BYTES, sniff
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

N = 12


def cine(count=N, height=48, width=64, dtype=np.uint8, scale=1):
    """A smooth slope on which a square moves: every frame differs from every other by far more than a codec changes."""
    slope = np.add.outer(np.arange(height), np.arange(width)) + 40
    frames = np.repeat(slope[None], count, axis=0)
    for i in range(count):
        frames[i, 8:24, 4 * i : 4 * i + 16] = 220
    return (frames * scale).astype(dtype)


def encode(path, frames, codec, layout, *, options=None, rate=15, pts=None, rotation=None, aspect=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = layout
        stream.thread_count = 1
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if pts:
            stream.codec_context.time_base = Fraction(1, 1000)
        name = "rgb24" if frames.ndim == 4 else "gray" if frames.dtype == np.uint8 else "gray16le"
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=name)
            if pts:
                frame.pts, frame.time_base = pts[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


LOSSLESS = [("x.mkv", "ffv1", "gray"), ("x.avi", "ffv1", "gray"), ("x.avi", "rawvideo", "gray"), ("x.avi", "huffyuv", "rgb24"),
            ("x.mov", "png", "gray"), ("x.mov", "qtrle", "gray")]  # fmt: skip
LOSSY = [
    ("x.mp4", "libx264", "yuv420p", {"crf": "4"}),
    ("x.mov", "libx264", "yuv420p", {"crf": "4"}),
    ("x.mkv", "libx264", "yuv420p", {"crf": "4"}),
    ("x.avi", "libx264", "yuv420p", {"crf": "4", "bf": "0"}),
    ("x.avi", "mpeg4", "yuv420p", {"qmin": "1", "qmax": "1", "bf": "2"}),
    ("x.avi", "mjpeg", "yuvj420p", {"qmin": "1", "qmax": "1"}),
    ("x.mp4", "libx264", "yuv420p", {"crf": "4", "bf": "3", "g": "5"}),
    ("x.mkv", "libvpx-vp9", "yuv420p", {"crf": "4"}),
]


def listing(path, member=None):
    data = path.read_bytes()
    if member is None:
        assert sniff(data[:HEAD_BYTES], len(data)) == "video"
    return formats.listing(Source(path, member), "video")


def frames(path):
    found = listing(path)
    return np.stack([formats.frame(found, i).pixels for i in range(found.count)])


def code(path, call=frames):
    with pytest.raises(InputRefused) as error:
        call(path)
    return error.value.code


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "codec", "layout"), LOSSLESS)
def test_lossless_codecs_are_byte_equal(tmp_path, name, codec, layout):
    path = encode(tmp_path / name, cine(), codec, layout)
    found = listing(path)
    assert (found.count, found.numbered, found.about.lossy) == (N, True, False)
    np.testing.assert_array_equal(frames(path), cine())


@pytest.mark.parametrize(("name", "codec", "layout", "options"), LOSSY)
def test_lossy_codecs_keep_the_order_of_frames(tmp_path, name, codec, layout, options):
    """B frames are stored in another order than they are shown."""
    path = encode(tmp_path / name, cine(), codec, layout, options=options)
    found = listing(path)
    assert (found.count, found.about.lossy, found.about.time_source) == (N, True, "file")
    assert found.about.frame_time_ms == pytest.approx(1000 / 15, rel=0.002)  # Matroska counts whole milliseconds
    difference = np.abs(frames(path).astype(int) - cine())
    assert difference.mean(axis=(1, 2)).max() < 4
    assert formats.frame(found, 0).bits == 8


def test_16_bits_of_grey_are_kept(tmp_path):
    deep = cine(dtype=np.uint16, scale=211)
    path = encode(tmp_path / "x.mkv", deep, "ffv1", "gray16le")
    np.testing.assert_array_equal(frames(path), deep)
    assert formats.frame(listing(path), 0).bits == 16


def test_width_that_needs_padding(tmp_path):
    odd = cine(3, 33, 41)
    np.testing.assert_array_equal(frames(encode(tmp_path / "x.mkv", odd, "ffv1", "gray")), odd)


def test_random_access_gives_the_same_frames(tmp_path):
    path = encode(tmp_path / "x.mp4", cine(), "libx264", "yuv420p", options={"bf": "3"})
    in_order, found = frames(path), listing(path)
    for i in (7, 7, 3, 11, 0, 1, 10, 10, 2):
        np.testing.assert_array_equal(formats.frame(found, i).pixels, in_order[i])


def test_the_next_frame_costs_one_decode(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.mp4", cine(), "libx264", "yuv420p")
    decoded = []
    one = video._Film._decode
    monkeypatch.setattr(video._Film, "_decode", lambda self: decoded.append(1) or one(self))
    found = listing(path)
    assert decoded == []  # packets are counted, not decoded
    for i in range(N):
        formats.frame(found, i)
        formats.frame(found, i)
    assert len(decoded) == N
    formats.frame(found, 4)
    formats.frame(found, 6)
    assert len(decoded) == N + 7


def test_colour(tmp_path):
    grey = np.repeat(cine()[..., None], 3, axis=-1)
    np.testing.assert_array_equal(frames(encode(tmp_path / "a.avi", grey, "rawvideo", "bgr24")), cine())
    noise = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3)).astype(np.uint8)
    assert code(encode(tmp_path / "b.avi", noise, "rawvideo", "bgr24")) == "colour"
    deep = encode(tmp_path / "c.mkv", grey, "ffv1", "yuv420p10le")
    assert code(deep) == "unsupported-pixels"


def test_pixels_that_are_not_square_are_said(tmp_path):
    path = encode(tmp_path / "x.mp4", cine(3), "libx264", "yuv420p", aspect=Fraction(16, 11))
    assert "pixels are not square (16:11)" in formats.frame(listing(path), 0).notes
    assert formats.frame(listing(encode(tmp_path / "y.mp4", cine(3), "libx264", "yuv420p")), 0).notes in ((), (EQUAL,))


def test_mean_frame_time_of_uneven_frames(tmp_path):
    path = encode(tmp_path / "x.mkv", cine(4), "ffv1", "gray", pts=[0, 100, 150, 300])
    assert listing(path).about.frame_time_ms == pytest.approx(100)
    one = listing(encode(tmp_path / "y.mkv", cine(1), "ffv1", "gray"))
    assert (one.count, one.numbered, one.about.frame_time_ms, one.about.time_source) == (1, False, None, None)


def test_from_a_zip(tmp_path):
    path = encode(tmp_path / "x.mp4", cine(), "libx264", "yuv420p")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "x")
    found = listing(tmp_path / "a.zip", "x")
    np.testing.assert_array_equal(formats.frame(found, 5).pixels, frames(path)[5])


def test_files_are_closed(tmp_path):
    """pytest turns the warning about an open file into an error."""
    found = listing(encode(tmp_path / "x.mkv", cine(), "ffv1", "gray"))
    for i in (3, 1, 0):
        formats.frame(found, i)
    del found
    gc.collect()


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_without_the_extra(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.mkv", cine(), "ffv1", "gray")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputRefused, match=r"ercpseg\[video\]") as error:
        listing(path)
    assert error.value.code == "unknown-format"


def test_no_masks(tmp_path):
    path = encode(tmp_path / "x.mkv", cine(), "ffv1", "gray")
    for call in (formats.mask, formats.labels, formats.colours):
        assert code(path, lambda p, call=call: call(Source(p), "video")) == "bad-annotation"


@pytest.mark.parametrize(
    ("name", "codec", "layout", "options"),
    [
        ("x.mp4", "libx264", "yuv420p", {}),
        ("x.mov", "png", "gray", {}),
        ("x.mkv", "ffv1", "gray", {}),
        ("x.avi", "mjpeg", "yuvj420p", {}),
        ("x.mkv", "libx264", "yuv420p", {}),
        ("x.avi", "rawvideo", "gray", {}),
        ("x.avi", "mpeg4", "yuv420p", {"bf": "2"}),
    ],
)
def test_truncated(tmp_path, name, codec, layout, options):
    path = encode(tmp_path / name, cine(), codec, layout, options=options)
    data = path.read_bytes()
    for length in {40, *(len(data) * part // 20 for part in range(1, 20)), len(data) - 1}:
        path.write_bytes(data[:length])
        assert code(path) == "truncated", length


def test_packets_that_are_no_frames(tmp_path):
    """One packet in the middle of a lossless film is overwritten: that frame and what follows is refused."""
    path = encode(tmp_path / "x.avi", cine(), "mjpeg", "yuvj420p")
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(6):
        at = data.index(b"\xff\xd8\xff", at + 1)
    data[at : at + 200] = bytes(200)
    path.write_bytes(data)
    found = listing(path)
    assert found.count == N
    good = formats.frame(found, 4)
    for i in (5, 5, 6, 11):
        assert code(found, lambda f, i=i: formats.frame(f, i)) in ("unreadable", "truncated")
    np.testing.assert_array_equal(formats.frame(found, 4).pixels, good.pixels)


def test_more_frames_than_packets(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.avi", cine(), "rawvideo", "gray")
    found = video._Film(Source(path))
    found.count, found._times = 5, None
    assert code(found, lambda film: film.picture(4)) == "surplus-data"
    found.count = N + 3
    assert code(found, lambda film: film.picture(N + 1)) == "truncated"


def test_a_frame_at_another_time_than_its_packet(tmp_path):
    film = video._Film(Source(encode(tmp_path / "x.mkv", cine(), "ffv1", "gray")))
    film._times = [time + (1 if i == 6 else 0) for i, time in enumerate(film._times)]
    film.picture(5)
    assert code(film, lambda f: f.picture(6)) == "unreadable"
    assert code(film, lambda f: f.picture(9)) == "unreadable"


def test_a_turned_film(tmp_path):
    path = encode(tmp_path / "x.mp4", cine(), "libx264", "yuv420p", rotation=90)
    assert code(path) == "unsupported-pixels"


def test_other_codecs_and_streams(tmp_path):
    assert code(encode(tmp_path / "x.avi", cine(), "cinepak", "rgb24")) == "unsupported-pixels"
    with av.open(str(tmp_path / "y.mkv"), "w") as container:
        streams = [container.add_stream("ffv1", rate=15) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 48, 64, "gray"
        for stream in streams:
            for pixels in cine(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")))
            container.mux(stream.encode())
    assert code(tmp_path / "y.mkv") == "unsupported-pixels"


def test_too_large_by_the_header(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.mkv", cine(), "ffv1", "gray")
    monkeypatch.setattr("ercpseg.decoding.reading.MAX_PIXELS", 48 * 64 - 1)
    monkeypatch.setattr(video._Film, "_decode", lambda self: pytest.fail("decoded"))
    assert code(path) == "too-large"


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x18ftypisom", b"RIFF\xff\xff\xff\x7fAVI LIST", b"\x1a\x45\xdf\xa3\x93", b"\x1a\x45\xdf\xa3\0"]
)
def test_rubbish(tmp_path, head):
    for filler in (bytes(500), b"\xff" * 500, bytes(range(256)) * 2):
        (tmp_path / "x").write_bytes(head + filler)
        assert code(tmp_path / "x", lambda p: formats.listing(Source(p), "video")) in (
            "truncated",
            "unreadable",
            "unsupported-pixels",
        )


def test_a_playlist_inside_is_never_followed(tmp_path):
    """Only the three containers are opened, and nothing but the bytes that were given."""
    secret = encode(tmp_path / "secret.mkv", cine(), "ffv1", "gray")
    (tmp_path / "x").write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    assert sniff((tmp_path / "x").read_bytes(), 100) is None
    assert code(tmp_path / "x", lambda p: formats.listing(Source(p), "video")) in ("truncated", "unreadable")
