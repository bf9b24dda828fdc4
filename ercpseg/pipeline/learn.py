"""``train``: run a fold, keep its curve, put it into the model folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ercpseg.documents.plan import Plan
from ercpseg.documents.run import RunRecord
from ercpseg.errors import Interrupted, UsageError
from ercpseg.pipeline.apply import locate_model
from ercpseg.pipeline.known import known_name, load_planned
from ercpseg.pipeline.prepare import resolve_device
from ercpseg.progress import SILENT, Progress
from ercpseg.storage import documents
from ercpseg.storage.atomic import write_bytes
from ercpseg.storage.models import StoredModel, load_model
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import TrainOptions, check_fold, finished_record, read_history, run_folder, train_fold

WITH_ENCODER = "fra-net"
"""The network whose encoder is one of timm's."""
CURVE_EVERY = 5
"""Epochs between two drawings of the curve."""


@dataclass(frozen=True)
class Trained:
    """A trained fold. ``fresh`` is False when it was finished already."""

    record: RunRecord
    folder: Path
    model: Path
    validation: dict[str, Any]
    fresh: bool


def train(
    dataset: str | Path,
    fold: int | str,
    *,
    init_from: str | Path | None = None,
    encoder_weights: str | Path | None = None,
    workspace: Workspace | str | Path | None = None,
    options: TrainOptions = TrainOptions(),
    progress: Progress = SILENT,
) -> Trained:
    """Train one fold (0 … k−1, or ``all``) of a planned dataset (name or folder) and add it to the dataset's model.

    The same call goes on after an interruption and does nothing once the fold is finished (``restart`` begins anew).
    ``init_from``: a model to begin from, by folder, zip or name; how its layers go on learning is in the plan (``transfer``).
    ``encoder_weights``: a safetensors file of the encoder from timm, for FRA-Net; all its layers learn.

    Raises
    ------
    UsageError
        when the dataset is not planned, the fold does not exist, or the model to begin from does not fit.
    StorageError
        when the encoder's file cannot be read or does not fit.
    Interrupted
        when it was asked to stop; the state is saved.
    """
    from ercpseg.nnunet.checkpoints import read_progress
    from ercpseg.training.model import current_tuning, export_model

    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    planned = load_planned(space, known_name(dataset, space))
    name = check_fold(planned.plan, str(fold))
    folder = run_folder(space, planned.dataset.name, name)
    if options.device is not None:
        options = replace(options, device=resolve_device(options.device))
    if init_from is not None:
        options = replace(options, init_from=load_model(locate_model(init_from, space, where="--init-from")))
    if encoder_weights is not None:
        options = replace(options, encoder_weights=_encoder_file(Path(encoder_weights), planned.plan, init_from))
    with space.locked():
        record = None if options.restart else finished_record(space, planned.plan, name)
        if record is not None and options.init_from is not None:
            _check_same_start(record, options.init_from)
        if record is not None and options.encoder_weights is not None:
            _check_same_encoder(record, options.encoder_weights)
        fresh = record is None
        if record is None:
            resolve_device(options.device or planned.plan.values.schedule.device)  # says so when it is not there
            made_for = planned.plan.values.transfer.made_for
            if made_for and options.init_from is None and (options.restart or read_progress(folder) is None):
                progress.say(
                    f"the plan is made for the shipped weights {made_for}: --init-from {made_for} begins with them"
                )
            options = made_ready(space, planned.plan, options, progress)
            draw = _Curve(folder / "curve.png")
            try:
                record = train_fold(
                    space, planned.dataset, planned.plan, name, options, progress=progress, on_epoch=draw
                )
            except Interrupted as error:
                if not options.restart:
                    raise
                raise Interrupted(error.what, todo="run the same command without --restart to go on") from error
            draw.now(read_history(folder))
        model = export_model(space, planned.dataset, planned.plan, planned.fingerprint)
        _, stale = current_tuning(space, planned.plan)
        if stale:
            called = planned.dataset.name
            progress.say(f"the tuning of {called} does not count any more: {stale}; run ercpseg tune {called} again")
    summary = folder / "validation" / "summary.json"
    return Trained(record, folder, model, documents.load_json(summary) if summary.exists() else {}, fresh)


def made_ready(space: Workspace, made: Plan, options: TrainOptions, progress: Progress) -> TrainOptions:
    """The options with all that the plan wants made before the training: a model of synthetic frames to begin from, unless
    a person named one, and synthetic frames to mix in. What of the time budget is gone then is in ``before_s``.
    """
    from ercpseg.pipeline.pretrain import pretrained, wants_pretraining
    from ercpseg.pipeline.synthetic import mixed

    before_s = options.before_s
    budget = None if options.epochs is not None else options.time_budget_s or made.values.schedule.time_budget_s
    if options.init_from is None and options.encoder_weights is None and wants_pretraining(made):
        began = time.monotonic()
        share_s = None if budget is None else made.values.transfer.pretrain_share * budget
        options = replace(options, init_from=pretrained(space, made, share_s, progress=progress))
        # Its share is gone even where another fold has trained the model, so that folds are alike.
        before_s += 0.0 if share_s is None else max(share_s, time.monotonic() - began)
    found = mixed(space, made, progress=progress)
    if found is not None:
        progress.say(found.record.text)
        options, before_s = replace(options, mixed=found), before_s + found.record.seconds
    return replace(options, before_s=before_s)


def _check_same_start(record: RunRecord, source: StoredModel) -> None:
    if record.transfer is None or record.transfer.model_sha256 != source.sha256:
        began = "random weights" if record.transfer is None else f"another model, {record.transfer.model}"
        raise UsageError(
            f"fold {record.fold} is trained already and began from {began}",
            where="--init-from",
            todo="leave the option out, or train anew with --restart",
        )


def _encoder_file(path: Path, plan: Plan, init_from: str | Path | None) -> Path:
    """The file, where the planned network has an encoder that can begin from one."""
    where, network = "--encoder-weights", plan.values.network.name
    if init_from is not None:
        raise UsageError("a model brings its own encoder", where=where, todo="give this option or --init-from")
    if network != WITH_ENCODER:
        raise UsageError(
            f"the planned network is {network}, whose encoder has no weights of its own",
            where=where,
            expected=f"a plan with network.name={WITH_ENCODER}, for example of the recipe fra-net",
        )
    if not path.is_file():
        raise UsageError("there is no such file", where=where, expected="a safetensors file of the encoder from timm")
    return path


def _check_same_encoder(record: RunRecord, path: Path) -> None:
    from ercpseg.nnunet.start import file_sha256

    if record.encoder_sha256 != file_sha256(path):
        raise UsageError(
            f"fold {record.fold} is trained already and its encoder began otherwise",
            where="--encoder-weights",
            todo="leave the option out, or train anew with --restart",
        )


class _Curve:
    """Draws the training curve now and then; drawing takes longer than a short epoch."""

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, history: list[dict[str, Any]]) -> None:
        if len(history) % CURVE_EVERY == 0:
            self.now(history)

    def now(self, history: list[dict[str, Any]]) -> None:
        from ercpseg.reporting.figures import training_curve

        if history:
            write_bytes(self.path, training_curve(history))
