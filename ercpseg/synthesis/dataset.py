"""Writes a synthetic dataset in the layout that every command understands without a descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ercpseg.errors import StorageError, UsageError
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.atomic import write_bytes
from ercpseg.storage.images import write_png
from ercpseg.synthesis.frame import STRUCTURES, Studio, SyntheticFrame

FileFormat = Literal["png", "dicom"]

MIN_SIZE, MAX_SIZE = 64, 4096
"""Below 64 px a wire is a quarter of a pixel wide; above 4096 nobody has a detector."""


@dataclass(frozen=True)
class SynthesisSummary:
    """What was written: the folder, how many frames of how many patients, and how many files."""

    folder: Path
    frames: int
    patients: int
    files: int


def synthesise(
    out: Path,
    *,
    frames: int,
    patients: int,
    size: int = 512,
    seed: int = 0,
    file_format: FileFormat = "png",
    progress: Progress = SILENT,
) -> SynthesisSummary:
    """Write ``frames`` frames of ``patients`` patients, spread evenly, as images and masks below ``out``.

    ``images/<patient>_f0000.png`` (8 bits) or ``images/<patient>.dcm`` (one multi-frame object of 12 bits per patient),
    and for every structure ``masks/<structure>/<patient>_f0000.png`` (0 or 255), also where it is absent. Patient *n*
    is called ``s<seed>p<n>`` with four digits; its frame *k* is the same in every dataset of that seed and size.

    Raises
    ------
    UsageError
        when the numbers make no sense or ``out/images`` or ``out/masks`` already holds something.
    """
    _check(out, frames, patients, size, seed, file_format)
    files = 0
    with progress.task("synthesising frames", frames) as task:
        for number, count in enumerate(share(frames, patients)):
            name = patient_name(seed, number)
            studio = Studio.of(seed, number)
            cine = []
            for k in range(count):
                taken = studio.frame(k, size)
                stem = f"{name}_f{k:04d}"
                files += _write_masks(out, stem, taken)
                if file_format == "png":
                    from ercpseg.synthesis.physics import to_8_bits

                    write_png(out / "images" / f"{stem}.png", to_8_bits(taken.pixels))
                    files += 1
                else:
                    cine.append(taken.pixels)
                task.advance(note=name)
            if file_format == "dicom":
                from ercpseg.synthesis.dicom import encode

                write_bytes(out / "images" / f"{name}.dcm", encode(cine, name))
                files += 1
    return SynthesisSummary(out, frames, patients, files)


def patient_name(seed: int, number: int) -> str:
    """The name of a patient; no ``_`` in it, since the text before the first one is the patient.

    >>> patient_name(0, 1)
    's0p0001'
    """
    return f"s{seed}p{number:04d}"


def share(frames: int, patients: int) -> list[int]:
    """How many frames each patient gets; the first ones get one more when it does not come out even.

    >>> share(7, 3)
    [3, 2, 2]
    """
    return [frames // patients + (number < frames % patients) for number in range(patients)]


def _write_masks(out: Path, stem: str, taken: SyntheticFrame) -> int:
    for structure in STRUCTURES:
        write_png(out / "masks" / structure / f"{stem}.png", taken.masks[structure])
    return len(STRUCTURES)


def _check(out: Path, frames: int, patients: int, size: int, seed: int, file_format: str) -> None:
    if not 1 <= patients <= 10_000:
        raise UsageError(f"{patients} patients", where="patients", expected="1 to 10000")
    if not patients <= frames <= 10_000 * patients:
        raise UsageError(f"{frames} frames of {patients} patients", where="frames", expected="1 to 10000 per patient")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"frames of {size} px", where="size", expected=f"{MIN_SIZE} to {MAX_SIZE}")
    if seed < 0:
        raise UsageError(f"seed {seed}", where="seed", expected="0 or a positive integer")
    if file_format not in get_args(FileFormat):
        raise UsageError(f"file format {file_format!r}", where="file_format", expected="png or dicom")
    for folder in (out, out / "images", out / "masks"):
        try:
            if folder.exists() and not folder.is_dir():
                raise UsageError("this is a file", where=folder, expected="a folder", todo="name another folder")
            if folder != out and folder.is_dir() and any(folder.iterdir()):
                raise UsageError("there are files already", where=folder, todo="name a new folder or empty this one")
        except OSError as error:
            raise StorageError(f"reading failed: {error.strerror}", where=folder) from error
