"""The vendor's processing: from signal to stored grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Map
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.parameters import draw, happens
from ercpseg.synthesis.physics.chain import smeared
from ercpseg.synthesis.scene.view import View


@dataclass(frozen=True)
class Curve:
    """Constants of a room's processing; see the domain for units and sources."""

    gamma: float
    middle: float
    dark: float
    bright: float
    bright_share: float
    automatic: float
    shoulder: float
    floor: float
    compression: float
    sharpen: float
    sharpen_mm: float
    inverted: bool

    @classmethod
    def sample(cls, rng: np.random.Generator, domain: Domain) -> Self:
        """Draw a processing."""
        spec = domain.grey
        return cls(
            gamma=draw(rng, spec.gamma),
            middle=draw(rng, spec.middle),
            dark=draw(rng, spec.dark),
            bright=draw(rng, spec.bright),
            bright_share=draw(rng, spec.bright_share),
            automatic=spec.automatic,
            shoulder=draw(rng, spec.shoulder),
            floor=draw(rng, spec.floor),
            compression=draw(rng, spec.compression),
            sharpen=draw(rng, spec.sharpen),
            sharpen_mm=draw(rng, spec.sharpen_mm),
            inverted=happens(rng, domain.frame.inverted),
        )

    def grey(self, signal: Map, field: Mask, view: View) -> Map:
        """Grey (y, x) from 0 to 1, devices dark, of a signal that is 1 at the metered area of ``field``."""
        from scipy.ndimage import gaussian_filter

        if self.compression > 0:
            coarse = smeared(signal, 0.06 * view.shape[0])
            signal = np.asarray(signal * np.maximum(coarse, np.float32(0.05)) ** np.float32(-self.compression))
        gamma, floor = self._window(signal, field)
        level: Map = (np.maximum(signal, 0) ** gamma - floor) * (np.float32(self.middle) / (1 - floor))
        if self.sharpen > 0:
            # At most 12 px: the radius is that of a kernel in hardware.
            sigma = min(self.sharpen_mm / view.mm_per_px[0], 12.0)
            level = level + np.float32(self.sharpen) * (level - gaussian_filter(level, sigma, truncate=2.5))
        bent = np.float32(self.shoulder)
        rest = np.minimum(np.maximum(level - bent, 0) / (1 - bent + np.float32(1e-6)), 2)
        # Beyond the shoulder greys approach white and reach it: slope 1 at the shoulder, white at twice the way.
        level = np.where(level > bent, bent + (rest - rest * rest / 4) * (1 - bent), level)
        return np.asarray(np.clip(level, 0, 1), np.float32)

    def _window(self, signal: Map, field: Mask) -> tuple[np.float32, np.float32]:
        """Exponent and floor for this frame: the window draws its darkest and brightest parts towards their greys."""
        step = max(1, signal.shape[0] // 128)
        seen = signal[::step, ::step][field[::step, ::step]]
        low, high = np.percentile(seen, (1.5, 100 * (1 - self.bright_share))) if seen.size else (0.1, 2.0)
        low, high = max(float(low), 1e-3), max(float(high), 1.05)
        dark, bright = min(self.dark / self.middle, 0.9), max(self._before_shoulder(self.bright) / self.middle, 1.05)
        gammas = np.geomspace(0.12, 1.05, 60)
        floors = np.clip((low**gammas - dark) / (1 - dark), 0, 0.7)
        fitted = int(np.abs((high**gammas - floors) / (1 - floors) - bright).argmin())
        share = self.automatic
        gamma = self.gamma ** (1 - share) * gammas[fitted] ** share
        return np.float32(gamma), np.float32(self.floor * (1 - share) + floors[fitted] * share)

    def _before_shoulder(self, grey: float) -> float:
        """The level that the shoulder turns into ``grey``."""
        if grey <= self.shoulder:
            return grey
        rest = min((grey - self.shoulder) / (1 - self.shoulder), 0.999)
        return self.shoulder + 2 * (1 - float(np.sqrt(1 - rest))) * (1 - self.shoulder)
