"""Whether weights are exactly those that a network has: by name, shape, type and finiteness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import StorageError


def check_arrays(
    arrays: Mapping[str, NDArray[Any]], wanted: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]], *, where: object
) -> None:
    """Compare ``arrays`` with the shape and type that is ``wanted`` of each name.

    Raises
    ------
    StorageError
        when names, shapes or types differ, or a number is not finite.
    """
    problems = [f"{name} is missing" for name in sorted(set(wanted) - set(arrays))]
    problems += [f"{name[:64]!r} is not expected" for name in sorted(set(arrays) - set(wanted))]
    for name in sorted(set(wanted) & set(arrays)):
        if (arrays[name].shape, arrays[name].dtype) != wanted[name]:
            problems.append(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
        elif arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            problems.append(f"{name} holds a number that is not finite")
    if problems:
        raise StorageError(
            "these weights do not fit the plan's network: " + "; ".join(problems[:5]),
            where=where,
            todo="use the model's own files",
        )
