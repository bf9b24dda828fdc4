"""What an output format is: something that writes the result of one frame.

Formats live in :data:`ercpseg.export.formats.FORMATS`, one file each. Frames are written in the background, one at a time;
``labels/<frame>.png`` is written after all formats, so that a label image vouches for everything else of its frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ercpseg.frames.frame import Frame
from ercpseg.structures import Bitmask, Mask, StructureSet

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
