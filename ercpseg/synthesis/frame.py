"""One synthetic frame with its truth: a function of (domain, seed, patient, frame number, size) and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask
from ercpseg.synthesis.truth import Truth


@dataclass(frozen=True)
class Spacing:
    """Pixel spacing (y, x) in mm at the isocentre, and its magnification on the detector."""

    mm_per_px: tuple[float, float]
    magnification: float


@dataclass(frozen=True)
class SyntheticFrame:
    """``pixels`` (y, x) uint16 of ``bits`` bits, devices dark; ``masks`` by structure and ``field`` (y, x).

    ``inverted`` says that the room stores devices bright; ``truth`` is None where a domain has masks only.
    """

    pixels: NDArray[np.uint16]
    masks: dict[str, Mask]
    field: Mask
    bits: int = 12
    inverted: bool = False
    truth: Truth | None = None

    @property
    def shown(self) -> NDArray[np.uint16]:
        """The pixels as the room shows them: inverted inside the field if it does that, black outside."""
        if not self.inverted:
            return self.pixels
        return np.where(self.field, np.uint16(2**self.bits - 1) - self.pixels, self.pixels)

    @property
    def eight_bits(self) -> NDArray[np.uint8]:
        """The upper 8 bits of what is shown."""
        return (self.shown >> (self.bits - 8)).astype(np.uint8)


class Studio(Protocol):
    """A patient with what its frames share. Frames may be taken in any order; a series is taken from its beginning."""

    @property
    def spacing(self) -> Spacing | None:
        """What a DICOM header says; None where the room writes none."""

    @property
    def pulse_ms(self) -> float:
        """Time between two frames of a series."""

    def frame(self, number: int) -> SyntheticFrame:
        """Independent frame ``number``, from 0."""

    def series(self, count: int) -> Iterator[SyntheticFrame]:
        """The first ``count`` frames of the patient's series, one pulse after another."""
