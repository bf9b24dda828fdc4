"""What a reader of a format delivers, and the guard that turns every failure of a decoder into a refusal.

Reading has two halves: listing (:class:`Listing`) only looks at headers, its ``load`` decodes one frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from ercpseg.errors import InputRefused
from ercpseg.frames.about import About

T = TypeVar("T")

MAX_PIXELS = 64 * 1024 * 1024
"""Pixels per frame. A header that declares more is refused before anything is allocated."""


@dataclass(frozen=True)
class Picture:
    """A decoded frame: (y, x) uint8 or uint16, devices dark; ``notes`` say what was changed on the way."""

    pixels: NDArray[Any]
    bits: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The frames that a file declares, not decoded yet. ``load(i)`` decodes frame ``i``, from 0."""

    count: int
    load: Callable[[int], Picture]
    numbered: bool = False
    """Whether frames carry their number in their names: files that can hold several, and do."""
    about: About = About()


def check_size(height: int, width: int) -> None:
    """Refuse what is empty or larger than :data:`MAX_PIXELS`."""
    if height < 1 or width < 1:
        raise InputRefused("unsupported-pixels", f"{height} × {width} pixels")
    if height * width > MAX_PIXELS:
        raise InputRefused("too-large", f"{height} × {width} pixels, limit {MAX_PIXELS}")


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
