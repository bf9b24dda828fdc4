"""The planned optimiser and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ercpseg.documents.plan import OptimiserValues

FACTOR = "factor"
"""Key of a parameter group: what its learning rate is multiplied by."""


def build_optimiser(
    network: torch.nn.Module, values: OptimiserValues, rates: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The optimiser that the plan names (R29). ``rates``: factor of the rate by parameter; 0 leaves it out."""
    parameters = network.parameters() if rates is None else _groups(network, rates)
    if values.name == "sgd":
        return torch.optim.SGD(
            parameters,
            values.learning_rate,
            momentum=values.momentum,
            nesterov=True,
            weight_decay=values.weight_decay,
        )
    betas = (values.momentum, 0.999)
    return torch.optim.AdamW(parameters, values.learning_rate, betas=betas, weight_decay=values.weight_decay)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The rate of every group, by its factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(FACTOR, 1.0)


def _groups(network: torch.nn.Module, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """One group per factor, in the order of the parameters, so that a saved state fits again."""
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if rates[name] > 0:
            groups.setdefault(rates[name], []).append(parameter)
    return [{"params": parameters, FACTOR: factor} for factor, parameters in groups.items()]


def learning_rate(values: OptimiserValues, done: float) -> float:
    """The rate after the share ``done`` (0 to 1) of training: linear warm-up, then polynomial, cosine or no decay."""
    if done < values.warmup_frac:
        return values.learning_rate * max(done / values.warmup_frac, 0.01)
    if values.schedule == "constant":
        return values.learning_rate
    rest = (done - values.warmup_frac) / (1 - values.warmup_frac)
    shape = (1 - rest) ** 0.9 if values.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * rest))
    return values.learning_rate * max(shape, 1e-4)
