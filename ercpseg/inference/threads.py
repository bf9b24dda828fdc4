"""How many threads prediction takes, whether or not torch is loaded."""

from __future__ import annotations

import os
import sys


def thread_count() -> int:
    """What torch says where it is loaded; else ``OMP_NUM_THREADS``, or the cores that this process may use, as torch would."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if said.isdigit() and int(said):
        return int(said)
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


def take_one() -> None:
    """Have torch, if it is loaded, use one thread in the thread that calls this."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
