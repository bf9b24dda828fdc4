"""Rules on what a training may begin from."""

from __future__ import annotations

from ercpseg.documents.plan_values import TransferValues
from ercpseg.planner.rule import Advice, Choice, Context

FEW_FRAMES = 1000
LEAST_SYNTHETIC, SYNTHETIC_PER_FRAME = 9000, 10


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
    that model itself, of synthetic frames.
    From: nothing in the data; it counts only with ``train --init-from``, or where a person gives the pre-training a share of
    the time.
    Because: all layers at a tenth of the rate came out best when a network trained on synthetic frames went on with real ones;
    the deepest layers alone came close (0.863 against 0.875). New outputs learn at the full rate.
    Source: Gherardini 2020, fine-tuning of 7, 13 and 19 layers [E1]
    """
    values = TransferValues()
    because = {
        "scheme": "All layers were better than the deepest alone, 0.875 against 0.863.",
        "layers": "The bottleneck and a convolution on each side, for the scheme deepest.",
        "rate": "A tenth: what was learnt should not be forgotten in the first steps.",
        "first_rate": "A tenth at the first layer, for the scheme layerwise.",
        "pretrain_share": "Nothing is made unasked; recipes may ask.",
    }
    others = {"scheme": (("deepest", "It came close where frames are few, and learns less."),)}
    return Advice(
        {f"transfer.{k}": Choice(getattr(values, k), why, {}, others.get(k, ())) for k, why in because.items()}
    )
