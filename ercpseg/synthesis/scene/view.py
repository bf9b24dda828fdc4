"""From the patient's millimetres to pixels: place, turn, mirror, and the magnification of each height."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ercpseg.synthesis.curves import Array
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.parameters import draw, happens


@dataclass(frozen=True)
class View:
    """A patient under the tube, seen in a picture of ``shape`` (y, x).

    ``mm_per_px`` is (y, x) at the isocentre; they differ when pixels are not square. ``turn_deg`` is clockwise.
    ``source_mm`` is the distance from the focus to the isocentre, ``magnification`` that of the isocentre on the
    detector. ``offset_mm`` (y, x) is how far the patient lies from the axis, after turning.
    """

    shape: tuple[int, int]
    mm_per_px: tuple[float, float]
    turn_deg: float
    mirrored: bool
    offset_mm: tuple[float, float]
    magnification: float
    source_mm: float

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain, height_px: int) -> Self:
        """Draw a view; a room keeps it for a patient."""
        spec, frame = domain.view, domain.frame
        height_mm, aspect = draw(rng, spec.height_mm), draw(rng, frame.pixel_aspect)
        per_px = height_mm / height_px
        return cls(
            shape=(height_px, max(16, round(height_px * frame.aspect * aspect))),
            mm_per_px=(per_px, per_px / aspect),
            turn_deg=draw(rng, spec.turn_deg),
            mirrored=happens(rng, spec.mirrored),
            offset_mm=(draw(rng, spec.shift_mm), draw(rng, spec.shift_mm) + draw(rng, spec.right_mm)),
            magnification=draw(rng, spec.magnification),
            source_mm=draw(rng, spec.source_mm),
        )

    @property
    def centre_px(self) -> tuple[float, float]:
        """Where the beam's axis meets the picture."""
        return (self.shape[0] - 1) / 2, (self.shape[1] - 1) / 2

    @property
    def px_per_mm(self) -> float:
        """Pixels per mm at the isocentre, the mean of both axes."""
        return float(1 / np.sqrt(self.mm_per_px[0] * self.mm_per_px[1]))

    def grown(self, z_mm: float) -> float:
        """How much larger something ``z_mm`` above the isocentre (towards the tube) is shown."""
        return self.source_mm / (self.source_mm - z_mm)

    def scale(self, z_mm: float = 0.0) -> float:
        """Pixels per mm at a height."""
        return self.px_per_mm * self.grown(z_mm)

    def turned(self, vectors: Array) -> Array:
        """Vectors (n, 2) of the patient's frame as vectors of the picture, still in mm."""
        y, x = np.asarray(vectors, float).T
        x = -x if self.mirrored else x
        c, s = np.cos(np.deg2rad(self.turn_deg)), np.sin(np.deg2rad(self.turn_deg))
        return np.stack([c * y + s * x, -s * y + c * x], axis=1)

    def pixels(self, points_mm: Array, z_mm: float = 0.0) -> Array:
        """Points (n, 2) of the patient in px, pixel centres at integers."""
        placed = (self.turned(points_mm) + self.offset_mm) * self.grown(z_mm)
        return np.asarray(placed / self.mm_per_px + self.centre_px)

    def patient_points(self, places_px: Array, z_mm: float = 0.0) -> Array:
        """Where at a height of the patient the rays to ``places_px`` (n, 2) pass: the inverse of :meth:`pixels`."""
        y, x = ((np.asarray(places_px, float) - self.centre_px) * self.mm_per_px / self.grown(z_mm)).T
        return np.stack(self.patient_mm(y, x), axis=1)

    def patient_mm(self, y_mm: NDArray[Any], x_mm: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Where in the patient's frame points of the picture's plane (mm from the axis) lie, at the isocentre."""
        y, x = y_mm - self.offset_mm[0], x_mm - self.offset_mm[1]
        c, s = np.cos(np.deg2rad(self.turn_deg)), np.sin(np.deg2rad(self.turn_deg))
        y, x = c * y - s * x, s * y + c * x
        return y, -x if self.mirrored else x

    def moved(self, shift_mm: Array) -> View:
        """The same view after the table moved the patient by (y, x) mm of the picture."""
        return replace(self, offset_mm=(self.offset_mm[0] + shift_mm[0], self.offset_mm[1] + shift_mm[1]))
