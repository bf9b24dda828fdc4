"""Rules on augmentation that only X-rays know: quantum noise, contrast that washes in, a collimator that moves."""

from __future__ import annotations

from ercpseg.planner.rule import Advice, Choice, Context

NOISE_GROWTH = 0.2
"""Real frames: noise of 2.4 grey values in the darkest parts and 1.4 in the brightest, about 3 sd apart: exp(0.2 · 3) = 1.8."""
DUCTS = ("cbd",)
"""Names of what is seen by its contrast agent."""
WASH_IN = (-0.3, 0.6)
KEEP_FRAC = 0.6
FEW_PATIENTS = 50


def xray(context: Context) -> Advice:
    """R20: quantum noise, contrast, collimator.

    Decides: how noise grows with darkness; the structures whose contrast agent varies, and how much; how far a collimator may
    close.
    From: the structures; the number of patients.
    Because: photons are counted, so what absorbs many is noisier after the logarithm: by e⁰·² per standard deviation on real
    frames. Contrast agent washes in and out, and collimators are opened as the patient needs: data of fewer than 50 patients
    show too few of either, so six tenths of a duct's contrast may go and three tenths come, and a field may lose four tenths
    of each side. With more patients they are in the frames, and a short training learns more from frames as they are.
    Source: MIQR-CC frames measured (docs/benchmarks.md, realism); amounts and the limit are judgement [E2/J]
    """
    f = context.fingerprint
    groups = f.patients if f.groups is None else f.groups
    few = groups < FEW_PATIENTS
    ducts = tuple(name for name in f.structures if name in DUCTS) if few else ()
    inputs = {"groups": groups}
    many = f"{groups} patients vary enough by themselves (limit {FEW_PATIENTS})."
    named = ", ".join(name for name in f.structures if name in DUCTS)
    if not few:
        because = many
    elif ducts:
        because = f"{groups} patients show too few fillings of {named} (limit {FEW_PATIENTS})."
    else:
        because = "No structure is one that contrast agent fills."
    closing = f"{groups} patients show too few fields (limit {FEW_PATIENTS})." if few else many
    choice = {
        "augmentation.noise_growth": Choice(
            NOISE_GROWTH, "As measured on real frames.", {}, [(0.0, "The same noise everywhere: no X-ray is so.")]
        ),
        "augmentation.wash_in": Choice(
            ducts, because, inputs, [((named,), many)] if named and not few else [((), "One filling.")] if ducts else []
        ),
        "augmentation.wash_in_amount": Choice(WASH_IN if ducts else (0.0, 0.0), because, inputs),
        "augmentation.collimator_keep": Choice(
            KEEP_FRAC if few else 1.0,
            closing,
            inputs,
            [(1.0, "The fields that there are.") if few else (KEEP_FRAC, many)],
        ),
    }
    return Advice(choice)
