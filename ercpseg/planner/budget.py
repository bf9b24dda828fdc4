"""What the plan may cost: the machine, the memory, the minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ercpseg.documents.plan import NetworkValues, Size
from ercpseg.errors import ResourceError, UsageError

CPU_DEFAULT_S = 1800.0
"""Time budget of one fold on a CPU when none is given: half an hour is what people wait for."""
FEW_SHOT_S = 300.0
"""The same where it is few-shot: weights that know the scene have nothing more to learn from a handful of frames."""
RESERVE_FRAC = 0.1
"""Share of the time kept for validation, saving and the start."""


@dataclass(frozen=True)
class Budget:
    """Machine and time for training one fold. ``time_budget_s`` None = the rule decides."""

    device: Literal["cpu", "cuda", "mps"]
    memory_gb: float
    time_budget_s: float | None = None
    threads: int = 1
    latency_ms: float | None = None
    """How long one frame may take in prediction; None = as long as it takes."""
    few_shot: bool = False
    """Whether the plan turned out to be few-shot (R12), which takes minutes."""

    def __post_init__(self) -> None:
        limits = (self.time_budget_s, self.latency_ms)
        if self.memory_gb <= 0 or self.threads < 1 or any(limit is not None and limit <= 0 for limit in limits):
            raise UsageError(
                f"memory {self.memory_gb} GB, time {self.time_budget_s} s, latency {self.latency_ms} ms, "
                f"{self.threads} threads",
                where="budget",
                expected="memory, time and latency above 0, at least one thread",
            )

    @property
    def seconds(self) -> float | None:
        """Time budget in seconds; a CPU always has one, and so has what is few-shot."""
        if self.time_budget_s is None and self.few_shot:
            return FEW_SHOT_S
        return CPU_DEFAULT_S if self.time_budget_s is None and self.device == "cpu" else self.time_budget_s

    @property
    def training_seconds(self) -> float | None:
        """What remains for iterations after the reserve."""
        return None if self.seconds is None else (1 - RESERVE_FRAC) * self.seconds


@dataclass(frozen=True)
class StepCost:
    """One training iteration as measured on this machine."""

    seconds_per_iteration: float
    memory_gb: float


Measure = Callable[[NetworkValues, Size, int, int, int], StepCost]
"""network, patch (y, x), batch size, heads, input frames → cost. The caller measures, so that no tensor is needed here."""


MeasureForward = Callable[[NetworkValues, Size, int, int], float]
"""network, tile (y, x), heads, input frames → milliseconds of one forward pass."""


class Meter:
    """Asks ``measure`` and ``forward`` at most once per question; without them every answer is None.

    ``frames``: how many the network takes at a time, which is a pin or one.
    """

    def __init__(self, measure: Measure | None, forward: MeasureForward | None = None, *, frames: int = 1):
        self._measure = measure
        self._forward = forward
        self._frames = frames
        self._latencies: dict[tuple[NetworkValues, Size, int], float | None] = {}
        self._known: dict[tuple[NetworkValues, Size, int, int], StepCost | None] = {}

    def __bool__(self) -> bool:
        return self._measure is not None

    def cost(self, network: NetworkValues, patch: Size, batch: int, heads: int) -> StepCost | None:
        """The cost of one iteration; None when it was not measured or did not fit into memory."""
        if self._measure is None:
            return None
        # Auxiliary outputs cost next to nothing, so rules before and after R22 may share a measurement.
        key = (network.model_copy(update={"deep_supervision": 0}), patch, batch, heads)
        if key not in self._known:
            try:
                self._known[key] = self._measure(*key, self._frames)
            except ResourceError:
                self._known[key] = None
        return self._known[key]

    def fits(self, network: NetworkValues, patch: Size, batch: int, heads: int, *, budget: Budget) -> bool:
        """Whether an iteration fits into the memory; True when nothing can be measured."""
        cost = self.cost(network, patch, batch, heads)
        return not self if cost is None else cost.memory_gb <= budget.memory_gb

    def iterations(self, network: NetworkValues, patch: Size, batch: int, heads: int, *, budget: Budget) -> int | None:
        """Iterations that the time allows; None when unlimited or not measured."""
        cost, seconds = self.cost(network, patch, batch, heads), budget.training_seconds
        return None if cost is None or seconds is None else max(1, int(seconds / cost.seconds_per_iteration))

    def latency_ms(self, network: NetworkValues, tile: Size, heads: int) -> float | None:
        """Milliseconds of one forward pass; None when it was not measured or did not fit into memory."""
        if self._forward is None:
            return None
        key = (network.model_copy(update={"deep_supervision": 0}), tile, heads)
        if key not in self._latencies:
            try:
                self._latencies[key] = self._forward(*key, self._frames)
            except ResourceError:
                self._latencies[key] = None
        return self._latencies[key]
