"""nnU-Net raw datasets: the table of ``dataset.json`` for label maps. No nnU-Net is needed."""

from __future__ import annotations

from pathlib import Path

from ercpseg.errors import DataError
from ercpseg.importers.annotation import structure_name
from ercpseg.storage.documents import load_json
from ercpseg.structures import PARENTS


def read_labels_json(path: Path) -> dict[str, tuple[int, ...]]:
    """Structure → values, as an ``AnnotationSpec`` of format ``labels`` takes them.

    Values may be single ones or regions (lists of values); a bitmask dataset of ours is a case of this. Unions that are
    trained beside their members are no structures and left out.

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
        if not all(type(number) is int and 0 <= number <= 65535 for number in numbers):
            raise DataError("a label's value is no number from 0 to 65535", where=path)
        name = structure_name(label)
        if name not in ("background", "ignore"):  # pixels to ignore cannot be kept: their value counts as undeclared
            values[name] = values.get(name, frozenset()) | frozenset(numbers)
    for parent, members in PARENTS.items():
        if set(members) <= set(values):
            values.pop(parent, None)
    return {name: tuple(sorted(numbers)) for name, numbers in values.items()}
