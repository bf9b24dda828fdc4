"""A model of ours in the hands of nnU-Net's own predictor: the files that it opens, and what stands in for its parts.

nnU-Net's predictor finds the trainer through the shim and asks it for the network. By then it holds its own plans, and would
prepare frames and paint masks by them; so these are turned into ours, which then travel to its processes and back.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from ercpseg.documents.plan import Plan
from ercpseg.documents.serving import Serving, serving_of
from ercpseg.errors import UsageError
from ercpseg.frames.prepare import working_geometry
from ercpseg.networks import build_network
from ercpseg.networks.weights import load_weights
from ercpseg.nnunet import CONFIGURATION
from ercpseg.nnunet.convert import labels_json, serving_plans_json
from ercpseg.nnunet.labels import BitmaskLabelManager, ErcpConfiguration, ErcpPlans
from ercpseg.postprocess.finish import finish
from ercpseg.storage.models import StoredModel
from ercpseg.structures import Bitmask

TRAINER = "ErcpTrainer"


class Answer(torch.nn.Module):
    """A network with the outputs that nnU-Net expects: parents are left out.

    One structure alone is no region to nnU-Net: it gets two channels, of which the first is always 0.
    """

    def __init__(self, serving: Serving):
        super().__init__()
        self.network = build_network(serving.network, serving.heads, input_channels=serving.frames)  # type: ignore[arg-type]
        self.network.deep_supervision = False  # type: ignore[assignment]
        self._structures = len(serving.structures)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(n, frames, y, x) → (n, structures, y, x); for one structure (n, 2, y, x)."""
        logits: torch.Tensor = self.network(frames)[:, : self._structures]
        return logits if self._structures > 1 else torch.cat([torch.zeros_like(logits), logits], 1)


class AnsweringLabels(BitmaskLabelManager):
    """Makes masks of logits as live prediction does, thresholds and steps as planned."""

    serving: Serving

    def convert_logits_to_segmentation(self, predicted_logits: Any) -> Bitmask:
        """Logits (structures, 1, y, x) at native size → bitmask (1, y, x)."""
        logits = torch.as_tensor(predicted_logits)[-len(self.serving.structures) :, 0]
        long_side = self.serving.preparation.working_long_side_px  # type: ignore[union-attr]
        geometry = working_geometry((int(logits.shape[1]), int(logits.shape[2])), long_side)
        return finish(logits, geometry, self.serving)[None]

    def convert_probabilities_to_segmentation(self, predicted_probabilities: Any) -> Bitmask:
        """:meth:`convert_logits_to_segmentation` of those that have these probabilities."""
        return self.convert_logits_to_segmentation(torch.as_tensor(predicted_probabilities).logit())


class AnsweringPlans(ErcpPlans):
    """Our plans when nnU-Net predicts."""

    @property
    def label_manager_class(self) -> Any:
        """:class:`AnsweringLabels`."""
        return AnsweringLabels

    def get_label_manager(self, dataset_json: dict[str, Any], **kwargs: Any) -> AnsweringLabels:
        """The label manager, which knows what the model serves."""
        manager: AnsweringLabels = super().get_label_manager(dataset_json, **kwargs)
        manager.serving = serving_of(self.plan)
        return manager


def answer(plans: PlansManager, configuration: ConfigurationManager) -> Answer:
    """The network for nnU-Net's predictor, whose own objects become ours, in place."""
    plans.__class__ = AnsweringPlans
    configuration.__class__ = ErcpConfiguration
    return Answer(serving_of(AnsweringPlans(plans.plans).plan))


def results_folder(model: StoredModel) -> dict[str, bytes]:
    """File → bytes of a folder that ``nnUNetv2_predict_from_modelfolder`` opens.

    Raises
    ------
    UsageError
        when the model is one of stock nnU-Net.
    """
    if model.plan is None:
        raise UsageError(
            "nnU-Net trained this model, and has it already",
            where=model.card.name,
            expected="a model that ercpseg trained",
        )
    plan, serving = model.plan, model.serving
    files = {
        "plans.json": _json(serving_plans_json(plan, serving)),
        "dataset.json": _json(labels_json(plan.structure_set) | {"numTraining": model.card.frames or 0}),
    }
    for fold, arrays in model.weights.items():
        files[f"fold_{fold}/checkpoint_final.pth"] = _checkpoint(plan, serving, arrays)
    return files


def _checkpoint(plan: Plan, serving: Serving, arrays: Mapping[str, Any]) -> bytes:
    """What nnU-Net reads of a checkpoint, and nothing else: tensors and plain values, which load with ``weights_only``."""
    network = Answer(serving)
    load_weights(network.network, dict(arrays), where="the model's weights")
    content = {
        "network_weights": network.state_dict(),
        "trainer_name": TRAINER,
        "init_args": {"configuration": CONFIGURATION},
        "inference_allowed_mirroring_axes": serving.mirror_axes or None,
        "ercpseg_plan_sha256": plan.sha256,
    }
    data = io.BytesIO()
    torch.save(content, data)
    return data.getvalue()


def _json(content: dict[str, Any]) -> bytes:
    # Key order carries meaning in dataset.json (regions follow it), so nothing is sorted.
    return (json.dumps(content, indent=1) + "\n").encode()
