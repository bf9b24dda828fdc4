"""What was imported: the dataset of a workspace and its frames."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ercpseg.documents.base import Document, Part
from ercpseg.structures import StructureSet

Status = Literal["used", "refused", "ignored"]


class FrameRecord(Part):
    """One row of the import report: what became of one file, or of one frame of a multi-frame file.

    ``frame`` is the case name inside the workspace; it is also the stem of the canonical image. ``source`` is the path
    relative to the imported folder. Used + refused + ignored rows = everything found.
    """

    frame: str
    source: str
    index: int | None = Field(None, description="frame number from 0 inside a multi-frame file")
    status: Status
    code: str | None = Field(None, description="stable refusal code, or the rule by which it was ignored")
    reason: str | None = None
    patient: str | None = Field(None, description="key that groups frames; never printed")
    series: str | None = None
    height_px: int | None = None
    width_px: int | None = None
    bits: int | None = Field(None, description="bits stored per pixel")
    spacing_y_mm: float | None = Field(None, description="known spacing only; never guessed")
    spacing_x_mm: float | None = None


class Dataset(Document):
    """A dataset as it stands in the workspace. The frames themselves are listed in ``frames.csv`` beside it."""

    SCHEMA: ClassVar[str] = "ercpseg.dataset/1"

    name: str
    nnunet_id: int = Field(description="the number that nnU-Net wants; users never see it")
    structures: tuple[str, ...]
    layout: str = Field(description="how the folder was understood: folder, labelme or nnunet")
    found: int
    used: int
    refused: int
    ignored: int
    frames_sha256: str = Field(description="hash over the names and contents of all used frames and masks")

    @property
    def structure_set(self) -> StructureSet:
        """The structures with their bits."""
        return StructureSet(self.structures)
