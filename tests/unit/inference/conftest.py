"""Random models, made as training makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ercpseg.networks import build_network
from ercpseg.networks.weights import weights_of
from ercpseg.storage.arrays import encode_arrays
from ercpseg.storage.models import write_model
from tests.unit.core.plans import card_of, tiny_plan

ModelMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> ModelMaker:
    """``make_model(folds=2, section__field=value)`` writes a model folder and returns it."""

    def make(folds: int = 1, **overrides: Any) -> Path:
        plan = tiny_plan(**overrides)
        weights = {}
        for fold in range(folds):
            torch.manual_seed(10 + fold)
            network = build_network(plan.values.network, len(plan.heads), input_channels=plan.values.input.frames)
            with torch.no_grad():
                for name, parameter in network.named_parameters():
                    # so that the logits lie well on both sides of zero
                    if name.endswith("weight"):
                        parameter.mul_(2)
                    elif name == "head.bias":
                        parameter.zero_()
                network.train()
                for _ in range(5):
                    network(torch.randn(4, plan.values.input.frames, 32, 32))
            weights[f"fold_{fold}.safetensors"] = encode_arrays(weights_of(network), {})
        folder = tmp_path_factory.mktemp("model") / "model"
        write_model(folder, plan, card_of(plan, weights), weights)
        return folder

    return make
