"""Overlays of a series as a movie: GIF by Pillow, which is always there, or MP4 (H.264) by PyAV, the extra ``video``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused
from ercpseg.export.protocol import Series
from ercpseg.storage.atomic import write_bytes, write_chunks
from ercpseg.structures import COLOURS

DEFAULT_FRAME_TIME_MS = 1000 / 7.5
"""Where a series does not say: 7.5 frames per second, a common pulse rate. It is how fast to play, and no measurement."""
SMALL_PX = 768
"""Smaller frames are doubled in MP4, whose colours have half the resolution: lines of one pixel would turn grey."""
_GREYS = 120
MOST_GIF_PX = 65_535
"""Sides are two bytes (GIF89a)."""


class Gif:
    """``gif/<series>.gif``: 256 colours; an endless loop."""

    says = "overlays of each series as GIF"
    suffix = ".gif"
    folder = "gif"
    per: Literal["file", "series"] = "series"
    needs_pictures = True
    needs_module: str | None = None

    def write(self, path: Path, series: Series) -> None:
        """Write the movie, frame by frame."""
        write_chunks(path, _gif(series))


class Mp4:
    """``mp4/<series>.mp4``: H.264, as browsers and slides play it."""

    says = "overlays of each series as MP4 (install ercpseg[video])"
    suffix = ".mp4"
    folder = "mp4"
    per: Literal["file", "series"] = "series"
    needs_pictures = True
    needs_module: str | None = "av"

    def write(self, path: Path, series: Series) -> None:
        """Write the movie; what is held in memory is the compressed one."""
        import av

        try:
            write_bytes(path, self._encoded(series))
        except MemoryError:  # FFmpeg's own is an FFmpegError too
            raise
        except (av.error.FFmpegError, ValueError) as error:
            raise InputRefused("not-this-format", "H.264 cannot take a picture of this size") from error

    def _encoded(self, series: Series) -> bytes:
        import av

        movie = io.BytesIO()
        with av.open(movie, "w", format="mp4") as container:
            stream: Any = None
            for picture in pictures(series):
                large = picture.repeat(2, 0).repeat(2, 1) if max(picture.shape) < SMALL_PX else picture
                even = np.pad(large, ((0, large.shape[0] % 2), (0, large.shape[1] % 2), (0, 0)), mode="edge")
                if stream is None:
                    rate = Fraction(1000 / _frame_time_ms(series)).limit_denominator(1000)
                    stream = container.add_stream(
                        "libx264", rate=rate, options={"crf": "18", "preset": "veryfast", "threads": "1"}
                    )
                    stream.height, stream.width, stream.pix_fmt = *even.shape[:2], "yuv420p"
                container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            container.mux(stream.encode())
        return movie.getvalue()


def pictures(series: Series) -> Iterator[NDArray[np.uint8]]:
    """The overlays, one at a time, all of the size of the first; others are made to fit, on black."""
    size: tuple[int, int] | None = None
    for shot in series.shots:
        picture = series.picture(shot)
        size = size or (picture.shape[0], picture.shape[1])
        yield picture if picture.shape[:2] == size else _fitted(picture, size)


def _fitted(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    height, width = (max(1, min(full, round(side * scale))) for side, full in zip(picture.shape[:2], size, strict=True))
    canvas = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[top : top + height, left : left + width] = np.asarray(Image.fromarray(picture).resize((width, height)))
    return canvas


def _frame_time_ms(series: Series) -> float:
    return next((file.frame_time_ms for file in series.files if file.frame_time_ms), DEFAULT_FRAME_TIME_MS)


def _gif(series: Series) -> Iterator[bytes]:
    """A GIF (89a) in pieces: one palette for all, a loop without end, every frame whole."""
    from PIL import Image
    from PIL.GifImagePlugin import getdata

    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette(len(series.structures)).tobytes())
    hundredths = max(2, round(_frame_time_ms(series) / 10))  # viewers slow shorter times down
    first = True
    for picture in pictures(series):
        image = Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        if max(image.size) > MOST_GIF_PX:
            raise InputRefused("not-this-format", f"a GIF has at most {MOST_GIF_PX} px a side")
        if first:
            first = False
            yield b"GIF89a" + image.width.to_bytes(2, "little") + image.height.to_bytes(2, "little") + b"\xf7\0\0"
            yield _palette(len(series.structures)).tobytes()
            yield b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
        yield b"\x21\xf9\x04\0" + hundredths.to_bytes(2, "little") + b"\0\0"
        yield from getdata(image)
    yield b";"


def _palette(structures: int) -> NDArray[np.uint8]:
    """(256, 3): greys for the frame, and for each structure its line, its name where it is absent, and tints for its fill."""
    greys = np.repeat(np.linspace(0, 255, _GREYS)[:, None], 3, 1)
    tints = (256 - _GREYS) // structures - 2
    colours = [greys]
    for colour in np.array(COLOURS[:structures], np.float64):
        ramp = np.linspace(0, 255, tints)[:, None]
        colours += [colour[None], 0.4 * colour[None], 0.9 * ramp + 0.1 * colour]
    table = np.rint(np.concatenate(colours)).astype(np.uint8)
    return np.pad(table, ((0, 256 - len(table)), (0, 0)))
