"""Folder prediction: a loop over the stream, with the next frames decoded meanwhile."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import InputRefused, ResourceError
from ercpseg.frames.frame import Frame
from ercpseg.inference.predictor import Predictor
from ercpseg.progress import SILENT, Progress
from ercpseg.structures import Bitmask

T = TypeVar("T")


class Sink(Protocol):
    """Where predictions go, in the order of the frames."""

    @property
    def wants_probabilities(self) -> bool:
        """Whether results must come with probabilities."""

    def known(self, frame: Frame) -> Bitmask | None:
        """What is known of a frame from an earlier run; it is then not predicted, but written like the others."""

    def write(
        self,
        frame: Frame,
        bitmask: Bitmask,
        milliseconds: float | None,
        probabilities: NDArray[np.float16] | None = None,
    ) -> None:
        """Take the result of a frame; no milliseconds for one that was known."""

    def refuse(self, record: FrameRecord) -> None:
        """Take the row of what was not predicted."""


def predict_frames(
    predictor: Predictor, items: Iterable[Frame | FrameRecord], sink: Sink, *, total: int, progress: Progress = SILENT
) -> str:
    """Predict every frame, pass every result and every refusal to ``sink``; returns a SHA-256 over all pixels read.

    ``total`` is the number of files: progress counts those, since frames inside them are only known when they are read.
    A frame that is too large for the memory is refused and the run goes on.
    """
    stream = predictor.stream(probabilities=sink.wants_probabilities)
    digest = hashlib.sha256()
    source: str | None = None
    with progress.task("Predicting", total) as task:
        for item in ahead(items):
            if source not in (None, item.source):
                task.advance()
            source = item.source
            if isinstance(item, FrameRecord):
                sink.refuse(item)
            else:
                digest.update(f"{item.name} {item.pixels.dtype} {item.pixels.shape}".encode())
                digest.update(item.pixels.tobytes())
                known = sink.known(item)
                if known is not None:
                    sink.write(item, known, None)
                    continue
                try:
                    for result in stream.push(item):
                        sink.write(result.frame, result.bitmask, 1000 * result.seconds, result.probabilities)
                except ResourceError:
                    sink.refuse(_too_large(item))
        for result in stream.flush():
            sink.write(result.frame, result.bitmask, 1000 * result.seconds, result.probabilities)
        task.advance(0 if source is None else 1)
    return digest.hexdigest()


def ahead(items: Iterable[T], depth: int = 4) -> Iterator[T]:
    """``items`` in order, fetched by a background thread up to ``depth`` in advance; its errors are raised here."""
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[T | None, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:  # handed to the consumer, who raises it
            put((None, error))

    thread = threading.Thread(target=work, name="ercpseg-decode", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # an entry without error holds an item
    finally:
        stop.set()
        thread.join()


def _too_large(frame: Frame) -> FrameRecord:
    refusal = InputRefused(
        "too-large", f"{frame.pixels.shape[0]}x{frame.pixels.shape[1]} pixels did not fit the memory"
    )
    return FrameRecord(
        frame=frame.name,
        source=frame.source,
        index=frame.index,
        status="refused",
        code=refusal.code,
        reason=refusal.reason,
    )
