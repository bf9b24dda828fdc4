"""What a reader of a format delivers, and the guard that turns every failure of a decoder into a refusal.

Reading has two halves. Listing (:class:`Entry`) happens on the caller's thread and only looks at headers; loading
(:func:`load`) decodes one frame and may run on any thread: it calls neither pydicom nor the ``warnings`` machinery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused

T = TypeVar("T")

MAX_PIXELS = 64 * 1024 * 1024
"""Pixels per frame. A header that declares more is refused before anything is allocated."""
MAX_FILE_BYTES = 1024**3
"""Bytes of a file that has to be read as a whole (everything but DICOM)."""


@dataclass(frozen=True)
class Picture:
    """A decoded frame: (y, x) uint8 or uint16, devices dark; ``notes`` say what was changed on the way."""

    pixels: NDArray[Any]
    bits: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One frame that a file declares, not decoded yet."""

    load: Callable[[], Picture]
    index: int | None = None
    patient: str | None = None
    series: str | None = None
    spacing_mm: tuple[float, float] | None = None


def check_size(height: int, width: int) -> None:
    """Refuse what is empty or larger than :data:`MAX_PIXELS`."""
    if height < 1 or width < 1:
        raise InputRefused("unsupported-pixels", f"{height} × {width} pixels")
    if height * width > MAX_PIXELS:
        raise InputRefused("too-large", f"{height} × {width} pixels, limit {MAX_PIXELS}")


def load(entry: Entry) -> Picture:
    """Decode one frame.

    Raises
    ------
    InputRefused
        for whatever is wrong with it; nothing else.
    """
    picture = guarded(entry.load)
    if picture.pixels.min() == picture.pixels.max():
        raise InputRefused("constant", f"all pixels are {int(picture.pixels.flat[0])}")
    return Picture(np.ascontiguousarray(picture.pixels), picture.bits, picture.notes)


def guarded(read: Callable[[], T]) -> T:
    """Call a reader; every exception of a decoder becomes :class:`InputRefused`, without the decoder's own text.

    A decoder's message may quote the file (a name, a tag), so only the exception's class is passed on.
    """
    try:
        return read()
    except InputRefused:
        raise
    except MemoryError as error:
        raise InputRefused("too-large", "no memory for it") from error
    except OSError as error:
        detail = error.strerror or "the decoder gave up"
        raise InputRefused("unreadable", detail) from error
    except Exception as error:
        raise InputRefused("unreadable", type(error).__name__) from error
