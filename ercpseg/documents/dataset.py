"""What was imported: the dataset of a workspace and its frames."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ercpseg.documents.base import Document, Part
from ercpseg.spacing import IN_PATIENT, SpacingSource
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
    study: str | None = Field(None, description="key of the examination; never printed")
    series: str | None = None
    position: int | None = Field(None, description="place in the series, from 0")
    place: str | None = Field(
        None,
        description="numbers that the file (acquisition, instance) or a descriptor gives the place by; empty: names order it",
    )
    date: str | None = Field(
        None, description="day of the acquisition, `YYYY-MM-DD`, where the file or a descriptor says it"
    )
    split: Literal["train", "val", "test"] | None = Field(
        None, description="part of a published split or hold-out that the frame belongs to; empty: ours to deal"
    )
    look: str | None = Field(
        None, description="perceptual hash, 16 hexadecimal digits: equal for frames that look alike"
    )
    unmasked: str | None = Field(
        None,
        description="structures of which the frame has no mask file, though it has others; they count as absent",
    )
    height_px: int | None = None
    width_px: int | None = None
    bits: int | None = Field(None, description="bits stored per pixel")
    spacing_y_mm: float | None = Field(None, description="spacing as `spacing_source` knows it; never guessed")
    spacing_x_mm: float | None = None
    spacing_source: SpacingSource | None = Field(
        None,
        description="where the spacing comes from; USER, FIDUCIAL, GEOMETRY and ERMF hold in the patient, others do not",
    )
    frame_time_ms: float | None = Field(None, description="mean time from frame to frame")
    time_source: str | None = Field(None, description="header field that the frame time comes from")
    modality: str | None = Field(None, description="kind of DICOM object: XA, RF, CR, DX, SC or other")
    intensity: str | None = Field(None, description="relation of pixel values to intensity: LIN, LOG or DISP")
    subtracted: bool = Field(False, description="a subtracted (DSA) run")
    shutter_px: str | None = Field(
        None, description="exposed rectangle of the header as `top left bottom right`, the last two exclusive"
    )
    device: str | None = Field(
        None, description="key of the X-ray device: a hash of maker, model and detector of the header, never their text"
    )
    lossy: bool = Field(False, description="compressed with loss, now or before")
    burned_in: bool | None = Field(None, description="whether the header says that text is burned in")
    overlays: int = Field(0, description="overlay planes left out; they may hold a name")
    private_tags: int = Field(0, description="private elements in the header")

    @property
    def spacing_in_patient_mm(self) -> tuple[float, float] | None:
        """The spacing (y, x) where it holds in the patient, else None."""
        known = self.spacing_source in IN_PATIENT and self.spacing_y_mm is not None and self.spacing_x_mm is not None
        return (self.spacing_y_mm, self.spacing_x_mm) if known else None  # type: ignore[return-value]


class Dataset(Document):
    """A dataset as it stands in the workspace. The frames themselves are listed in ``frames.csv`` beside it."""

    SCHEMA: ClassVar[str] = "ercpseg.dataset/1"

    name: str
    nnunet_id: int = Field(description="the number that nnU-Net wants; users never see it")
    structures: tuple[str, ...]
    layout: str = Field(description="how the folder was understood: folder, labelme, nnunet or descriptor")
    found: int
    used: int
    refused: int
    ignored: int
    annotation_files: int = Field(
        0,
        description="files that say something about frames; with the files of used, refused and ignored rows: all there are",
    )
    notes: tuple[str, ...] = Field((), description="what the import could not keep or had to assume, one sentence each")
    hold_out_from: str | None = Field(
        None, description="frames of patients seen on this day or later are for testing only; from the descriptor"
    )
    frames_sha256: str = Field(description="hash over the names, contents and grouping of all used frames and masks")

    @property
    def structure_set(self) -> StructureSet:
        """The structures with their bits."""
        return StructureSet(self.structures)
