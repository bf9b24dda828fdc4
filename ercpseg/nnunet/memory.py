"""How much memory a training takes, so that what was planned can be compared with it."""

from __future__ import annotations

import torch


class PeakMemory:
    """The most memory above what there was at :meth:`start`: of the process on a CPU, allocated on a GPU."""

    def __init__(self, device: torch.device):
        self._device = device
        self._base: int | None = None
        self._peak = 0

    def start(self) -> None:
        """Count from here; network and data loaders exist."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._base = self._now()

    def look(self) -> None:
        """Call it after every step."""
        self._peak = max(self._peak, self._now())

    @property
    def peak_gb(self) -> float | None:
        """In 10⁹ bytes; None before the first step."""
        return None if self._base is None or not self._peak else max(0, self._peak - self._base) / 1e9

    def _now(self) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        import psutil

        return int(psutil.Process().memory_info().rss)
