"""Rules on what the shape of a structure asks of the loss: misses, skeletons, components."""

from __future__ import annotations

from ercpseg.documents.plan import NetworkValues, Size
from ercpseg.planner.rule import Advice, Choice, Context
from ercpseg.planner.rules_loss import decisive

SMALL_FN_WEIGHT = 0.6
LONG_SCHEDULE = 25_000
"""From so many steps on a schedule is long: SGD reaches further than AdamW in nnU-Net's setting (R29). Judgement."""
CPU_STEPS_UNMEASURED = 2000
COMPONENT_WEIGHT, AREA_RATIO = 0.5, 10.0


def misses(context: Context) -> Advice:
    """R16: misses against extras.

    Decides: the weight β of what is missed against what is extra in each head's region term; 0.5 is Dice.
    From: the family: what is thin or tiny loses most by misses.
    Because: missing half of a wire or a stone costs more than a border that is a pixel too wide, and a region term can say so:
    TP / (TP + β·FN + (1 − β)·FP). β = 0.6 for thin and tiny structures. More only on evidence of the first fold (recall
    below precision by 0.05): 0.7 gave 3.8 points of recall for 44 % more false volume elsewhere.
    Source: CATMIL 2026; unified focal loss 2022; Salehi 2017 [E2]
    """
    values, inputs = {}, {}
    for head in (*context["heads.structures"], *context["heads.parents"]):
        traits = decisive(context.traits, head)[1]
        small = traits.shown and (traits.is_("thin") or traits.is_("tiny")) and not traits.is_("large")
        values[head], inputs[head] = (SMALL_FN_WEIGHT if small else 0.5), list(traits.families)
    chosen = [head for head, value in values.items() if value != 0.5]
    because = (
        f"{SMALL_FN_WEIGHT} for {', '.join(chosen)}, which are thin or tiny."
        if chosen
        else "Nothing thin or tiny: Dice."
    )
    others = [(dict.fromkeys(values, 0.7), "Only where a first fold shows recall 0.05 below precision.")]
    return Advice({"loss.fn_weight": Choice(values, because, inputs, others)})


def skeletons(context: Context) -> Advice:
    """R17: skeleton recall.

    Decides: the weight, per structure, of the recall of its skeleton (a tube of two dilations), at full resolution.
    From: the family; the number of training steps that the time allows.
    Because: a region term hardly notices a gap of a few pixels that cuts a wire in two; the recall of the skeleton does, at the
    cost of one more map per thin structure. Each structure has its own skeleton, so that a wire keeps its line where it
    crosses an endoscope. It rises over the first tenth of the training, since at first there is no line to complete. A
    short training (below 25,000 steps) never gets beyond flooding the frame with wire, so there it is off.
    Source: Kirchhoff 2024 (skeleton recall loss); Arora 2025 (per class, full resolution only); short trainings measured,
    docs/decisions/0024 [E2]
    """
    heads = (*context["heads.structures"], *context["heads.parents"])
    thin = [n for n in context["heads.structures"] if context.traits[n].shown and context.traits[n].is_("thin")]
    steps = expected_steps(context)
    short = steps is not None and steps < LONG_SCHEDULE
    values = {head: 1.0 if head in thin and not short else 0.0 for head in heads}
    inputs = {"thin": thin, "steps": steps}
    one = {head: 1.0 if head in thin else 0.0 for head in heads}
    none = dict.fromkeys(heads, 0.0)
    if not thin:
        return Advice({"loss.skeleton_weight": Choice(values, "No structure is thin.", inputs)})
    if short:
        because = f"{', '.join(thin)} is thin, but about {steps} steps are too few for it (limit {LONG_SCHEDULE})."
        others = [(one, "In 1,200 steps precision fell from 0.44 to 0.09 with it.")]
    else:
        because = f"Thin: {', '.join(thin)}."
        others = [(none, "Plain Dice and focal do not mind a wire in pieces.")]
    return Advice({"loss.skeleton_weight": Choice(values, because, inputs, others)})


def expected_steps(context: Context) -> int | None:
    """Training steps that the time will allow; None when it is not limited."""
    if context.budget.seconds is None:
        return None
    network = NetworkValues(**{key: context[f"network.{key}"] for key in NetworkValues.model_fields})
    size: Size = tuple(context["patch.size_px"])
    heads = len(context["heads.structures"]) + len(context["heads.parents"])
    steps = context.meter.iterations(network, size, context["patch.batch_size"], heads, budget=context.budget)
    return CPU_STEPS_UNMEASURED if steps is None and context.budget.device == "cpu" else steps


def components(context: Context) -> Advice:
    """R17: Dice per component.

    Decides: the weight, per structure, of a Dice that counts every component the same.
    From: the family; the spread of component areas (95th against 5th percentile).
    Because: the Dice of a frame with a large and a small stone is that of the large one. Where several components are usual, or
    their areas differ tenfold, each gets its own Dice over the pixels nearest to it, with weight 0.5 after a fifth of the
    training, when there are components to speak of.
    Source: Bouteille 2025; Kundu 2024; CATMIL 2026 [E2]
    """
    heads = (*context["heads.structures"], *context["heads.parents"])
    values, inputs = dict.fromkeys(heads, 0.0), {}
    for name in context["heads.structures"]:
        traits, area = context.traits[name], context.fingerprint.structures[name].component_area_px
        ratio = area.p95 / area.p05 if area and area.p05 > 0 else 1.0
        inputs[name] = {"components": traits.components, "area_ratio": round(ratio, 2)}
        if traits.shown and traits.is_("tiny") and not traits.is_("thin"):
            values[name] = COMPONENT_WEIGHT if traits.is_("multi") or ratio > AREA_RATIO else 0.0
    chosen = [name for name, weight in values.items() if weight]
    because = (
        f"Tiny and several, or of very different sizes: {', '.join(chosen)}." if chosen else "No tiny structure is so."
    )
    others = [(dict.fromkeys(heads, 0.0), "Without it the Dice of a frame is that of its largest stone.")]
    return Advice({"loss.component_weight": Choice(values, because, inputs, others)})


def further_terms(context: Context) -> Advice:
    """R14: further terms.

    Decides: terms beyond those of R14 to R17; none by rule.
    From: nothing.
    Because: recipes of published systems name the terms that those systems used; a rule has no reason to.
    Source: recipes [J]
    """
    return Advice({"loss.terms": Choice((), "None by rule; recipes may name some.", {})})
