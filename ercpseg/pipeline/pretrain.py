"""Pre-training that a plan asks for: synthetic frames, the same network by the same plan, and its weights as the start.

What comes of it lies in a workspace of its own, ``pretraining/<dataset>-<hash>`` below the dataset's; the hash is over all that
it was made from, so the same plan finds it, and folds and seeds of one plan share it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from ercpseg.documents.plan import Plan
from ercpseg.pipeline.prepare import PlanOptions, plan
from ercpseg.progress import Progress
from ercpseg.storage.atomic import write_text
from ercpseg.storage.models import StoredModel, load_model
from ercpseg.storage.workspace import Workspace
from ercpseg.structures import DEFAULT_STRUCTURES

NAME, ALL = "synthetic", "all"
MADE = "frames-made"
"""A file that says that all frames are there."""
FRAMES_PER_PATIENT = 3
SAME = ("preparation", "input", "network", "sampling", "augmentation", "optimiser", "loss")
"""Sections of which the pre-training has what the plan has."""
OWN = ("preparation.dataset_mean_sd",)
"""Of every dataset its own: grey values of other frames. Patches follow from the frames too."""
NOTHING_MORE = {
    "transfer.made_for": None,
    "transfer.pretrain_share": 0.0,
    "sampling.synthetic_frac": 0.0,
    "sampling.synthetic_frames": 0,
}
"""A training on synthetic frames begins from random weights and has none beside them."""
OF_STRUCTURES = ("loss", "sampling", "preparation.dilate_px", "preparation.thin")
"""What names structures; it is by rule where the synthetic frames show others."""


def pretraining_s(made: Plan) -> float | None:
    """Seconds of the plan's time that belong to the pre-training; None where it has none."""
    share, budget = made.values.transfer.pretrain_share, made.values.schedule.time_budget_s
    return None if not wants_pretraining(made) or budget is None else share * budget


def wants_pretraining(made: Plan) -> bool:
    """Whether a training by this plan begins on synthetic frames."""
    return made.values.transfer.pretrain_share > 0 and made.values.transfer.synthetic_frames > 0


def pretrained(space: Workspace, made: Plan, share_s: float | None, *, progress: Progress) -> StoredModel:
    """The model of synthetic frames that a training by ``made`` begins from; trained now unless it is there.

    ``share_s``: the time that it may take, making and preparing the frames included; None: as planned. The same call goes
    on after an interruption.
    """
    from ercpseg.pipeline.learn import train
    from ercpseg.synthesis.catalogue import find_domain
    from ercpseg.synthesis.dataset import Options, synthesise_domain
    from ercpseg.synthesis.request import Request
    from ercpseg.training.run import TrainOptions

    values = made.values
    frames, seed = values.transfer.synthetic_frames, values.schedule.seed
    pins = _pins(made)
    side = values.preparation.working_long_side_px
    domain = find_domain(values.transfer.pretrain_domain)
    made_by = {"domain": domain.sha256, "scenes": Request.SCHEMA}
    asked = json.dumps({"frames": frames, "size": side, "seed": seed, "pins": pins, **made_by}, sort_keys=True)
    key = f"{made.dataset}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"
    own = Workspace(space.root / "pretraining" / key)
    model = own.model_folder(NAME)
    if not (model / "model.json").exists():
        progress.say(f"training on {frames} synthetic frames first (transfer.synthetic_frames)")
        began = time.monotonic()
        patients = max(1, frames // FRAMES_PER_PATIENT)
        folder, there = own.root / NAME, own.root / MADE
        if not there.exists():  # a finished folder of the phantom does not say what it is made from
            scenes = Options(domain, side, seed)
            synthesise_domain(folder, frames=frames, patients=patients, options=scenes, progress=progress)
            write_text(there, f"{frames} frames\n")
        options = PlanOptions(
            time_budget_s=pretraining_s(made), device=values.schedule.device, overrides=tuple(pins.items())
        )
        plan(folder, name=NAME, workspace=own, options=options, progress=progress)
        spent = TrainOptions(time_budget_s=share_s, before_s=time.monotonic() - began)
        train(NAME, ALL, workspace=own, options=spent, progress=progress)
    return load_model(model)


def _pins(made: Plan) -> dict[str, Any]:
    """What the pre-training has from the plan: everything but what its own frames decide."""
    learnt = made.values.heads.structures
    shared = tuple(name for name in learnt if name in DEFAULT_STRUCTURES)
    same = shared == learnt
    pins: dict[str, Any] = {"heads.structures": list(shared)} if shared else {}
    for decision in made.decisions:
        section = decision.key.partition(".")[0]
        names_structures = section in OF_STRUCTURES or decision.key in OF_STRUCTURES
        if section in SAME and decision.key not in OWN and (same or not names_structures):
            pins[decision.key] = decision.value
    first = next((d.value for d in made.decisions if d.key == "transfer.pretrain_terms"), None)
    if same and first is not None:
        pins["loss.terms"] = first
    pins["patch.batch_size"] = made.values.patch.batch_size
    if same:
        pins["heads.parents"] = list(made.values.heads.parents)
    else:  # which output is the instrument depends on the outputs
        options = {k: v for k, v in made.values.network.options.items() if k != "instrument_head"}
        pins["network.options"] = options
    return {**pins, **_schedule(made), **NOTHING_MORE}


def _schedule(made: Plan) -> Mapping[str, Any]:
    """Steps of an epoch as planned; where the plan has no time to share, its epochs too."""
    schedule = made.values.schedule
    kept: dict[str, Any] = {
        "schedule.seed": schedule.seed,
        "schedule.iterations_per_epoch": schedule.iterations_per_epoch,
        "schedule.validation_iterations": schedule.validation_iterations,
    }
    if schedule.time_budget_s is None:
        kept |= {"schedule.time_budget_s": None, "schedule.epochs": schedule.epochs}
    return kept
