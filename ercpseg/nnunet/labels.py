"""Bitmask labels inside nnU-Net: its label manager paints regions over one another, ours ORs their bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from ercpseg.documents.plan import Plan
from ercpseg.frames.arrays import Array
from ercpseg.frames.prepare import Geometry
from ercpseg.frames.restore import to_native_size
from ercpseg.nnunet import PLAN_KEY
from ercpseg.structures import Bitmask, StructureSet


def region_labels(structures: StructureSet) -> dict[str, Any]:
    """nnU-Net's ``labels`` for a bitmask: each structure is the list of all values that have its bit.

    >>> region_labels(StructureSet(("endoscope", "guidewire")))
    {'background': 0, 'endoscope': [1, 3], 'guidewire': [2, 3]}
    """
    values = range(1, 2 ** len(structures.of or structures.names))
    regions = {name: [v for v in values if v & structures.value(name)] for name in structures}
    # One structure alone is no region to nnU-Net: a list of one value counts as a plain label.
    return {"background": 0, **{name: v if len(v) > 1 else v[0] for name, v in regions.items()}}


class BitmaskLabelManager(LabelManager):
    """Decodes probabilities to a bitmask, so that overlap survives (stock nnU-Net paints and loses it)."""

    def convert_probabilities_to_segmentation(self, predicted_probabilities: Any) -> Bitmask:
        """Probabilities (heads, …) → bitmask (…); parents, the heads beyond the structures, are left out."""
        if not self.has_regions:
            return super().convert_probabilities_to_segmentation(predicted_probabilities)  # type: ignore[no-any-return]
        if isinstance(predicted_probabilities, torch.Tensor):
            predicted_probabilities = predicted_probabilities.cpu().numpy()
        bitmask = np.zeros(predicted_probabilities.shape[1:], np.uint8)
        for channel, bit in zip(predicted_probabilities, self.regions_class_order, strict=False):
            bitmask |= (channel > 0.5).astype(np.uint8) * np.uint8(bit)
        return bitmask


def _to_native_size(logits: Any, shape: tuple[int, ...], *_: Any) -> Array:
    """Logits (heads, 1, y, x) → those of ``shape`` (1, y, x); nnU-Net tells spacings too, and frames have none."""
    working, native = (int(logits.shape[2]), int(logits.shape[3])), (int(shape[1]), int(shape[2]))
    return to_native_size(torch.as_tensor(logits)[:, 0], Geometry(native, working))[:, None]


class ErcpConfiguration(ConfigurationManager):
    """A configuration whose preprocessor and way back are ours, whatever process looks them up."""

    @property
    def preprocessor_class(self) -> Any:
        """Our preprocessor; nnU-Net would search its own package by name and find nothing."""
        from ercpseg.nnunet.preprocessor import ErcpPreprocessor

        return ErcpPreprocessor

    @property
    def resampling_fn_probabilities(self) -> Any:
        """How logits come to native size in live prediction."""
        return _to_native_size


class ErcpPlans(PlansManager):
    """nnU-Net's plans with our label manager and configuration, and our plan inside."""

    @property
    def label_manager_class(self) -> Any:
        """:class:`BitmaskLabelManager`."""
        return BitmaskLabelManager

    def get_configuration(self, configuration_name: str) -> ErcpConfiguration:
        """A fresh configuration at each call; upstream hands out one shared mutable object."""
        return ErcpConfiguration(self._internal_resolve_configuration_inheritance(configuration_name))

    def get_label_manager(self, dataset_json: dict[str, Any], **kwargs: Any) -> LabelManager:
        """The label manager of the structures that the plan learns, which may be fewer than the dataset has."""
        structures = self.plan.structure_set
        order = [structures.value(name) for name in structures]
        known = {"labels": region_labels(structures), "regions_class_order": order} if structures.of else {}
        return super().get_label_manager({**dataset_json, **known}, **kwargs)

    @property
    def plan(self) -> Plan:
        """Our plan.

        Raises
        ------
        DocumentError
            when these plans were not made by ercpseg.
        """
        return Plan.parse(self.plans.get(PLAN_KEY), where=f"key {PLAN_KEY!r} of nnU-Net's plans")
