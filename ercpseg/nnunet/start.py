"""How a run begins when it does not begin from random weights, and what it remembers of that."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ercpseg.documents.plan import Plan
from ercpseg.documents.run import TransferRecord
from ercpseg.errors import UsageError
from ercpseg.networks import build_network
from ercpseg.networks.transfer import copy_weights, freeze, layers_of, learning_rates
from ercpseg.networks.weights import load_weights
from ercpseg.progress import Progress
from ercpseg.storage.atomic import read_bytes
from ercpseg.storage.models import StoredModel

PREFERRED = "all"


class Start:
    """Random weights (nothing given), another model's, an encoder's, or those of an interrupted run that began so."""

    def __init__(
        self, source: StoredModel | None = None, pending: Mapping[str, Any] | None = None, encoder: Path | None = None
    ):
        """``pending``: what the checkpoint of an interrupted run says of it. ``encoder``: a file of FRA-Net's encoder."""
        earlier = None if pending is None else pending.get("transfer")
        if pending is not None and source is not None and earlier is None:
            raise UsageError(
                "the interrupted run began from random weights",
                where="--init-from",
                todo="leave the option out to go on, or start again with --restart",
            )
        self._source = source
        self._encoder = encoder
        self.encoder_sha256: str | None = None if encoder is None else file_sha256(encoder)
        if pending is not None:
            began = pending.get("encoder_sha256")
            if encoder is not None and self.encoder_sha256 != began:
                raise UsageError(
                    f"the interrupted run began from {'another encoder' if began else 'a random encoder'}",
                    where="--encoder-weights",
                    todo="leave the option out to go on, or start again with --restart",
                )
            self.encoder_sha256, self._encoder = began, None  # its weights are in the checkpoint
        self.record = None if earlier is None else TransferRecord.model_validate(earlier)
        self._held: list[torch.nn.Module] = []

    def prepare(self, network: torch.nn.Module, plan: Plan) -> Mapping[str, float] | None:
        """Copy and freeze; returns the factor of every parameter's learning rate, or None for random weights.

        Raises
        ------
        UsageError
            when the model does not fit the plan.
        """
        if self._encoder is not None:
            from ercpseg.networks.encoders import load_encoder_weights

            load_encoder_weights(network.encoder, self._encoder)  # type: ignore[arg-type]
        if self._source is not None:
            self.record = _copy(self._source, network, plan, self.record)
        if self.record is None:
            return None
        transfer, channels = plan.values.transfer, plan.values.input.frames
        rates = learning_rates(network, transfer, channels, fresh=bool(self.record.fresh))
        self._held = freeze(network, rates)
        layers = layers_of(network, channels)
        learning = sum(rates.get(f"{layer.modules[0]}.weight", 0) > 0 for layer in layers)
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        self.record = self.record.model_copy(
            update={"layers": len(layers), "layers_trained": learning, "parameters_trained": trained}
        )
        return rates

    def hold(self) -> None:
        """Keep the statistics of frozen norms; to be called whenever the network was set to training."""
        for module in self._held:
            module.eval()

    def tell(self, plan: Plan, progress: Progress) -> None:
        """Say what was taken over and what may be wrong with it."""
        if self.record is None or self._source is None:
            return
        progress.say(self.record.text)
        for warning in warnings_of(self._source.planned, plan):
            progress.say(f"warning: {warning}")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _copy(source: StoredModel, network: torch.nn.Module, plan: Plan, earlier: TransferRecord | None) -> TransferRecord:
    if earlier is not None and earlier.model_sha256 != source.sha256:
        raise UsageError(
            f"the interrupted run began from {earlier.model}",
            where="--init-from",
            todo="give that model, or start again with --restart",
        )
    theirs, ours = source.planned.values.network, plan.values.network
    if theirs.name != ours.name:
        raise UsageError(
            f"the model's network is {theirs.name}, the plan's {ours.name}",
            where="--init-from",
            todo=f"plan with --set network.name={theirs.name}",
        )
    given, wanted = source.planned.values.input.frames, plan.values.input.frames
    if given != wanted:
        raise UsageError(
            f"the model takes {given} frames at a time, the plan {wanted} (input.frames)",
            where="--init-from",
            todo=f"plan with --set input.frames={given}",
        )
    fold = PREFERRED if PREFERRED in source.weights else min(source.weights)
    other = build_network(theirs, list(source.planned.heads), input_channels=given)
    load_weights(other, source.weights[fold], where=source.card.name)
    copied = copy_weights(other, list(source.planned.heads), network, list(plan.heads), where="--init-from")
    return TransferRecord(
        model=source.card.name,
        model_sha256=source.sha256,
        fold=fold,
        tensors=copied.tensors,
        kept=copied.kept,
        fresh=copied.fresh,
        scheme=plan.values.transfer.scheme,
    )


def check_start(source: StoredModel, plan: Plan) -> None:
    """Refuse a model that a training by this plan cannot begin from.

    Raises
    ------
    UsageError
        as :meth:`Start.prepare`.
    """
    network = build_network(plan.values.network, list(plan.heads), input_channels=plan.values.input.frames)
    _copy(source, network, plan, None)


def warnings_of(source: Plan, plan: Plan) -> list[str]:
    """What makes a start from another model's weights worth less, or a score too good."""
    theirs: dict[str, Any] = source.values.preparation.model_dump()
    ours: dict[str, Any] = plan.values.preparation.model_dump()
    own = {"thin", "dilate_px", "dilate_kernel", "dataset_mean_sd"}  # of masks, or of every dataset its own
    differ = [key for key in ours if key not in own and theirs[key] != ours[key]]
    found = []
    if differ:
        found.append(f"the model saw frames prepared otherwise: preparation.{', preparation.'.join(differ)}")
    if source.frames_sha256 == plan.frames_sha256:
        found.append("the model was trained on frames of this very dataset, so the scores of this fold may be too good")
    return found
