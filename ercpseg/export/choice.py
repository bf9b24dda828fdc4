"""The formats of one run, and where they write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ercpseg.errors import UsageError
from ercpseg.export.formats import ALWAYS, FRAME_FORMATS, SERIES_FORMATS
from ercpseg.export.png import Overlays
from ercpseg.export.protocol import LABELS, OVERLAYS, FrameFormat, files_of
from ercpseg.structures import StructureSet

LABEL_SUFFIX = ".png"
OWN = (ALWAYS, OVERLAYS)
"""The formats that the contract promises of a frame; series are made from them."""


class Choice:
    """The formats that a run writes, name → format: ``frames`` one by one, ``series`` at the end.

    Raises
    ------
    UsageError
        when a format is made from overlays, and there are to be none.
    """

    def __init__(self, formats: Sequence[str], structures: StructureSet, *, overlays: bool):
        self.structures = structures
        self.frames: dict[str, FrameFormat] = {n: f for n, f in FRAME_FORMATS.items() if n in {ALWAYS, *formats}}
        self.frames |= {OVERLAYS: Overlays()} if overlays else {}
        self.series = {name: f for name, f in SERIES_FORMATS.items() if name in formats}
        for name, format_ in self.series.items():
            if format_.needs_pictures and not overlays:
                raise UsageError(f"{name} is made from overlays", where="--format", todo="leave out --no-overlays")

    @property
    def wants_probabilities(self) -> bool:
        """Whether any needs probabilities."""
        return any(format_.needs_probabilities for format_ in self.frames.values())

    @property
    def places(self) -> dict[str, str]:
        """The folders of single frames, relative to the output → suffix."""
        return _places(self.frames.values(), self.structures)

    @property
    def all_places(self) -> dict[str, str]:
        """The folders that any run with these structures may write, relative to the output → suffix."""
        of_series = {format_.folder: format_.suffix for format_ in SERIES_FORMATS.values()}
        return {**_places([*FRAME_FORMATS.values(), Overlays()], self.structures), **of_series}

    def missing(self, output: Path, name: str) -> dict[str, FrameFormat]:
        """The formats whose files of the frame called ``name`` are not all there."""

        def whole(format_: FrameFormat) -> bool:
            return all(_is_whole(output / file) for file in files_of(format_, name, self.structures))

        return {word: format_ for word, format_ in self.frames.items() if not whole(format_)}


def _places(formats: Iterable[FrameFormat], structures: StructureSet) -> dict[str, str]:
    return {LABELS: LABEL_SUFFIX, **{f: form.suffix for form in formats for f in form.folders(structures)}}


def _is_whole(path: Path) -> bool:
    """Whether the file is there; one that a power cut left empty is not."""
    return path.is_file() and path.stat().st_size > 0
