"""nnU-Net raw datasets: ``dataset.json``, ``imagesTr/<id>_0000.png``, ``labelsTr/<id>.png``. No nnU-Net is needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import DataError, InputRefused
from ercpseg.importers.annotation import Annotation, check_known, check_shape, structure_name
from ercpseg.importers.images import read_labels
from ercpseg.importers.naming import name_key
from ercpseg.importers.reading import guarded
from ercpseg.importers.scan import Found
from ercpseg.storage.documents import load_json
from ercpseg.structures import PARENTS, Bitmask, StructureSet

FRAMES, LABELS, CHANNEL = "imagesTr", "labelsTr", "_0000"


@dataclass(frozen=True)
class Labels:
    """What each value of the label images means: structure → values. A bitmask dataset of ours is a case of this."""

    values: dict[str, frozenset[int]]
    background: int = 0

    def table(self, structures: StructureSet) -> NDArray[np.int16]:
        """Value (0 to 65535) → bitmask, -1 for values that are not declared."""
        table = np.full(65536, -1, np.int16)
        table[self.background] = 0
        for name, values in self.values.items():
            for value in values:
                table[value] = max(int(table[value]), 0) | structures.value(name)
        return table


def read_labels_json(path: Path) -> Labels:
    """The ``labels`` of a ``dataset.json``: plain values or regions (lists of values).

    Raises
    ------
    DataError
        when it is not what nnU-Net wants, or the frames have several channels.
    """
    data = load_json(path)
    labels = data.get("labels") if isinstance(data, dict) else None
    if not isinstance(labels, dict):
        raise DataError("no labels", where=path, expected="an nnU-Net raw dataset (version 2)")
    channels = data.get("channel_names", {"0": ""})
    if not isinstance(channels, dict) or len(channels) != 1:
        raise DataError("several channels", where=path, expected="grey frames: one channel")
    values: dict[str, frozenset[int]] = {}
    for label, given in labels.items():
        numbers = given if isinstance(given, list) else [given]
        if not all(isinstance(n, int) and 0 <= n < 65536 for n in numbers):
            raise DataError("a label's value is no number from 0 to 65535", where=path)
        name = structure_name(label)
        if name not in ("background", "ignore"):  # pixels to ignore cannot be kept: their value counts as undeclared
            values[name] = values.get(name, frozenset()) | frozenset(numbers)
    for parent, members in PARENTS.items():  # unions that are trained beside their members are no structures
        if set(members) <= set(values):
            values.pop(parent, None)
    return Labels(values)


def case_stem(found: Found) -> str | None:
    """The case of a frame file: its stem without ``_0000``; None for other channels."""
    stem = found.stem
    return stem[: -len(CHANNEL)] if stem.endswith(CHANNEL) and len(stem) > len(CHANNEL) else None


def by_stem(files: Iterable[Found], labels: Labels) -> dict[str, Annotation]:
    """One annotation per label image."""
    result: dict[str, Annotation] = {}
    for found in files:
        key = name_key(found.stem)
        if key in result:
            result[key].sources.append(found.source)
            result[key].draw = _two
        else:
            result[key] = Annotation(partial(_draw, found, labels), [found.source])
    return result


def _two(*_: Any) -> tuple[Bitmask, tuple[str, ...]]:
    raise InputRefused("duplicate", "two label images have its name")


def _draw(
    found: Found, labels: Labels, shape: tuple[int, int], structures: StructureSet
) -> tuple[Bitmask, tuple[str, ...]]:
    check_known(labels.values, structures)
    kind = found.kind
    if kind is None or kind == "dicom":
        raise InputRefused("bad-annotation", "the label image is no PNG, TIFF or BMP")
    try:
        stored = guarded(lambda: read_labels(found.path, kind))
    except InputRefused as error:
        raise InputRefused("bad-annotation", f"its label image is {error.code}") from error
    check_shape(stored.shape, shape)
    bitmask = labels.table(structures)[stored]
    if (bitmask < 0).any():
        raise InputRefused("bad-label-value", f"value {int(stored[bitmask < 0].min())} is not declared")
    return bitmask.astype(np.uint8), ()
