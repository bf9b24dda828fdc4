"""The parent's side: a few decoding children that are kept warm, restarted when they die, killed when they hang.

Every foreign file is decoded there, not here. Limits per child: memory (``worker.MEMORY_BYTES``), no file may be
written, :data:`SECONDS` per request. A file that breaks a limit is refused; the next one finds a fresh child.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding import wire
from ercpseg.decoding.dicom_reference import KEYWORDS
from ercpseg.decoding.reading import MAX_PIXELS, Picture
from ercpseg.decoding.sniff import HEAD_BYTES, Kind, sniff
from ercpseg.decoding.source import Source
from ercpseg.errors import REFUSALS, InputRefused, ResourceError
from ercpseg.frames.about import About

CHILDREN = 2
SECONDS = 20.0
"""How long one request may take. A frame of 64 megapixels in the slowest codec takes about five."""
REQUESTS = 5000
"""A child is replaced after so many: some decoders lose a little memory with every damaged file."""
PIPE_BYTES, SMALL_REQUEST = 1 << 20, 1 << 15
_TUPLES = ("order", "spacing_mm", "shutter")


@dataclass(frozen=True)
class Listed:
    """What a file declares: ``count`` frames, whether their names carry a number, and the facts beside the pixels."""

    count: int
    numbered: bool
    about: About


class Decoders:
    """A pool of children, for use from any number of threads. A context manager; children start when first needed."""

    def __init__(self, children: int = CHILDREN, seconds: float = SECONDS):
        self._seconds = seconds
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(children):
            self._idle.put(None)
        self._children = children

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all children; waits for requests that are under way."""
        for _ in range(self._children):
            child = self._idle.get()
            if child is not None:
                child.stop()
        for _ in range(self._children):
            self._idle.put(None)

    def listing(self, source: Source, kind: Kind) -> Listed:
        """The frames that a file declares.

        Raises
        ------
        InputRefused
            when the file as a whole cannot be used. So do all other methods.
        ResourceError
            when no child can be started.
        """
        reply, _ = self.ask("list", source, kind)
        known = {field.name for field in fields(About)}
        about = {key: value for key, value in reply["about"].items() if key in known}
        for key in _TUPLES:
            about[key] = tuple(about[key]) if about[key] is not None else None
        return Listed(max(1, int(reply["count"])), bool(reply["numbered"]), About(**about))

    def frame(self, source: Source, kind: Kind, number: int, *, modality_lut: bool = False) -> Picture:
        """Decode frame ``number``, from 0."""
        reply, (pixels,) = self.ask("frame", source, kind, number=number, modality_lut=modality_lut)
        bits = int(reply["bits"])
        fits = pixels.dtype in (np.uint8, np.uint16) and 1 <= bits <= 8 * pixels.dtype.itemsize
        if pixels.ndim != 2 or not fits or not 1 <= pixels.size <= MAX_PIXELS:
            raise InputRefused("unreadable", "the decoder broke its promise")
        return Picture(pixels, bits, tuple(str(note) for note in reply["notes"]))

    def mask(self, source: Source, kind: Kind) -> NDArray[np.bool_]:
        """A mask (y, x)."""
        _, (mask,) = self.ask("mask", source, kind)
        return mask.astype(bool, copy=False)

    def labels(self, source: Source, kind: Kind) -> NDArray[Any]:
        """A label image (y, x) of stored integers."""
        _, (labels,) = self.ask("labels", source, kind)
        return labels

    def colours(self, source: Source, kind: Kind) -> NDArray[np.uint8]:
        """A colour map (y, x, 3) as a viewer shows it."""
        _, (colours,) = self.ask("colours", source, kind)
        if colours.ndim != 3 or colours.shape[2] != 3 or colours.dtype != np.uint8:
            raise InputRefused("unreadable", "the decoder broke its promise")
        return colours

    def reference(self, source: Source) -> dict[str, str]:
        """What a DICOM result must repeat of the image it belongs to (keyword → text): names a patient, never print it.

        Raises
        ------
        InputRefused
            ``not-dicom`` for another format, ``incomplete-header`` when something that is needed is missing or garbled.
        """
        with source.open() as stream:
            kind = sniff(stream.read(HEAD_BYTES), source.size)
        if kind != "dicom":
            raise InputRefused("not-dicom")
        reply, _ = self.ask("reference", source, kind)
        if not all(isinstance(value, str) and keyword in KEYWORDS for keyword, value in reply.items()):
            raise InputRefused("unreadable", "the decoder broke its promise")
        return reply

    def ask(
        self, operation: str, source: Source, kind: Kind, **arguments: Any
    ) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """Have a child carry out one of ``worker.OPERATIONS``; blocks until one is free and has answered."""
        path = os.fsencode(os.path.abspath(source.path))  # noqa: PTH100 - a child stays where it was started
        request = {"operation": operation, "path": path.hex(), "kind": kind, **arguments}
        if source.member is not None:
            request["member"] = source.member
        child = self._idle.get()
        try:
            if child is None or child.worn:
                if child is not None:
                    child.stop()
                child = _Child()
            try:
                message, arrays = child.exchange(request, self._seconds)
            except wire.Gone:
                overdue = child.overdue
                child.kill()
                child = None
                raise (
                    InputRefused("too-slow", f"limit {self._seconds:g} s") if overdue else InputRefused("decoder-died")
                ) from None
        finally:
            self._idle.put(child)
        if "refused" in message:
            code, detail = (str(part) for part in message["refused"])
            raise InputRefused(code if code in REFUSALS else "unreadable", detail[:200])
        return message["reply"], arrays


class _Timed:
    """A pipe that is read until a moment, and no longer; ``overdue`` tells that it passed."""

    def __init__(self, raw: io.RawIOBase):
        self._raw = raw
        self._selector = selectors.DefaultSelector()
        self._selector.register(raw, selectors.EVENT_READ)
        self.until = 0.0
        self.overdue = False

    def readinto(self, view: memoryview) -> int | None:
        """Read what is there, waiting for it; 0 at the end and when time is up."""
        if not self._selector.select(max(0.0, self.until - time.monotonic())):
            self.overdue = True
            return 0
        return self._raw.readinto(view)

    def close(self) -> None:
        self._selector.close()
        self._raw.close()


def _widen(pipe: int) -> None:
    """Let a pipe hold a whole frame, so that a child need not wait for us while it answers; where that can be had."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class _Child:
    """One process."""

    def __init__(self) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ercpseg.decoding.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=environment,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        except OSError as error:
            raise ResourceError(
                "no decoding process can be started", where=error.strerror, todo="free memory or processes"
            ) from error
        assert self._process.stdin and self._process.stdout  # noqa: S101 - both are pipes
        self._to = io.BufferedWriter(cast(io.RawIOBase, self._process.stdin))
        self._from = _Timed(cast(io.RawIOBase, self._process.stdout))
        _widen(self._process.stdout.fileno())
        self._requests = 0

    @property
    def overdue(self) -> bool:
        """Whether the last request took too long."""
        return self._from.overdue

    @property
    def worn(self) -> bool:
        """Whether it has done enough."""
        return self._requests >= REQUESTS

    def exchange(self, request: dict[str, Any], seconds: float) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        self._requests += 1
        self._from.until = time.monotonic() + seconds
        # A large request may fill the pipe before a child that hangs has read it, and writing has no time limit.
        watch = threading.Timer(seconds, self._process.kill) if len(str(request)) > SMALL_REQUEST else None
        if watch is not None:
            watch.start()
        try:
            wire.send(self._to, request)
            return wire.receive(cast(BinaryIO, self._from))
        except OSError as error:
            raise wire.Gone("a pipe broke") from error
        finally:
            if watch is not None:
                watch.cancel()

    def stop(self) -> None:
        """Close its input, upon which it ends by itself."""
        with contextlib.suppress(OSError):
            self._to.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._from.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.stop()


_SHARED_LOCK = threading.Lock()
_shared: Decoders | None = None
_users = 0


@contextlib.contextmanager
def borrow() -> Iterator[Decoders]:
    """The program's pool: made for the first borrower, closed after the last, so that nested uses share children."""
    global _shared, _users
    with _SHARED_LOCK:
        _shared = _shared or Decoders()
        _users += 1
        decoders = _shared
    try:
        yield decoders
    finally:
        with _SHARED_LOCK:
            _users -= 1
            last = _users == 0
            if last:
                _shared = None
        if last:
            decoders.close()
