"""``demo``: the whole job on synthetic frames, from nothing to a scored report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ercpseg.documents.scores import Scores
from ercpseg.errors import UsageError
from ercpseg.pipeline.apply import predict
from ercpseg.pipeline.assess import evaluate
from ercpseg.pipeline.learn import train
from ercpseg.pipeline.prepare import PlanOptions, plan
from ercpseg.pipeline.report import ReportInput, report
from ercpseg.progress import SILENT, Progress
from ercpseg.reporting.content import Timing
from ercpseg.storage.atomic import write_text
from ercpseg.storage.workspace import Workspace
from ercpseg.synthesis.dataset import synthesise

MARKER = ".ercpseg-demo"
NAME = "demo"


@dataclass(frozen=True)
class DemoSize:
    """How large the demo is; the defaults are what ``make demo`` runs."""

    frames: int = 240
    patients: int = 80
    unseen_frames: int = 60
    unseen_patients: int = 20
    size: int = 512
    time_budget_s: float = 300.0
    epochs: int | None = None


@dataclass(frozen=True)
class Demo:
    """What the demo made."""

    folder: Path
    report: Path
    scores: Scores
    timings: tuple[Timing, ...]


@dataclass
class _Watch:
    timings: list[Timing] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, note: str = "") -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings.append(Timing(name, time.perf_counter() - start, note))


def demo(folder: Path, size: DemoSize = DemoSize(), *, seed: int = 0, progress: Progress = SILENT) -> Demo:
    """Synthesise, plan, train fold 0, predict unseen frames (half PNG, half multi-frame DICOM), evaluate, report.

    The unseen patients come from another seed. Running it again makes everything anew.

    Raises
    ------
    UsageError
        when ``folder`` holds something that a demo did not make.
    """
    _check_folder(folder)
    with Workspace(folder).locked():  # of the demo as a whole: a second one must not clear what this one makes
        return _demo(folder, size, seed, progress)


def _demo(folder: Path, size: DemoSize, seed: int, progress: Progress) -> Demo:
    _clear(folder)
    watch = _Watch()
    space = Workspace(folder / "workspace")
    with watch.stage("synthesise", f"{size.frames + size.unseen_frames} frames of {size.size}²"):
        synthesise(
            folder / "data" / "training",
            frames=size.frames,
            patients=size.patients,
            size=size.size,
            seed=2 * seed,
            progress=progress,
        )
        unseen = _unseen(folder / "data" / "unseen", size, 2 * seed + 1, progress)
    options = PlanOptions(time_budget_s=size.time_budget_s, device="cpu")
    with watch.stage("plan and preprocess"):
        planned = plan(folder / "data" / "training", name=NAME, workspace=space, options=options, progress=progress)
    with watch.stage("train"):
        from ercpseg.training.run import TrainOptions

        trained = train(NAME, 0, workspace=space, options=TrainOptions(epochs=size.epochs), progress=progress)
    with watch.stage("predict", f"{size.unseen_frames} frames, half PNG, half multi-frame DICOM"):
        predict(unseen / "images", folder / "predictions", trained.model, workspace=space, progress=progress)
    with watch.stage("evaluate"):
        scores = evaluate(folder / "predictions", unseen, progress=progress)
    given = ReportInput(
        predictions=folder / "predictions",
        reference=unseen,
        timings=watch.timings,
        notes=("Trained and tested on synthetic frames of different patients.",),
        synthetic=True,
    )
    _picture(folder)
    page = report(planned.dataset.name, folder / "report.html", given, workspace=space, progress=progress)
    return Demo(folder, page, scores, tuple(watch.timings))


def _picture(folder: Path) -> None:
    """``picture.png``: the median frame of three structures, as predicted, side by side."""
    import numpy as np

    from ercpseg.pipeline.report import METRIC_SHOWN, read_scores
    from ercpseg.reporting.select import best_median_worst
    from ercpseg.storage import images

    _, rows = read_scores(folder / "predictions")
    frames = []
    for structure in ("guidewire", "cbd", "stone"):
        chosen = best_median_worst(rows, structure, METRIC_SHOWN.get(structure, "dice"))
        name = chosen.get("median", chosen.get("best"))
        if name is not None and name not in frames:
            frames.append(name)
    if frames:
        overlays = [images.read_png(folder / "predictions" / "overlays" / f"{name}.png") for name in frames]
        images.write_png(folder / "picture.png", np.concatenate(overlays, axis=1))


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError("this is a file", where=folder, expected="a folder", todo="name another")
    if folder.exists() and any(map(_foreign, folder.iterdir())) and not (folder / MARKER).exists():
        raise UsageError("the folder is not empty", where=folder, todo="give the demo a folder of its own")


def _foreign(entry: Path) -> bool:
    return entry.name != MARKER and not entry.name.startswith(".lock")


def _clear(folder: Path) -> None:
    for entry in filter(_foreign, folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    write_text(folder / MARKER, "Made by ercpseg demo; it may delete this folder.\n")


def _unseen(folder: Path, size: DemoSize, seed: int, progress: Progress) -> Path:
    """Half of the unseen patients as PNG, half as multi-frame DICOM, in one dataset folder."""
    half = size.unseen_frames // 2
    patients = size.unseen_patients // 2
    synthesise(folder, frames=half, patients=patients, size=size.size, seed=seed, progress=progress)
    other = folder.with_name("unseen-dicom")
    synthesise(
        other,
        frames=size.unseen_frames - half,
        patients=size.unseen_patients - patients,
        size=size.size,
        seed=seed + 10_000,
        file_format="dicom",
        progress=progress,
    )
    for path in sorted(p for p in other.rglob("*") if p.is_file()):
        target = folder / path.relative_to(other)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    shutil.rmtree(other)
    return folder
