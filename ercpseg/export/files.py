"""The files of one frame: in which order they are written, and what becomes of them when the memory is too small.

One frame costs no more than itself. What the contract promises of a frame (masks, label image, overlay) is there as a whole
or not at all; a file of another format may be missing, and is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ercpseg.errors import InputRefused, out_of_memory
from ercpseg.export.choice import LABEL_SUFFIX, OWN, Choice
from ercpseg.export.protocol import LABELS, Result, files_of
from ercpseg.storage.atomic import place
from ercpseg.storage.images import write_png

NO_ROOM = InputRefused("too-large", "what there was to write did not fit the memory")


class FrameFiles:
    """Writes frames' files, from any thread.

    ``lost`` are the names of frames that did not fit the memory, and of which nothing is left on the disk.
    """

    def __init__(self, output: Path, choice: Choice):
        self._output, self._choice = output, choice
        self.lost: set[str] = set()
        self._left_out: list[tuple[str, str]] = []

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """(format, frame) where only the file of that format did not fit the memory."""
        return [(word, name) for word, name in self._left_out if name not in self.lost]

    def label(self, name: str) -> str:
        """The label image of the frame called ``name``."""
        return place(self._output, LABELS, f"{name}{LABEL_SUFFIX}")

    def write(self, result: Result, text: Mapping[str, str], *, known: bool) -> None:
        """Write a frame's files, the label image (with ``text``) last; of a known frame only what is missing.

        Raises
        ------
        StorageError
            when the disk is full or fails.
        """
        name = result.frame.name
        formats = self._choice.missing(self._output, name) if known else self._choice.frames
        for word, format_ in formats.items():
            if self._fits(lambda format_=format_: format_.write(self._output, result)):  # type: ignore[misc]
                continue
            if word in OWN:
                self._lose(name)
                return
            self._remove(files_of(format_, name, result.structures))
            self._left_out.append((word, name))
        if not known and not self._fits(lambda: write_png(self.label(name), result.bitmask, text, durable=False)):
            self._lose(name)

    def _fits(self, write: Callable[[], None]) -> bool:
        """Whether writing did not take more memory than there is."""
        try:
            write()
        except Exception as error:
            if not out_of_memory(error):
                raise
            return False
        return True

    def _lose(self, name: str) -> None:
        """Leave nothing of a frame."""
        Path(self.label(name)).unlink(missing_ok=True)  # first: it vouches for the others
        for format_ in self._choice.frames.values():
            self._remove(files_of(format_, name, self._choice.structures))
        self.lost.add(name)

    def _remove(self, files: tuple[str, ...]) -> None:
        for file in files:
            (self._output / file).unlink(missing_ok=True)
