"""What an output format is: something that writes the result of one frame, or of all frames of a file or series.

Formats live in :data:`ercpseg.export.formats.FORMATS`, one file each. Frames are written in the background, one at a time;
``labels/<frame>.png`` is written after all formats, so that a label image vouches for everything else of its frame. Formats
of series are made at the end, from label images and overlays.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ercpseg.frames.frame import Frame
from ercpseg.storage.atomic import sha256_file
from ercpseg.storage.images import read_png
from ercpseg.structures import Bitmask, Mask, StructureSet

LABELS, OVERLAYS = "labels", "overlays"
Probabilities = NDArray[np.float16]


@dataclass(frozen=True)
class Result:
    """What was predicted for one frame, at native size.

    ``bitmask`` is (y, x) uint8. ``probabilities`` are (structures, y, x) float16, before thresholds and post-processing;
    None unless a format asked for them. ``frame.name`` is safe and unique as a file name; ``frame.path`` and
    ``frame.member`` say which file was decoded, ``frame.index`` which frame of it (None: the only one).
    """

    frame: Frame
    bitmask: Bitmask
    structures: StructureSet
    probabilities: Probabilities | None = None

    @cached_property
    def masks(self) -> dict[str, Mask]:
        """Boolean (y, x) per structure; they may overlap."""
        return self.structures.decode(self.bitmask)


class FrameFormat(Protocol):
    """A format that is written frame by frame: ``<folder>/<frame><suffix>`` below the output, for each of its folders."""

    says: str
    """One line of help: what is written, and for whom."""
    suffix: str
    needs_probabilities: bool

    def folders(self, structures: StructureSet) -> tuple[str, ...]:
        """The folders, relative to the output, each of which gets one file per frame."""

    def write(self, output: Path, result: Result) -> None:
        """Write the files of one frame, each atomically.

        Raises
        ------
        StorageError
            when the disk is full or fails.
        """


def files_of(format_: FrameFormat, name: str, structures: StructureSet) -> tuple[str, ...]:
    """The paths, relative to the output, of what a format writes for the frame called ``name``."""
    return tuple(f"{folder}/{name}{format_.suffix}" for folder in format_.folders(structures))


@dataclass(frozen=True, slots=True)
class Shot:
    """One predicted frame, after its files were written: what a series needs to know of it."""

    name: str
    index: int | None
    made_from: str


@dataclass
class FromFile:
    """The frames of one file that were predicted; ``lost`` are the numbers of those that were refused.

    ``source`` is the path as ``frames.csv`` gives it, ``key`` is equal for files of one series.
    """

    source: str
    path: Path | None
    member: str | None
    key: str
    order: tuple[int, ...] = ()
    frame_time_ms: float | None = None
    burned_in: bool | None = None
    shots: list[Shot] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    @cached_property
    def content(self) -> str:
        """SHA-256 of the file: a header may change, and with it the patient, where every pixel stays."""
        return sha256_file(self.path) if self.path is not None and self.path.is_file() else ""


@dataclass(frozen=True)
class Series:
    """Frames that belong together: those of one file, or of several files of one series, in order.

    What a format is made from are the files on the disk, read one at a time, so that memory does not grow with a cine.
    """

    name: str
    files: tuple[FromFile, ...]
    output: Path
    structures: StructureSet

    @property
    def shots(self) -> list[Shot]:
        """All frames, in order."""
        return [shot for file in self.files for shot in file.shots]

    def bitmask(self, shot: Shot) -> Bitmask:
        """(y, x) uint8 at native size, as ``labels/`` has it."""
        return read_png(self.output / LABELS / f"{shot.name}.png")

    def picture(self, shot: Shot) -> NDArray[np.uint8]:
        """(y, x, 3) at native size, as ``overlays/`` has it."""
        return read_png(self.output / OVERLAYS / f"{shot.name}.png")

    @property
    def made_from(self) -> str:
        """SHA-256 of everything that the frames were made from, and of what the files say about them."""
        parts = [f"{shot.name} {shot.index} {shot.made_from}" for shot in self.shots]
        lost = [
            f"{file.source} {file.lost} {file.content} {file.order} {file.frame_time_ms} {file.burned_in}"
            for file in self.files
        ]
        return hashlib.sha256("\n".join([*parts, *lost]).encode("utf-8", "surrogatepass")).hexdigest()


class SeriesFormat(Protocol):
    """A format that needs several frames at once: ``<folder>/<series><suffix>``, made when all frames are on the disk."""

    says: str
    suffix: str
    folder: str
    per: Literal["file", "series"]
    needs_pictures: bool
    """Whether it is made from ``overlays/``."""
    needs_module: str | None
    """An importable name of an optional dependency."""

    def write(self, path: Path, series: Series) -> None:
        """Write the file ``path`` atomically.

        Raises
        ------
        InputRefused
            when this series cannot be written in this format; the others still are.
        StorageError
            when the disk is full or fails.
        """
