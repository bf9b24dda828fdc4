"""Checks on loss, sampling, post-processing, folds and budgets against the data and against each other."""

from __future__ import annotations

from ercpseg.planner.checks import Case, Found
from ercpseg.planner.families import MULTI_COMPONENTS

MADE_PER_S = {"phantom-simple": 30.0}
OTHERS_MADE_PER_S = 10.0
"""Frames of 384 px made and prepared a second by one core, measured; scenes take longer than the phantom, more pixels too."""


def levels(case: Case) -> Found:
    """Output levels that cannot show a structure."""
    small = {n: t for n, t in case.traits.items() if t.shown and (t.is_("thin") or t.is_("tiny"))}
    if not small:
        return
    width = {n: t.width10_px if t.is_("thin") else t.width50_px for n, t in small.items()}
    name = min(width, key=lambda n: width[n])
    blind = [k for k, w in enumerate(case.values.loss.level_weights) if k and w > 0 and width[name] * 0.5**k < 1]
    if blind:
        yield (
            ("loss.level_weights",),
            f"{name} keeps {width[name] * 0.5 ** blind[0]:.1f} px at output level {blind[0]}, which would learn that it is "
            "absent (R22).",
        )


def silent_heads(case: Case) -> Found:
    """Heads that count but have no term."""
    loss = case.values.loss
    named = {
        head for term in loss.terms for head in (term.weight if isinstance(term.weight, dict) else loss.head_weight)
    }
    for head, weight in loss.head_weight.items():
        own = (loss.dice_weight, loss.focal_weight, loss.skeleton_weight, loss.component_weight)
        if weight > 0 and head not in named and not any(part.get(head, 0.0) > 0 for part in own):
            yield (
                ("loss.head_weight", "loss.dice_weight", "loss.focal_weight", "loss.terms"),
                f"{head} counts with {weight:g} but has no term of the loss, so it learns nothing (R14).",
            )


def skeletons(case: Case) -> Found:
    """Skeletons of what is not thin."""
    for name, weight in case.values.loss.skeleton_weight.items():
        t = case.traits.get(name)
        if weight > 0 and t is not None and t.shown and not t.is_("thin"):
            yield ("loss.skeleton_weight",), f"{name} is not thin, so recall of its skeleton says little (R17)."


def sampling(case: Case) -> Found:
    """Draws of what is never shown."""
    for name, share in case.values.sampling.structure_share.items():
        if share > 0 and name in case.traits and not case.traits[name].shown:
            yield ("sampling.structure_share",), f"no frame shows {name}, so it cannot be drawn (R21)."


def postprocess(case: Case) -> Found:
    """Steps that delete what was annotated."""
    key = ("postprocess.steps",)
    for name, t in case.traits.items():
        for step in case.steps(name) if t.shown else ():
            if step.name == "keep_largest" and (t.is_("thin") or t.components >= MULTI_COMPONENTS):
                parted = t.components >= MULTI_COMPONENTS
                why = f"has {t.components:.1f} parts in a frame" if parted else "breaks where it is faint"
                yield key, f"keep_largest deletes parts of {name}, which {why} (R26)."
            opening = step.params.get("opening_px", 1)
            if step.name == "open_close" and t.is_("thin") and opening > t.width10_px:
                yield key, f"an opening of {opening:g} px deletes {name}, which is {t.width10_px:.1f} px wide (R25)."
            least = step.params.get("min_area_px", 0)
            if step.name == "remove_small" and least > t.area05_px > 0:
                yield (
                    key,
                    f"remove_small drops {name} below {least:g} px, but one in twenty as annotated is smaller than "
                    f"{t.area05_px:.0f} px (R26).",
                )


def folds(case: Case) -> Found:
    """Folds that tear groups apart, or that are empty."""
    f, folds = case.fingerprint, case.values.folds
    groups = f.patients if f.groups is None else f.groups
    if folds.method == "frame-wise" and f.grouped_by != "frame" and groups >= 2:
        yield (
            ("folds.method",),
            f"folds tear {groups} groups by {f.grouped_by} apart, so scores will be too good (R30).",
        )
    if folds.method == "grouped" and folds.count > groups:
        yield ("folds.count",), f"{folds.count} folds of {groups} groups: some would hold out nothing (R30)."


def budgets(case: Case) -> Found:
    """Memory, time and latency beyond what was asked for."""
    s, i, budget = case.values.schedule, case.values.inference, case.budget
    keys = ("patch.size_px", "patch.batch_size", "network.name", "network.features")
    if s.expected_memory_gb is not None and s.expected_memory_gb > budget.memory_gb:
        yield (
            keys,
            f"a training step takes {s.expected_memory_gb:.1f} GB, more than the {budget.memory_gb:.1f} GB that there are "
            "(R9).",
        )
    if s.expected_epoch_s is not None and budget.seconds is not None:
        whole = s.expected_epoch_s * s.epochs
        if whole > budget.seconds:
            yield (
                ("schedule.epochs", "schedule.iterations_per_epoch"),
                f"{s.epochs} epochs take {whole:.0f} s by the measurement, more than the {budget.seconds:.0f} s asked for; "
                "training will stop at the time (R29).",
            )
    limit, taken = budget.latency_ms, i.expected_latency_ms
    if limit is not None and taken is not None and taken > limit:
        yield (
            ("network.name", "network.features", "preparation.working_long_side_px", "patch.tile_px"),
            f"a forward pass takes {taken:.0f} ms, more than the {limit:.0f} ms that a frame may take (R32).",
        )


def pretraining(case: Case) -> Found:
    """Frames whose making takes most of the time that there is to learn on them."""
    transfer, seconds = case.values.transfer, case.values.schedule.time_budget_s
    if not transfer.pretrain_share or not transfer.synthetic_frames or seconds is None:
        return
    making = transfer.synthetic_frames / MADE_PER_S.get(transfer.pretrain_domain, OTHERS_MADE_PER_S)
    there = transfer.pretrain_share * seconds
    if making > there / 2:
        yield (
            (
                "transfer.synthetic_frames",
                "transfer.pretrain_share",
                "transfer.pretrain_domain",
                "schedule.time_budget_s",
            ),
            f"making {transfer.synthetic_frames} synthetic frames takes about {making:.0f} s of the {there:.0f} s of their "
            "training, so it learns little from them; give more time, or plan with fewer (R12).",
        )
