"""The names that are taken, in sixteen bytes each: a set of strings takes 130 for every frame of a run."""

from __future__ import annotations

import hashlib

import numpy as np

RECENT = 128
"""Names that are held as such until they are sorted in."""
_BYTES = 16


class Names:
    """Text that was added is in it; of hashes of 128 bits no two are equal by chance, nor can a file name be made to fit.

    >>> names = Names()
    >>> names.add("a")
    >>> "a" in names, "b" in names
    (True, False)
    """

    def __init__(self) -> None:
        self._sorted = np.empty(0, f"S{_BYTES}")
        self._recent: set[bytes] = set()

    def add(self, name: str) -> None:
        """Take a name; one that is there already stays."""
        self._recent.add(_digest(name))
        if len(self._recent) >= RECENT:
            recent = np.array(sorted(self._recent), self._sorted.dtype)
            self._sorted = np.insert(self._sorted, self._sorted.searchsorted(recent), recent)
            self._recent = set()

    def __contains__(self, name: object) -> bool:
        """Whether it was added."""
        digest = _digest(str(name))
        if digest in self._recent:
            return True
        at = int(self._sorted.searchsorted(np.bytes_(digest)))
        # Both without the zeros at the end, as numpy gives them back.
        return at < len(self._sorted) and bytes(self._sorted[at]) == digest.rstrip(b"\0")


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
