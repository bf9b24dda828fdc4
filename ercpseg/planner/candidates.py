"""What tuning may try: thresholds and steps per structure, from the plan and the fingerprint (R24–R28).

Numbers are those of the rules: kernels in widths of the endoscope, component sizes in percentiles of training, gaps in
endoscope widths. Keeping the largest component, nnU-Net's only rule, is one candidate like others and nobody's default
(a guidewire in two pieces and two stones are both more than their largest part).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Decision, Plan, PostprocessStep
from ercpseg.documents.plan_values import TuningValues
from ercpseg.documents.tuning import STEPS, THRESHOLD
from ercpseg.planner.families import Traits, traits_of
from ercpseg.planner.metrics import primary_metric
from ercpseg.planner.rules_postprocess import RELATIVE_FRAC, UNTUNED_THRESHOLD, default_steps
from ercpseg.postprocess.choose import Candidates, Chain, Option, Slot

GRID = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Thresholds 0.05, 0.10 … 0.95 (R24)."""
KAPPA = (0.25, 0.5, 1.0)
"""Shares of the 5th percentile below which a component may be noise (R26); 0 is no step."""
LOW_FRAC = 0.3
"""Lower threshold of the hysteresis as a share of the upper one (R24)."""
SLOT_OF = {
    "thin_back": "width",
    "redraw": "width",
    "open_close": "shape",
    "fill_holes": "shape",
    "remove_small": "drop",
    "remove_short": "drop",
    "keep_relative": "drop",
    "keep_largest": "drop",
    "hysteresis": "grow",
    "complete_wire": "join",
    "keep_attached": "place",
    "keep_inside": "place",
}
"""Kind of every step. They run in the order width, shape, drop, grow, join, place: what grows or is joined was kept before,
so neither can show a wire in a frame that showed none."""


def candidates(plan: Plan, fingerprint: Fingerprint) -> dict[str, Candidates]:
    """What may be tried for each structure of the plan; nothing for what a person pinned."""
    scale = plan.values.preparation.working_long_side_px / fingerprint.reference_long_side_px
    # A step can look only at what the plan learns.
    traits = traits_of(fingerprint.of_structures(plan.values.heads.structures), scale)
    return {name: _candidates(name, plan, traits) for name in plan.values.heads.structures}


def candidates_sha256(found: Candidates) -> str:
    """A hash by which an old tuning knows whether the same would be tried now."""
    plain = asdict(found)
    for slot in plain["slots"]:
        for option in slot["options"]:
            option["steps"] = [step.model_dump() for step in option["steps"]]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _candidates(name: str, plan: Plan, traits: Mapping[str, Traits]) -> Candidates:
    values, t = plan.values.postprocess, traits[name]
    fixed = []
    thresholds: tuple[float, ...] = GRID
    ruled = dict.fromkeys(values.threshold, UNTUNED_THRESHOLD)
    if _pinned(plan.decision(THRESHOLD), name, values.threshold, ruled):
        thresholds = ()
        fixed.append(f"its threshold was set by the {plan.decision(THRESHOLD).by}")
    slots = _slots(name, values.steps[name], plan.values.tuning, traits) if t.shown else ()
    dilated, square = plan.values.preparation.dilate_px, plan.values.preparation.dilate_kernel == "square"
    ruled_steps = {s: default_steps(s, traits[s], dilated.get(s, 0), square=square) for s in values.steps}
    if _pinned(plan.decision(STEPS), name, values.steps, ruled_steps):
        slots = (Slot("pinned", (Option("as pinned", values.steps[name]),)),)
        fixed.append(f"its steps were set by the {plan.decision(STEPS).by}")
    return Candidates(primary_metric(name, t), values.threshold[name], thresholds, slots, tuple(fixed))


def _pinned(decision: Decision, name: str, value: Mapping[str, object], ruled: Mapping[str, object]) -> bool:
    """Whether a person set this entry: a pinned decision holds the rule's values for the entries that nobody named."""
    if decision.by == "rule":
        return False
    named = {structure for structure in value if value[structure] != ruled[structure]}
    return name in named or not named


def _slots(name: str, planned: Chain, tuning: TuningValues, traits: Mapping[str, Traits]) -> tuple[Slot, ...]:
    t = traits[name]
    kinds: dict[str, list[Option]] = {"width": [], "shape": [], "drop": [], "grow": [], "join": [], "place": []}
    thin = name in tuning.longest_gap_px
    scope = "endoscope" if "endoscope" in traits and traits["endoscope"].shown and name != "endoscope" else None
    if any(SLOT_OF[step.name] == "width" for step in planned):
        kinds["width"].append(_option("redraw", width_px=max(1.0, round(t.width50_px, 1))))
    if thin:
        kinds["grow"].append(_option("hysteresis", low_frac=LOW_FRAC))
        gap = tuning.longest_gap_px[name]
        kinds["join"] += [_option("complete_wire", of=scope, max_gap_px=round(f * gap, 1)) for f in (0.5, 1.0)]
        kinds["place"].append(_option("keep_attached", of=scope, max_gap_px=round(gap, 1)))
    elif primary_metric(name, t) == "dice":
        kinds["shape"] += _shapes(t, tuning.kernels_px.get(name, ()))
    kinds["drop"] += _drops(t, thin=thin)
    if name in tuning.nested_px:
        kinds["place"].append(_option("keep_inside", of="cbd", margin_px=tuning.nested_px[name]))
    return tuple(_slot(kind, planned, options) for kind, options in kinds.items())


def _slot(kind: str, planned: Chain, options: Sequence[Option]) -> Slot:
    """The planned steps of this kind first, then no step, then the others; none twice."""
    default = tuple(step for step in planned if SLOT_OF[step.name] == kind)
    all_ = [Option("as planned", default), Option("none", ()), *options]
    distinct = [o for i, o in enumerate(all_) if o.steps not in [before.steps for before in all_[:i]]]
    return Slot(kind, tuple(distinct), {"join": "joins", "drop": "removes", "place": "removes"}.get(kind, "none"))  # type: ignore[arg-type]


def _shapes(t: Traits, kernels: Sequence[tuple[int, int]]) -> list[Option]:
    """R25: small holes filled, and every opening, or none, with every closing, or none."""
    fill = _option("fill_holes", max_area_px=round(t.width50_px**2, 1))
    options = [fill]
    if kernels:
        openings, closings = ([1, *(k[i] for k in kernels)] for i in (0, 1))
        for opening in openings:
            for closing in closings:
                if opening > 1 or closing > 1:
                    sizes: dict[str, float] = {"opening_px": opening, "closing_px": closing}
                    shape = _option("open_close", None, **{key: size for key, size in sizes.items() if size > 1})
                    options.append(Option(f"{shape.label} + {fill.label}", shape.steps + fill.steps))
    return options


def _drops(t: Traits, *, thin: bool) -> list[Option]:
    """R26: small or short components, by shares of the 5th percentile in training, or all but the largest."""
    if thin:
        per_piece = t.length05_px / max(1.0, t.components)
        options = [_option("remove_short", min_length_px=round(k * per_piece, 1)) for k in KAPPA]
    else:
        options = [_option("remove_small", min_area_px=round(k * t.area05_px, 1)) for k in KAPPA]
        if not t.is_("multi"):
            options.append(_option("keep_relative", min_frac=RELATIVE_FRAC))
    return [*options, _option("keep_largest")]


def _option(name: str, of: str | None = None, **params: float) -> Option:
    told = ", ".join(f"{key.rpartition('_')[0]} {value:g}" for key, value in params.items())
    return Option(f"{name} ({told})" if told else name, (PostprocessStep(name=name, params=params, of=of),))
