"""Folder prediction: a loop over the stream; the next frames are decoded and prepared meanwhile, the last ones written."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import InputRefused, ResourceError
from ercpseg.frames.frame import Frame
from ercpseg.inference.ahead import ahead
from ercpseg.inference.predictor import Prediction, Predictor, Prepared
from ercpseg.inference.stream import Stream
from ercpseg.progress import SILENT, Progress, Task
from ercpseg.structures import Bitmask


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


@dataclass(frozen=True)
class _Known:
    frame: Frame
    bitmask: Bitmask


def predict_frames(
    predictor: Predictor, items: Iterable[Frame | FrameRecord], sink: Sink, *, total: int, progress: Progress = SILENT
) -> str:
    """Predict every frame, pass every result and every refusal to ``sink``; returns a SHA-256 over all pixels read.

    ``total`` is the number of files: progress counts those, since frames inside them are only known when they are read.
    A frame that is too large for the memory is refused and the run goes on.
    """
    digest = hashlib.sha256()

    def too_large(frame: Frame, _: ResourceError) -> None:
        sink.refuse(_too_large(frame))

    stream = Stream(predictor, batch=predictor.batch, probabilities=sink.wants_probabilities, too_large=too_large)
    with progress.task("Predicting", total) as task:
        count = _Count(task)
        for item in ahead(_prepared(items, stream, sink, digest)):
            if not isinstance(item, Prepared):  # the frames that wait come first: rows stand in the order of the frames
                _write(sink, count, stream.owed())
            if isinstance(item, FrameRecord):
                sink.refuse(item)
                count.item(item.source)
            elif isinstance(item, _Known):
                sink.write(item.frame, item.bitmask, None)
                count.item(item.frame.source)
            else:
                count.item(item.frame.source)
                _write(sink, count, stream.push(item))
        _write(sink, count, stream.owed())
        count.end()
    return digest.hexdigest()


def _prepared(
    items: Iterable[Frame | FrameRecord], stream: Stream, sink: Sink, digest: hashlib._Hash
) -> Iterator[Prepared | _Known | FrameRecord]:
    """What can be done before it is a frame's turn; runs in the thread that reads ahead, which alone touches the window.

    A frame that is known enters the window too, so that those after it are predicted as in an undisturbed run.
    """
    for item in items:
        if isinstance(item, FrameRecord):  # what it leaves missing shows in the numbers of the frames after it
            yield item
            continue
        digest.update(f"{item.name} {item.pixels.dtype} {item.pixels.shape}".encode())
        digest.update(np.ascontiguousarray(item.pixels).data)
        frame = stream.enter(item)
        known = sink.known(frame)
        if known is not None:
            yield _Known(frame, known)
            continue
        try:
            yield stream.prepare(frame)
        except ResourceError:
            yield _too_large(frame)


def _write(sink: Sink, count: _Count, results: list[Prediction]) -> None:
    for result in results:
        sink.write(result.frame, result.bitmask, 1000 * result.seconds, result.probabilities)
        count.frame()


class _Count:
    """Files done, and how fast frames are predicted."""

    def __init__(self, task: Task):
        self._task = task
        self._source: str | None = None
        self._frames, self._start = 0, time.perf_counter()

    def item(self, source: str) -> None:
        """A frame or row of this file begins; the file before it is done."""
        if self._source not in (None, source):
            self._task.advance()
        self._source = source

    def frame(self) -> None:
        """A frame was predicted."""
        self._frames += 1
        rate = self._frames / max(1e-9, time.perf_counter() - self._start)
        self._task.advance(0, f"{rate:.3g} frames/s")

    def end(self) -> None:
        """The last file is done."""
        self._task.advance(0 if self._source is None else 1)


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
