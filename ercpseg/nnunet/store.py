"""The preprocessed store: nnU-Net's blosc2 arrays, one pair per frame, without its pickles.

Beside the folder lies ``<folder>.json``: shapes, pixels per structure and the hash of every frame's files, saved now and
then and marked complete at the end. A killed run goes on from it; training refuses a store that is not complete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import blosc2
import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from numpy.typing import NDArray

from ercpseg.documents.base import Document, Part
from ercpseg.errors import DataError, UsageError
from ercpseg.storage import documents
from ercpseg.storage.atomic import read_bytes, write_bytes
from ercpseg.structures import Bitmask


class StoredFrame(Part):
    """One prepared frame."""

    native: tuple[int, int]
    working: tuple[int, int]
    pixels: dict[str, int]
    sha256: str
    previous: str | None = None
    """The frame right before it in its series, where there is one."""


class StoreIndex(Document):
    """All prepared frames of one preparation."""

    SCHEMA: ClassVar[str] = "ercpseg.store/1"
    complete: bool
    frames: dict[str, StoredFrame]


def index_path(folder: Path) -> Path:
    """Where the index of the store ``folder`` lies; not inside, since nnU-Net wants one kind of file there."""
    return folder.with_suffix(".json")


def read_index(folder: Path) -> StoreIndex:
    """The index of a finished store.

    Raises
    ------
    DataError
        when the store is unfinished or not there.
    """
    index = documents.load(index_path(folder), StoreIndex) if index_path(folder).exists() else None
    if index is None or not index.complete:
        raise DataError("the frames are not all prepared", where=folder, todo="run plan-and-preprocess first")
    return index


def read_fold(folder: Path, fold: int | str) -> tuple[list[str], list[str]]:
    """Training and validation frames of ``fold`` (a number or ``all``) of the store ``folder``, from our split file.

    Raises
    ------
    UsageError
        for a fold that does not exist (upstream would draw a random split).
    DataError
        when a frame is in both halves (upstream logs a line) or is not prepared.
    """
    frames = sorted(read_index(folder).frames)
    if fold == "all":
        return frames, frames
    splits = documents.load_json(folder.parent / "splits_final.json")
    if not 0 <= int(fold) < len(splits):
        raise UsageError(f"there is no fold {fold}", where="FOLD", expected=f"0 to {len(splits) - 1}, or all")
    train, val = splits[int(fold)]["train"], splits[int(fold)]["val"]
    both, unknown = set(train) & set(val), (set(train) | set(val)) - set(frames)
    if both or unknown:
        raise DataError(
            f"fold {fold}: {len(both)} frames are in training and validation, {len(unknown)} are not prepared",
            where="splits_final.json",
            todo="run plan-and-preprocess again",
        )
    return list(train), list(val)


def window_names(stored: Mapping[str, StoredFrame], frame: str, frames: int) -> list[str]:
    """The frame and those right before it, at most ``frames``; a frame of another size ends the window."""
    names = [frame]
    while len(names) < frames:
        before = stored[names[-1]].previous
        if before is None or before not in stored or stored[before].native != stored[frame].native:
            break
        names.append(before)
    return names


def frame_files(folder: Path, name: str) -> tuple[Path, Path]:
    """The files of one prepared frame: image and bitmask."""
    return folder / f"{name}.b2nd", folder / f"{name}_seg.b2nd"


def encode(array: NDArray[Any]) -> bytes:
    """Compress (c, 1, y, x) as one blosc2 frame, one chunk; same array, same bytes (one thread)."""
    # Sorting bytes by their place in a number helps numbers of several bytes only.
    filters = [blosc2.Filter.SHUFFLE if array.itemsize > 1 else blosc2.Filter.NOFILTER]
    parameters = {"codec": blosc2.Codec.LZ4, "clevel": 3, "filters": filters, "nthreads": 1}
    compressed = blosc2.asarray(np.ascontiguousarray(array), chunks=array.shape, cparams=parameters)
    return bytes(compressed.to_cframe())


def write_frame(folder: Path, name: str, image: NDArray[np.float32], bitmask: Bitmask) -> str:
    """Write one prepared frame (1, 1, y, x) and its bitmask (1, 1, y, x); returns the SHA-256 over both files.

    The files are not flushed to the disk: whoever writes the index as complete flushes them first, and until then
    nothing is taken for right unless its hash is.
    """
    data, labels = encode(image), encode(bitmask)
    image_path, bitmask_path = frame_files(folder, name)
    write_bytes(bitmask_path, labels, durable=False)
    write_bytes(image_path, data, durable=False)
    digest = hashlib.sha256(data)
    digest.update(labels)
    return digest.hexdigest()


class ErcpDataset(nnUNetDatasetBlosc2):
    """nnU-Net's blosc2 dataset with properties from the index instead of a pickle per case."""

    def __init__(
        self, folder: str, identifiers: list[str] | None = None, folder_with_segs_from_previous_stage: Any = None
    ):
        self.index = read_index(Path(folder)).frames
        super().__init__(folder, identifiers, folder_with_segs_from_previous_stage)

    def load_case(self, identifier: str) -> tuple[NDArray[np.float32], Bitmask, None, dict[str, Any]]:
        """Image (1, 1, y, x) float32, bitmask (1, 1, y, x) uint8, nothing, properties."""
        stored = self.index[identifier]
        image, bitmask = self._array(identifier, ".b2nd"), self._array(identifier, "_seg.b2nd")
        return image, bitmask, None, {"native": stored.native, "working": stored.working}

    def load_window(self, identifier: str, frames: int) -> NDArray[np.float32]:
        """The images (m, y, x) of the frame itself and of those right before it, m ≤ ``frames``; see :func:`window_names`."""
        names = window_names(self.index, identifier, frames)
        return np.concatenate([self._array(name, ".b2nd")[0] for name in names])

    def load_bitmask(self, identifier: str) -> Bitmask:
        """Bitmask (1, y, x) uint8."""
        bitmask: Bitmask = self._array(identifier, "_seg.b2nd")[:, 0]
        return bitmask

    def _array(self, identifier: str, suffix: str) -> NDArray[Any]:
        path = Path(self.source_folder) / f"{identifier}{suffix}"
        array: NDArray[Any] = blosc2.ndarray_from_cframe(read_bytes(path))[:]
        return array

    @staticmethod
    def get_identifiers(folder: str) -> list[str]:
        """Names from the index, in order; files that it does not list do not count."""
        return sorted(read_index(Path(folder)).frames)
