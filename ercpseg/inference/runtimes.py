"""What computes logits: a table of runtimes behind one interface.

A runtime takes (n, c, y, x) float32 (c: frames of a series) on its device and gives the mean logits of all folds,
(n, heads, y, x) float32 there.
``auto`` measures for some tenths of a second and takes the fastest, but only where frames enough are to come to repay the look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from ercpseg.errors import UsageError
from ercpseg.inference.lanes import Lanes

MEASURE_S = 0.15
"""What each of the two measurements of ``auto`` may take; the fastest of a handful of calls tells enough."""
REPAYS = 2.5
"""``auto`` looks for another runtime only where torch alone would need so many times what looking and building take: what can
be gained is about four tenths of it (light network at 512² in a lane: 15 ms by onnxruntime, 25 ms by torch). Measured: for 300
frames of the light network looking took 2 s more than it gained, for four mirror images of each it gained 3 s."""
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


class Runtime(Protocol):
    """Mean logits of all folds for a batch of tiles. ``side_by_side``: several threads may call it at once."""

    name: str
    side_by_side: bool

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) float32 → (n, heads, y, x) float32, on the device of the batch."""


@dataclass(frozen=True)
class Chosen:
    """A runtime and what to say of it: ``difference`` is its largest to torch in single precision, in logits."""

    runtime: Runtime
    note: str
    difference: float = 0.0


@dataclass(frozen=True)
class Task:
    """What the runtime will have to do: the shape of one call (n, c, y, x), how many calls are expected, by how many lanes."""

    shape: tuple[int, int, int, int]
    calls: int | None = None
    lanes: int = 1


class TorchRuntime:
    """The networks as they are: channels last on a CPU, automatic mixed precision where it was asked for."""

    name = "torch"

    def __init__(
        self, networks: Sequence[torch.nn.Module], device: torch.device, precision: str = "auto", compiled: bool = False
    ):
        self.device, self.dtype, self.side_by_side = device, _dtype(precision, device), not compiled
        plain = device.type != "cpu" and _instance_norm(networks)
        layout = torch.contiguous_format if plain else torch.channels_last
        self._networks: list[Callable[[torch.Tensor], torch.Tensor]] = []
        for network in networks:
            placed = network.eval().to(device).to(memory_format=layout)
            self._networks.append(torch.compile(placed) if compiled else placed)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """See :class:`Runtime`."""
        mean: torch.Tensor | None = None
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            for network in self._networks:
                output = network(batch).float()
                mean = output if mean is None else mean + output
        assert mean is not None  # noqa: S101  # there is at least one network
        return mean / len(self._networks)


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type to compute in; ``auto`` is half precision on CUDA and single elsewhere."""
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        # Without the instructions a CPU emulates it, which is slower than single precision.
        if device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise UsageError("this GPU has no bf16", where="--precision", todo="use fp16")
        return torch.bfloat16
    if precision == "fp16":
        if device.type == "cpu":
            raise UsageError("fp16 on a CPU is slower and less exact", where="--precision", expected="fp32 or bf16")
        return torch.float16
    raise UsageError(f"unknown precision {precision[:16]!r}", where="--precision", expected=", ".join(PRECISIONS))


def _instance_norm(networks: Sequence[torch.nn.Module]) -> bool:
    """Torch's instance norm copies what is stored channels last; on a CPU ours does not (:mod:`ercpseg.networks.norms`)."""
    return any(isinstance(module, torch.nn.InstanceNorm2d) for n in networks for module in n.modules())


def build_torch(
    networks: Sequence[torch.nn.Module], device: torch.device, precision: str, task: Task, compiled: bool = False
) -> Chosen:
    """Torch as it is."""
    runtime = TorchRuntime(networks, device, precision, compiled)
    note = f"torch {str(runtime.dtype).removeprefix('torch.')} on {device.type}{', compiled' if compiled else ''}"
    plain = runtime.dtype == torch.float32 and not compiled
    return Chosen(
        runtime, note, 0.0 if plain else difference(runtime, TorchRuntime(networks, device, "fp32"), task, device)
    )


def build_compiled(networks: Sequence[torch.nn.Module], device: torch.device, precision: str, task: Task) -> Chosen:
    """``torch.compile``; on CUDA it captures graphs. Costs half a minute at the first call, and a compiler on a CPU."""
    try:
        return build_torch(networks, device, precision, task, compiled=True)
    except torch._dynamo.exc.TorchDynamoException as error:
        raise UsageError(
            "this machine cannot compile the network", where="--runtime", todo="use --runtime torch"
        ) from error


def build_onnx(networks: Sequence[torch.nn.Module], device: torch.device, precision: str, task: Task) -> Chosen:
    """onnxruntime, from the networks as ONNX graphs made in memory."""
    from ercpseg.inference.onnx import OnnxRuntime, to_onnx

    if precision not in ("auto", "fp32"):
        raise UsageError(f"onnxruntime computes in fp32, not {precision}", where="--precision", expected="auto or fp32")
    threads = 1 if task.lanes > 1 else torch.get_num_threads()
    runtime = OnnxRuntime(to_onnx(networks, task.shape), device, threads)
    found = difference(runtime, TorchRuntime(networks, device, "fp32"), task, device)
    return Chosen(runtime, f"onnxruntime float32 on {device.type}, logits within {found:.0e} of torch", found)


RUNTIMES: dict[str, Callable[[Sequence[torch.nn.Module], torch.device, str, Task], Chosen]] = {
    "torch": build_torch,
    "compile": build_compiled,
    "onnxruntime": build_onnx,
}
"""Name → builder. ``auto`` chooses between torch and onnxruntime."""


def choose_runtime(
    name: str, networks: Sequence[torch.nn.Module], device: torch.device, precision: str, task: Task
) -> Chosen:
    """The runtime called ``name``, or for ``auto`` the one that is fastest here.

    Raises
    ------
    UsageError
        for a name that is not in :data:`RUNTIMES`, or one whose library is not installed.
    """
    if name != "auto":
        if name not in RUNTIMES:
            raise UsageError(
                f"unknown runtime {name[:16]!r}", where="--runtime", expected=f"auto, {', '.join(RUNTIMES)}"
            )
        return RUNTIMES[name](networks, device, precision, task)
    plain = build_torch(networks, device, precision, task)
    if device.type != "cpu" or precision not in ("auto", "fp32") or not _installed() or task.calls is None:
        return plain
    seconds = measure(plain.runtime, task, device, MEASURE_S)
    parameters = sum(p.numel() for network in networks for p in network.parameters())
    building = 2.5 + parameters / 5e6  # measured, imports included: 3 s for the light network, 12 s for 46 million
    if seconds * task.shape[0] * task.calls / task.lanes < REPAYS * (building + MEASURE_S):
        return plain
    other = build_onnx(networks, device, precision, task)
    faster = measure(other.runtime, task, device, MEASURE_S)
    if faster >= seconds:
        return plain
    return Chosen(
        other.runtime, f"{other.note}; {1000 * faster:.1f} ms against {1000 * seconds:.1f} ms", other.difference
    )


def measure(runtime: Runtime, task: Task, device: torch.device, budget_s: float) -> float:
    """Seconds of one tile: the fastest of as many calls as ``budget_s`` allows; of a slow network the first one alone.

    Where frames are predicted side by side, it is timed in one of their lanes.
    """
    tile = _example(task, device)

    def timed(_: None) -> float:
        times: list[float] = []
        with torch.inference_mode():
            while not times or sum(times) + min(times) < budget_s:
                _timed(runtime, tile, times)
        return min(times)

    return Lanes(1).map(timed, [None])[0] if task.lanes > 1 else timed(None)


def difference(runtime: Runtime, other: Runtime, task: Task, device: torch.device) -> float:
    """Largest difference of logits between two runtimes on one tile of noise."""
    tile = _example(task, device)
    with torch.inference_mode():
        return float((runtime(tile) - other(tile)).abs().max())


def _timed(runtime: Runtime, tile: torch.Tensor, times: list[float]) -> None:
    start = time.perf_counter()
    runtime(tile)
    if tile.device.type == "cuda":
        torch.cuda.synchronize()
    times.append(time.perf_counter() - start)


def _example(task: Task, device: torch.device) -> torch.Tensor:
    return torch.randn((1, *task.shape[1:]), generator=torch.Generator().manual_seed(0)).to(device)


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("onnxruntime") is not None and find_spec("onnx") is not None
