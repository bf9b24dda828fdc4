"""Rules on training: schedule, latency, optimiser, folds."""

from __future__ import annotations

from typing import Any

from ercpseg.documents.plan import NetworkValues, Size
from ercpseg.errors import UsageError
from ercpseg.planner.budget import RESERVE_FRAC
from ercpseg.planner.rule import Advice, Choice, Context, percent
from ercpseg.planner.rules_shape import LONG_SCHEDULE
from ercpseg.planner.rules_size import FORWARD_SHARE

GPU_EPOCH, CPU_EPOCH = 250, 50
"""Iterations per epoch: nnU-Net's, and few enough on a CPU that a checkpoint is written every minute or so."""
MAX_ITERATIONS = 250_000
CPU_EPOCHS_UNMEASURED = 40
FEW_WARMUP = 0.1


def schedule(context: Context) -> Advice:
    """R29: length of training.

    Decides: epochs, iterations per epoch, and what was measured for them.
    From: the time there is, the measured seconds per iteration, the device, the number of frames.
    Because: the schedule must end inside the time, or the learning rate never comes down; a tenth is kept for validation
    and saving. On a GPU 1000 epochs of 250 iterations, 250 epochs below 300 frames. On a CPU half an hour if nothing
    else is said, in epochs of about 50 iterations, so that a kill costs a minute. Few-shot (R12) is done in five minutes on
    any device.
    Source: nnU-Net 2.8.1 (1000 × 250); the CPU part is judgement [E2/J]
    """
    budget, cpu = context.budget, context.budget.device == "cpu"
    network = NetworkValues(**{key: context[f"network.{key}"] for key in NetworkValues.model_fields})
    size: Size = tuple(context["patch.size_px"])
    heads = len(context["heads.structures"]) + len(context["heads.parents"])
    cost = context.meter.cost(network, size, context["patch.batch_size"], heads)
    seconds = None if cost is None else cost.seconds_per_iteration
    allowed = context.meter.iterations(network, size, context["patch.batch_size"], heads, budget=budget)
    per_epoch = CPU_EPOCH if cpu else GPU_EPOCH
    wanted = (
        CPU_EPOCHS_UNMEASURED * CPU_EPOCH if cpu else (250 if context.fingerprint.frames < 300 else 1000) * GPU_EPOCH
    )
    if allowed is not None:
        total = min(allowed, MAX_ITERATIONS if cpu else wanted)
        because = (
            f"{seconds:.2f} s per iteration were measured; {percent(1 - RESERVE_FRAC)} of {budget.seconds:.0f} s allow "
            f"{allowed} iterations."
        )
    else:
        total = wanted
        because = f"{wanted} iterations, the default for {budget.device}; " + (
            "the time is not limited." if budget.seconds is None else "an iteration was not measured."
        )
    # A handful of epochs at least, so that progress is saved and the schedule moves.
    per_epoch = int(context.pinned("schedule.iterations_per_epoch", max(1, min(per_epoch, total // 5))))
    epochs = max(1, total // per_epoch)
    inputs = {"seconds_per_iteration": seconds, "time_budget_s": budget.seconds, "frames": context.fingerprint.frames}
    full = max(1, wanted // per_epoch)
    shorter = [(full, "The default length; the time that there is does not allow it.")] if full > epochs else []
    longer = [(full, "The default length; the time that there is allows more.")] if full < epochs else []
    memory = None if cost is None else cost.memory_gb
    default = "" if budget.time_budget_s is not None else " (default for few-shot)" if budget.few_shot else ""
    default = " (default for a CPU)" if cpu and budget.time_budget_s is None and not default else default
    return Advice(
        {
            "schedule.epochs": Choice(epochs, because, inputs, shorter + longer),
            "schedule.iterations_per_epoch": Choice(per_epoch, f"{epochs} epochs; each is judged and logged.", inputs),
            "schedule.validation_iterations": Choice(
                5 if cpu else 50, "Enough to see a trend; the scores come from whole frames at the end.", {}
            ),
            "schedule.seconds_per_iteration": Choice(
                None if seconds is None else round(seconds, 4),
                "Not measured." if seconds is None else "Measured on this machine.",
                {"network": network.name, "batch_size": context["patch.batch_size"]},
            ),
            "schedule.time_budget_s": Choice(
                budget.seconds, "Unlimited." if budget.seconds is None else f"Per fold{default}.", {}
            ),
            "schedule.device": Choice(budget.device, "The device the plan was made for.", {}),
            "schedule.seed": Choice(1, "Fixed, so that a run can be repeated.", {}),
            "schedule.expected_epoch_s": Choice(
                None if seconds is None else round(seconds * per_epoch, 2),
                "Not measured." if seconds is None else f"{per_epoch} iterations of {seconds:.3g} s.",
                {"seconds_per_iteration": seconds},
            ),
            "schedule.expected_memory_gb": Choice(
                None if memory is None else round(memory, 3),
                "Not measured."
                if memory is None
                else "Of the measured iteration, above what the program takes anyway.",
                {"memory_budget_gb": round(budget.memory_gb, 1)},
            ),
        }
    )


def latency(context: Context) -> Advice:
    """R32: latency.

    Decides: the time that a frame may take in prediction, and what a forward pass of a tile takes here.
    From: what was asked for; a measurement on this machine.
    Because: fluoroscopy runs at 6 to 15 frames a second, and a mask that comes late is no help. Network (R11) and working size
    (R6) are chosen to keep to it, leaving three tenths of the time for decoding, preparing and finishing.
    Source: FRA-Net 2020 (66.5 ms); Gherardini 2020 (71 ms); the share is judgement [E1/J]
    """
    network = NetworkValues(**{key: context[f"network.{key}"] for key in NetworkValues.model_fields})
    heads = len(context["heads.structures"]) + len(context["heads.parents"])
    tile: Size = tuple(context["patch.tile_px"])
    budget_ms, taken = context.budget.latency_ms, context.meter.latency_ms(network, tile, heads)
    inputs = {"network": network.name, "tile_px": list(tile)}
    warnings: tuple[str, ...] = ()
    if budget_ms is not None and taken is not None and taken > FORWARD_SHARE * budget_ms:
        warnings = (
            f"LATENCY: a forward pass takes {taken:.0f} ms here, more than {percent(FORWARD_SHARE)} of the {budget_ms:.0f} ms "
            "that a frame may take; at no smaller size would the thinnest structure be seen (R32).",
        )
    asked = "No limit was asked for." if budget_ms is None else "Asked for."
    measured = "Not measured." if taken is None else f"A tile of {tile[0]} × {tile[1]} px through {network.name}."
    return Advice(
        {
            "inference.latency_budget_ms": Choice(budget_ms, asked, {}),
            "inference.expected_latency_ms": Choice(None if taken is None else round(taken, 2), measured, inputs),
        },
        warnings,
    )


def optimiser(context: Context) -> Advice:
    """R29: optimiser.

    Decides: the optimiser, its learning rate and how that falls.
    From: the total number of iterations; the network.
    Because: SGD with a polynomial decay wins over a quarter of a million iterations; in a short schedule AdamW gets much
    further, with a short warm-up against a bad start and a cosine to end at zero. Few-shot (R12) warms up twice as long: the
    weights that it begins from are better than the optimiser's first moments.
    Source: nnU-Net 2.8.1 (SGD 10⁻², Nesterov 0.99, poly 0.9, decay 3·10⁻⁵); short schedules are judgement [E2/J]
    """
    total = context["schedule.epochs"] * context["schedule.iterations_per_epoch"]
    inputs = {"iterations": total, "network": context["network.name"]}
    others: dict[str, list[tuple[Any, str]]] = {}
    long = total >= LONG_SCHEDULE and not context.few_shot
    if context.pinned("optimiser.name", "sgd" if long else "adamw") == "sgd":
        others["name"] = [("adamw", f"It leads in short schedules, below {LONG_SCHEDULE} iterations.")]
        others["schedule"] = [("cosine", "It goes with AdamW in short schedules.")]
        because = f"{total} iterations are a {'long' if long else 'short'} schedule (long from {LONG_SCHEDULE} on)."
        values = {
            "name": "sgd",
            "learning_rate": 0.01,
            "momentum": 0.99,
            "weight_decay": 3e-5,
            "schedule": "poly",
            "warmup_frac": 0.0,
        }
    else:
        because = f"{total} iterations are a {'long' if long else 'short'} schedule (short below {LONG_SCHEDULE})."
        because = f"Few-shot: {total} iterations that only adapt weights (R12)." if context.few_shot else because
        others["name"] = [("sgd", f"It overtakes only in long schedules, from {LONG_SCHEDULE} iterations on.")]
        others["schedule"] = [("poly", "It goes with SGD in long schedules.")]
        rate = 0.001 if context["network.name"] == "unet" else 0.002
        values = {
            "name": "adamw",
            "learning_rate": rate,
            "momentum": 0.9,
            "weight_decay": 0.01,
            "schedule": "cosine",
            "warmup_frac": FEW_WARMUP if context.few_shot else 0.05,
        }
    return Advice(
        {f"optimiser.{key}": Choice(value, because, inputs, others.get(key, ())) for key, value in values.items()}
    )


def folds(context: Context) -> Advice:
    """R30: folds.

    Decides: the number of folds of the cross-validation and what must not be torn apart.
    From: the number of groups and what tells them apart (the patient; where that is unknown the study, the series, the looks of
    a frame); the number of frames; whether the data come with a validation part.
    Because: frames of one patient resemble each other, so a score is honest only if a patient is on one side of the
    split. Near-duplicates stay together whatever their names say. Five folds from 25 groups on; below that up to ten,
    so that each leaves out few patients. Where only one patient is told apart, its studies, series and near-duplicates
    still stay together; single frames are split only where nothing tells them apart. A published validation part is
    taken as it is, as the only fold, because figures are compared on it.
    Source: Pishro 2026 (patients apart); the leak in Martin 2022 and Gherardini 2020 (S1) shows what happens else;
    near-duplicates measured on MIQR-CC, 436 patients [E1]
    """
    f = context.fingerprint
    groups = f.patients if f.groups is None else f.groups
    told_apart = 0 if f.grouped_by == "frame" else groups
    validation = f.parts.get("val", 0)
    inner = f.inner_groups if groups == 1 and f.inner_grouped_by != "frame" else 0
    inputs = {
        "groups": groups,
        "inner_groups": f.inner_groups,
        "patients": f.patients,
        "studies": f.studies,
        "series": f.series,
        "near_duplicates": f.near_duplicates,
        "frames": f.frames,
        "validation_frames": validation,
        "grouped_by": f.grouped_by,
    }
    ours = "grouped" if told_apart >= 2 else "within-patient" if inner >= 2 else "frame-wise"
    method = context.pinned("folds.method", "published" if validation else ours)
    by = {"frame-wise": "frame", "within-patient": f.inner_grouped_by, "by-series": "series"}.get(method, f.grouped_by)
    warnings: tuple[str, ...] = ()
    if method == "published":
        count = 1
        because = (
            f"The data say which {validation} of {f.frames} frames are for validation; other folds would mix them."
        )
    elif method == "grouped":
        count = 5 if groups >= 25 else max(1, min(10, groups))
        because = f"{groups} groups by {by} ({'25 or more' if groups >= 25 else 'fewer than 25'})."
        if groups == 2:
            warnings = ("Only 2 patients are told apart: every fold trains on one of them (R30).",)
    elif method == "within-patient":
        count = max(1, min(5, inner))
        because = f"Only one patient is told apart; {inner} groups by {by} stay together."
        warnings = (_within(inner, by, f.studies),)
    elif method == "by-series":
        count = min(10, f.series)
        because = f"{f.series} series; each fold leaves out one of them, or a tenth."
        warnings = (_by_series(f.series),)
    else:
        count = max(1, min(5, f.frames))
        because = f"Only {told_apart} patient(s) are told apart in {f.frames} frames."
        warnings = (_frame_wise(told_apart, f.studies),)
    if int(context.pinned("folds.count", count)) < 2 and method != "published":
        warnings += (
            "NOTHING IS HELD OUT: there is one fold, so the frames that judge the training are those of it (R30).",
        )
    choices = {"count": count, "method": method, "grouped_by": by}
    others = {"method": _other_methods(method, told_apart, validation)}
    return Advice(
        {f"folds.{key}": Choice(value, because, inputs, others.get(key, ())) for key, value in choices.items()},
        warnings,
    )


def _other_methods(method: str, told_apart: int, validation: int) -> list[tuple[str, str]]:
    """The ways to make folds that were not taken."""
    why = {
        "published": "It would be the only fold." if validation else "The data name no frames for validation.",
        "grouped": ("Figures are compared on the published part." if validation else "Another was asked for.")
        if told_apart >= 2
        else f"{told_apart} groups are told apart; two are needed.",
        "by-series": "Series of one patient would be on both sides; it is for the protocols of published systems.",
        "frame-wise": "Frames that resemble each other would be on both sides, and the scores too good.",
    }
    return [(other, reason) for other, reason in why.items() if other != method]


def _within(inner: int, by: str, studies: int) -> str:
    return (
        f"FOLDS WITHIN ONE PATIENT: only one patient is told apart, so folds are made of {inner} groups by {by}; frames of "
        "this patient are on both sides and the scores will be TOO GOOD for a new one. Begin file names with the patient "
        "and a _ (R30)." + _several(studies)
    )


def _by_series(series: int) -> str:
    """The warning that goes with folds by series; fewer than two cannot make any."""
    if series < 2:
        raise UsageError(
            f"folds by series need series, and {'one' if series else 'none'} is known",
            where="folds.method",
            expected="two or more",
            todo="say in a descriptor what tells series apart: grouping.series",
        )
    return (
        f"FOLDS ARE MADE OF {series} SERIES, whatever patient they are of: where a patient has several, frames of one person "
        "are on both sides and the scores will be TOO GOOD (R30)."
    )


def _frame_wise(told_apart: int, studies: int) -> str:
    return (
        f"FOLDS ARE SPLIT BY FRAME: only {told_apart} patient(s) are told apart, so frames of one patient are on both "
        "sides and the scores will be TOO GOOD. Begin file names with the patient and a _ (R30)." + _several(studies)
    )


def _several(studies: int) -> str:
    """What to do where one name stands for several patients."""
    if studies < 3:
        return ""
    return (
        f" {studies} studies are told apart: if they are of different patients under one name, a descriptor with "
        "patient: {by: unknown} groups by study."
    )
