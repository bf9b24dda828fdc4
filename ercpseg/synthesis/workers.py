"""Runs the jobs of a synthetic dataset in processes. They share nothing, so their number changes no file."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

from ercpseg.synthesis.jobs import Job, Materials, run_job
from ercpseg.synthesis.request import Request

AHEAD = 4
"""Jobs that wait for each process: enough to keep it busy, few enough to stop soon."""

_shared: tuple[Request, Path, Materials] | None = None


def in_processes(jobs: list[Job], request: Request, out: Path, materials: Materials, workers: int) -> Iterator[Job]:
    """Do ``jobs`` in ``workers`` processes and yield each when it is done; the first error stops the rest."""
    context = get_context("spawn")  # never fork: a caller may have threads
    with ProcessPoolExecutor(workers, context, _begin, (request, out, materials)) as pool:
        waiting: dict[Future[int], Job] = {}
        left = iter(jobs)
        try:
            while True:
                for job in left:
                    waiting[pool.submit(_do, job)] = job
                    if len(waiting) >= AHEAD * workers:
                        break
                if not waiting:
                    return
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    job = waiting.pop(future)
                    future.result()
                    yield job
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(request: Request, out: Path, materials: Materials) -> None:
    """Set up a process: what all jobs share comes once, and Ctrl-C is the parent's business."""
    global _shared
    _shared = (request, out, materials)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _do(job: Job) -> int:
    if _shared is None:
        raise RuntimeError("the process was not set up")
    request, out, materials = _shared
    return run_job(job, request, out, materials)
