"""Which device predicts, found out without loading torch where there can only be one answer."""

from __future__ import annotations

import sys
from pathlib import Path

from ercpseg.errors import UsageError

GPU_NODES = ("nvidia*", "nvhost*", "nvmap*", "nvgpu*", "dxg", "kfd")
"""What stands in /dev where a driver of NVIDIA (also Tegra and Windows' subsystem) or AMD is loaded."""


def choose_device(name: str) -> str:
    """``auto`` takes ``cuda`` where torch finds one, else ``cpu``.

    Raises
    ------
    UsageError
        for a device that is not there.
    """
    if name not in ("auto", "cpu", "cuda", "mps"):
        raise UsageError(f"unknown device {name[:16]!r}", where="--device", expected="auto, cpu, cuda or mps")
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    cuda = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if cuda else "cpu"
    if not (cuda if name == "cuda" else torch.backends.mps.is_available()):
        raise UsageError(f"there is no {name.upper()} device", where="--device", todo="use --device cpu")
    return name


def _may_have_gpu() -> bool:
    """False only where torch could not find a GPU either: on Linux, when no driver has put a device into /dev."""
    if sys.platform != "linux":
        return True
    return any(next(Path("/dev").glob(pattern), None) is not None for pattern in GPU_NODES)
