"""Choose threshold and steps of one structure by evidence: what is tried in which order, and what counts as better.

The order is greedy: the threshold first, with the planned steps; then one kind of step after the other, each with what was
accepted before it. A candidate is accepted when its metric gains more than one standard error of the paired difference
between patients, when it harms nothing that the metric does not see (:func:`verdict`), and when the choice is also worth
something to patients who took no part in it: the best of 18 thresholds looks better than it is on the frames that chose it
(:func:`ercpseg.postprocess.evidence.cross_fitted`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ercpseg.documents.plan import PostprocessStep
from ercpseg.documents.tuning import METRIC_TEXT, Metric, Trial, TunedStructure
from ercpseg.postprocess.evidence import Evidence, cross_fitted, gain

Guard = Literal["none", "removes", "joins"]
Chain = tuple[PostprocessStep, ...]

MIN_PATIENTS = 5
"""A standard error of fewer paired differences says little (judgement)."""
EXACT = 1e-9
"""Rounding that decides nothing."""
MAX_LOST_FRAC = 0.01
"""Steps that remove components may lose at most this share of the annotated objects (R26)."""


@dataclass(frozen=True)
class Setting:
    """A threshold and a chain of steps in working pixels."""

    threshold: float
    steps: Chain


@dataclass(frozen=True)
class Option:
    """One way to fill a slot."""

    label: str
    steps: Chain


@dataclass(frozen=True)
class Slot:
    """A kind of step. ``options[0]`` is what the plan says; ``guard`` is what must not get worse."""

    name: str
    options: tuple[Option, ...]
    guard: Guard = "none"


@dataclass(frozen=True)
class Candidates:
    """All that may be tried for one structure. ``thresholds`` holds the planned one; ``slots`` are in running order.

    ``fixed`` says what is not tuned and why, for example because a person pinned it.
    """

    metric: Metric
    threshold: float
    thresholds: tuple[float, ...]
    slots: tuple[Slot, ...]
    fixed: tuple[str, ...] = ()

    @property
    def default(self) -> Setting:
        """What the plan says."""
        return Setting(self.threshold, _chain([slot.options[0] for slot in self.slots]))

    @property
    def looks(self) -> bool:
        """Whether a step may look at another structure."""
        return any(step.of for slot in self.slots for option in slot.options for step in option.steps)

    @property
    def count(self) -> int:
        """How many settings :func:`search` measures."""
        again = sum(slot.guard == "joins" and len(slot.options) > 1 for slot in self.slots)
        return 1 + len({*self.thresholds} - {self.threshold}) + again + sum(len(s.options) - 1 for s in self.slots)


Measure = Callable[[Sequence[Setting], bool], list[Evidence]]
"""Evidence for each setting; the flag asks for surface distances too."""


def search(candidates: Candidates, measure: Measure) -> TunedStructure:
    """Try the candidates in order and return what was chosen, with every trial."""
    default = candidates.default
    chosen = {slot.name: slot.options[0] for slot in candidates.slots}
    now, base = default, measure([default], False)[0]
    standing = base
    trials: list[Trial] = []
    others = sorted({*candidates.thresholds} - {default.threshold}, key=lambda t: (abs(t - default.threshold), t))
    if others and base.score.value is not None:
        settings = [Setting(t, now.steps) for t in others]
        best, tried = _best("threshold", [f"{t:g}" for t in others], settings, standing, measure, "none")
        trials += tried
        if best is not None:
            now, standing = settings[best[0]], best[1]
    for slot in candidates.slots if base.score.value is not None else ():
        options = slot.options[1:]
        settings = [Setting(now.threshold, _chain([*(chosen | {slot.name: o}).values()])) for o in options]
        if slot.guard == "joins" and options:
            standing = measure([now], True)[0]
        best, tried = _best(slot.name, [o.label for o in options], settings, standing, measure, slot.guard)
        trials += tried
        if best is not None:
            now, standing = settings[best[0]], best[1]
            chosen[slot.name] = options[best[0]]
    return _result(candidates, default, base, now, standing, trials)


def verdict(candidate: Evidence, standing: Evidence, guard: Guard) -> tuple[float | None, float | None, str]:
    """Gain, its standard error, and why the candidate is not accepted (empty when it is).

    Not accepted: fewer than :data:`MIN_PATIENTS` patients show the structure; the gain is not above one standard error;
    the structure is invented in more frames that do not show it, by more than one standard error; a step that removes
    loses more than 1 % of the annotated objects; a step that joins makes the mean 95th percentile of the surface
    distance larger; the Dice beside another score falls by more than one standard error (wires that grow fat, stones that
    shrink).
    """
    better = gain(candidate.score, standing.score)
    if better is None or better.se is None:
        return None if better is None else better.difference, None, "fewer than two patients show it"
    why = ""
    worse = gain(candidate.invented, standing.invented)
    overlap = gain(candidate.dice, standing.dice) if candidate.dice and standing.dice else None
    lost = standing.found - candidate.found
    if better.patients < MIN_PATIENTS:
        why = f"{better.patients} patients show it, at least {MIN_PATIENTS} are needed"
    elif better.difference <= better.se * (1 + EXACT):  # what a single patient gains is exactly one standard error
        why = f"the gain of {better.difference:.3f} is not above one standard error, {better.se:.3f}"
    elif worse is not None and worse.se is not None and worse.difference > worse.se * (1 + EXACT):
        why = f"it is invented in {100 * worse.difference:.0f} % more of the frames that do not show it"
    elif overlap is not None and overlap.se is not None and -overlap.difference > overlap.se * (1 + EXACT):
        why = f"its Dice falls by {-overlap.difference:.3f}, more than one standard error, {overlap.se:.3f}"
    elif guard == "removes" and lost > MAX_LOST_FRAC * standing.objects:
        why = f"{lost} of {standing.objects} annotated objects would be lost"
    elif guard == "joins" and candidate.hd95_px and standing.hd95_px:
        before, after = standing.hd95_px.value, candidate.hd95_px.value
        if before is not None and after is not None and after > before:
            why = f"HD95 rises from {before:.1f} to {after:.1f} px"
    return better.difference, better.se, why


def _best(
    stage: str, labels: Sequence[str], settings: Sequence[Setting], standing: Evidence, measure: Measure, guard: Guard
) -> tuple[tuple[int, Evidence] | None, list[Trial]]:
    """The accepted candidate with the best metric (the first of equals), and all trials."""
    if not settings:
        return None, []
    found = measure(settings, guard == "joins")
    verdicts = [verdict(evidence, standing, guard) for evidence in found]
    fit = [i for i, (_, _, why) in enumerate(verdicts) if not why]
    best = max(fit, key=lambda i: found[i].score.value or 0.0) if fit else None
    others = f"{labels[best]} is better" if best is not None else ""
    cross = gain(cross_fitted([found[i].score for i in fit], standing.score), standing.score) if fit else None
    chance = cross is None or cross.difference <= 0
    if cross is not None and chance:
        others = f"chosen without the patients that it is measured on, the gain is {cross.difference:.3f}"
    trials = [
        Trial(
            stage=stage,
            label=labels[i],
            threshold=settings[i].threshold,
            steps=settings[i].steps,
            value=found[i].score.value,
            gain=difference,
            gain_se=se,
            cross_gain=cross.difference if cross is not None and i == best else None,
            accepted=i == best and not chance,
            why=why or ("" if i == best and not chance else others),
        )
        for i, (difference, se, why) in enumerate(verdicts)
    ]
    return (None if best is None or chance else (best, found[best])), trials


def _result(  # all of one search
    candidates: Candidates, default: Setting, base: Evidence, now: Setting, standing: Evidence, trials: list[Trial]
) -> TunedStructure:
    fixed = "; ".join(candidates.fixed)
    closest = max((t for t in trials if t.gain is not None), key=lambda t: t.gain or 0.0, default=None)
    difference, se = (None, None) if closest is None else (closest.gain, closest.gain_se)
    if base.score.value is None:
        why = "no frame that was predicted out of fold shows it"
    elif now == default:
        why = f"best candidate {closest.stage} {closest.label}: {closest.why}" if closest else "nothing was tried"
    else:
        difference, se, why = verdict(standing, base, "none")
        why = why and f"all changes together: {why}"
    accepted = not why
    final, evidence = (now, standing) if accepted else (default, base)
    why = why or f"{METRIC_TEXT[candidates.metric]} gains more than one standard error"
    return TunedStructure(
        metric=candidates.metric,
        accepted=accepted,
        why=f"{why} ({fixed})" if fixed else why,
        threshold=final.threshold,
        steps=final.steps,
        default_value=base.score.value,
        value=evidence.score.value,
        gain=difference,
        gain_se=se,
        frames=base.frames,
        patients=base.score.patients,
        trials=tuple(trials),
    )


def _chain(options: Sequence[Option]) -> Chain:
    return tuple(step for option in options for step in option.steps)
