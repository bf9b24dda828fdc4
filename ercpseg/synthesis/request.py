"""What a synthetic dataset is made from: the document that says which files will be there."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field

from ercpseg.documents.base import Document
from ercpseg.errors import UsageError
from ercpseg.synthesis.domain import Domain

FileFormat = Literal["png", "dicom"]

MIN_SIZE, MAX_SIZE = 64, 4096
"""Below 64 px a wire is a quarter of a pixel wide; above 4096 nobody has a detector."""
MAX_PATIENTS = MAX_FRAMES_PER_PATIENT = 10_000


class Request(Document):
    """``synthesis.json`` of a synthetic dataset: the same request gives the same files.

    The number of its schema grows with every change of what scenes or masks look like, so that no folder mixes two of them.
    """

    SCHEMA: ClassVar[str] = "ercpseg.synthesis/4"
    domain: Domain
    others: tuple[Domain, ...] = Field(default=(), description="further domains; patients take turns between all")
    frames: int = Field(description="frames in all")
    patients: int = Field(description="patients that they are spread over, evenly")
    height_px: int | None = Field(
        description="height of the frames; with backgrounds that of each background; null: that of each domain"
    )
    seed: int
    file_format: FileFormat = Field(description="`png`, or `dicom`: one multi-frame object per patient")
    series: bool = Field(description="whether a patient's frames are one series")
    backgrounds_sha256: str | None = Field(default=None, description="hash of the pixels that scenes were put on")
    pasted_sha256: str | None = Field(
        default=None, description="hash of the masks that were pasted and of their structures"
    )
    ercpseg_version: str

    @property
    def has_truth(self) -> bool:
        """Whether every frame has a truth document beside its masks."""
        return self.domain.kind == "scene" and self.pasted_sha256 is None

    def domain_of(self, number: int) -> Domain:
        """The domain that a patient is drawn from."""
        return (self.domain, *self.others)[number % (1 + len(self.others))]

    def prefix(self, number: int) -> str:
        """What a patient's name begins with; no ``_`` in it, since the text before the first one is the patient."""
        domain = self.domain_of(number)
        short = "s" if domain.kind == "phantom" else domain.name.replace("-", "")
        return short if self.backgrounds_sha256 is None else f"on{short}"

    def patient_name(self, number: int) -> str:
        """The name of a patient."""
        return patient_name(self.seed, number, self.prefix(number))

    def stem(self, number: int, frame: int) -> str:
        """The name of a frame."""
        return f"{self.patient_name(number)}_f{frame:04d}"


def patient_name(seed: int, number: int, prefix: str = "s") -> str:
    """The name of a patient.

    >>> patient_name(0, 1)
    's0p0001'
    """
    return f"{prefix}{seed}p{number:04d}"


def share(frames: int, patients: int) -> list[int]:
    """How many frames each patient gets; the first ones get one more when it does not come out even.

    >>> share(7, 3)
    [3, 2, 2]
    """
    return [frames // patients + (number < frames % patients) for number in range(patients)]


def check_format(text: str) -> FileFormat:
    """The file format that a text names.

    Raises
    ------
    UsageError
        when there is none of that name.
    """
    if text not in get_args(FileFormat):
        raise UsageError(f"unknown format {text[:16]!r}", where="--format", expected="png or dicom")
    return "dicom" if text == "dicom" else "png"


def check_numbers(frames: int, patients: int, size: int, seed: int, file_format: str) -> None:
    """Refuse numbers that make no sense.

    Raises
    ------
    UsageError
        with the parameter's name and its range.
    """
    if not 1 <= patients <= MAX_PATIENTS:
        raise UsageError(f"{patients} patients", where="patients", expected=f"1 to {MAX_PATIENTS}")
    if not patients <= frames <= MAX_FRAMES_PER_PATIENT * patients:
        raise UsageError(
            f"{frames} frames of {patients} patients", where="frames", expected="1 to 10000 for each patient"
        )
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"frames of {size} px", where="size", expected=f"{MIN_SIZE} to {MAX_SIZE}")
    if seed < 0:
        raise UsageError(f"seed {seed}", where="seed", expected="0 or a positive integer")
    check_format(file_format)
