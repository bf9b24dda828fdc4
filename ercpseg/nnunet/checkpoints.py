"""Training state in one safetensors file: weights, optimiser, what the loss counts, where the run stands. No pickle.

Two slots are written in turn. A torn or damaged one is skipped, so that a kill at any moment leaves the previous state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ercpseg.errors import StorageError
from ercpseg.networks.weights import load_weights, weights_of
from ercpseg.storage.arrays import load_arrays, save_arrays

SLOTS = ("state-a.safetensors", "state-b.safetensors")
WEIGHTS = "weights/"
OPTIMISER = "optimiser/"
LOSS = "loss/"
"""What a loss keeps from batch to batch (the running counts of GHM-C); most keep nothing."""


def save_state(
    folder: Path,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: torch.nn.Module,
    progress: dict[str, Any],
) -> None:
    """Write the older slot. ``progress`` is JSON-able and holds a growing number ``saves``."""
    arrays = {WEIGHTS + name: array for name, array in weights_of(network).items()}
    arrays |= {LOSS + name: array for name, array in weights_of(loss).items()}
    state = optimiser.state_dict()
    for index, entries in state["state"].items():
        for key, value in entries.items():
            array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
            arrays[f"{OPTIMISER}{index}/{key}"] = array
    slot = SLOTS[progress["saves"] % len(SLOTS)]
    save_arrays(folder / slot, arrays, progress)


def load_state(
    folder: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer, loss: torch.nn.Module
) -> dict[str, Any] | None:
    """Load the newest state that is whole; returns its ``progress``, or None when there is none.

    A state of before losses had a state leaves that of ``loss`` as it is.

    Raises
    ------
    StorageError
        when there are states but none is whole.
    """
    newest = _newest(folder)
    if newest is None:
        return None
    arrays, progress, path = newest
    weights = {n.removeprefix(WEIGHTS): a for n, a in arrays.items() if n.startswith(WEIGHTS)}
    load_weights(network, weights, where=path)
    counted = {n.removeprefix(LOSS): a for n, a in arrays.items() if n.startswith(LOSS)}
    if counted:
        load_weights(loss, counted, where=path)
    state = optimiser.state_dict()
    state["state"] = {}
    for name, array in arrays.items():
        if name.startswith(OPTIMISER):
            index, key = name.removeprefix(OPTIMISER).split("/")
            state["state"].setdefault(int(index), {})[key] = torch.from_numpy(array.copy())
    optimiser.load_state_dict(state)
    return progress


def read_progress(folder: Path) -> dict[str, Any] | None:
    """The ``progress`` of the newest state that is whole, or None when there is none.

    Raises
    ------
    StorageError
        when there are states but none is whole.
    """
    newest = _newest(folder)
    return None if newest is None else newest[1]


def _newest(folder: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any], Path] | None:
    found = []
    present = [folder / slot for slot in SLOTS if (folder / slot).exists()]
    for path in present:
        try:
            found.append((*load_arrays(path), path))
        except StorageError:
            continue
    if not found and present:
        raise StorageError("no checkpoint is whole", where=folder, todo="start again with --restart")
    return max(found, key=lambda entry: entry[1]["saves"], default=None)


def discard_states(folder: Path) -> None:
    """Delete the checkpoints of a finished or abandoned run."""
    for slot in SLOTS:
        (folder / slot).unlink(missing_ok=True)
