"""Rules on what only data can settle: what tuning and comparing try, and when new frames count as different."""

from __future__ import annotations

from ercpseg.documents.plan_values import AlarmValues
from ercpseg.planner.metrics import primary_metric
from ercpseg.planner.rule import Advice, Choice, Context, percent
from ercpseg.planner.rules_postprocess import scope_kernels

KERNEL_SHARES = (0.5, 1.0)
"""The grid of R25 beside "none"."""
GAP_SIDE_FRAC, GAP_WIDTHS = 0.12, 3.0
"""Longest gap of a wire: 0.12 of the shorter side, 3 widths of the endoscope (R27)."""
NESTED_FRAC, MARGIN_WIDTHS = 0.95, 0.25
"""Stones are nested where 95 % of them lie in the duct; it is widened by a quarter of its width (R28)."""


def kernels(context: Context) -> Advice:
    """R25: kernels of opening and closing.

    Decides: the pairs of kernels (opening, closing) that tuning tries per structure, in working pixels.
    From: the width of the endoscope, and of other structures that are large.
    Because: an opening of 0.2 widths takes off spurs, a closing of 1.4 widths joins what a shadow parts; the closing is wider
    than the shaft and may glue a loop, so that only held-out frames can say whether they help, and half of both is tried
    too. Never for what is thin or tiny, which an opening deletes.
    Source: Martin 2022 (10 and 70 px at a width of 50 px) [E1/J]
    """
    traits = context.traits
    wanted = {
        n: t.width50_px
        for n, t in traits.items()
        if t.shown
        and primary_metric(n, t) == "dice"
        and not t.is_("thin")
        and (t.is_("large") or (n == "endoscope" and not t.is_("tiny")))
    }
    value = {n: tuple(scope_kernels(f * width) for f in KERNEL_SHARES) for n, width in wanted.items()}
    inputs = {"width50_px": {n: round(width, 2) for n, width in wanted.items()}}
    because = (
        "0.2 and 1.4 of the width, and half of both: " + ", ".join(f"{n} {w:.1f} px" for n, w in wanted.items()) + "."
        if wanted
        else "Nothing is large."
    )
    return Advice({"tuning.kernels_px": Choice(value, because, inputs, [({}, "Then nothing would join a cut shaft.")])})


def longest_gap(context: Context) -> Advice:
    """R27: longest gap of a wire.

    Decides: the longest gap that tuning may close in a thin structure, in working pixels.
    From: the shorter side, the endoscope's width, the 99th percentile of the gaps between pieces in the annotations.
    Because: a gap that no annotation has, or that is longer than three endoscopes are wide, joins strangers. It is the least
    of 0.12 of the shorter side, three widths of the endoscope and the gaps seen, each where it is known. Wires are only
    completed if clDice out of fold gains and distances do not grow.
    Source: MSLNet (40 to 120 px); LIP6 internship offer 2023; the limits are judgement [E1/J]
    """
    f, traits = context.fingerprint, context.traits
    aspect = f.aspect.p50
    side = GAP_SIDE_FRAC * f.reference_long_side_px * context.scale * min(aspect, 1 / aspect)
    value, inputs = {}, {}
    for name in context["heads.structures"]:
        if not (traits[name].shown and traits[name].is_("thin") and primary_metric(name, traits[name]) == "cldice"):
            continue
        limits = {"side": side}
        if "endoscope" in traits and traits["endoscope"].shown and name != "endoscope":
            limits["scope"] = GAP_WIDTHS * traits["endoscope"].width50_px
        if gap := f.structures[name].gap99_px:
            limits["seen"] = gap * context.scale
        value[name] = round(min(limits.values()), 1)
        inputs[name] = {key: round(limit, 1) for key, limit in limits.items()}
    because = ", ".join(f"{n}: the least of {', '.join(map(str, told.values()))}" for n, told in inputs.items())
    return Advice({"tuning.longest_gap_px": Choice(value, f"{because}." if value else "Nothing is thin.", inputs)})


def nesting(context: Context) -> Advice:
    """R28: stones in the duct.

    Decides: the structures that tuning may keep inside the duct, and how far the duct is widened for it, in working pixels.
    From: the share of each stone's pixels that are also duct; the duct's width.
    Because: where at least 95 % of the stones' pixels lie in the duct, a stone outside is none. The duct is widened by a
    quarter of its width, because its rim is drawn narrow, and half of a stone inside is enough.
    Source: anatomy; the numbers are judgement [J]
    """
    duct = context.traits.get("cbd")
    inside = {n: context.fingerprint.overlap.get(n, {}).get("cbd", 0.0) for n in context.traits if "stone" in n}
    nested = [n for n, share in inside.items() if share >= NESTED_FRAC and duct is not None and duct.shown]
    value = {n: round(MARGIN_WIDTHS * duct.width50_px, 1) for n in nested} if duct is not None else {}
    told = ", ".join(f"{percent(share)} of {n} lies in the duct" for n, share in inside.items())
    because = f"{told} (limit {percent(NESTED_FRAC)})." if told else "There is no stone, or no duct."
    return Advice({"tuning.nested_px": Choice(value, because, {"inside_cbd": inside})})


def portfolio(context: Context) -> Advice:
    """R31: portfolio.

    Decides: the recipes that ``ercpseg compare`` trains when none is named.
    From: the network that was chosen.
    Because: rules get within about a point of long searches, and what is left only held-out frames can settle: the plan as
    it is, nnU-Net as it comes, and the light network where the plan took another. The first one stays unless another is
    clearly better.
    Source: AutoNNUnet 2025 (cost and benefit of a search); the three are judgement [E2/J]
    """
    light = context["network.name"] == "light"
    value = ("auto", "nnunet") if light else ("auto", "nnunet", "light")
    because = "The plan took the light network already." if light else "The plan, nnU-Net and the light network."
    return Advice({"portfolio.recipes": Choice(value, because, {"network": context["network.name"]})})


def alarm(context: Context) -> Advice:
    """R34: shift alarm.

    Decides: the share of new frames that may lie outside the training range of a quantity before ``predict`` warns.
    From: nothing; the ranges themselves are in the model's card.
    Because: of the training frames 2 % lie outside their own 1st to 99th percentile; five times as many are not chance, and
    scores drop where frames come from elsewhere.
    Source: Huang 2021 (stones lost 16 points on external data); the factor is judgement [E1/J]
    """
    del context
    return Advice(
        {"alarm.outside_frac": Choice(AlarmValues().outside_frac, "Five times what the training frames have.", {})}
    )
