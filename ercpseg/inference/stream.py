"""The stream: push frames, get predictions. Nothing is written, no thread, no clock; folder prediction is a loop over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ercpseg.errors import ResourceError
from ercpseg.frames.frame import Frame

if TYPE_CHECKING:
    from ercpseg.inference.predictor import Prediction, Predictor, Prepared


class Stream:
    """Frames in, predictions out, in the order of the frames.

    With a batch of 1 every frame is answered at once. With more, frames of one size wait until so many are there, one of
    another size comes, or :meth:`flush` ends the series; what comes out does not depend on it.

    Parameters
    ----------
    batch
        frames per call of the network.
    probabilities
        predictions carry probabilities, too.
    too_large
        called with a frame that does not fit the memory even alone; without it that is raised.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        batch: int = 1,
        probabilities: bool = False,
        too_large: Callable[[Frame, ResourceError], None] | None = None,
    ):
        self.predictor = predictor
        self.batch = max(1, batch)
        self.probabilities = probabilities
        self.too_large = too_large
        self._waiting: list[Prepared] = []

    def push(self, frame: Frame | Prepared) -> list[Prediction]:
        """The predictions that are ready after this frame, of this and of earlier ones."""
        prepared = self.predictor.prepare(frame) if isinstance(frame, Frame) else frame
        ready: list[Prediction] = []
        if self._waiting and self._waiting[0].image.shape != prepared.image.shape:
            ready = self.flush()
        self._waiting.append(prepared)
        if len(self._waiting) >= self.batch:
            ready += self.flush()
        return ready

    def flush(self) -> list[Prediction]:
        """The predictions still owed."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        try:
            return self.predictor.predict_prepared(waiting, probabilities=self.probabilities)
        except ResourceError:
            if len(waiting) == 1 and self.too_large is None:
                raise
        return [result for prepared in waiting for result in self._alone(prepared)]

    def run(self, frames: Iterable[Frame]) -> Iterator[Prediction]:
        """All predictions for a series of frames, in order."""
        for frame in frames:
            yield from self.push(frame)
        yield from self.flush()

    def _alone(self, prepared: Prepared) -> list[Prediction]:
        try:
            return self.predictor.predict_prepared([prepared], probabilities=self.probabilities)
        except ResourceError as error:
            if self.too_large is None:
                raise
            self.too_large(prepared.frame, error)
            return []
