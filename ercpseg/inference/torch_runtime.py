"""torch as a runtime: the networks as they are, or compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ercpseg.errors import UsageError
from ercpseg.frames.arrays import Array
from ercpseg.inference.folds import Folds
from ercpseg.inference.runtimes import PRECISIONS, Chosen, Task, difference


class TorchRuntime:
    """The networks as they are: channels last on a CPU, automatic mixed precision where it was asked for."""

    name = "torch"

    def __init__(
        self, networks: Sequence[torch.nn.Module], device: str, precision: str = "auto", compiled: bool = False
    ):
        self.device, self.dtype, self.side_by_side = device, _dtype(precision, device), not compiled
        plain = device != "cpu" and _instance_norm(networks)
        layout = torch.contiguous_format if plain else torch.channels_last
        self._networks: list[Callable[[torch.Tensor], torch.Tensor]] = []
        for network in networks:
            placed = network.eval().to(device).to(memory_format=layout)
            self._networks.append(torch.compile(placed) if compiled else placed)

    def __call__(self, batch: Array) -> Array:
        """See :class:`ercpseg.inference.runtimes.Runtime`."""
        if isinstance(batch, np.ndarray):
            return self._mean(torch.from_numpy(np.ascontiguousarray(batch))).numpy()
        return self._mean(batch)

    @torch.inference_mode()
    def _mean(self, batch: torch.Tensor) -> torch.Tensor:
        mean: torch.Tensor | None = None
        with torch.autocast(self.device, dtype=self.dtype, enabled=self.dtype != torch.float32):
            for network in self._networks:
                output = network(batch).float()
                mean = output if mean is None else mean + output
        assert mean is not None  # noqa: S101  # there is at least one network
        return mean / len(self._networks)


def _dtype(precision: str, device: str) -> torch.dtype:
    """The type to compute in; ``auto`` is half precision on CUDA and single elsewhere."""
    if precision == "auto":
        return torch.float16 if device == "cuda" else torch.float32
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        # Without the instructions a CPU emulates it, which is slower than single precision.
        if device == "cuda" and not torch.cuda.is_bf16_supported():
            raise UsageError("this GPU has no bf16", where="--precision", todo="use fp16")
        return torch.bfloat16
    if precision == "fp16":
        if device == "cpu":
            raise UsageError("fp16 on a CPU is slower and less exact", where="--precision", expected="fp32 or bf16")
        return torch.float16
    raise UsageError(f"unknown precision {precision[:16]!r}", where="--precision", expected=", ".join(PRECISIONS))


def _instance_norm(networks: Sequence[torch.nn.Module]) -> bool:
    """Torch's instance norm copies what is stored channels last; on a CPU ours does not (:mod:`ercpseg.networks.norms`)."""
    return any(isinstance(module, torch.nn.InstanceNorm2d) for n in networks for module in n.modules())


def build_torch(folds: Folds, device: str, precision: str, task: Task, compiled: bool = False) -> Chosen:
    """Torch as it is."""
    runtime = TorchRuntime(folds.networks, device, precision, compiled)
    note = f"torch {str(runtime.dtype).removeprefix('torch.')} on {device}{', compiled' if compiled else ''}"
    plain = runtime.dtype == torch.float32 and not compiled
    return Chosen(
        runtime, note, 0.0 if plain else difference(runtime, TorchRuntime(folds.networks, device, "fp32"), task, device)
    )


def build_compiled(folds: Folds, device: str, precision: str, task: Task) -> Chosen:
    """``torch.compile``; on CUDA it captures graphs. Costs half a minute at the first call, and a compiler on a CPU."""
    try:
        return build_torch(folds, device, precision, task, compiled=True)
    except torch._dynamo.exc.TorchDynamoException as error:
        raise UsageError(
            "this machine cannot compile the network", where="--runtime", todo="use --runtime torch"
        ) from error
