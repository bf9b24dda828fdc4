"""Transfer learning: weights of one network into another of the same layout, and how fast each layer may go on learning.

Outputs are matched by the structure's name, so that a model of four structures can start one of two, or of others: what is
not known keeps its fresh weights. Everything else has to fit by name and shape.

A *layer* is a convolution with the norms behind it, in the order of a forward pass; the deepest are those at the lowest
resolution, the nearest to the bottleneck first (Gherardini et al. 2020 train "the 7 deepest layers" and count convolution, norm
and activation as three).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ercpseg.documents.plan import TransferValues
from ercpseg.errors import UsageError

NORMS = (nn.BatchNorm2d, nn.InstanceNorm2d)


@dataclass(frozen=True)
class Copied:
    """What was taken over: tensors, and of the outputs those known by name. ``fresh`` outputs are new."""

    tensors: int
    kept: tuple[str, ...]
    fresh: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """A convolution and the norms behind it. ``stride``: input px per output px."""

    modules: tuple[str, ...]
    stride: float


def named_outputs(network: nn.Module, heads: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Name of every output layer → the heads that it gives, in order; a cascade's stages give different ones."""
    names = {module: name for name, module in network.named_modules()}
    inner = getattr(network, "instrument_head", None)
    result = {}
    for module in network.outputs():  # type: ignore[operator]  # every network of this package has it
        own = tuple(heads)
        if inner is not None:
            first = module in network.first.outputs()  # type: ignore[union-attr,operator]
            own = (heads[inner],) if first else (*heads[:inner], *heads[inner + 1 :])
        result[names[module]] = own
    return result


def copy_weights(
    source: nn.Module, source_heads: Sequence[str], target: nn.Module, target_heads: Sequence[str], *, where: object
) -> Copied:
    """Set ``target``'s weights to those of ``source``, outputs by the names of their heads.

    Raises
    ------
    UsageError
        when another tensor than an output's is missing or of another shape.
    """
    theirs, ours = source.state_dict(), target.state_dict()
    from_outputs, outputs = named_outputs(source, source_heads), named_outputs(target, target_heads)
    ready: dict[str, torch.Tensor] = {}
    problems = []
    for name, wanted in ours.items():
        module, _, kind = name.rpartition(".")
        if module in outputs:
            if module in from_outputs and name in theirs:
                axis = 1 if kind == "weight" and isinstance(target.get_submodule(module), nn.ConvTranspose2d) else 0
                mixed = _by_head(theirs[name], from_outputs[module], wanted, outputs[module], axis)
                ready[name] = mixed
        elif name not in theirs:
            problems.append(f"{name} is missing")
        elif theirs[name].shape != wanted.shape:
            problems.append(f"{name} is {tuple(theirs[name].shape)} and not {tuple(wanted.shape)}")
        else:
            ready[name] = theirs[name]
    if problems:
        raise UsageError(
            "the model's network is built otherwise: " + "; ".join(problems[:3]),
            where=where,
            todo="plan with the same network.features, network.options and number of frames: --set network.features=...",
        )
    target.load_state_dict(ready, strict=False)
    known = [head for head in target_heads if any(head in from_outputs[m] for m in outputs if m in from_outputs)]
    fresh = tuple(head for head in target_heads if head not in known)
    return Copied(len({tensor.data_ptr() for tensor in ready.values()}), tuple(known), fresh)


def _by_head(
    source: torch.Tensor, source_heads: Sequence[str], target: torch.Tensor, heads: Sequence[str], axis: int
) -> torch.Tensor:
    """``target`` with the slices of the heads that both have from ``source``; of other shapes: ``target`` as it is."""
    rest = [s for i, s in enumerate(source.shape) if i != axis]
    if rest != [s for i, s in enumerate(target.shape) if i != axis]:
        return target
    mixed = target.clone()
    for index, head in enumerate(heads):
        if head in source_heads:
            mixed.select(axis, index).copy_(source.select(axis, source_heads.index(head)))
    return mixed


def layers_of(network: nn.Module, channels: int) -> list[Layer]:
    """The layers that a forward pass goes through, in order; outputs that only training uses are not among them."""
    names = {module: name for name, module in network.named_modules()}
    order: dict[str, float] = {}
    groups: dict[str, list[str]] = {}
    side = 2 * int(network.divisor)  # type: ignore[arg-type]

    def seen(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        name = names[module]
        if isinstance(module, NORMS):
            if groups and not any(name in group for group in groups.values()):
                groups[list(groups)[-1]].append(name)
        elif name not in order:
            order[name] = side / output.shape[-1]
            groups[name] = [name]

    kinds = (nn.Conv2d, nn.ConvTranspose2d, *NORMS)
    handles = [m.register_forward_hook(seen) for m in network.modules() if isinstance(m, kinds)]
    training, first = network.training, next(network.parameters())
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, channels, side, side, device=first.device, dtype=first.dtype))
    finally:
        for handle in handles:
            handle.remove()
        network.train(training)
    return [Layer(tuple(groups[name]), stride) for name, stride in order.items()]


def deepest(layers: Sequence[Layer], count: int) -> list[int]:
    """Indices of the ``count`` layers at the lowest resolution, the nearest to the bottleneck first."""
    lowest = max(layer.stride for layer in layers)
    bottom = [i for i, layer in enumerate(layers) if layer.stride == lowest]
    centre = sum(bottom) / len(bottom)
    order = sorted(range(len(layers)), key=lambda i: (-layers[i].stride, abs(i - centre)))
    return sorted(order[:count])


def learning_rates(network: nn.Module, values: TransferValues, channels: int, *, fresh: bool) -> dict[str, float]:
    """Parameter → factor of its learning rate by the plan's scheme; 0 = it stays as it is.

    ``fresh``: some outputs are new. Then all outputs learn at the full rate, whatever the scheme.
    """
    layers = layers_of(network, channels)
    chosen = deepest(layers, values.layers)
    factors: dict[str, float] = {}
    for index, layer in enumerate(layers):
        if values.scheme == "deepest":
            factor = values.rate if index in chosen else 0.0
        elif values.scheme == "layerwise":
            factor = values.rate * values.first_rate ** (1 - index / max(1, len(layers) - 1))
        else:
            factor = values.rate
        factors.update(dict.fromkeys(layer.modules, factor))
    outputs = {name for name, module in network.named_modules() if module in list(network.outputs())}  # type: ignore[operator]
    rest = 0.0 if values.scheme == "deepest" else values.rate
    result = {}
    for name, _ in network.named_parameters():
        module = name.rpartition(".")[0]
        result[name] = 1.0 if fresh and module in outputs else factors.get(module, rest)
    return result


def freeze(network: nn.Module, rates: Mapping[str, float]) -> list[nn.Module]:
    """Stop the gradients of what does not learn; returns the norms whose statistics must stay too: ``eval`` after ``train``."""
    held: list[nn.Module] = []
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(rates[name] > 0)
    for name, module in network.named_modules():
        if isinstance(module, NORMS) and rates.get(f"{name}.weight") == 0:
            held.append(module)
    return held
