"""Writes a synthetic dataset in the layout that every command understands without a descriptor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ercpseg.errors import DocumentError, Interrupted, StorageError, UsageError
from ercpseg.progress import SILENT, Progress
from ercpseg.storage import documents
from ercpseg.storage.atomic import flush, remove_leftovers
from ercpseg.storage.lock import locked
from ercpseg.synthesis.backgrounds import digest, load_annotated, load_backgrounds
from ercpseg.synthesis.catalogue import DEFAULT, find_domain
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.jobs import Job, Materials, files_of, plan_jobs, run_job
from ercpseg.synthesis.request import FileFormat, Request, check_numbers, patient_name, share
from ercpseg.version import __version__

__all__ = ["Options", "SynthesisSummary", "patient_name", "share", "synthesise", "synthesise_domain"]

UNDER_WAY = ".synthesis.json"
"""What an unfinished folder is made from; a finished one of a scene domain has ``synthesis.json`` instead."""
FINISHED = "synthesis.json"
FRAMES_PER_PROCESS = 25
"""Fewer than this are made sooner than another process starts."""


@dataclass(frozen=True)
class SynthesisSummary:
    """What was written: the folder, how many frames of how many patients, and how many files."""

    folder: Path
    frames: int
    patients: int
    files: int


@dataclass(frozen=True)
class Options:
    """What frames are like beyond their number: a domain, its frame height, one series per patient, the user's frames.

    ``from_dataset``: gives, for a number of patients, what a dataset lends: its frames that show nothing as backgrounds, and
    its masks to paste on them (:func:`ercpseg.pipeline.lend.lend`).
    Patients take turns between ``domain`` and ``others``.

    ``workers`` processes work at it (0: as many as are worth it); the files do not depend on their number.
    """

    domain: Domain
    size: int | None = None
    seed: int = 0
    file_format: FileFormat = "png"
    series: bool = False
    backgrounds: Path | None = None
    paste: Path | None = None
    from_dataset: Callable[[int], Materials] | None = None
    workers: int = 1
    others: tuple[Domain, ...] = ()


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
    """Write ``frames`` frames of ``patients`` patients of the simple phantom below ``out``.

    See :func:`synthesise_domain`. Patient *n* is called ``s<seed>p<n>`` with four digits.

    Raises
    ------
    UsageError
        when the numbers make no sense or ``out/images`` or ``out/masks`` already holds something else.
    """
    options = Options(find_domain(DEFAULT), size, seed, file_format)
    return synthesise_domain(out, frames=frames, patients=patients, options=options, progress=progress)


def synthesise_domain(
    out: Path, *, frames: int, patients: int, options: Options, progress: Progress = SILENT
) -> SynthesisSummary:
    """Write ``frames`` frames of ``patients`` patients, spread evenly, as images, masks and truth below ``out``.

    ``images/<patient>_f0000.png`` or ``images/<patient>.dcm`` (one multi-frame object per patient), for every structure
    ``masks/<structure>/<patient>_f0000.png`` (0 or 255), also where it is absent, and for scene domains
    ``synthesis.json`` and, but where masks are pasted, ``truth/<patient>_f0000.json``. Frame *k* of a patient is the same
    in every dataset of that domain, seed and size, whatever the number of workers. The same call on an unfinished folder
    goes on.

    Raises
    ------
    UsageError
        when the numbers make no sense or ``out`` holds files of another making.
    DataError
        when backgrounds or masks to paste cannot be used.
    WorkspaceBusy
        when another run writes to ``out``.
    Interrupted
        after SIGINT; the same call goes on.
    """
    for domain in (options.domain, *options.others):
        check_numbers(frames, patients, options.size or domain.frame.height_px, options.seed, options.file_format)
    _check_options(options)
    _check_folder(out)
    materials = _materials(options, patients)
    request = _request(frames, patients, options, materials)
    with locked(out, "folder", "another one", keep=False):  # a dataset folder holds no other files
        _check_content(out, request)
        documents.save(out / UNDER_WAY, request)
        for folder in out.rglob("*"):
            if folder.is_dir():
                remove_leftovers(folder)
        jobs = list(plan_jobs(request))
        with progress.task("synthesising frames", frames) as task:
            for job in _worked_off(jobs, request, out, materials, options.workers):
                task.advance(job.frames, note=request.patient_name(job.patient))
        files = [path for job in jobs for path in files_of(job, request, out)]
        flush(*files)
        if request.domain.kind == "scene":
            documents.save(out / FINISHED, request)
        (out / UNDER_WAY).unlink(missing_ok=True)
    return SynthesisSummary(out, frames, patients, len(files))


def _check_options(options: Options) -> None:
    if options.paste is not None and options.backgrounds is None:
        raise UsageError("masks without frames to paste them on", where="--paste", expected="--backgrounds DIR as well")
    if options.others and any(domain.kind == "phantom" for domain in (options.domain, *options.others)):
        raise UsageError("the simple phantom stands alone", where="--domain", expected="domains of another kind")
    if options.domain.kind == "phantom":
        asked = {
            "--series": options.series,
            "--backgrounds": options.backgrounds is not None,
            "--from-dataset": options.from_dataset is not None,
        }
        for name, wanted in asked.items():
            if wanted:
                raise UsageError(
                    f"the domain {options.domain.name} cannot do that", where=name, expected="--domain of another kind"
                )
    if options.from_dataset is not None and (options.backgrounds or options.paste):
        raise UsageError(
            "backgrounds and masks come from the dataset",
            where="--from-dataset",
            expected="no --backgrounds and no --paste",
        )
    if options.series and (options.paste or options.from_dataset):
        raise UsageError("pasted masks have no series", where="--series", expected="no --paste and no --from-dataset")
    if options.workers < 0:
        raise UsageError(f"{options.workers} workers", where="workers", expected="0 (automatic) or more")


def _materials(options: Options, patients: int) -> Materials:
    if options.from_dataset is not None:
        return options.from_dataset(patients)
    if options.backgrounds is None:
        return Materials()
    backgrounds = load_backgrounds(options.backgrounds)
    check_backgrounds(patients, len(backgrounds))
    annotated = load_annotated(options.paste) if options.paste is not None else ()
    return Materials(backgrounds[:patients], annotated)


def check_backgrounds(patients: int, backgrounds: int) -> None:
    """Refuse more patients than there are backgrounds.

    Raises
    ------
    UsageError
        with how many there are.
    """
    if patients > backgrounds:
        raise UsageError(
            f"{patients} patients before {backgrounds} backgrounds",
            where="patients",
            expected=f"1 to {backgrounds}: each has a background of its own, so that folds can keep them apart",
        )


def _request(frames: int, patients: int, options: Options, materials: Materials) -> Request:
    grounds = [background.grey for background in materials.backgrounds]
    # Of which structure and frame a mask is decides how it is drawn and which move together, not its pixels alone.
    masks = [
        part
        for number, one in enumerate(materials.annotated)
        for name, mask in sorted(one.masks.items())
        for part in (np.frombuffer(f"{number} {name}".encode(), np.uint8), mask)
    ]
    return Request.new(
        domain=options.domain,
        others=options.others,
        frames=frames,
        patients=patients,
        height_px=options.size or (None if options.others else options.domain.frame.height_px),
        seed=options.seed,
        file_format=options.file_format,
        series=options.series,
        backgrounds_sha256=digest([*grounds]) if grounds else None,
        pasted_sha256=digest([*masks]) if masks else None,
        ercpseg_version=__version__,
    )


def _worked_off(jobs: list[Job], request: Request, out: Path, materials: Materials, workers: int) -> Iterator[Job]:
    """Do the jobs and yield each when it is done, here or in processes of their own."""
    wanted = workers or min(os.cpu_count() or 1, request.frames // FRAMES_PER_PROCESS)
    wanted = min(wanted, len(jobs))
    try:
        if wanted <= 1:
            for job in jobs:
                run_job(job, request, out, materials)
                yield job
        else:
            from ercpseg.synthesis.workers import in_processes

            yield from in_processes(jobs, request, out, materials, wanted)
    except KeyboardInterrupt:
        raise Interrupted("synthesising stopped", where=out, todo="run the same command to go on") from None


def _check_folder(out: Path) -> None:
    """Refuse what is no folder, before anything is written."""
    for folder in (out, out / "images", out / "masks"):
        try:
            if folder.exists() and not folder.is_dir():
                raise UsageError("this is a file", where=folder, expected="a folder", todo="name another folder")
        except OSError as error:
            raise StorageError(f"reading failed: {error.strerror}", where=folder) from error
    if (out / UNDER_WAY).is_file() or (out / FINISHED).is_file():
        return
    for folder in (out / "images", out / "masks"):
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError("there are files already", where=folder, todo="name a new folder or empty this one")


def _began(path: Path) -> Any:
    """What a folder was begun with, as plain data; None where that cannot be read.

    No document: a version with further parameters would fill them in, and take another one's folder for its own.
    """
    try:
        return documents.load_json(path)
    except DocumentError:
        return None


def _check_content(out: Path, request: Request) -> None:
    """An unfinished or finished folder may be gone on with by the very same request only."""
    asked = documents.parse_json(request.to_json().encode(), where=out)
    for name in (UNDER_WAY, FINISHED):
        if (out / name).is_file() and _began(out / name) != asked:
            raise UsageError(
                "there are files already, made from other numbers or by another version",
                where=out,
                todo="run the command that began it, name a new folder, or empty this one",
            )
