"""The window of a stream: the last frames of one series, prepared only when a frame that is predicted asks for them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ercpseg.frames.frame import Frame
from ercpseg.frames.windows import filled, follows, moment_of

if TYPE_CHECKING:
    from ercpseg.inference.predictor import Prepared


@dataclass
class _Seen:
    frame: Frame
    sha256: str
    prepared: Prepared | None = None


class Window:
    """The last ``frames`` frames, as long as each follows the one before it and has its size.

    ``prepare`` is the predictor's. With one frame nothing is kept.
    """

    def __init__(self, prepare: Callable[[Frame], Prepared], frames: int):
        self._prepare = prepare
        self._frames = frames
        self._seen: deque[_Seen] = deque(maxlen=frames)  # the newest first

    def clear(self) -> None:
        """Begin anew."""
        self._seen.clear()

    def enter(self, frame: Frame, prepared: Prepared | None = None) -> Frame:
        """Take a frame in; gives it with the hash of those before it that its prediction depends on."""
        if self._frames == 1:
            self.clear()
            self._seen.append(_Seen(frame, "", prepared))
            return frame
        if self._seen:
            last = self._seen[0].frame
            if last.pixels.shape != frame.pixels.shape or not follows(moment_of(last), moment_of(frame)):
                self.clear()
        earlier = [seen.sha256 for seen in self._seen][: self._frames - 1]
        self._seen.appendleft(_Seen(frame, _sha256(frame), prepared))
        return replace(frame, before_sha256=" ".join(earlier)) if earlier else frame

    def put_behind(self, frame: Frame) -> Prepared:
        """The frame that entered last, prepared, with those before it as further channels."""
        each = []
        for seen in self._seen:
            if seen.prepared is None:
                seen.prepared = self._prepare(seen.frame)
            each.append(seen.prepared)
        first = each[0]
        if self._frames == 1:
            return first
        image = filled(np.concatenate([prepared.image for prepared in each]), self._frames)
        return replace(first, frame=frame, image=image)


def _sha256(frame: Frame) -> str:
    """Over what a prepared image depends on."""
    digest = hashlib.sha256(f"{frame.pixels.dtype} {frame.pixels.shape}".encode())
    digest.update(np.ascontiguousarray(frame.pixels).data)
    return digest.hexdigest()
