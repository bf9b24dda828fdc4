"""One synthetic frame with its truth: a function of (seed, patient, frame number, size) and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ercpseg.structures import DEFAULT_STRUCTURES
from ercpseg.synthesis.curves import Map
from ercpseg.synthesis.frame import SyntheticFrame
from ercpseg.synthesis.phantom.anatomy import anatomy, sample
from ercpseg.synthesis.phantom.devices import ducts, guidewire
from ercpseg.synthesis.phantom.endoscope import endoscope
from ercpseg.synthesis.phantom.physics import Detector, expose, field
from ercpseg.synthesis.phantom.scene import Patient, anatomy_generator, moment, patient

STRUCTURES = DEFAULT_STRUCTURES

MAGNIFICATION = 1.35
"""Detector plane over isocentre, so that ImagerPixelSpacing is not the patient's spacing (1.2 to 1.5 in C-arms)."""


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
