"""Rules on what a training may begin from, and on synthetic frames beside those of the dataset."""

from __future__ import annotations

from ercpseg.documents.plan_values import SamplingValues, TransferValues
from ercpseg.planner.rule import Advice, Choice, Context, percent
from ercpseg.planner.rules_size import FORWARD_SHARE, MOST_ENLARGED, forward_ms
from ercpseg.planner.shipped import SHIPPED
from ercpseg.structures import DEFAULT_STRUCTURES

FEW_FRAMES = 1000
LEAST_SYNTHETIC, SYNTHETIC_PER_FRAME = 9000, 10
FEW_SHOT_FRAMES = 100
"""The fewest frames that a published fluoroscopy network learnt from by itself."""
FEW_SHOT_RATE = 0.25
MIXED_FRAC = 0.25
MIXED_LEAST, MIXED_MOST = 60, 240
MIXED_TIME_FRAC, MIXED_PER_S = 0.1, 4.0
"""Making them may take a tenth of the time, at so many a second: drawing and preparing one of 512² takes 0.23 s of a core."""


def made_for(context: Context) -> Advice:
    """R12: few-shot.

    Decides: whether this is few-shot, and the shipped weights that sizes, rates, time and mixing are then chosen for.
    From: the number of frames, the structures, the frames' longer side; a network or several frames at a time that a person
    pinned; the time that a frame may take in prediction.
    Because: a hundred frames is the least that a published fluoroscopy network learnt from by itself (and had to be enlarged
    tenfold for it); with fewer, weights that have seen the scene are worth more than a longer training. They fit what they
    were made for: their network, their channels, frames of their size (enlarged at most 1.5 times), at least one of their
    structures. The real-time weights are taken where the light ones would be too slow. What begins from them is said with
    ``train --init-from``; nothing is begun unasked.
    Source: Martin 2022 (100 frames); Gherardini 2020 (pre-training); the limit is judgement [E1/J]
    """
    f = context.fingerprint
    name = _weights(context)
    few, side = f.frames < FEW_SHOT_FRAMES, f.reference_long_side_px
    inputs = {"frames": f.frames, "patients": f.patients, "long_side_px": side}
    limit = f"limit {FEW_SHOT_FRAMES}"
    if not few:
        value, because = None, f"{f.frames} frames are not few ({limit})."
    elif name is None:
        value, wanted = None, context.pinned("network.name", "any network")
        at_once = context.pinned("input.frames", 1)
        what = wanted if at_once == 1 else f"{wanted} for {at_once} frames at a time"
        because = f"{f.frames} frames are few ({limit}), but no weights of {what} are shipped."
    elif side * MOST_ENLARGED < SHIPPED[name].long_side_px:
        value = None
        because = (
            f"{f.frames} frames are few ({limit}), but of {side} px; the weights want {SHIPPED[name].long_side_px}."
        )
    elif not set(f.structures) & set(SHIPPED[name].structures):
        value, because = (
            None,
            f"{f.frames} frames are few ({limit}), but the shipped weights know none of the structures.",
        )
    else:
        value = name
        because = f"Few-shot: {f.frames} frames of {f.patients} patients ({limit}); begin with --init-from {name}."
    others = [(None, "From random weights so few frames teach little about wires and stones.")] if value else []
    return Advice({"transfer.made_for": Choice(value, because, inputs, others)})


def _weights(context: Context) -> str | None:
    """The shipped weights of the pinned network, else the first that are fast enough, else the fastest. All take one frame."""
    if context.pinned("input.frames", 1) != 1:
        return None
    pinned = context.pinned("network.name", None)
    if pinned is not None:
        return pinned if pinned in SHIPPED else None
    budget_ms = context.budget.latency_ms
    taken = {name: forward_ms(context, name, shipped.long_side_px) for name, shipped in SHIPPED.items()}
    known = {name: ms for name, ms in taken.items() if ms is not None}
    if budget_ms is None or len(known) < len(SHIPPED):
        return next(iter(SHIPPED))
    fast = [name for name, ms in known.items() if ms <= FORWARD_SHARE * budget_ms]
    return fast[0] if fast else min(known, key=lambda name: known[name])


def pretraining(context: Context) -> Advice:
    """R12: pre-training.

    Decides: on how many synthetic frames a network should have been trained before these; 0 where it need not.
    From: the number of frames.
    Because: below a thousand annotated frames a network that learnt on synthetic ones first found wires in sequences it had not
    seen (Dice 0.10 without, 0.15 to 0.26 with). Ten times as many as there are real ones, 9,000 at least. The plan only
    says so: what a training begins from is said with ``train --init-from``.
    Source: Gherardini 2020 (9,000 frames); VDSB-GWSyn 2024 [E1]
    """
    frames = context.fingerprint.frames
    few = frames < FEW_FRAMES
    value = max(LEAST_SYNTHETIC, SYNTHETIC_PER_FRAME * frames) if few else 0
    because = (
        f"{frames} frames are fewer than {FEW_FRAMES}: begin from weights trained on synthetic frames."
        if few
        else f"{frames} frames are enough by themselves."
    )
    none = [(0, "From scratch unseen sequences were found half as well.")] if few else []
    return Advice({"transfer.synthetic_frames": Choice(value, because, {"frames": frames}, none)})


def transfer(context: Context) -> Advice:
    """R12: fine-tuning.

    Decides: which layers learn, and how fast, where a training begins from another model's weights; whether ``train`` makes
    that model itself, of synthetic frames, of which domain, and by which loss.
    From: whether it is few-shot; it counts only with ``train --init-from``, or where a person gives the pre-training a share of
    the time.
    Because: all layers at a tenth of the rate came out best when a network trained on synthetic frames went on with real ones;
    the deepest layers alone came close (0.863 against 0.875). New outputs learn at the full rate. Few-shot training has a
    few hundred steps, in which a tenth of the rate changes little: there it is a quarter.
    Source: Gherardini 2020, fine-tuning of 7, 13 and 19 layers; the quarter is judgement [E1/J]
    """
    values, few = TransferValues(), context["transfer.made_for"] is not None
    tenth = "A tenth: what was learnt should not be forgotten in the first steps."
    because = {
        "scheme": "All layers were better than the deepest alone, 0.875 against 0.863.",
        "layers": "The bottleneck and a convolution on each side, for the scheme deepest.",
        "rate": "A quarter: the minutes there are allow too few steps for a tenth." if few else tenth,
        "first_rate": "A tenth at the first layer, for the scheme layerwise.",
        "pretrain_share": "Nothing is made unasked; recipes may ask.",
        "pretrain_domain": "The simple phantom: it is made fastest, and a recipe that asks for frames may name a scene.",
        "pretrain_terms": "One loss from the first frame to the last; recipes that compare losses may ask for two.",
    }
    others: dict[str, tuple[tuple[object, str], ...]] = {
        "scheme": (("deepest", "It came close where frames are few, and learns less."),)
    }
    if few:
        values = values.model_copy(update={"rate": FEW_SHOT_RATE})
        others["rate"] = (
            (TransferValues().rate, "Best in longer trainings; a few hundred steps change little at it."),
        )
    return Advice(
        {f"transfer.{k}": Choice(getattr(values, k), why, {}, others.get(k, ())) for k, why in because.items()}
    )


def mixing(context: Context) -> Advice:
    """R12: synthetic frames beside the dataset's.

    Decides: the share of every batch that is drawn from synthetic frames, how many are made for it, and of which domain.
    From: whether it is few-shot; the structures; the time there is.
    Because: a handful of frames shows few wires and fewer stones, and a network that goes on with them alone forgets what it
    knew of the rest; a quarter of the batch reminds it. Ten for each frame of the dataset, 60 to 240, and no more than a
    tenth of the time makes; of the domain that the shipped weights learnt on. Only where the scene draws every structure
    that is learnt: it would teach that another one is absent. Folds hold out none of them.
    Source: Gherardini 2020 (synthetic beside real frames); share and number are judgement [E2/J]
    """
    f, domain = context.fingerprint, SamplingValues.model_fields["synthetic_domain"].default
    strange = [name for name in context["heads.structures"] if name not in DEFAULT_STRUCTURES]
    seconds = context.budget.seconds
    most = MIXED_MOST if seconds is None else min(MIXED_MOST, int(MIXED_TIME_FRAC * MIXED_PER_S * seconds))
    inputs = {"frames": f.frames, "seconds": seconds, "not_drawn": strange}
    frames, share = min(most, max(MIXED_LEAST, SYNTHETIC_PER_FRAME * f.frames)), MIXED_FRAC
    others: list[tuple[float, str]] = [(0.0, "What these few frames do not show would be forgotten.")]
    why = f"{percent(MIXED_FRAC)} of every batch, so that what these few frames do not show is not forgotten."
    reason = None
    if context["transfer.made_for"] is None:
        reason = "Not few-shot: the frames speak for themselves."
    elif strange:
        reason = f"The scene does not draw {', '.join(strange)}, and would teach that it is absent."
    elif frames < MIXED_LEAST:
        reason = f"A tenth of the time makes {frames} frames, fewer than {MIXED_LEAST}."
    if reason is not None:
        frames, share, why, others = 0, 0.0, reason, [(MIXED_FRAC, "A quarter of every batch, where it is few-shot.")]
    count = f"Ten for each of {f.frames} frames, {MIXED_LEAST} to {most}." if frames else reason or ""
    return Advice(
        {
            "sampling.synthetic_frac": Choice(share, why, inputs, others),
            "sampling.synthetic_frames": Choice(frames, count, inputs),
            "sampling.synthetic_domain": Choice(
                domain, "What the shipped weights learnt on, after no room in particular.", {}
            ),
        }
    )
