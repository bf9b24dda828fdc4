"""Frames of MP4, QuickTime, AVI and Matroska files by PyAV (FFmpeg), the extra ``video``.

A codec has no way into the middle that gives the same pixels in every case, so frames are decoded in order: the next
one costs one decode, an earlier one starts again at the beginning. Memory does not grow with the number of frames.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from ercpseg.decoding.grey import collapse
from ercpseg.decoding.reading import Listing, Picture, check_size
from ercpseg.decoding.sniff import HEAD_BYTES, video_container
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused
from ercpseg.frames.about import About

MAX_FRAMES = 1_000_000
_LOSSLESS = {"ffv1", "ffvhuff", "huffyuv", "png", "qtrle", "rawvideo", "utvideo"}
CODECS = _LOSSLESS | {
    "av1", "dvvideo", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4v3", "vp9",
}  # fmt: skip
"""Codecs that are decoded; FFmpeg knows hundreds, most of them seldom tested."""
_GREY_BITS = {"gray": 8, "gray10le": 10, "gray12le": 12, "gray14le": 14, "gray16le": 16}


def listing(source: Source) -> Listing:
    """The frames of a video file; its packets are counted, not decoded.

    Raises
    ------
    InputRefused
        ``unknown-format`` without the extra ``video``, ``truncated`` when the file ends before its container does.
    """
    film = _Film(source)
    about = About(
        frame_time_ms=film.frame_time_ms,
        time_source="file" if film.frame_time_ms is not None else None,
        lossy=film.lossy,
    )
    return Listing(film.count, film.picture, film.count > 1, about)


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise InputRefused("unknown-format", "video needs an extra: install ercpseg[video]") from error
    return av


class _Film:
    """One video stream, counted once, then decoded in order."""

    def __init__(self, source: Source):
        self._source = source
        _av()
        with source.open() as stream:
            self._container = video_container(stream.read(HEAD_BYTES))
            _check_whole(stream, source.size, self._container)
            stream.seek(0)
            self._count(stream)
        self._frames: Iterator[Any] | None = None
        self._finish: Any = None
        self._next = 0
        self._broken: InputRefused | None = None
        self._last: tuple[int, Picture] | None = None

    def _open(self, stream: BinaryIO) -> tuple[Any, Any]:
        """A container and its only video stream. Nothing but ``stream`` can be opened, whatever the file asks for."""
        try:
            container = _av().open(
                stream, format=self._container, options={"protocol_whitelist": "none"}, metadata_errors="ignore"
            )
        except _av().error.FFmpegError as error:
            raise InputRefused("unreadable", "no header of a video") from error
        found = [s for s in container.streams.video if not int(s.disposition) & 0x400]  # a cover picture is no film
        if len(found) != 1:
            raise InputRefused("unsupported-pixels", f"{len(found)} video streams")
        codec = found[0].codec_context
        if codec is None or codec.codec.canonical_name not in CODECS:
            raise InputRefused("unsupported-pixels", "a video codec that is not understood")
        check_size(codec.height, codec.width)
        codec.thread_type = "NONE"
        codec.options = {"err_detect": "explode"}  # FFmpeg would fill damaged parts from the frame before
        return container, found[0]

    def _count(self, stream: BinaryIO) -> None:
        container, film = self._open(stream)
        with container:
            times, corrupt = list[int | None](), False
            for packet in container.demux(film):
                if packet.size and not packet.is_discard:
                    times.append(packet.pts)
                    corrupt |= packet.is_corrupt
                if len(times) > MAX_FRAMES:
                    raise InputRefused("too-large", f"more than {MAX_FRAMES} frames")
            self.count, declared = len(times), film.frames
            self.lossy = film.codec_context.codec.canonical_name not in _LOSSLESS
            base, rate, aspect = film.time_base, film.average_rate, film.sample_aspect_ratio
        if corrupt or self.count < max(1, declared):
            raise InputRefused("truncated", f"{self.count} of {declared} frames")
        square = not aspect or aspect == 1
        self._notes = () if square else (f"pixels are not square ({aspect.numerator}:{aspect.denominator})",)
        known = sorted(time for time in times if time is not None)
        # AVI has no times of presentation: FFmpeg makes them up, in the order of decoding
        reliable = self._container != "avi" and len(known) == self.count and len(set(known)) == self.count
        self._times = known if reliable else None
        self.frame_time_ms: float | None = None
        if reliable and self.count > 1:
            self.frame_time_ms = float(1000 * base * (known[-1] - known[0]) / (self.count - 1))
        elif self.count > 1 and rate:
            self.frame_time_ms = float(1000 / rate)

    def picture(self, number: int) -> Picture:
        """Frame ``number`` from 0, in the order of presentation."""
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        if self._frames is None or number < self._next:
            self._rewind()
        if self._broken is not None:
            raise self._broken
        frame = None
        while self._next <= number:
            frame = self._decode()
        if number == self.count - 1:
            self._check_end()
        self._last = number, _picture(frame, self._notes)
        return self._last[1]

    def _rewind(self) -> None:
        self._frames, self._next, self._broken, self._last = None, 0, None, None
        if self._finish is not None:
            self._finish()
        stream = self._source.open()
        try:
            container, film = self._open(stream)
        except BaseException:
            stream.close()
            raise
        self._frames = container.decode(film)
        self._finish = weakref.finalize(self, _close, container, stream)

    def _decode(self) -> Any:
        """The next frame; whatever is wrong with it is wrong with all that follow, which are made from it."""
        try:
            frame = next(self._frames or iter(()))
            if frame.is_corrupt or (self._times is not None and frame.pts != self._times[self._next]):
                raise InputRefused("unreadable", "a frame is damaged or missing")
            if any(data.type.name == "DISPLAYMATRIX" for data in frame.side_data):
                raise InputRefused("unsupported-pixels", "a turned or mirrored film")
        except StopIteration as error:
            self._broken = InputRefused("truncated", f"{self._next} of {self.count} frames")
            raise self._broken from error
        except (OSError, ValueError) as error:  # FFmpegError is one of both
            self._broken = InputRefused("unreadable", f"frame {self._next} is damaged")
            raise self._broken from error
        except InputRefused as error:
            self._broken = error
            raise
        self._next += 1
        return frame

    def _check_end(self) -> None:
        try:
            more = next(self._frames or iter(()), None)
        except (OSError, ValueError):
            return
        if more is not None:
            raise InputRefused("surplus-data", f"more than {self.count} frames, so they cannot be told apart")


def _close(container: Any, stream: BinaryIO) -> None:
    container.close()
    stream.close()


def _picture(frame: Any, said_of_all: tuple[str, ...]) -> Picture:
    """One grey channel. Grey formats are taken as stored, others by way of RGB and :func:`collapse`."""
    check_size(frame.height, frame.width)
    notes, bits = list(said_of_all), _GREY_BITS.get(frame.format.name)
    if bits is None:
        if any(component.bits > 8 for component in frame.format.components):
            raise InputRefused("unsupported-pixels", "colour of more than 8 bits")
        pixels, said = collapse(frame.to_ndarray(format="rgb24", threads=1))
        notes += said
    else:
        kind = np.dtype(np.uint8 if bits == 8 else "<u2")
        rows = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
        pixels = rows[: frame.height, : frame.width * kind.itemsize].copy().view(kind).astype(kind.newbyteorder("="))
    if frame.interlaced_frame:
        notes.append("two half frames of different time are interlaced")
    return Picture(pixels, bits or 8, tuple(notes))


def _check_whole(stream: BinaryIO, size: int, container: str | None) -> None:
    """Compare the lengths that the outermost parts of the container declare with the size of the file."""
    at, ends, names = 0, [0], set[bytes]()
    if container == "avi":
        while at + 8 <= size and _at(stream, at, 4) == b"RIFF":
            at += 8 + int.from_bytes(_at(stream, at + 4, 4), "little")
            ends.append(at)
            at += at % 2
    elif container == "mov":
        while at + 8 <= size:
            head = _at(stream, at, 16)
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:], "big") if length == 1 else length or size - at
            if length < 8:
                raise InputRefused("unreadable", "the parts of the file do not fit")
            at += length
            ends.append(at)
            names.add(head[4:8])
        if b"moov" not in names:
            raise InputRefused("truncated", "the index of the film is missing")
    else:
        for _ in range(2):  # the EBML header, then the segment that holds everything
            _, at = _number(stream, at, keep=True)
            length, at = _number(stream, at, keep=False)
            if length < 0:
                break  # recorded live: nobody knew how long it would get
            at += length
            ends.append(at)
    if ends[-1] > size:
        raise InputRefused("truncated", f"{size} of {ends[-1]} bytes")


def _at(stream: BinaryIO, at: int, count: int) -> bytes:
    stream.seek(at)
    return stream.read(count)


def _number(stream: BinaryIO, at: int, *, keep: bool) -> tuple[int, int]:
    """A variable-length number of EBML (RFC 8794 section 4) and the place after it; -1 for "unknown length"."""
    first = _at(stream, at, 1)
    width = 9 - first[0].bit_length() if first else 9
    data = _at(stream, at, width)
    if width > 8 or len(data) != width:
        raise InputRefused("truncated", "the parts of the file do not fit")
    value = int.from_bytes(data, "big")
    if not keep:
        value &= (1 << 7 * width) - 1
        value = -1 if value == (1 << 7 * width) - 1 else value
    return value, at + width
