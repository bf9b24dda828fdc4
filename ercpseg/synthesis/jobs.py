"""Pieces of work of a synthetic dataset, for one process or several: each writes its own files, whatever the order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ercpseg.storage.atomic import write_bytes
from ercpseg.storage.images import encode_png
from ercpseg.structures import DEFAULT_STRUCTURES
from ercpseg.synthesis.backgrounds import Annotated, Background
from ercpseg.synthesis.compositing import BackgroundStudio, PasteStudio
from ercpseg.synthesis.dicom import Header, encode
from ercpseg.synthesis.frame import Studio, SyntheticFrame
from ercpseg.synthesis.request import Request, share
from ercpseg.synthesis.scene.patient import Patient
from ercpseg.synthesis.studio import open_studio

CHUNK = 8
"""Frames of a patient in one job; a patient's anatomy is drawn once per job."""


@dataclass(frozen=True)
class Materials:
    """What the user brought along: frames to draw on, masks to paste on them."""

    backgrounds: tuple[Background, ...] = ()
    annotated: tuple[Annotated, ...] = ()


@dataclass(frozen=True)
class Job:
    """Frames ``first`` to ``stop`` − 1 of a patient."""

    patient: int
    first: int
    stop: int

    @property
    def frames(self) -> int:
        """How many."""
        return self.stop - self.first


def plan_jobs(request: Request) -> Iterator[Job]:
    """All jobs of a request. A patient whose frames end in one file, or depend on each other, is one job."""
    whole = request.series or request.file_format == "dicom"
    for patient, count in enumerate(share(request.frames, request.patients)):
        for first in range(0, count, count if whole else CHUNK):
            yield Job(patient, first, count if whole else min(first + CHUNK, count))


def run_job(job: Job, request: Request, out: Path, materials: Materials = Materials()) -> int:
    """Write the files of a job that are not there yet; gives the number of its frames.

    The file that is written last vouches for the others, so a job that was killed is begun again.
    """
    if all(path.exists() for path in _last_files(job, request, out)):
        return job.frames
    studio = _studio(job, request, materials)
    cine: list[SyntheticFrame] = []
    for number, frame in _frames(studio, job, request):
        stem = request.stem(job.patient, number)
        if request.file_format == "dicom":
            cine.append(frame)
            _write_truth(out, stem, frame)
        else:
            _write_truth(out, stem, frame, image=True)
    if cine:
        name = request.patient_name(job.patient)
        header = Header(name, cine[0].bits, cine[0].inverted, studio.spacing, studio.pulse_ms)
        write_bytes(out / "images" / f"{name}.dcm", encode([f.pixels for f in cine], header), durable=False)
    return job.frames


def files_of(job: Job, request: Request, out: Path) -> list[Path]:
    """Every file of a job, in the order of writing. What a user's own masks add is not among them."""
    paths = []
    for number in range(job.first, job.stop):
        stem = request.stem(job.patient, number)
        paths += [out / "masks" / structure / f"{stem}.png" for structure in DEFAULT_STRUCTURES]
        paths += [out / "truth" / f"{stem}.json"] if request.has_truth else []
        paths += [out / "images" / f"{stem}.png"] if request.file_format == "png" else []
    if request.file_format == "dicom":
        paths.append(out / "images" / f"{request.patient_name(job.patient)}.dcm")
    return paths


def _last_files(job: Job, request: Request, out: Path) -> list[Path]:
    return [path for path in files_of(job, request, out) if path.parent.name == "images"]


def _studio(job: Job, request: Request, materials: Materials) -> Studio:
    domain = request.domain_of(job.patient)
    if not materials.backgrounds:
        return open_studio(domain, request.seed, job.patient, request.height_px)
    background = materials.backgrounds[job.patient]
    if not materials.annotated:
        return BackgroundStudio.of(domain, request.seed, job.patient, background)
    height = background.grey.shape[0]
    who = Patient.sample(domain, request.seed, job.patient, height, bare=True)
    return PasteStudio(who, background, materials.annotated)


def _frames(studio: Studio, job: Job, request: Request) -> Iterator[tuple[int, SyntheticFrame]]:
    if request.series:
        yield from enumerate(studio.series(job.stop))
    else:
        for number in range(job.first, job.stop):
            yield number, studio.frame(number)


def _write_truth(out: Path, stem: str, frame: SyntheticFrame, *, image: bool = False) -> None:
    """Write masks and truth, then the image if asked: it vouches for the rest."""
    for structure, mask in frame.masks.items():
        write_bytes(out / "masks" / structure / f"{stem}.png", encode_png(mask), durable=False)
    if frame.truth is not None:
        write_bytes(out / "truth" / f"{stem}.json", frame.truth.to_bytes(), durable=False)
    if image:
        # 12 bits of the phantom become 8, as ever; a domain of more than 8 bits keeps them in 16-bit files.
        eight = frame.truth is None or frame.bits == 8
        pixels = frame.eight_bits if eight else frame.shown
        write_bytes(out / "images" / f"{stem}.png", encode_png(pixels), durable=False)
