"""Run one fold: build the trainer, train until done or stopped, validate, write the record."""

from __future__ import annotations

import contextlib
import io
import json
import platform
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ercpseg.documents.dataset import Dataset
from ercpseg.documents.plan import Plan
from ercpseg.documents.run import RunRecord, SyntheticRecord
from ercpseg.errors import Interrupted, UsageError
from ercpseg.nnunet import CONFIGURATION, PLANS_NAME
from ercpseg.progress import SILENT, Progress
from ercpseg.storage import documents
from ercpseg.storage.models import StoredModel
from ercpseg.storage.workspace import Workspace
from ercpseg.version import __version__

RECORD = "run.json"
GO_ON = "run the same command to go on"
VERSIONS = ("torch", "nnunetv2", "batchgeneratorsv2", "numpy", "blosc2")


@dataclass(frozen=True)
class Mixed:
    """Synthetic frames for a training: the store that they lie in, and what its record says of them."""

    folder: Path
    record: SyntheticRecord


@dataclass(frozen=True)
class TrainOptions:
    """What a person may change for one training; None = as planned. ``init_from``: a model to begin from;
    ``encoder_weights``: a safetensors file from which FRA-Net's encoder begins.

    ``mixed`` and ``before_s`` are for who makes ready what the plan wants: synthetic frames, and the seconds of the time
    budget that are gone.
    """

    epochs: int | None = None
    time_budget_s: float | None = None
    device: str | None = None
    restart: bool = False
    init_from: StoredModel | None = None
    encoder_weights: Path | None = None
    mixed: Mixed | None = None
    before_s: float = 0.0


def run_folder(workspace: Workspace, dataset: str, fold: str) -> Path:
    """Where a fold's log, checkpoints, weights and validation lie."""
    return workspace.results_folder(dataset) / f"ErcpTrainer__{PLANS_NAME}__{CONFIGURATION}" / f"fold_{fold}"


def check_fold(plan: Plan, fold: str) -> str:
    """``fold`` if the plan has it.

    Raises
    ------
    UsageError
        otherwise.
    """
    count = plan.values.folds.count
    if fold != "all" and not (re.fullmatch("[0-9]{1,4}", fold) and int(fold) < count):
        raise UsageError(f"there is no fold {fold[:16]}", where="FOLD", expected=f"0 to {count - 1}, or all")
    return fold if fold == "all" else str(int(fold))


def finished_record(workspace: Workspace, plan: Plan, fold: str) -> RunRecord | None:
    """The record of this fold if it was trained to the end with this very plan, else None."""
    folder = run_folder(workspace, plan.dataset, fold)
    if not (folder / RECORD).exists() or not (folder / "weights.safetensors").exists():
        return None
    record = documents.load(folder / RECORD, RunRecord)
    return record if record.finished and record.plan_sha256 == plan.sha256 else None


def train_fold(
    workspace: Workspace,
    dataset: Dataset,
    plan: Plan,
    fold: str,
    options: TrainOptions = TrainOptions(),
    *,
    progress: Progress = SILENT,
    on_epoch: Callable[[list[dict[str, Any]]], None] = lambda history: None,
) -> RunRecord:
    """Train one fold, going on from where an interrupted run stopped.

    Raises
    ------
    UsageError
        when the model to begin from does not fit, or the interrupted run began otherwise.
    Interrupted
        after SIGINT or SIGTERM; the state is saved and the same call goes on.
    """
    from ercpseg.nnunet.checkpoints import discard_states

    folder = run_folder(workspace, dataset.name, fold)
    with workspace.nnunet_environment(), _quiet():
        trainer = _build(workspace, dataset, plan, fold, options)
        trainer.progress = progress
        trainer.on_epoch = on_epoch
        if options.restart:
            (folder / RECORD).unlink(missing_ok=True)  # else an interrupted restart would pass for a finished run
        trainer.initialize()
        trainer.start.tell(plan, progress)
        if plan.values.augmentation.multiply:
            frames, each = len(trainer.do_split()[0]), plan.values.augmentation.multiply
            progress.say(f"{frames} training frames and {each} altered copies of each: {frames * (each + 1)} in all")
        with _stop_on_signal(trainer.stop):
            trainer.run_training()
        try:
            if trainer.stop.is_set():  # during the last epoch's validation
                raise KeyboardInterrupt
            trainer.perform_actual_validation()
        except KeyboardInterrupt:
            raise Interrupted("training is done and saved, its validation is not", todo=GO_ON) from None
    iterations = trainer.current_epoch * trainer.num_iterations_per_epoch
    record = RunRecord.new(
        dataset=dataset.name,
        fold=fold,
        plan_sha256=plan.sha256,
        frames_sha256=plan.frames_sha256,
        seed=trainer.seed,
        epochs=trainer.current_epoch,
        iterations=iterations,
        parameters=sum(p.numel() for p in trainer.network.parameters()),
        device=str(trainer.device),
        threads=torch.get_num_threads(),
        seconds=trainer.state.spent_s,
        seconds_per_iteration=trainer.state.spent_s / max(iterations, 1),
        expected_seconds_per_iteration=plan.values.schedule.seconds_per_iteration,
        memory_gb=trainer.memory.peak_gb,
        expected_memory_gb=plan.values.schedule.expected_memory_gb,
        versions={"ercpseg": __version__, **{name: metadata.version(name) for name in VERSIONS}},
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        finished=True,
        transfer=trainer.start.record,
        encoder_sha256=trainer.start.encoder_sha256,
        synthetic=None if options.mixed is None else options.mixed.record,
        pseudo_dice={
            h: d
            for h, d in (trainer.state.history[-1]["dice"] if trainer.state.history else {}).items()
            if d is not None
        },
    )
    documents.save(folder / RECORD, record)
    discard_states(folder)  # last: a run that is killed during its validation need not train again
    return record


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's ``log.jsonl``; a torn last line is left out."""
    rows = []
    path = folder / "log.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def _build(workspace: Workspace, dataset: Dataset, plan: Plan, fold: str, options: TrainOptions) -> Any:
    from ercpseg.nnunet.checkpoints import read_progress
    from ercpseg.nnunet.convert import data_identifier
    from ercpseg.nnunet.start import Start
    from ercpseg.nnunet.store import read_index
    from ercpseg.nnunet.trainer import ErcpTrainer

    preprocessed = workspace.preprocessed_folder(dataset.name)
    read_index(preprocessed / data_identifier(plan))  # says what to do when the frames are not prepared
    plans = documents.load_json(workspace.nnunet_plans_file(dataset.name))
    description = documents.load_json(preprocessed / "dataset.json")
    device = torch.device(options.device or plan.values.schedule.device)
    trainer = ErcpTrainer(
        {**plans, "continue_training": True}, CONFIGURATION, fold if fold == "all" else int(fold), description, device
    )
    if options.epochs is not None:
        trainer.num_epochs, trainer.time_budget_s = options.epochs, None
    if options.time_budget_s is not None:
        trainer.time_budget_s = options.time_budget_s
        expected = plan.values.schedule.seconds_per_iteration
        if expected:  # a first guess; the trainer corrects it after every epoch
            left = max(0.0, options.time_budget_s - options.before_s)
            trainer.num_epochs = max(1, int(left / (expected * trainer.num_iterations_per_epoch)))
    trainer.synthetic = None if options.mixed is None else options.mixed.folder
    trainer.spent_before_s = options.before_s
    trainer.restart = options.restart
    pending = None if options.restart else read_progress(trainer.run_folder)
    trainer.start = Start(options.init_from, pending, options.encoder_weights)
    return trainer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """nnU-Net prints and warns while it builds; the library is silent."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _stop_on_signal(stop: threading.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks to stop at the next step; a second one acts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old: dict[int, Any] = {int(n): signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(number, old[number])

    for number in old:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
