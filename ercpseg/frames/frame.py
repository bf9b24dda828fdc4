"""The canonical frame: what every importer delivers and every later stage takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ercpseg.frames.about import About


@dataclass(frozen=True)
class Frame:
    """One 2D X-ray image in canonical form.

    ``pixels`` is (y, x), uint8 or uint16, devices dark (MONOCHROME2), stored values without any window. ``notes`` say
    what was changed on the way in (inverted, collapsed to grey). ``about`` is what the file says beside the pixels;
    ``patient`` and ``series`` group frames and are never printed. ``path`` is the file that was decoded (``member``: the
    one packed in the zip at ``path``), for outputs that refer to it; None for pixels that come from no file.
    """

    name: str
    pixels: NDArray[Any]
    bits: int
    source: str = ""
    index: int | None = None
    patient: str | None = None
    series: str | None = None
    about: About = About()
    notes: tuple[str, ...] = ()
    path: Path | None = None
    member: str | None = None
    before_sha256: str | None = None
    """Over the frames right before it that a model of several frames saw too; None where it saw the frame alone."""

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """(y, x) where it holds in the patient, else None: it is never guessed."""
        return self.about.spacing_in_patient_mm
