"""The canonical frame: what every importer delivers and every later stage takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One 2D X-ray image in canonical form.

    ``pixels`` is (y, x), uint8 or uint16, devices dark (MONOCHROME2), stored values without any window. ``spacing_mm``
    is (y, x) or None when unknown; it is never guessed. ``notes`` say what was changed on
    the way in (inverted, collapsed to grey). ``patient`` and ``series`` group frames and are never printed.
    """

    name: str
    pixels: NDArray[Any]
    bits: int
    source: str = ""
    index: int | None = None
    patient: str | None = None
    series: str | None = None
    spacing_mm: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
