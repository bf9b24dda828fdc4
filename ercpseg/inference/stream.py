"""The stream: push frames, get predictions. Nothing is written, no thread, no clock; folder prediction is a loop over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ercpseg.errors import ResourceError
from ercpseg.frames.frame import Frame
from ercpseg.inference.window import Window

if TYPE_CHECKING:
    from ercpseg.inference.predictor import Prediction, Predictor, Prepared


class Stream:
    """Frames in, predictions out, in the order of the frames.

    With a batch of 1 every frame is answered at once. With more, frames of one size wait until so many are there, one of
    another size comes, or :meth:`flush` ends the series; what comes out does not depend on it.

    A model of several frames sees a frame with those that were pushed right before it, as long as they are the very next
    ones of one series and of one size (:mod:`ercpseg.frames.windows`); else it sees the frame alone, repeated.

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
        self._window = Window(predictor.prepare, predictor.serving.frames)

    def push(self, frame: Frame | Prepared) -> list[Prediction]:
        """The predictions that are ready after this frame, of this and of earlier ones.

        A prepared frame is one of :meth:`prepare`, which has its window already, or one that the predictor prepared.
        """
        if isinstance(frame, Frame):
            frame = self.prepare(self.enter(frame))
        elif len(frame.image) != self.predictor.serving.frames:
            frame = self._window.put_behind(self._window.enter(frame.frame, frame))
        ready: list[Prediction] = []
        if self._waiting and self._waiting[0].image.shape != frame.image.shape:
            ready = self.owed()
        self._waiting.append(frame)
        if len(self._waiting) >= self.batch:
            ready += self.owed()
        return ready

    def enter(self, frame: Frame) -> Frame:
        """Take a frame into the window, whether it is to be predicted or not; gives it with the hash of those before it.

        With :meth:`prepare` and :meth:`cut` the part of pushing that may run in another thread, in the order of the frames.
        """
        return self._window.enter(frame)

    def prepare(self, frame: Frame) -> Prepared:
        """Prepare the frame that :meth:`enter` took last, with those before it behind it; to be pushed.

        Raises
        ------
        UsageError, ResourceError
            as by the predictor; the frame is out of the window then.
        """
        try:
            return self._window.put_behind(frame)
        except Exception:
            self.cut()
            raise

    def cut(self) -> None:
        """What comes next does not follow what was there: the window starts anew."""
        self._window.clear()

    def owed(self) -> list[Prediction]:
        """The predictions of the frames that wait, however few; the window goes on."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        try:
            return self.predictor.predict_prepared(waiting, probabilities=self.probabilities)
        except ResourceError:
            if len(waiting) == 1 and self.too_large is None:
                raise
        return [result for prepared in waiting for result in self._alone(prepared)]

    def flush(self) -> list[Prediction]:
        """The predictions still owed; it ends the series."""
        self.cut()
        return self.owed()

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
