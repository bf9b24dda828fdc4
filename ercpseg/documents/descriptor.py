"""Dataset descriptor: where frames and annotations are, what labels mean, how frames group. Written by people.

It holds names, numbers and regular expressions, no code and no path of anybody's machine: every path is relative to a
root that is given at the command. What a file of it looks like is shown in ``docs/how-to/describe-a-dataset.md``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ercpseg.documents.base import Document, Part
from ercpseg.documents.descriptor_values import (
    Colours,
    Day,
    Millimetres,
    Pattern,
    PixelValues,
    RelativePath,
    Sha256,
    Structure,
    Synonyms,
    Text,
    Words,
    listed,
)
from ercpseg.structures import MAX_STRUCTURES

FormatName = Literal["masks", "labelme", "labels", "colours", "coco", "polylines", "seg-nrrd", "dicom-seg"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
_USED_BY: dict[str, frozenset[FormatName]] = {
    "values": frozenset({"labels"}),
    "colours": frozenset({"colours"}),
    "background": frozenset({"colours"}),
    "width_px": frozenset({"labelme", "polylines"}),
    "width_mm": frozenset({"polylines"}),
    "frame_column": frozenset({"polylines"}),
    "label_column": frozenset({"polylines"}),
    "points_column": frozenset({"polylines"}),
}
"""Keys of an annotation that mean nothing in other formats."""


def _said(part: Part, keys: Iterable[str]) -> list[str]:
    """Which of these keys say something else than their default."""
    fields = type(part).model_fields
    return sorted(key for key in keys if getattr(part, key) != fields[key].default)


class FileSpec(Part):
    """One file that must be there as it was."""

    path: RelativePath = Field(description="below the root")
    sha256: Sha256 = Field(description="SHA-256 of its content")
    bytes: int | None = Field(None, ge=0, description="size; compared before the hash is computed")


class ManifestSpec(Part):
    """One hash over many files, for sets where a line for each would be too long.

    It is the SHA-256 of the lines ``<sha256 of the file>  <path>``, as ``sha256sum`` writes them, sorted as bytes, each
    ended by a newline. Hidden files and what operating systems leave behind do not count. The hash alone says that some
    file differs; with the lines themselves in ``sums`` it is said which.
    """

    paths: Annotated[tuple[RelativePath, ...], BeforeValidator(listed)] = Field(
        ("",), min_length=1, description="folders (in depth) and files that it covers; an empty text is the root"
    )
    files: int = Field(ge=1, description="number of files")
    bytes: int = Field(ge=0, description="their size in all")
    sha256: Sha256 = Field(description="hash over the sorted lines")
    sums: RelativePath = Field("SHA256SUMS", description="file below the root that holds the lines; need not be there")


class FramesSpec(Part):
    """Where the frames are."""

    folder: RelativePath = Field("images", description="searched in depth; empty: the root")
    strip: str = Field("", description="ending of every stem that is no part of its name, `_0000` in nnU-Net's folders")
    pattern: Pattern | None = Field(
        None,
        description="searched in the path below the folder, suffix included; its first group is what annotations call the "
        "frame. A file that it does not fit is no frame of the dataset",
    )
    polarity: Literal["as-stored", "inverted"] = Field(
        "as-stored", description="`inverted` when devices are bright in all files although the files do not say so"
    )
    modality_lut: bool = Field(False, description="apply the DICOM Modality LUT or rescale; off for XA and RF")
    spacing_mm: tuple[Millimetres, Millimetres] | None = Field(
        None, description="(y, x) in the patient, when you calibrated it"
    )
    frame_time_ms: float | None = Field(None, gt=0, description="mean time from frame to frame, when the files lack it")


class AnnotationSpec(Part):
    """One kind of annotation files."""

    format: FormatName = Field(description="how the files are written")
    path: RelativePath = Field("", description="folder or file; empty: beside the frames")
    suffix: str = Field(
        "", description="ending of every annotation's stem that is no part of its name, `_mask` or `.seg`"
    )
    values: dict[str, PixelValues] | None = Field(
        None, description="labels: structure → values of the label image; 0 is background unless it is named"
    )
    colours: dict[str, Colours] | None = Field(None, description="colours: structure → `#rrggbb`, in quotes")
    background: Colours = Field(("#000000",), description="colours: what is no structure")
    width_px: float | None = Field(None, gt=0, description="labelme, polylines: width at which lines are drawn")
    width_mm: float | None = Field(
        None, gt=0, description="polylines: width in the patient; needs a calibrated spacing"
    )
    frame_column: str = Field("frame", description="polylines: column that names the frame")
    label_column: str = Field("label", description="polylines: column that names the structure")
    points_column: str = Field("data", description="polylines: column of points, [[x, y], …]")

    @model_validator(mode="after")
    def _complete(self) -> AnnotationSpec:
        if self.format == "labels" and not self.values:
            raise ValueError("should have values (structure → numbers), which format labels needs")
        if self.format == "colours" and not self.colours:
            raise ValueError("should have colours (structure → '#rrggbb', in quotes), which format colours needs")
        if self.width_px is not None and self.width_mm is not None:
            raise ValueError("should have width_px or width_mm, not both")
        for key in _said(self, _USED_BY):
            if self.format not in _USED_BY[key]:
                raise ValueError(f"should have no {key}, which is for {' and '.join(sorted(_USED_BY[key]))}")
        return self


class Known(Part):
    """How one fact of a frame (patient, series, date, split…) is known.

    ``stem`` and ``path`` take the first group of ``pattern``, searched in the frame's stem or in its path below the root;
    ``dicom`` takes the header; ``table`` a column of a CSV file; ``unknown`` says that nobody knows. Where a rule gives
    nothing for a frame, the frame is refused.
    """

    by: Literal["stem", "path", "dicom", "table", "unknown"] = Field(description="where it is said")
    pattern: Pattern | None = Field(None, description="stem, path: regular expression; its first group is taken")
    table: RelativePath | None = Field(
        None, description="table: CSV file below the root, columns separated by comma, semicolon or tab"
    )
    key: str = Field("frame", description="table: column that names the frame by path, file name or stem")
    column: str | None = Field(None, description="table: column that is taken")
    values: dict[str, Text] | None = Field(None, description="found text → what it means; any other text is an error")
    missing: Literal["refuse", "unknown"] = Field(
        "refuse",
        description="what becomes of a frame for which the rule gives nothing; `unknown` keeps it without the fact",
    )

    @model_validator(mode="after")
    def _complete(self) -> Known:
        if self.by in ("stem", "path") and self.pattern is None:
            raise ValueError(f"should have a pattern, which by: {self.by} needs")
        if self.by == "table" and (self.table is None or self.column is None):
            raise ValueError("should have table and column, which by: table needs")
        used = {
            "pattern": self.by in ("stem", "path"),
            "table": self.by == "table",
            "key": self.by == "table",
            "column": self.by == "table",
            "values": self.by != "unknown",
            "missing": self.by != "unknown",
        }
        for key in _said(self, used):
            if not used[key]:
                raise ValueError(f"should have no {key}, which by: {self.by} does not use")
        return self


class GroupingSpec(Part):
    """How frames belong together. What is left out follows the default: DICOM headers, else the stem up to the first _."""

    patient: Known | None = Field(None, description="who it is; frames of one patient never come into two parts")
    study: Known | None = Field(None, description="examination; groups frames where no patient is known")
    series: Known | None = Field(None, description="run (cine) that the frame belongs to")
    order: Known | None = Field(None, description="place in the series, a whole number")
    date: Known | None = Field(None, description="`YYYY-MM-DD` or `YYYYMMDD`")
    split: Known | None = Field(None, description="published split: each frame is `train`, `val` or `test`")
    hold_out_from: Day | None = Field(
        None, description="day, `YYYY-MM-DD`: frames of patients seen on it or later are `test`"
    )

    @field_validator("split")
    @classmethod
    def _a_split(cls, split: Known | None) -> Known | None:
        if split is not None and split.by == "dicom":
            raise ValueError("should be by stem, path, table or unknown: no DICOM header holds a split")
        if split is not None and set((split.values or {}).values()) - set(SPLITS):
            raise ValueError("should have only train, val and test as what values mean")
        return split

    @model_validator(mode="after")
    def _one_of_both(self) -> GroupingSpec:
        if self.split is not None and self.split.by != "unknown" and self.hold_out_from is not None:
            raise ValueError("should have split or hold_out_from, not both")
        return self


class Expected(Part):
    """What a complete copy holds; ``ercpseg datasets check`` compares. What is left out is not compared."""

    frames: int | None = Field(None, ge=0, description="frames that can be used")
    patients: int | None = Field(None, ge=0, description="patients that they are of")
    refused: int = Field(0, ge=0, description="files and frames that cannot be used, which is known and accepted")
    structures: dict[Structure, int] = Field(default_factory=dict, description="structure → frames that show it")
    splits: dict[Split, int] = Field(
        default_factory=dict, description="split → frames; not compared with `hold_out_from`"
    )


class SyntheticSpec(Part):
    """A set that ``ercpseg synth`` makes: these options and its seed."""

    frames: int = Field(gt=0, description="frames in all")
    patients: int = Field(gt=0, description="patients that they are spread over")
    size: int = Field(ge=64, le=4096, description="side of the square frames in pixels")
    seed: int = Field(0, ge=0, description="same seed, same frames")
    format: Literal["png", "dicom"] = Field("png", description="PNG files, or one multi-frame DICOM file per patient")

    @model_validator(mode="after")
    def _enough(self) -> SyntheticSpec:
        if self.patients > self.frames:
            raise ValueError("should have at least one frame per patient")
        return self


class Descriptor(Document):
    """A dataset as people describe it."""

    SCHEMA: ClassVar[str] = "ercpseg.descriptor/1"

    name: str = Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$",
        description="letters, digits, _ and -; shipped ones are named as their file",
    )
    title: Text = Field(description="one line for lists")
    source: Text = Field(description="where it comes from: publication, repository and commit")
    licence: Text = Field(description="under which terms it may be used; `unclear` where nobody says")
    access: Text = Field(
        description="how one gets a copy, and what one must not do with it; lists show the first sentence"
    )
    cites: Words = Field((), description="what to cite")
    notes: Words = Field((), description="known issues, one sentence each")
    frames: FramesSpec = Field(FramesSpec(), description="where the frames are")
    annotations: Annotated[tuple[AnnotationSpec, ...], BeforeValidator(listed)] = Field(
        (), description="kinds of annotation files, which add up; empty: frames without annotations"
    )
    labels: dict[Structure, Synonyms] = Field(
        default_factory=dict,
        description="structure → the words that the files use for it, its own name aside; a word that is not named here is "
        "refused. Empty: every label as it stands",
    )
    ignore_labels: Words = Field((), description="words of labels that are left out")
    grouping: GroupingSpec = Field(GroupingSpec(), description="how frames belong together")
    files: tuple[FileSpec, ...] = Field((), description="files with their hashes")
    manifest: ManifestSpec | None = Field(None, description="one hash over many files")
    expected: Expected = Field(Expected(), description="what a complete copy holds")
    synthetic: SyntheticSpec | None = Field(None, description="how to make it, where it can be made")

    @field_validator("labels")
    @classmethod
    def _few(cls, labels: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if len(labels) > MAX_STRUCTURES:
            raise ValueError(f"should have at most {MAX_STRUCTURES} structures")
        return labels

    @field_validator("files")
    @classmethod
    def _once(cls, files: tuple[FileSpec, ...]) -> tuple[FileSpec, ...]:
        if len({file.path for file in files}) != len(files):
            raise ValueError("should have every path once")
        return files

    @model_validator(mode="after")
    def _sound(self) -> Descriptor:
        words = [word for name, rest in self.labels.items() for word in {w.casefold() for w in (name, *rest)}]
        words += {word.casefold() for word in self.ignore_labels}
        if len(set(words)) != len(words):
            raise ValueError("should have every word in labels and ignore_labels once: it would mean two things")
        if self.labels and set(self.expected.structures) - set(self.labels):
            raise ValueError("should have in expected.structures only what labels declares")
        return self
