"""Opens the studio of a patient, whatever the kind of its domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ercpseg.errors import UsageError
from ercpseg.synthesis.annotator import annotate
from ercpseg.synthesis.curves import Map
from ercpseg.synthesis.dicom import FRAME_TIME_MS
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.frame import Spacing, Studio, SyntheticFrame
from ercpseg.synthesis.phantom.courses import MM_PER_REFERENCE_PX, REFERENCE_SIZE
from ercpseg.synthesis.phantom.frame import MAGNIFICATION
from ercpseg.synthesis.phantom.frame import Studio as Phantom
from ercpseg.synthesis.scene.facts import facts
from ercpseg.synthesis.scene.moment import Moment, moment
from ercpseg.synthesis.scene.patient import Patient
from ercpseg.synthesis.scene.render import Drawn, draw_moment, exposed, stored
from ercpseg.synthesis.scene.visible import Marks


@dataclass(frozen=True)
class SceneStudio:
    """A patient of a scene domain."""

    who: Patient

    @property
    def spacing(self) -> Spacing | None:
        """What a header says."""
        view = self.who.view
        return Spacing(view.mm_per_px, view.magnification) if self.who.spacing_in_header else None

    @property
    def pulse_ms(self) -> float:
        """The room's pulse rate."""
        return self.who.motion.pulse_ms

    def frame(self, number: int) -> SyntheticFrame:
        """Independent frame ``number``."""
        now = moment(self.who, number)
        drawn = draw_moment(now)
        return self._finished(exposed(drawn, now), drawn, now)

    def series(self, count: int) -> Iterator[SyntheticFrame]:
        """Frames at the room's pulse rate; each keeps a share of the one before (lag, recursive filter)."""
        before: Map | None = None
        marks: Marks | None = None
        lag = np.float32(self.who.chain.lag)
        for number in range(count):
            now = moment(self.who, number, series=True)
            drawn = draw_moment(now, marks)
            marks = drawn.marks
            signal = exposed(drawn, now)
            before = signal if before is None else np.asarray((1 - lag) * signal + lag * before)
            yield self._finished(before, drawn, now)

    def _finished(self, signal: Map, drawn: Drawn, now: Moment) -> SyntheticFrame:
        return SyntheticFrame(
            pixels=stored(signal, drawn, now),
            masks=annotate(drawn.masks, drawn.field, self.who.domain.annotator, now.pixel_seed),
            field=drawn.field,
            bits=self.who.domain.frame.bits,
            inverted=self.who.curve.inverted,
            truth=facts(drawn, now),
        )


@dataclass(frozen=True)
class PhantomStudio:
    """A patient of the simple phantom; square frames, no series, no truth beyond the masks."""

    phantom: Phantom
    size: int

    @property
    def spacing(self) -> Spacing | None:
        """The phantom's fixed scale."""
        mm = MM_PER_REFERENCE_PX * REFERENCE_SIZE / self.size
        return Spacing((mm, mm), MAGNIFICATION)

    @property
    def pulse_ms(self) -> float:
        """A common pulse rate."""
        return FRAME_TIME_MS

    def frame(self, number: int) -> SyntheticFrame:
        """Frame ``number``."""
        return self.phantom.frame(number, self.size)

    def series(self, count: int) -> Iterator[SyntheticFrame]:
        """The phantom does not move smoothly, so there is none."""
        raise UsageError("this domain has no series", where="series", expected="a domain of kind scene")


def open_studio(domain: Domain, seed: int, number: int, height_px: int | None = None) -> Studio:
    """Patient ``number`` of ``seed`` in a domain; ``height_px`` overrides the domain's frame height."""
    height = height_px or domain.frame.height_px
    if domain.kind == "phantom":
        return PhantomStudio(Phantom.of(seed, number), height)
    return SceneStudio(Patient.sample(domain, seed, number, height))
