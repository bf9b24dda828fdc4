"""Masks as images: ``masks/<structure>/<stem>.png``; 0 is absent, anything else present."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused
from ercpseg.importers.annotation import Annotation, check_known, check_shape, structure_name
from ercpseg.importers.images import read_mask
from ercpseg.importers.naming import name_key
from ercpseg.importers.reading import guarded
from ercpseg.importers.scan import Found
from ercpseg.structures import Bitmask, StructureSet

FOLDER = "masks"


def mask_folder(found: Found) -> str | None:
    """The structure whose mask this file is, by its folder; None for what is not ``masks/<structure>/…/file``."""
    parts = found.source.split("/")
    return structure_name(parts[1]) if len(parts) >= 3 and parts[0] == FOLDER else None


def by_stem(masks: Iterable[Found]) -> dict[str, Annotation]:
    """One annotation per stem (by :func:`name_key`), over all structures that have a mask of it."""
    files: dict[str, list[tuple[str, Found]]] = {}
    for found in masks:
        structure = mask_folder(found)
        if structure is not None:
            files.setdefault(name_key(found.stem), []).append((structure, found))
    return {
        key: Annotation(partial(_draw, of_stem), [found.source for _, found in of_stem])
        for key, of_stem in files.items()
    }


def _draw(
    files: list[tuple[str, Found]], shape: tuple[int, int], structures: StructureSet
) -> tuple[Bitmask, tuple[str, ...]]:
    names = [name for name, _ in files]
    check_known(names, structures)
    if len({found.source.split("/")[1] for _, found in files}) != len(files):  # two folders may name one structure
        raise InputRefused("duplicate", "two masks of one structure have its name")
    masks: dict[str, NDArray[np.bool_]] = {}
    for name, found in files:
        mask = _read(found)
        check_shape(mask.shape, shape)
        if mask.any():
            masks[name] = mask | masks[name] if name in masks else mask
    return structures.encode(masks, shape), ()


def _read(found: Found) -> NDArray[np.bool_]:
    kind = found.kind
    if kind is None or kind == "dicom":
        raise InputRefused("bad-annotation", "a mask is no PNG, TIFF, JPEG or BMP")
    try:
        return guarded(lambda: read_mask(found.path, kind))
    except InputRefused as error:
        raise InputRefused("bad-annotation", f"its mask is {error.code}") from error
