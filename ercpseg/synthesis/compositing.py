"""Scenes, or masks of another dataset, on the user's own frames, by Beer–Lambert.

What a frame shows already stays, noise and all; devices and contrast attenuate it, and what they take away makes the
remaining quanta noisier. Pasting annotated masks under random transformations is Gherardini 2020's way (CMPB
192:105420), with attenuation of the local background in place of its global mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import UsageError
from ercpseg.structures import DEFAULT_STRUCTURES, Mask
from ercpseg.synthesis.annotator import annotate
from ercpseg.synthesis.backgrounds import Annotated, Background
from ercpseg.synthesis.curves import Map
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.frame import Spacing, SyntheticFrame
from ercpseg.synthesis.physics.chain import smeared
from ercpseg.synthesis.physics.materials import transmitted
from ercpseg.synthesis.scene.facts import facts
from ercpseg.synthesis.scene.moment import moment
from ercpseg.synthesis.scene.patient import Patient, domain_key, generator
from ercpseg.synthesis.scene.render import draw_moment
from ercpseg.synthesis.scene.visible import Marks

DEPTHS: dict[str, tuple[float, float]] = {
    "endoscope": (1.0, 2.4),
    "guidewire": (0.2, 0.8),
    "cbd": (0.15, 0.6),
    "stone": (-0.5, -0.1),
}
"""Optical depth in the middle of pasted structures, chosen by eye; a stone takes contrast away."""
_OTHER_DEPTH = (0.2, 0.8)
_PASTE = 11


@dataclass(frozen=True)
class BackgroundStudio:
    """A synthetic patient before a background of the user."""

    who: Patient
    background: Background

    @classmethod
    def of(cls, domain: Domain, seed: int, number: int, background: Background) -> BackgroundStudio:
        """Patient ``number`` of ``seed`` in a picture of the background's size; bones and bowel are the background's."""
        height, width = background.grey.shape
        frame = domain.frame.model_copy(update={"aspect": width / height, "pixel_aspect": (1.0,), "bits": 8})
        sized = domain.model_copy(update={"frame": frame})
        who = Patient.sample(sized, seed, number, height, bare=True)
        # The background is the beam that what is drawn takes from, and its field is the field: its shadows hide contrast, too.
        light = before_curve(background, who)
        return cls(replace(who, light=light, exposed=background.field, noisy=True), background)

    @property
    def spacing(self) -> Spacing | None:
        """Unknown: the scene's scale need not be the background's."""
        return None

    @property
    def pulse_ms(self) -> float:
        """The room's pulse rate."""
        return self.who.motion.pulse_ms

    def frame(self, number: int) -> SyntheticFrame:
        """Independent frame ``number``."""
        return self._taken(number, None, series=False)[1]

    def series(self, count: int) -> Iterator[SyntheticFrame]:
        """A series before a background that stands still."""
        before: Marks | None = None
        for number in range(count):
            before, frame = self._taken(number, before, series=True)
            yield frame

    def _taken(self, number: int, before: Marks | None, *, series: bool) -> tuple[Marks, SyntheticFrame]:
        now = moment(self.who, number, series=series)
        drawn = draw_moment(now, before)
        passed = transmitted(drawn.canvas)
        return drawn.marks, SyntheticFrame(
            pixels=composite(self.background, passed, self.who, generator(*now.pixel_seed)),
            masks=annotate(drawn.masks, drawn.field, self.who.domain.annotator, now.pixel_seed),
            field=drawn.field,
            bits=8,
            truth=facts(drawn, now),
        )


def before_curve(background: Background, who: Patient) -> Map:
    """The signal (y, x) that the room's curve would have made the background's grey from."""
    return np.asarray(np.maximum(background.grey, np.float32(1 / 512)) ** np.float32(1 / who.curve.gamma), np.float32)


def composite(background: Background, passed: Map, who: Patient, rng: np.random.Generator) -> NDArray[np.uint16]:
    """An 8-bit frame (y, x): ``passed`` (y, x) is the share of the beam that gets through what was drawn."""
    from scipy.ndimage import gaussian_filter

    chain, view = who.chain, who.view
    passed = gaussian_filter(passed, [chain.blur_mm / mm for mm in view.mm_per_px], truncate=3)
    share = np.float32(chain.scatter)
    passed = (1 - share) * passed + share * smeared(passed, chain.scatter_mm / view.mm_per_px[0])
    gamma = np.float32(who.curve.gamma)
    signal = before_curve(background, who)
    quanta = np.float32(chain.quanta_per_mm2 * view.mm_per_px[0] * view.mm_per_px[1])
    # Of n·s quanta n·s·T pass, with a variance as large; the background's own noise, attenuated, brings n·s·T² of it.
    extra = np.sqrt(quanta * signal * passed * np.maximum(1 - passed, 0))
    noise = chain.correlated(np.asarray(rng.standard_normal(signal.shape, np.float32) * extra))
    grey = np.maximum(signal * passed + noise / quanta, 0) ** gamma
    grey = np.where(background.field, np.clip(grey, 0, 1), background.grey)
    return np.asarray(np.rint(grey * 255), np.uint16)


@dataclass(frozen=True)
class PasteStudio:
    """Annotated masks of the user, randomly transformed, on a background of the user."""

    who: Patient
    background: Background
    annotated: tuple[Annotated, ...]

    @property
    def spacing(self) -> Spacing | None:
        """Unknown."""
        return None

    @property
    def pulse_ms(self) -> float:
        """The room's pulse rate."""
        return self.who.motion.pulse_ms

    def frame(self, number: int) -> SyntheticFrame:
        """Frame ``number``: another annotation under another transformation."""
        key = (self.who.seed, self.who.number, domain_key(self.who.domain), _PASTE, number)
        rng = generator(*key)
        source = self.annotated[int(rng.integers(len(self.annotated)))]
        field = self.background.field
        moved = transformed(rng, source.masks, (field.shape[0], field.shape[1]))
        depth = np.zeros(field.shape, np.float32)
        for name, mask in moved.items():
            amount = np.float32(rng.uniform(*DEPTHS.get(name, _OTHER_DEPTH)))
            layer = amount * roundness(mask)
            depth += np.maximum(layer, -depth) if amount < 0 else layer
        pixels = composite(self.background, np.exp(-depth), self.who, rng)
        names = dict.fromkeys((*DEFAULT_STRUCTURES, *moved))
        masks = {n: moved.get(n, np.zeros(field.shape, np.bool_)) & field for n in names}
        return SyntheticFrame(pixels, annotate(masks, field, self.who.domain.annotator, key), field, bits=8)

    def series(self, count: int) -> Iterator[SyntheticFrame]:
        """Pasted masks do not move smoothly, so there is none."""
        raise UsageError("pasted masks have no series", where="series", expected="no --paste")


def transformed(rng: np.random.Generator, masks: dict[str, Mask], shape: tuple[int, int]) -> dict[str, Mask]:
    """Masks under one random rotation (0 to 90°), zoom (0.6 to 1.4), shift (± 0.2) and flips (Gherardini 2020)."""
    from scipy import ndimage

    size = next(iter(masks.values())).shape
    angle, zoom = (
        np.deg2rad(rng.uniform(0, 90)),
        rng.uniform(0.6, 1.4) * min(s / n for s, n in zip(shape, size, strict=True)),
    )
    flips = rng.choice([-1.0, 1.0], 2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * flips / zoom
    shift = rng.uniform(-0.2, 0.2, 2) * shape
    offset = (np.array(size) - 1) / 2 - turn @ ((np.array(shape) - 1) / 2 + shift)
    return {
        name: np.asarray(
            ndimage.affine_transform(mask.astype(np.float32), turn, offset, output_shape=shape, order=1) > 0.4, np.bool_
        )
        for name, mask in masks.items()
    }


def roundness(mask: Mask) -> Map:
    """Chord (y, x) of a round body with this outline, 1 in its middle, from the distance to the outline."""
    from scipy import ndimage

    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    deep = ndimage.distance_transform_edt(mask).astype(np.float32)
    radius = np.float32(max(float(np.percentile(deep[mask], 98)), 1.0))
    deep = np.minimum(deep, radius)
    return np.asarray(np.sqrt(np.maximum(2 * radius * deep - deep * deep, 0)) / radius, np.float32)
