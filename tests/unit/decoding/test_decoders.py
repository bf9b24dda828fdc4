"""The limited child: what it delivers, and that no file can make it crash, hang or eat memory without being refused."""

from __future__ import annotations

import os
import signal
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from ercpseg.decoding import decoders as module
from ercpseg.decoding import wire
from ercpseg.decoding.decoders import Decoders, borrow
from ercpseg.decoding.source import MAX_RATIO, Source
from ercpseg.errors import InputRefused
from ercpseg.frames.about import About
from ercpseg.storage.images import write_png

Children = Callable[[], list[psutil.Process]]
RAMP = (np.arange(30).reshape(6, 5) * 7).astype(np.uint8)


@pytest.fixture
def png(tmp_path: Path) -> Source:
    write_png(tmp_path / "a.png", RAMP)
    return Source(tmp_path / "a.png")


def workers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "ercpseg.decoding.worker" in " ".join(p.cmdline())]


@pytest.fixture
def children() -> Callable[[], list[psutil.Process]]:
    """The children that were started since the test began; the session's own pool does not count."""
    before = {child.pid for child in workers()}
    return lambda: [child for child in workers() if child.pid not in before]


def test_a_frame_comes_back_as_it_was(png: Source) -> None:
    with Decoders(children=1) as decoders:
        listed = decoders.listing(png, "png")
        assert (listed.count, listed.numbered, listed.about) == (1, False, About())
        picture = decoders.frame(png, "png", 0)
        assert (picture.pixels == RAMP).all()
        assert (picture.pixels.dtype, picture.bits) == (np.uint8, 8)
        picture.pixels[0, 0] = 1  # it is the caller's own array
        assert (decoders.mask(png, "png") == (RAMP != 0)).all()
        assert (decoders.labels(png, "png") == RAMP).all()


def test_a_file_that_is_changed_is_read_anew(tmp_path: Path, png: Source) -> None:
    with Decoders(children=1) as decoders:
        assert decoders.frame(png, "png", 0).pixels.max() == RAMP.max()
        write_png(png.path, RAMP // 7)
        os.utime(png.path, ns=(1, 1))
        assert decoders.frame(png, "png", 0).pixels.max() == 29


def test_refusals_come_back_with_their_code(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with Decoders(children=1) as decoders:
        with pytest.raises(InputRefused) as error:
            decoders.frame(Source(tmp_path / "a.png"), "png", 0)
        assert error.value.code == "truncated"
        with pytest.raises(InputRefused) as error:
            decoders.frame(Source(tmp_path / "nothing.png"), "png", 0)
        assert error.value.code == "unreadable"


def test_a_child_that_dies_costs_one_file(png: Source, children: Children) -> None:
    with Decoders(children=1) as decoders:
        decoders.frame(png, "png", 0)
        (child,) = children()
        child.send_signal(signal.SIGSTOP)  # so that it cannot answer before it is killed
        threading.Timer(0.2, child.kill).start()
        with pytest.raises(InputRefused) as error:
            decoders.frame(png, "png", 0)
        assert error.value.code == "decoder-died"
        assert (decoders.frame(png, "png", 0).pixels == RAMP).all()


def test_a_child_that_hangs_is_killed(png: Source, children: Children) -> None:
    with Decoders(children=1, seconds=3) as decoders:
        decoders.frame(png, "png", 0)
        (child,) = children()
        child.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(InputRefused) as error:
            decoders.frame(png, "png", 0)
        assert error.value.code == "too-slow"
        assert time.monotonic() - start < 6
        assert (decoders.frame(png, "png", 0).pixels == RAMP).all()


def test_memory_is_limited(tmp_path: Path) -> None:
    """A flat PNG of 60 megapixels of 16-bit colour with alpha: 480 MB of samples, a few hundred kB on the disk."""
    import imagecodecs

    rows = np.zeros((7500, 8000, 4), np.uint16)
    rows[0, 0] = 1  # not constant
    (tmp_path / "big.png").write_bytes(imagecodecs.png_encode(rows, level=9))
    with Decoders(children=1) as decoders:
        with pytest.raises(InputRefused) as error:
            decoders.frame(Source(tmp_path / "big.png"), "png", 0)
        assert error.value.code in ("too-large", "unreadable")
        write_png(tmp_path / "a.png", RAMP)
        assert (decoders.frame(Source(tmp_path / "a.png"), "png", 0).pixels == RAMP).all()


def test_the_child_can_write_no_file(png: Source, children: Children) -> None:
    with Decoders(children=1) as decoders:
        decoders.frame(png, "png", 0)
        (child,) = children()
        limits = dict(zip(("cur", "max"), child.rlimit(psutil.RLIMIT_FSIZE), strict=True))
        assert limits == {"cur": 0, "max": 0}
        assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        soft, _ = child.rlimit(psutil.RLIMIT_AS)
        assert 0 < soft < 8 * 1024**3


def test_nothing_is_left_behind(png: Source, children: Children) -> None:
    with Decoders(children=2) as decoders:
        decoders.frame(png, "png", 0)
    assert children() == []
    assert decoders.frame(png, "png", 0).bits == 8  # a closed pool starts again when it is used
    decoders.close()
    assert children() == []


def test_borrowers_share_one_pool(png: Source) -> None:
    with borrow() as first:
        first.frame(png, "png", 0)
        with borrow() as second:
            assert second is first
        first.frame(png, "png", 0)


def test_children_are_replaced_when_worn(png: Source, children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUESTS", 2)
    seen = set()
    with Decoders(children=1) as decoders:
        for _ in range(5):
            decoders.frame(png, "png", 0)
            seen |= {child.pid for child in children()}
    assert len(seen) == 3


def test_a_module_in_the_current_folder_is_not_imported(
    tmp_path: Path, png: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    with Decoders(children=1) as decoders:
        assert decoders.frame(png, "png", 0).bits == 8


def test_many_threads_share_the_children(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for i in range(20):
        write_png(tmp_path / f"{i}.png", RAMP + np.uint8(i))
    with Decoders(children=2) as decoders, ThreadPoolExecutor(6) as pool:
        pictures = pool.map(lambda i: decoders.frame(Source(tmp_path / f"{i}.png"), "png", 0).pixels, range(20))
        for i, pixels in enumerate(pictures):
            assert (pixels == RAMP + np.uint8(i)).all()


# -- zips --------------------------------------------------------------------------------------------------------------


def test_a_packed_file_is_read(tmp_path: Path, png: Source) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(png.path, "deep/a.png")
    packed = Source(tmp_path / "x.zip", "deep/a.png")
    assert packed.size == png.size
    with Decoders(children=1) as decoders:
        assert (decoders.frame(packed, "png", 0).pixels == RAMP).all()


def test_a_packed_bomb_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(20_000_000))
    info = zipfile.ZipFile(tmp_path / "x.zip").getinfo("a.png")
    assert info.file_size > MAX_RATIO * info.compress_size
    with pytest.raises(InputRefused) as error:
        Source(tmp_path / "x.zip", "a.png").read()
    assert error.value.code == "too-large"


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1\0",
        b"\xff\xff\xff\xff",
        b"\2\0\0\0{}",
        b"\2\0\0\0[]",
        b'\x1c\0\0\0{"arrays": [["object", [1]]]}',
        b'\x1c\0\0\0{"arrays": [["uint8", [-1]]]}',
        b'\x26\0\0\0{"arrays": [["uint8", [99999999999]]]} ',
    ],
)
def test_a_message_that_breaks_the_rules(data: bytes) -> None:
    import io

    with pytest.raises(wire.Gone):
        wire.receive(io.BytesIO(data))


def test_messages_carry_every_agreed_array() -> None:
    import io

    arrays = [np.arange(6).reshape(2, 3).astype(name) for name in wire.DTYPES] + [np.zeros((0, 4), np.uint8)]
    stream = io.BytesIO()
    wire.send(stream, {"reply": {"a": 1}}, [*arrays, np.arange(4, dtype=">u2")])
    stream.seek(0)
    message, back = wire.receive(stream)
    assert message == {"reply": {"a": 1}}
    for sent, received in zip([*arrays, np.arange(4, dtype=np.uint16)], back, strict=True):
        assert received.dtype == sent.dtype.newbyteorder("=") and (received == sent).all()
