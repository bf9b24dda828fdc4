"""The planned optimiser and its learning rate."""

from __future__ import annotations

import math

import torch

from ercpseg.documents.plan import OptimiserValues


def build_optimiser(network: torch.nn.Module, values: OptimiserValues) -> torch.optim.Optimizer:
    """The optimiser that the plan names (R29)."""
    if values.name == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            values.learning_rate,
            momentum=values.momentum,
            nesterov=True,
            weight_decay=values.weight_decay,
        )
    betas = (values.momentum, 0.999)
    return torch.optim.AdamW(network.parameters(), values.learning_rate, betas=betas, weight_decay=values.weight_decay)


def learning_rate(values: OptimiserValues, done: float) -> float:
    """The rate after the share ``done`` (0 to 1) of training: linear warm-up, then polynomial (0.9) or cosine decay."""
    if done < values.warmup_frac:
        return values.learning_rate * max(done / values.warmup_frac, 0.01)
    rest = (done - values.warmup_frac) / (1 - values.warmup_frac)
    shape = (1 - rest) ** 0.9 if values.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * rest))
    return values.learning_rate * max(shape, 1e-4)
