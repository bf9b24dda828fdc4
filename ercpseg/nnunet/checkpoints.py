"""Training state in one safetensors file: weights, optimiser, where the run stands. No pickle.

Two slots are written in turn. A torn or damaged one is skipped, so that a kill at any moment leaves the previous state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ercpseg.errors import StorageError
from ercpseg.storage.arrays import load_arrays, save_arrays

SLOTS = ("state-a.safetensors", "state-b.safetensors")
WEIGHTS = "weights/"
OPTIMISER = "optimiser/"


def weights_of(network: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """The network's parameters and buffers by name, each storage once (nnU-Net's state dict holds 240 names for 88)."""
    seen: set[int] = set()
    result = {}
    for name, tensor in network.state_dict().items():
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
            "these weights do not fit the plan's network: " + "; ".join(problems[:5]), where=where, todo="use the model's own files"
        )
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, strict=False)


def save_state(folder: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Write the older slot. ``progress`` is JSON-able and holds a growing number ``saves``."""
    arrays = {WEIGHTS + name: array for name, array in weights_of(network).items()}
    state = optimiser.state_dict()
    for index, entries in state["state"].items():
        for key, value in entries.items():
            array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
            arrays[f"{OPTIMISER}{index}/{key}"] = array
    slot = SLOTS[progress["saves"] % len(SLOTS)]
    save_arrays(folder / slot, arrays, progress)


def load_state(folder: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Load the newest state that is whole; returns its ``progress``, or None when there is none.

    Raises
    ------
    StorageError
        when there are states but none is whole.
    """
    found = []
    present = [folder / slot for slot in SLOTS if (folder / slot).exists()]
    for path in present:
        try:
            found.append((load_arrays(path), path))
        except StorageError:
            continue
    if not found:
        if present:
            raise StorageError("no checkpoint is whole", where=folder, todo="start again with --restart")
        return None
    (arrays, progress), path = max(found, key=lambda entry: entry[0][1]["saves"])
    weights = {n.removeprefix(WEIGHTS): a for n, a in arrays.items() if n.startswith(WEIGHTS)}
    load_weights(network, weights, where=path)
    state = optimiser.state_dict()
    state["state"] = {}
    for name, array in arrays.items():
        if name.startswith(OPTIMISER):
            index, key = name.removeprefix(OPTIMISER).split("/")
            state["state"].setdefault(int(index), {})[key] = torch.from_numpy(array.copy())
    optimiser.load_state_dict(state)
    return progress


def discard_states(folder: Path) -> None:
    """Delete the checkpoints of a finished or abandoned run."""
    for slot in SLOTS:
        (folder / slot).unlink(missing_ok=True)
