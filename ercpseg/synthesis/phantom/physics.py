"""From optical depth to a grey frame: Beer–Lambert, scatter, blur, quanta, the vendor's grey curve, the round field.

Canonical polarity: what attenuates is dark (MONOCHROME2). A frame has 12 bits; 8 bits are its upper 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Map, direction
from ercpseg.synthesis.fields import at_positions
from ercpseg.synthesis.phantom.courses import REFERENCE_SIZE

BITS = 12
BLACK = 0
"""Outside of the field, as image intensifiers deliver it."""


@dataclass(frozen=True)
class Detector:
    """An X-ray chain. Ranges are chosen by eye beside real frames, whose noise is 1.7 to 3.0 of 255 (measured)."""

    blur_px: float
    """Standard deviation of the focal spot's and detector's PSF, reference px: 0.6 to 0.95."""
    quanta: float
    """Photons per reference px at the frame's median: 250 to 900."""
    scatter_frac: float
    """Scatter and veiling glare as a fraction of the local mean: 0.05 to 0.15."""
    gamma: float
    """Exponent of the grey curve, between a logarithm (0) and linear (1): 0.35 to 0.65."""
    darkest: float
    brightest: float
    """Grey (0 to 1) of the frame's 1st and 98th percentile: 0.06 to 0.14 and 0.82 to 0.96."""
    centre: tuple[float, float]
    radius_px: float
    """The round field, (y, x) and radius in reference px."""
    blade: tuple[float, float]
    """A collimator blade: heading in degrees and distance from the centre in reference px, black beyond."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Detector:
        """Draw a chain; one per patient, since a room keeps its settings."""
        return cls(
            blur_px=rng.uniform(0.6, 0.95),
            quanta=rng.uniform(250, 900),
            scatter_frac=rng.uniform(0.05, 0.15),
            gamma=rng.uniform(0.35, 0.65),
            darkest=rng.uniform(0.06, 0.14),
            brightest=rng.uniform(0.82, 0.96),
            centre=(255.5 + rng.uniform(-3, 3), 255.5 + rng.uniform(-3, 3)),
            radius_px=rng.uniform(249, 256),
            blade=(float(rng.choice([180.0, 225.0])), rng.uniform(225, 250) if rng.random() < 0.35 else 1e9),
        )


def field(detector: Detector, size: int) -> Mask:
    """The exposed part (size, size) of a frame."""
    scale = size / REFERENCE_SIZE
    axis = (np.arange(size) + 0.5) / scale - 0.5
    y, x = axis[:, None] - detector.centre[0], axis[None, :] - detector.centre[1]
    heading, far = detector.blade
    uy, ux = direction(heading)
    return np.asarray((y * y + x * x <= detector.radius_px**2) & (y * uy + x * ux < far))


def expose(depth: Map, detector: Detector, rng: np.random.Generator) -> NDArray[np.uint16]:
    """A frame (size, size), 12 bits in uint16, from the optical depth (size, size) of everything in the beam."""
    from scipy.ndimage import gaussian_filter

    size = depth.shape[0]
    scale = size / REFERENCE_SIZE
    exposed = field(detector, size)
    # Automatic exposure: depths are relative, the median of the field receives `quanta` photons per reference px.
    step = max(1, size // 128)
    coarse = depth[::step, ::step][exposed[::step, ::step]]
    beam = np.exp(np.float32(np.median(coarse)) - depth)
    beam = (1 - np.float32(detector.scatter_frac)) * beam + np.float32(detector.scatter_frac) * _glare(beam)
    beam = gaussian_filter(beam, detector.blur_px * scale, truncate=3)
    # Poisson noise of the quanta (Gaussian limit: hundreds per pixel) and electronic noise, both smeared by the screen.
    per_pixel = np.float32(detector.quanta / scale**2)
    noise = rng.standard_normal(depth.shape, np.float32) * np.sqrt(beam * per_pixel + np.float32(9))
    noise = gaussian_filter(noise, 0.45 * max(scale, 0.5), truncate=3)
    signal = np.maximum(beam + noise / per_pixel, np.float32(1e-3))
    gamma = np.float32(detector.gamma)
    low, high = np.percentile(beam[::step, ::step][exposed[::step, ::step]], (1, 98)) ** detector.gamma
    gain = (detector.brightest - detector.darkest) / max(float(high - low), 1e-6)
    grey = np.float32(detector.darkest) + (signal**gamma - np.float32(low)) * np.float32(gain)
    top = 2**BITS - 1
    frame = np.rint(np.clip(grey, 0, 1) * np.float32(top))
    return np.where(exposed, frame, BLACK).astype(np.uint16)


def to_8_bits(frame: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The upper 8 of the 12 bits."""
    return (frame >> (BITS - 8)).astype(np.uint8)


def _glare(beam: Map) -> Map:
    """The beam spread over some 30 reference px."""
    size = beam.shape[0]
    cells = min(16, size)
    edges = np.linspace(0, size, cells + 1).astype(int)[:-1]
    counts = np.diff(np.append(edges, size)).astype(np.float32)
    mean = np.add.reduceat(np.add.reduceat(beam, edges, 0), edges, 1) / (counts[:, None] * counts[None, :])
    at = (np.arange(size) + 0.5) * cells / size - 0.5
    return at_positions(mean.astype(np.float32), at, at)
