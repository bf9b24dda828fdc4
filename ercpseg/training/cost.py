"""What one training step costs on this machine, measured, so that a plan can fill a time budget."""

from __future__ import annotations

import time

import torch

from ercpseg.documents.plan import NetworkValues
from ercpseg.networks import build_network

Size = tuple[int, int]
MOST_SECONDS = 2.0
"""Measuring a forward pass takes no longer than this and one pass."""


def measure_step(
    network: NetworkValues, patch: Size, batch: int, heads: int, *, device: str = "cpu", steps: int = 3
) -> tuple[float, float]:
    """Median seconds of a forward and backward step on random data, and the memory it takes in GB.

    One warm-up step, then ``steps`` timed ones; Dice and focal terms stand in as cross-entropy, which costs about the same.
    """
    where = torch.device(device)
    model = build_network(network, heads).to(where)
    if device == "cpu":
        model = model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    data = torch.randn((batch, 1, *patch), generator=generator).to(where)
    target = (torch.rand((batch, heads, *patch), generator=generator) > 0.9).float().to(where)
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = _resident()
    times, peak = [], before
    for _ in range(steps + 1):
        start = time.perf_counter()
        outputs = model(data)
        full = outputs[0] if isinstance(outputs, list) else outputs
        loss = torch.nn.functional.binary_cross_entropy_with_logits(full, target) - full.sigmoid().mul(target).mean()
        peak = max(peak, _resident())
        loss.backward()
        _descend(model)
        if where.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    used = torch.cuda.max_memory_allocated() if where.type == "cuda" else peak - before
    return sorted(times[1:])[steps // 2], used / 1e9


def measure_forward(network: NetworkValues, tile: Size, heads: int, *, device: str = "cpu", passes: int = 5) -> float:
    """Median seconds of a forward pass of one tile on random data, as prediction makes it; one warm-up pass."""
    where = torch.device(device)
    model = build_network(network, heads).to(where).eval()
    if device == "cpu":
        model = model.to(memory_format=torch.channels_last)
    data = torch.randn((1, 1, *tile), generator=torch.Generator().manual_seed(0)).to(where)
    times = []
    with torch.inference_mode():
        for _ in range(passes + 1):
            start = time.perf_counter()
            model(data)
            if where.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
            if sum(times) > MOST_SECONDS:  # a large network on a CPU: one pass tells enough
                break
    timed = times[1:] or times
    return sorted(timed)[len(timed) // 2]


def _descend(model: torch.nn.Module) -> None:
    """A plain gradient step. It costs about what the real one does, but loads no optimiser: that takes 4 seconds."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-3)
                parameter.grad = None


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
