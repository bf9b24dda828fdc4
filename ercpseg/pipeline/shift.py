"""The shift alarm (R34): do new frames look like those that the model was trained on?

The model's card tells, for some quantities of a frame, the range from the 1st to the 99th percentile of the training
frames. The same quantities are measured in a sample of the predicted frames, with the predicted masks. A quantity is
told when the median lies outside, or more than a tenth of the frames do, and chance is no explanation: a range of few
patients is narrow, frames of one patient resemble each other, and of twenty quantities one lies outside now and then. So
patients are counted, with the probability that chance would give as many; or the median must lie far outside. Ranges of
structures are taken a little wider, because predicted masks are no annotations.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.plan_values import AlarmValues
from ercpseg.documents.run import ModelCard
from ercpseg.frames.frame import Frame
from ercpseg.frames.windows import moment_of
from ercpseg.structures import Bitmask, StructureSet

if TYPE_CHECKING:
    from ercpseg.inference.folder import Sink

MOST_FRAMES = 64
"""Frames that are measured at most, evenly spread."""
SURE_FRAMES = 6
"""So many, spread over all, are measured in any case; more only while they take less than :data:`TIME_FRAC` of the time."""
TIME_FRAC = 0.03
OUTSIDE_FRAC = AlarmValues().outside_frac
"""For models that no plan of ours describes."""
MARGIN = 0.25
"""By this part of the range's width ranges of structures are widened: they are of annotations, and predictions are not."""
FAR = 0.5
"""Outside by this part of the range's width is far: no chance explains it, whatever the number of patients."""
RANGE_FRAC = 0.02
"""Share of the training frames outside their own range: below the 1st or above the 99th percentile."""
CHANCE = 0.05
"""Probability of any false alarm that is accepted, over all quantities."""

SAID = {
    "field_frac": "the exposed share of the frame",
    "mean_frac": "the mean grey value (share of the largest)",
    "sd_frac": "the spread of grey values (share of the largest)",
    "noise_sd": "the noise (share of the spread)",
    "foreground_frac": "the area of {} (share of the field)",
    "width_px": "the width of {} (px at a long side of {} px)",
    "length_px": "the length of {} (px at a long side of {} px)",
    "contrast": "the contrast of {} (in spreads of the grey values)",
}
"""Quantity → what it is called; of a structure's the part after the dot."""
ADVICE = "Predictions may be worse than the model's scores say: look at the overlays, and train on frames like these."
NO_RANGES = "the model tells no ranges of its training frames, so the new ones were not compared with them"


@dataclass(frozen=True)
class Finding:
    """A quantity that lies outside."""

    quantity: str
    low: float
    high: float
    median: float
    outside_frac: float
    text: str


@dataclass(frozen=True)
class Measured:
    """The quantities of one frame, and whose it is."""

    patient: str
    quantities: Mapping[str, float]


class Watch:
    """Passes predictions on to ``sink`` and measures some of them on the way.

    ``total`` is the number of files, as far as it is known: it only spaces the sample. ``frames``: how many the model sees.
    """

    def __init__(  # all needed
        self,
        sink: Sink,
        card: ModelCard,
        structures: StructureSet,
        *,
        total: int,
        started: float,
        outside_frac: float = OUTSIDE_FRAC,
        frames: int = 1,
    ):
        self._frames, self._stills = frames, 0
        self.sink, self.card, self.structures = sink, card, structures
        self.measured: dict[int, Measured] = {}
        self._step = max(1, total // MOST_FRAMES)
        self._sure = self._step * max(1, math.ceil(total / SURE_FRAMES / self._step))
        self._outside_frac = outside_frac
        self._seen, self._spent_s, self._started = 0, 0.0, started
        self._foreign = 0

    @property
    def wants_probabilities(self) -> bool:
        """As the sink says."""
        return self.sink.wants_probabilities

    def known(self, frame: Frame) -> Bitmask | None:
        """As the sink says."""
        return self.sink.known(frame)

    def write(
        self,
        frame: Frame,
        bitmask: Bitmask,
        milliseconds: float | None,
        probabilities: NDArray[np.float16] | None = None,
    ) -> None:
        """Pass a prediction on, and measure it if it is in the sample."""
        self.sink.write(frame, bitmask, milliseconds, probabilities)
        number, self._seen = self._seen, self._seen + 1
        self._foreign += frame.about.modality == "other"
        self._stills += self._frames > 1 and moment_of(frame) is None
        sure = number % self._sure == 0 and number // self._sure < SURE_FRAMES
        if not self.card.ranges or (number % self._step and not sure):
            return
        start = time.perf_counter()
        if not sure and self._spent_s > TIME_FRAC * (start - self._started):
            return
        with contextlib.suppress(MemoryError):  # the frame is predicted; the sample has one less
            self.measured[number] = Measured(_patient(frame), self._measure(frame, bitmask))
        if len(self.measured) > MOST_FRAMES:  # more frames than files: every second one of those that there are
            self._step *= 2
            self.measured = {n: m for n, m in self.measured.items() if n % self._step == 0}
        self._spent_s += time.perf_counter() - start

    def refuse(self, record: FrameRecord) -> None:
        """Pass a row on."""
        self.sink.refuse(record)

    def findings(self) -> list[Finding]:
        """What lies outside; empty when nothing does or nothing could be compared."""
        return find_shift(list(self.measured.values()), self.card, self._outside_frac)

    def warnings(self) -> tuple[str, ...]:
        """What whoever predicts must hear of the frames, a sentence each."""
        count = f"{self._foreign} of {self._seen} frames"
        foreign = f"{count} are of a DICOM class that is no X-ray projection (frames.csv says which)."
        stills = (
            f"{self._stills} of {self._seen} frames are of no known series: the model's {self._frames} frames were the same "
            "one repeated, which is not what it learnt from series."
        )
        told = [text for text, count in ((foreign, self._foreign), (stills, self._stills)) if count]
        return (*told, *(finding.text for finding in self.findings()))

    def record(self) -> dict[str, Any]:
        """For ``run.json``."""
        findings = [vars(finding) for finding in self.findings()]
        patients = len({m.patient for m in self.measured.values()})
        known = {"frames": len(self.measured), "patients": patients, "findings": findings}
        known |= {"no_projection": self._foreign} if self._foreign else {}
        known |= {"stills": self._stills} if self._stills else {}
        return known if self.card.ranges else {**known, "note": NO_RANGES}

    def _measure(self, frame: Frame, bitmask: Bitmask) -> dict[str, float]:
        from ercpseg.fingerprint.frame import FrameContent, measure_frame
        from ercpseg.fingerprint.ranges import frame_quantities

        height, width = frame.pixels.shape
        content = FrameContent(frame.name, (height, width), frame.bits, {}, "")
        shown = self.structures.present(bitmask)
        measures = measure_frame(frame.pixels, bitmask, content, self.structures, shown)
        found = frame_quantities(measures, self.card.reference_long_side_px or max(height, width))
        return {name: value for name, value in found.items() if math.isfinite(value)}


def find_shift(measured: list[Measured], card: ModelCard, outside_frac: float = OUTSIDE_FRAC) -> list[Finding]:
    """The quantities of ``measured`` frames that lie outside the card's ranges in more than ``outside_frac`` of them and not by
    chance; the frame's own first.
    """  # one sentence
    compared = sorted((q for q in card.ranges if any(q in m.quantities for m in measured)), key=lambda q: "." in q)
    by_chance = max(RANGE_FRAC, 2 / ((card.patients or 0) + 1))
    findings = []
    for quantity in compared:
        low, high = card.ranges[quantity]
        shown = [m for m in measured if quantity in m.quantities]
        values = np.array([m.quantities[quantity] for m in shown])
        margin = MARGIN * (high - low) if "." in quantity else 0.0
        below, above = values < low - margin, values > high + margin
        outside = below | above
        median, share = float(np.median(values)), float(outside.mean())
        beyond = max(low - median, median - high)
        if beyond <= margin and share <= outside_frac:
            continue
        patients = np.array([m.patient for m in shown])
        each = [patients == patient for patient in np.unique(patients)]
        # On one side, since a shift moves all frames one way: half the chance, for either of two sides.
        mostly = max(sum(float(side[of].mean()) > 0.5 for of in each) for side in (below, above))
        unlikely = 2 * at_least(mostly, len(each), by_chance / 2) < CHANCE / len(compared)
        if unlikely or beyond > FAR * (high - low):
            text = _sentence(quantity, card, median, share, len(shown))
            findings.append(Finding(quantity, low, high, _short(median), round(share, 4), text))
    return findings


def at_least(successes: int, trials: int, chance: float) -> float:
    """Probability of at least so many successes (binomial).

    >>> at_least(0, 5, 0.3), round(at_least(2, 2, 0.1), 4), round(at_least(1, 2, 0.1), 4)
    (1.0, 0.01, 0.19)
    """
    if successes == 0:
        return 1.0
    return sum(math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(successes, trials + 1))


def _patient(frame: Frame) -> str:
    """As the import tells patients apart: by the file, else by the text before the first ``_``."""
    return frame.patient or frame.about.patient or frame.name.partition("_")[0]


def _sentence(quantity: str, card: ModelCard, median: float, share: float, frames: int) -> str:
    structure, _, last = quantity.rpartition(".")
    what = SAID.get(last, quantity).format(structure, card.reference_long_side_px)
    low, high = card.ranges[quantity]
    span = f"{_short(low):g} to {_short(high):g}"
    if low <= median <= high or share < 0.5:
        return f"{what} lies outside its training range of {span} in {100 * share:.0f} % of {frames} new frames."
    return f"{what} is {_short(median):g} in {frames} new frames (median), outside its training range of {span}."


def _short(value: float) -> float:
    return float(f"{value:.3g}")
