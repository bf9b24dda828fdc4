"""Measures of a frame as text, to keep them between runs: numbers come back to the last bit."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from ercpseg.fingerprint.frame import FrameContent, FrameMeasures, image_path, measure_frame
from ercpseg.fingerprint.intensity import IntensityMeasures
from ercpseg.fingerprint.place import CELLS, Place
from ercpseg.fingerprint.scope import ScopeMeasures
from ercpseg.fingerprint.structure import StructureMeasures
from ercpseg.storage.atomic import read_bytes
from ercpseg.storage.images import read_png
from ercpseg.storage.kept import Kept
from ercpseg.structures import Bitmask, StructureSet

VERSION = 1
"""To be raised with every change that gives other measures: older ones do not count any more."""


def measures_of(
    raw_folder: Path,
    content: FrameContent,
    bitmask: Bitmask,
    structures: StructureSet,
    names: Collection[str],
    kept: Kept | None,
) -> FrameMeasures:
    """Measures of a frame and at least the structures in ``names``: those kept, or new ones, which are kept then.

    The key is the hash of both files and of what else the measures depend on, so neither the name of a frame nor the
    dataset that it is in matters.
    """
    path = image_path(raw_folder, content.frame)
    if kept is None:
        return measure_frame(read_png(path), bitmask, content, structures, names)
    facts = json.dumps([VERSION, content.bits, structures.names, content.bitmask_sha256])
    key = hashlib.sha256(facts.encode() + read_bytes(path)).hexdigest()
    old = _decoded(kept.get(key), content)
    if old is not None:
        names = old.structures.keys() | set(names)
        if names == old.structures.keys():
            return old
    new = measure_frame(read_png(path), bitmask, content, structures, names)
    kept.put(key, encode(new))
    return new


def encode(measures: FrameMeasures) -> str:
    """Everything but the content as JSON."""
    i = measures.intensity
    return json.dumps(
        {
            "intensity": {**vars(i), "histogram": i.histogram.tolist()},
            "structures": {name: _structure_plain(s) for name, s in measures.structures.items()},
            "scopes": {name: vars(s) for name, s in measures.scopes.items()},
        },
        separators=(",", ":"),
    )


def decode(text: str, content: FrameContent) -> FrameMeasures:
    """What :func:`encode` was given.

    Raises
    ------
    KeyError, TypeError, ValueError
        when it is something else.
    """
    data = json.loads(text)
    intensity = data["intensity"]
    return FrameMeasures(
        content=content,
        intensity=IntensityMeasures(**{**intensity, "histogram": np.array(intensity["histogram"], np.int64)}),
        structures={name: _structure(plain) for name, plain in data["structures"].items()},
        scopes={name: ScopeMeasures(**plain) for name, plain in data["scopes"].items()},
    )


def _decoded(text: str | None, content: FrameContent) -> FrameMeasures | None:
    try:
        return None if text is None else decode(text, content)
    except (KeyError, TypeError, ValueError, zlib.error):
        return None


_ARRAYS = ("widths_px", "component_areas_px")


def _structure_plain(s: StructureMeasures) -> dict[str, Any]:
    cells = base64.b64encode(zlib.compress(s.place.cells.tobytes(), 1)).decode()
    arrays = {name: getattr(s, name).tolist() for name in _ARRAYS}
    return {**vars(s), **arrays, "place": [s.place.centre_yx, cells]}


def _structure(plain: dict[str, Any]) -> StructureMeasures:
    centre, cells = plain["place"]
    grid = np.frombuffer(zlib.decompress(base64.b64decode(cells)), np.uint8).reshape(CELLS, CELLS)
    arrays = {name: np.array(plain[name], np.float64) for name in _ARRAYS}
    tuples = {name: tuple(plain[name]) for name in ("gaps_px", "flags")}
    return StructureMeasures(**{**plain, **arrays, **tuples, "place": Place((centre[0], centre[1]), grid)})
