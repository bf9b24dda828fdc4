"""The X-ray chain of a room: beam profile, scatter, blur, exposure control and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Map
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.fields import at_positions
from ercpseg.synthesis.parameters import draw
from ercpseg.synthesis.scene.view import View


@dataclass(frozen=True)
class Chain:
    """Constants of a room; a patient keeps them. Lengths at the isocentre in mm, see the domain for sources."""

    scatter: float
    scatter_mm: float
    blur_mm: float
    heel: float
    heel_deg: float
    vignetting: float
    vignetting_power: float
    centre: tuple[float, float]
    quanta_per_mm2: float
    electronic: float
    noise_blur_px: float
    noise_tail: float
    noise_reach: float
    lag: float
    metered: tuple[float, float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain, view: View) -> Self:
        """Draw a chain."""
        spec = domain.beam
        focus = draw(rng, spec.focus_mm) * (view.magnification - 1) / view.magnification  # penumbra in the patient
        detector = draw(rng, spec.detector_blur_mm) / view.magnification
        return cls(
            scatter=draw(rng, spec.scatter), scatter_mm=draw(rng, spec.scatter_mm),
            blur_mm=float(np.hypot(focus / np.sqrt(12), detector)),  # standard deviation of a uniform focal spot
            heel=draw(rng, spec.heel), heel_deg=rng.normal(135, 40),
            vignetting=draw(rng, spec.vignetting), vignetting_power=rng.uniform(2, 6),
            centre=(rng.uniform(-0.08, 0.08), rng.uniform(-0.08, 0.08)),
            quanta_per_mm2=draw(rng, spec.quanta_per_mm2), electronic=draw(rng, spec.electronic),
            noise_blur_px=draw(rng, spec.noise_blur_px), noise_tail=draw(rng, spec.noise_tail),
            noise_reach=draw(rng, spec.noise_reach), lag=draw(rng, spec.lag),
            metered=(rng.uniform(-0.1, 0.1), rng.uniform(-0.12, 0.08), rng.uniform(0.12, 0.3)),
        )  # fmt: skip

    def profile(self, view: View) -> Map:
        """The beam without a patient (y, x): heel effect and the fall-off towards the border."""
        y, x = _axes(view)
        dy, dx = y - np.float32(self.centre[0]), x - np.float32(self.centre[1])
        c, s = np.cos(np.deg2rad(self.heel_deg)), np.sin(np.deg2rad(self.heel_deg))
        tilt = 1 - np.float32(self.heel) * np.clip(0.5 + (-c * dy + s * dx), 0, 1)
        away = np.minimum(4 * (dy * dy + dx * dx), np.float32(1.4)) ** np.float32(self.vignetting_power / 2)
        return np.asarray(tilt * (1 - np.float32(self.vignetting) * np.minimum(away, 1)), np.float32)

    def image(self, primary: Map, light: Map, field: Mask, view: View) -> Map:
        """Signal (y, x) without noise, 1 at the metered area: scatter, blur, exposure control.

        ``light`` (y, x) is the beam without a patient, behind the blades; ``field`` the exposed pixels.
        """
        from scipy.ndimage import gaussian_filter

        beam = primary * light
        share = np.float32(self.scatter)
        beam = (1 - share) * beam + share * smeared(beam, self.scatter_mm / view.mm_per_px[0])
        sigma = [self.blur_mm / mm for mm in view.mm_per_px]
        beam = gaussian_filter(beam, sigma, truncate=3)
        return np.asarray(beam / np.float32(self._metered(beam, field, view)), np.float32)

    def _metered(self, beam: Map, field: Mask, view: View) -> float:
        """Mean signal of the area that the exposure control looks at."""
        y, x = _axes(view)
        step = max(1, view.shape[0] // 128)
        cy, cx, radius = self.metered
        there = (y[::step] - cy) ** 2 + (x[:, ::step] - cx) ** 2 < radius**2
        there &= field[::step, ::step]
        return float(beam[::step, ::step][there].mean()) if there.any() else float(beam.mean())

    def noisy(self, signal: Map, view: View, rng: np.random.Generator) -> Map:
        """Add quantum noise (Gaussian limit of Poisson: a hundred quanta and more) and electronic noise."""
        quanta = self.quanta_per_mm2 * view.mm_per_px[0] * view.mm_per_px[1]
        spread = np.sqrt(np.maximum(signal, 0) * np.float32(quanta) + np.float32(self.electronic))
        noise = self.correlated(rng.standard_normal(signal.shape, np.float32) * spread)
        return np.asarray(np.maximum(signal + noise / np.float32(quanta), np.float32(1e-4)), np.float32)

    def correlated(self, noise: Map) -> Map:
        """White noise (y, x) as the detector passes it on: neighbours are alike, over a short reach and a long one."""
        from scipy.ndimage import gaussian_filter

        if self.noise_blur_px <= 0:
            return noise
        wide = gaussian_filter(noise, self.noise_reach * self.noise_blur_px, truncate=3)
        return np.asarray(gaussian_filter(noise, self.noise_blur_px, truncate=3) + wide * np.float32(self.noise_tail))


def _axes(view: View) -> tuple[Map, Map]:
    """Pixel coordinates from −0.5 to 0.5 along y, and along x in the same unit of mm: (h, 1) and (1, w)."""
    height_mm = view.shape[0] * view.mm_per_px[0]
    y, x = (
        ((np.arange(n) - (n - 1) / 2) * mm / height_mm).astype(np.float32)
        for n, mm in zip(view.shape, view.mm_per_px, strict=True)
    )
    return y[:, None], x[None, :]


def smeared(beam: Map, sigma_px: float) -> Map:
    """The beam smeared over ``sigma_px``, through means of cells: cheap, and smooth at that scale."""
    from scipy.ndimage import gaussian_filter

    cell = max(1, int(sigma_px / 3))
    counts = [max(2, n // cell) for n in beam.shape]
    edges = [np.linspace(0, n, c + 1).astype(int) for n, c in zip(beam.shape, counts, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(beam, edges[0][:-1], 0), edges[1][:-1], 1)
    mean = sums / (np.diff(edges[0])[:, None] * np.diff(edges[1])[None, :]).astype(np.float32)
    mean = gaussian_filter(mean, sigma_px / cell, mode="nearest")
    rows, columns = ((np.arange(n) + 0.5) * c / n - 0.5 for n, c in zip(beam.shape, counts, strict=True))
    return at_positions(np.asarray(mean, np.float32), rows, columns)
