"""Which frames are measured: a number of frames that gives stable percentiles, chosen without looking at them.

Measuring takes twenty times as long as reading a bitmask, and percentiles over more frames hardly change. The choice
follows the hash of a frame's name, so it depends neither on the order of the frames nor on the frames that do not show
a structure, and the choices for all structures and for grey values have as many frames in common as can be.
"""

from __future__ import annotations

import bisect
import hashlib
import threading
from collections import defaultdict
from collections.abc import Hashable, Iterable

MAX_FRAMES = 128
"""Frames measured per structure, and for grey values."""
MAX_DEVICE_FRAMES = 32
"""Frames measured at least for the grey values of one X-ray device, if it has as many."""


def rank(frame: str) -> bytes:
    """By what frames are chosen: the lowest first."""
    return hashlib.sha256(frame.encode()).digest()


def choose(frames: Iterable[str], most: int | None = None) -> frozenset[str]:
    """At most ``most`` (128) of the frames: those whose names' SHA-256 comes first.

    >>> sorted(choose(["a", "b", "c", "d"], 2)) == sorted(choose(["d", "c", "b", "a"], 2))
    True
    """
    return frozenset(sorted(frames, key=rank)[: MAX_FRAMES if most is None else most])


class Quota:
    """Lets frames through until there are enough of a kind, while what they show is still being found out.

    Frames are numbered by :func:`rank` and looked at in about that order by several threads. A frame is let through
    when fewer than ``most`` frames of lower number are known to be of its kind. Frames that nobody has looked at yet do
    not count, so that some may be let through in vain, but never one too few, whatever the threads do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: defaultdict[Hashable, list[int]] = defaultdict(list)

    def claim(self, kind: Hashable, number: int, most: int) -> bool:
        """Whether frame ``number``, which is of this kind, is to be measured."""
        with self._lock:
            seen = self._seen[kind]
            before = bisect.bisect_left(seen, number)
            seen.insert(before, number)
            del seen[most:]
        return before < most
