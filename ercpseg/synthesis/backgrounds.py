"""Reads the user's own frames as backgrounds, and annotated masks to paste on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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


def background(pixels: NDArray[np.integer], bits: int) -> Background:
    """A frame (y, x) of ``bits`` bits as a background."""
    grey = pixels.astype(np.float32) / np.float32(2**bits - 1)
    return Background(np.clip(grey, 0, 1), find_field(pixels), bits)


def load_backgrounds(folder: Path) -> tuple[Background, ...]:
    """The first frame of every readable image or DICOM file of a folder, in the order of their names.

    Raises
    ------
    UsageError
        when there is no such folder.
    DataError
        when nothing in it can be used, or it is too much.
    """
    found, size = [], 0
    for path in _files(folder):
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
        found.append(background(picture.pixels, picture.bits))
        size += found[-1].grey.nbytes
        check_room(len(found), size, folder)
    if not found:
        raise DataError("no frame that can be read", where=folder, expected="images or DICOM files")
    return tuple(found)


def check_room(backgrounds: int, size: int, where: object) -> None:
    """Refuse more backgrounds than are held in memory; ``size`` is that of their grey values in bytes.

    Raises
    ------
    DataError
        with how many may be.
    """
    if backgrounds > MOST or size > MOST_BYTES:
        raise DataError("too many backgrounds", where=where, expected=f"at most {MOST} frames and 2 GiB")


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
