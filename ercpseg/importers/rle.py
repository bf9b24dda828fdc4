"""Run-length masks of COCO: runs of absent and present pixels in turn, column after column.

A compressed run-length mask is text: each number in groups of five bits, least first, as characters from ``0`` (48) on;
32 says that another group follows, 16 in the last group that the number is negative; from the fourth number on it is the
difference to the one two before (``rleToString`` in ``common/maskApi.c`` of cocodataset/cocoapi).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.reading import MAX_PIXELS
from ercpseg.errors import InputRefused
from ercpseg.structures import Mask

MAX_RUNS = 4_000_000
_MORE, _SIGN, _BITS, _FIRST, _MAX_GROUPS = 0x20, 0x10, 5, 48, 7

_Runs = NDArray[np.int64]


def decode(counts: Any, shape: tuple[int, int]) -> Mask:
    """The mask (y, x) of parsed ``counts``: a list of runs, or their compressed text.

    >>> decode([1, 2, 3], (2, 3)).astype(int)
    array([[0, 1, 0],
           [1, 0, 0]])
    >>> decode("123", (2, 3)).tolist() == decode([1, 2, 3], (2, 3)).tolist()
    True

    Raises
    ------
    InputRefused
        ``bad-annotation`` when these are no runs or do not fill the image exactly, ``too-large`` above
        :data:`MAX_RUNS`.
    """
    height, width = shape
    if isinstance(counts, str):
        runs = parse(counts)
    elif isinstance(counts, list) and all(type(run) is int and 0 <= run <= MAX_PIXELS for run in counts):
        if len(counts) > MAX_RUNS:
            raise InputRefused("too-large", f"{len(counts)} runs, limit {MAX_RUNS}")
        runs = np.array(counts, dtype=np.int64)
    else:
        raise InputRefused("bad-annotation", "a mask's runs are no whole numbers")
    if (runs < 0).any() or int(runs.sum()) != height * width:
        raise InputRefused("bad-annotation", f"a mask's runs do not fill {height} × {width} pixels (height × width)")
    present = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(present, runs).reshape(width, height).T)


def parse(text: str) -> _Runs:
    """The runs of a compressed mask; they may be negative when it is damaged.

    >>> parse("52203").tolist()  # the last two are differences to the second and the third
    [5, 2, 2, 2, 5]
    >>> parse("PP1").tolist()  # 0 + 32 · 0 + 1024 · 1
    [1024]

    Raises
    ------
    InputRefused
        ``bad-annotation`` when it is no such text, ``too-large`` above :data:`MAX_RUNS`.
    """
    if len(text) > MAX_RUNS:
        raise InputRefused("too-large", f"{len(text)} characters of runs, limit {MAX_RUNS}")
    groups = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64) - _FIRST
    if (groups < 0).any() or (groups >= 2 * _MORE).any() or (len(groups) and groups[-1] & _MORE):
        raise InputRefused("bad-annotation", "a mask's runs are damaged")
    if not len(groups):
        return groups
    last = np.flatnonzero((groups & _MORE) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _MAX_GROUPS:
        raise InputRefused("bad-annotation", "a mask's runs are damaged")
    place = np.arange(len(groups)) - np.repeat(first, lengths)
    runs = np.add.reduceat((groups & (_MORE - 1)) << (_BITS * place), first)
    runs -= np.where(groups[last] & _SIGN, np.int64(1) << (_BITS * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
