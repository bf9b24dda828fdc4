"""Weights of a network as plain arrays, and back, checked by name, shape, type and finiteness."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from ercpseg.networks.arrays import check_arrays


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
    wanted = {name: (array.shape, array.dtype) for name, array in weights_of(network).items()}
    check_arrays(arrays, wanted, where=where)
    unwrapped(network).load_state_dict(
        {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, strict=False
    )
