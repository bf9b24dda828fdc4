"""One synthetic frame with its truth: a function of (seed, patient, frame number, size) and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import DEFAULT_STRUCTURES, Mask
from ercpseg.synthesis.anatomy import anatomy, sample
from ercpseg.synthesis.curves import Map
from ercpseg.synthesis.devices import ducts, guidewire
from ercpseg.synthesis.endoscope import endoscope
from ercpseg.synthesis.physics import Detector, expose, field
from ercpseg.synthesis.scene import Patient, anatomy_generator, moment, patient

STRUCTURES = DEFAULT_STRUCTURES


@dataclass(frozen=True)
class SyntheticFrame:
    """``pixels`` (size, size) uint16 of 12 bits, devices dark; ``masks`` by structure and ``field`` (size, size)."""

    pixels: NDArray[np.uint16]
    masks: dict[str, Mask]
    field: Mask


@dataclass(frozen=True)
class Studio:
    """A patient with what its frames share; make one with :meth:`of` and take frames in any order."""

    who: Patient
    detector: Detector
    depth: Map

    @classmethod
    def of(cls, seed: int, number: int) -> Studio:
        """Patient ``number`` of ``seed``."""
        who = patient(seed, number)
        rng = anatomy_generator(who)
        return cls(who, Detector.sample(rng), anatomy(rng))

    def frame(self, number: int, size: int = 512) -> SyntheticFrame:
        """Frame ``number`` (from 0) as a picture of ``size`` × ``size``."""
        now = moment(self.who, number)
        exposed = field(self.detector, size)
        scope, wire = endoscope(now, size), guidewire(now, size)
        column, stones = ducts(now, size)
        depth = sample(self.depth, size, now.shift) + scope.depth + wire.depth + column.depth
        rng = np.random.Generator(np.random.PCG64(now.pixel_seed))
        layers = dict(zip(STRUCTURES, (scope, wire, column, stones), strict=True))
        return SyntheticFrame(
            pixels=expose(depth, self.detector, rng),
            masks={name: layer.mask & exposed for name, layer in layers.items()},
            field=exposed,
        )
