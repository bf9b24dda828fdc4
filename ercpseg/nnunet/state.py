"""Where a run stands: what a checkpoint keeps besides weights and optimiser."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class RunState:
    """``losses`` of the epoch under way, one row per finished epoch, and the time spent over all resumptions.

    ``before_s``: what the time budget lost to preparations of the training, such as making synthetic frames.
    """

    losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    spent_s: float = 0.0
    saves: int = 0
    before_s: float = 0.0
    _clock: float = field(default_factory=time.monotonic)
    _saved_at: float = field(default_factory=time.monotonic)

    def start_clock(self, before_s: float = 0.0) -> None:
        """Training begins now; of what was before, ``before_s`` count against the time budget."""
        self.before_s += before_s
        self._clock = self._saved_at = time.monotonic()

    @property
    def since_save_s(self) -> float:
        """Seconds since the last checkpoint."""
        return time.monotonic() - self._saved_at

    def close_epoch(
        self, *, epoch: int, validation_loss: float, learning_rate: float, dice: dict[str, float | None]
    ) -> dict[str, Any]:
        """Add the row of a finished epoch and begin the next one."""
        self._tick()
        row = {
            "epoch": epoch,
            "train_loss": float(np.mean(self.losses)),
            "validation_loss": validation_loss,
            "learning_rate": learning_rate,
            "seconds": self.spent_s - (self.history[-1]["spent_s"] if self.history else 0.0),
            "spent_s": self.spent_s,
            "dice": dice,
        }
        self.history.append(row)
        self.losses = []
        return row

    def epochs_left(self, time_budget_s: float) -> int:
        """How many more epochs fit, at the mean speed of the last five."""
        recent = float(np.mean([row["seconds"] for row in self.history[-5:]]))
        return max(0, math.floor((time_budget_s - self.before_s - self.spent_s) / recent))

    def to_json(self) -> dict[str, Any]:
        """For the checkpoint; counts as a save."""
        self._tick()
        self.saves += 1
        self._saved_at = time.monotonic()
        return {
            "saves": self.saves,
            "losses": self.losses,
            "history": self.history,
            "spent_s": self.spent_s,
            "before_s": self.before_s,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> RunState:
        """The state of a checkpoint."""
        return cls(
            content["losses"], content["history"], content["spent_s"], content["saves"], content.get("before_s", 0.0)
        )

    def _tick(self) -> None:
        now = time.monotonic()
        self.spent_s += now - self._clock
        self._clock = now
