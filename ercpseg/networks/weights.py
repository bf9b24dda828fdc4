"""Weights of a network as plain arrays, and back, checked by name, shape, type and finiteness."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ercpseg.errors import StorageError


def unwrapped(network: torch.nn.Module) -> torch.nn.Module:
    """The network itself, where ``torch.compile`` has put a shell around it that renames all weights."""
    inner = getattr(network, "_orig_mod", network)
    return inner if isinstance(inner, torch.nn.Module) else network


def weights_of(network: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """The network's parameters and buffers by name, each storage once (nnU-Net's state dict holds 240 names for 88)."""
    seen: set[int] = set()
    result = {}
    for name, tensor in unwrapped(network).state_dict().items():
        key = tensor.data_ptr() if tensor.numel() else id(tensor)
        if key not in seen:
            seen.add(key)
            result[name] = tensor.detach().cpu().contiguous().numpy().copy()
    return result


def load_weights(network: torch.nn.Module, arrays: dict[str, NDArray[Any]], *, where: object) -> None:
    """Set the network's parameters.

    Raises
    ------
    StorageError
        when names, shapes or types differ, or a number is not finite.
    """
    wanted = weights_of(network)
    problems = [f"{name} is missing" for name in sorted(set(wanted) - set(arrays))]
    problems += [f"{name[:64]!r} is not expected" for name in sorted(set(arrays) - set(wanted))]
    for name in sorted(set(wanted) & set(arrays)):
        if arrays[name].shape != wanted[name].shape or arrays[name].dtype != wanted[name].dtype:
            problems.append(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
        elif arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            problems.append(f"{name} holds a number that is not finite")
    if problems:
        raise StorageError(
            "these weights do not fit the plan's network: " + "; ".join(problems[:5]),
            where=where,
            todo="use the model's own files",
        )
    unwrapped(network).load_state_dict(
        {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, strict=False
    )
