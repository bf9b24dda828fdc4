"""Reads the user's own frames as backgrounds, and annotated masks to paste on them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding import formats
from ercpseg.decoding.sniff import HEAD_BYTES, sniff
from ercpseg.decoding.source import Source
from ercpseg.errors import DataError, InputRefused, StorageError, UsageError
from ercpseg.frames.field import find_field
from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Map

MOST = 2000
"""Backgrounds, or annotated frames to paste, that are held in memory."""
MOST_BYTES = 2 * 1024**3
_OF_SEVERAL = re.compile(r"_f\d+$")
"""What a frame's name has behind that of its file, where that holds several."""


@dataclass(frozen=True)
class Background:
    """A frame of the user: ``grey`` (y, x) float32 from 0 to 1, devices dark, and its ``field``."""

    grey: Map
    field: Mask
    bits: int


@dataclass(frozen=True)
class Annotated:
    """Masks (y, x) of an annotated frame, by structure."""

    masks: dict[str, Mask]


def load_backgrounds(folder: Path, *, shown: Collection[str] = ()) -> tuple[Background, ...]:
    """The first frame of every readable image or DICOM file of a folder, in the order of their names.

    ``shown``: names of frames to leave out, because they show something annotated already; of a file of several frames
    (``cine_f0007``) one is enough.

    Raises
    ------
    UsageError
        when there is no such folder.
    DataError
        when nothing in it can be used, or it is too much.
    """
    found, size = [], 0
    files = {*shown, *(_OF_SEVERAL.sub("", name) for name in shown)}
    for path in _files(folder):
        if path.stem in files:
            continue
        try:
            with path.open("rb") as handle:
                kind = sniff(handle.read(HEAD_BYTES), path.stat().st_size)
            if kind is None:
                continue
            picture = formats.frame(formats.listing(Source(path), kind), 0)
        except InputRefused:
            continue
        except OSError as error:
            raise StorageError(f"reading failed: {error.strerror}", where=path) from error
        pixels = picture.pixels.astype(np.float32) / np.float32(2**picture.bits - 1)
        found.append(Background(np.clip(pixels, 0, 1), find_field(picture.pixels), picture.bits))
        size += pixels.nbytes
        if len(found) > MOST or size > MOST_BYTES:
            raise DataError("too many backgrounds", where=folder, expected=f"at most {MOST} frames and 2 GiB")
    if not found and shown:
        raise DataError(
            f"all frames show something that is annotated ({len(shown)} do)",
            where=folder,
            expected="frames without devices and contrast to paste on",
            todo="give such frames with --backgrounds and the dataset with --paste",
        )
    if not found:
        raise DataError("no frame that can be read", where=folder, expected="images or DICOM files")
    return tuple(found)


def load_annotated(folder: Path) -> tuple[Annotated, ...]:
    """The masks of a dataset folder (``masks/<structure>/<frame>.png``), frame by frame.

    Raises
    ------
    UsageError
        when there is no such folder.
    DataError
        when it holds no masks, or too many.
    """
    same = [Annotated(m) for _, m in sorted(_masks(folder).items()) if len({a.shape for a in m.values()}) == 1]
    if not same:
        raise DataError("no masks that can be read", where=folder, expected="masks/<structure>/<frame>.png")
    return tuple(same)


def annotated_stems(folder: Path) -> frozenset[str]:
    """Names, without suffix, of the frames of a dataset folder that show something.

    Raises
    ------
    UsageError, DataError
        as :func:`load_annotated`.
    """
    return frozenset(_masks(folder))


def _masks(folder: Path) -> dict[str, dict[str, Mask]]:
    """Masks of a dataset folder by frame and structure; empty ones are left out."""
    by_stem: dict[str, dict[str, Mask]] = {}
    for path in _files(folder / "masks"):
        if path.parent.parent != folder / "masks":
            continue
        try:
            with path.open("rb") as handle:
                kind = sniff(handle.read(HEAD_BYTES), path.stat().st_size)
            mask = formats.mask(Source(path), kind) if kind is not None else np.zeros((0, 0), np.bool_)
        except InputRefused:
            continue
        except OSError as error:
            raise StorageError(f"reading failed: {error.strerror}", where=path) from error
        if mask.any():
            by_stem.setdefault(path.stem, {})[path.parent.name] = mask
        if len(by_stem) > MOST:
            raise DataError("too many annotated frames", where=folder, expected=f"at most {MOST}")
    return by_stem


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise UsageError("no such folder", where=folder)
    paths = (path for path in folder.rglob("*") if path.is_file())
    yield from sorted(p for p in paths if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def digest(arrays: list[NDArray[np.generic]]) -> str:
    """SHA-256 over shapes and values."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.shape}{array.dtype}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
