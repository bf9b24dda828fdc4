"""The one trainer class: nnU-Net's training loop, everything variable read from the plan.

It overrides nnU-Net's hooks where fluoroscopy needs it: networks and losses from our tables, folds that are checked,
batches from one thread with counter-based randomness, checkpoints without pickle, validation in process. It runs from our
command line and, through a one-line shim, from ``nnUNetv2_train -tr ErcpTrainer``.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.paths import nnUNet_raw
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from ercpseg.errors import DataError, Interrupted, UsageError
from ercpseg.losses.compound import CompoundLoss, planned_extras
from ercpseg.networks import build_network
from ercpseg.networks.weights import unwrapped, weights_of
from ercpseg.nnunet.answer import answer
from ercpseg.nnunet.checkpoints import discard_states, load_state, save_state
from ercpseg.nnunet.labels import ErcpPlans
from ercpseg.nnunet.loader import Ahead, build_loaders
from ercpseg.nnunet.memory import PeakMemory
from ercpseg.nnunet.schedule import build_optimiser, learning_rate, set_learning_rate
from ercpseg.nnunet.start import Start
from ercpseg.nnunet.state import RunState
from ercpseg.nnunet.store import ErcpDataset, read_fold
from ercpseg.nnunet.validation import frames_to_check, hard_counts, validate
from ercpseg.progress import SILENT, Progress, Task
from ercpseg.storage.arrays import save_arrays
from ercpseg.storage.atomic import append_line, write_text

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 60.0
"""A kill costs at most this much training."""
TRAINING_FRAC = 0.9
"""Share of a time budget for the loop; the rest is for the start, saving and validating whole frames."""
WEIGHTS_FILE = "weights.safetensors"


class ErcpTrainer(nnUNetTrainer):
    """Trains one fold of one plan. The constructor's parameter names are nnU-Net's and may not change."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008  # nnU-Net's signature
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.plans_manager: ErcpPlans = ErcpPlans(self.plans_manager.plans)
        self.configuration_manager = self.plans_manager.get_configuration(configuration)
        self.label_manager = self.plans_manager.get_label_manager(dataset_json)
        self.plan = self.plans_manager.plan
        values = self.plan.values
        self.heads = self.plan.heads
        self.enable_deep_supervision = values.network.deep_supervision > 0
        self.num_epochs = values.schedule.epochs
        self.num_iterations_per_epoch = values.schedule.iterations_per_epoch
        self.num_val_iterations_per_epoch = values.schedule.validation_iterations
        self.inference_allowed_mirroring_axes = values.augmentation.mirror_axes
        # Set by the caller between construction and training.
        self.seed, self.time_budget_s = values.schedule.seed, values.schedule.time_budget_s
        self.restart, self.start = False, Start()
        self.synthetic: Path | None = None
        self.spent_before_s = 0.0
        self.progress: Progress = SILENT
        self.stop = threading.Event()
        self.on_epoch: Callable[[list[dict[str, Any]]], None] = lambda history: None
        self.state, self.memory = RunState(), PeakMemory(self.device)
        self._task: Task | None = None

    @property
    def run_folder(self) -> Path:
        """Where this fold's log, checkpoints and validation lie."""
        return Path(self.output_folder)

    def initialize(self) -> None:
        """Seed, then build network, optimiser and loss."""
        torch.manual_seed(self.seed)
        super().initialize()
        if self.device.type == "cpu":
            self.network.to(memory_format=torch.channels_last)  # about twice as fast
        self.loss.to(self.device)
        self.dataset_class = ErcpDataset

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> torch.nn.Module:
        """The network that the plan names; its inputs are frames, its heads structures and parents, whatever nnU-Net counts."""
        if not isinstance(plans_manager, ErcpPlans):  # nnU-Net's predictor asks, not its training
            return answer(plans_manager, configuration_manager)
        plan = plans_manager.plan
        network = build_network(plan.values.network, list(plan.heads), input_channels=plan.values.input.frames)
        network.deep_supervision = enable_deep_supervision and plan.values.network.deep_supervision > 0  # type: ignore[assignment]
        return network

    def _build_loss(self) -> torch.nn.Module:
        tubes, regions = planned_extras(self.plan.values.loss, self.heads)
        return CompoundLoss(self.plan.values.loss, list(self.heads), tubes=tubes, regions=regions)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """The planned optimiser; the learning rate is set at every step by :meth:`learning_rate`."""
        network = unwrapped(self.network)
        rates = self.start.prepare(network, self.plan)
        return build_optimiser(network, self.plan.values.optimiser, rates), None

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """Auxiliary outputs on or off; our networks carry the flag themselves."""
        network = self.network.module if self.is_ddp else self.network
        network.deep_supervision = enabled

    def plot_network_architecture(self) -> None:
        """Nothing: upstream wants a graph library that it does not declare."""

    def _save_debug_information(self) -> None:  # it would hold paths and host names; run.json says what matters
        pass

    def print_to_log_file(self, *args: Any, also_print_to_console: bool = True, add_timestamp: bool = True) -> None:
        """To the library's logger; the library never prints."""
        logger.info(" ".join(str(a) for a in args).strip())

    def do_split(self) -> tuple[list[str], list[str]]:
        """Training and validation frames of this fold, checked; see :func:`ercpseg.nnunet.store.read_fold`."""
        return read_fold(Path(self.preprocessed_dataset_folder), self.fold)

    def get_dataloaders(self) -> tuple[Any, Any]:
        """Training batches from a thread; validation batches drawn once, so that every epoch is judged on the same."""
        train, val = self.get_tr_and_val_datasets()
        return build_loaders(
            train,
            val,
            plan=self.plan,
            label_manager=self.label_manager,
            seed=self.seed,
            position=self.current_epoch * self.num_iterations_per_epoch + len(self.state.losses),
            synthetic=self.synthetic,
        )

    def on_train_start(self) -> None:
        """Build what is missing and take up an interrupted run."""
        if not self.was_initialized:
            self.initialize()
        if self.restart:
            discard_states(self.run_folder)
        self._resume()
        super().on_train_start()
        self.state.start_clock(self.spent_before_s)
        self.memory.start()

    def run_training(self) -> None:
        """nnU-Net's loop, made to stop at any step, to keep to the time budget and to clean up whatever happens."""
        try:
            self.on_train_start()
            total = self.num_epochs * self.num_iterations_per_epoch
            with self.progress.task(f"Training fold {self.fold}", total) as self._task:
                self._task.advance(self.current_epoch * self.num_iterations_per_epoch + len(self.state.losses))
                while self.current_epoch < self.num_epochs:
                    self._epoch()
            self.on_train_end()
        finally:
            if isinstance(self.dataloader_train, Ahead):
                self.dataloader_train.close()

    def _epoch(self) -> None:
        self.network.train()
        self.start.hold()
        while len(self.state.losses) < self.num_iterations_per_epoch:
            self.state.losses.append(float(self.train_step(next(self.dataloader_train))["loss"]))
            self.memory.look()
            if not math.isfinite(self.state.losses[-1]):
                raise DataError(
                    "the loss is not a number",
                    where=f"epoch {self.current_epoch}",
                    todo="lower optimiser.learning_rate",
                )
            if self._task:
                self._task.advance(note=f"loss {self.state.losses[-1]:.3f}")
            if self.stop.is_set():
                self._save()
                raise Interrupted("training was stopped and saved", todo="run the same command to go on")
            if self.state.since_save_s > SAVE_EVERY_S:
                self._save()
        self.network.eval()
        with torch.no_grad():
            outputs = [self.validation_step(batch) for batch in self.dataloader_val]
        self._close_epoch(outputs)

    def _close_epoch(self, outputs: list[dict[str, Any]]) -> None:
        counts = {key: np.sum([o[key] for o in outputs], 0) for key in ("tp_hard", "fp_hard", "fn_hard")}
        total = 2 * counts["tp_hard"] + counts["fp_hard"] + counts["fn_hard"]
        dice = zip(self.heads, 2 * counts["tp_hard"], total, strict=True)
        row = self.state.close_epoch(
            epoch=self.current_epoch,
            validation_loss=float(np.mean([o["loss"] for o in outputs])),
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            dice={head: float(twice / all_) if all_ else None for head, twice, all_ in dice},
        )
        append_line(self.run_folder / "log.jsonl", json.dumps(row))
        self.current_epoch += 1
        if self.time_budget_s is not None:
            # The schedule follows the measured speed, so that it ends with the time budget.
            self.num_epochs = self.current_epoch + self.state.epochs_left(TRAINING_FRAC * self.time_budget_s)
            if self._task:
                self._task.retotal(self.num_epochs * self.num_iterations_per_epoch)
        self.on_epoch(self.state.history)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's step at the learning rate of this very step."""
        done = (self.current_epoch + len(self.state.losses) / self.num_iterations_per_epoch) / self.num_epochs
        set_learning_rate(self.optimizer, learning_rate(self.plan.values.optimiser, min(done, 1.0)))
        self.loss.set_progress(min(done, 1.0))
        return super().train_step(batch)  # type: ignore[no-any-return]

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Loss and hard true and false positives and negatives per head, over one batch."""
        data, target = batch["data"].to(self.device), batch["target"].to(self.device)
        with torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            output = self.network(data)
            loss = self.loss(output, target)
        return {"loss": float(loss), **hard_counts(output > 0, target[:, : len(self.heads)] != 0)}

    def on_train_end(self) -> None:
        """Write the final state and weights; the caller drops the checkpoints once the fold is validated."""
        metadata = {"epochs": self.current_epoch, "plan_sha256": self.plan.sha256, "fold": str(self.fold)}
        self._save()
        save_arrays(self.run_folder / WEIGHTS_FILE, weights_of(self.network), metadata)

    def save_checkpoint(self, filename: str) -> None:
        """nnU-Net's hook; the name is ignored, since our state has its own places."""
        self._save()

    def load_checkpoint(self, filename_or_checkpoint: Any) -> None:
        """nnU-Net's hook; takes up our own state."""
        if not self.was_initialized:
            self.initialize()
        self._resume()

    def _save(self) -> None:
        content = self.state.to_json() | {
            "epoch": self.current_epoch,
            "num_epochs": self.num_epochs,
            "seed": self.seed,
            "plan_sha256": self.plan.sha256,
            "grad_scaler": None if self.grad_scaler is None else self.grad_scaler.state_dict(),
            "transfer": self.start.record and self.start.record.model_dump(mode="json"),
            "encoder_sha256": self.start.encoder_sha256,
        }
        save_state(self.run_folder, self.network, self.optimizer, self.loss, content)

    def _resume(self) -> None:
        log = self.run_folder / "log.jsonl"
        content = load_state(self.run_folder, self.network, self.optimizer, self.loss)
        if content is None:
            log.unlink(missing_ok=True)
            return
        if content["plan_sha256"] != self.plan.sha256:
            raise UsageError(
                "the interrupted run followed another plan", where=self.run_folder, todo="start again with --restart"
            )
        self.state = RunState.from_json(content)
        self.current_epoch, self.seed = content["epoch"], content["seed"]
        if self.time_budget_s is not None:
            self.num_epochs = max(content["num_epochs"], self.current_epoch)
        if self.grad_scaler is not None and content["grad_scaler"]:
            self.grad_scaler.load_state_dict(content["grad_scaler"])
        # Rows that were logged after this state was saved will be logged again.
        write_text(log, "".join(json.dumps(row) + "\n" for row in self.state.history))

    def perform_actual_validation(self, save_probabilities: bool = False) -> dict[str, Any]:
        """Predict the fold's validation frames at native size, in process; see :func:`ercpseg.nnunet.validation.validate`."""
        self.network.eval()
        summary = validate(
            self.network,
            plan=self.plan,
            dataset=ErcpDataset(self.preprocessed_dataset_folder),
            frames=frames_to_check(self.do_split()[1], self.fold),
            references=Path(str(nnUNet_raw)) / self.plans_manager.dataset_name / "labelsTr",
            output=self.run_folder / "validation",
            device=self.device,
            progress=self.progress,
        )
        write_text(self.run_folder / "validation" / "summary.json", json.dumps(summary, indent=1) + "\n")
        return summary
