"""``report``: one self-contained page of what a dataset's plan, training and evaluation came to."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ercpseg.documents.scores import FrameScore, Scores
from ercpseg.errors import DataError, InputRefused, StorageError, UsageError
from ercpseg.pipeline.known import Planned, known_name, load_planned
from ercpseg.progress import SILENT, Progress, track
from ercpseg.reporting.content import Illustration, ReportContent, Timing
from ercpseg.reporting.fingerprint_files import read_fingerprint_pictures
from ercpseg.reporting.run import write_report
from ercpseg.storage import documents
from ercpseg.storage.tables import read_table
from ercpseg.storage.workspace import Workspace
from ercpseg.structures import Mask, StructureSet
from ercpseg.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ercpseg.evaluation.folders import MaskFolder

METRIC_SHOWN = {"guidewire": "cldice"}
"""By what the best, median and worst frames are chosen; Dice for the others."""


@dataclass(frozen=True)
class ReportInput:
    """What a report is made of besides the dataset's own documents."""

    predictions: Path | None = None
    reference: Path | None = None
    timings: Sequence[Timing] = ()
    notes: Sequence[str] = ()
    synthetic: bool = False


def report(
    dataset: str | Path,
    output: Path,
    given: ReportInput = ReportInput(),
    *,
    workspace: Workspace | str | Path | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write ``report.html`` for a planned dataset, with scores and pictures when predictions were evaluated.

    Raises
    ------
    UsageError
        when the dataset is not planned or the predictions were not evaluated.
    """
    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    if given.reference and not given.reference.is_dir():
        raise UsageError("there is no such folder", where=given.reference, expected="the dataset scored against")
    planned = load_planned(space, known_name(dataset, space))
    scores, rows = read_scores(given.predictions)
    overlays: dict[str, tuple[Illustration, ...]] = {}
    figures: tuple[Illustration, ...] = ()
    if scores and given.predictions and given.reference:
        overlays = _overlays(given.predictions, given.reference, rows, planned, progress)
        from ercpseg.reporting.figures import score_figure

        figures = (Illustration("Scores per frame", score_figure(rows, planned.dataset.structures)),)
    content = ReportContent(
        title=f"ercpseg: {planned.dataset.name}",
        structures=planned.dataset.structures,
        generated=(
            ("ercpseg", __version__),
            ("machine", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"),
            ("written", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ),
        dataset=_dataset_pairs(planned),
        fingerprint=planned.fingerprint,
        fingerprint_figures=read_fingerprint_pictures(planned.folder),
        plan=planned.plan,
        scores=scores,
        curves=_curves(space, planned),
        score_figures=figures,
        overlays=overlays,
        timings=tuple(given.timings),
        provenance=_provenance(space, planned),
        notes=tuple(given.notes),
        synthetic=given.synthetic,
    )
    write_report(output, content)
    return output


def read_scores(predictions: Path | None) -> tuple[Scores | None, list[FrameScore]]:
    """What ``evaluate`` wrote beside the predictions: all scores, and those per frame."""
    if predictions is None:
        return None, []
    if not (predictions / "scores.json").exists():
        raise UsageError("these predictions were not evaluated", where=predictions, todo="run ercpseg evaluate first")
    scores = documents.load(predictions / "scores.json", Scores)
    table = predictions / "scores.csv"
    try:
        return scores, [FrameScore.model_validate({k: v or None for k, v in r.items()}) for r in read_table(table)]
    except ValueError as error:
        raise DataError("this is no table of scores", where=table, todo="run ercpseg evaluate again") from error


def _overlays(
    predictions: Path, reference: Path, rows: list[FrameScore], planned: Planned, progress: Progress
) -> dict[str, tuple[Illustration, ...]]:
    """Best, median and worst frame of every structure, reference above prediction."""
    from ercpseg.evaluation.folders import open_folder
    from ercpseg.evaluation.pairing import pair
    from ercpseg.reporting.pictures import reference_over_prediction
    from ercpseg.reporting.select import best_median_worst

    structures = planned.dataset.structure_set
    truth, predicted = open_folder(reference, "reference"), open_folder(predictions, "prediction")
    predicted_as = pair(reference=truth, prediction=predicted).predicted_as
    chosen: dict[str, dict[str, str]] = {
        name: best_median_worst(rows, name, METRIC_SHOWN.get(name, "dice")) for name in structures
    }
    wanted = {frame for frames in chosen.values() for frame in frames.values()}
    pixels = _pixels(reference, wanted, progress)
    by_key = {(row.frame, row.structure): row for row in rows}

    def picture(name: str, structure: str, rank: str) -> Illustration:
        row, metric = by_key[(name, structure)], METRIC_SHOWN.get(structure, "dice")
        value: Any = getattr(row, metric)
        shape = pixels[name].shape
        masks = _masks(truth, name, structures, shape), _masks(predicted, predicted_as[name], structures, shape)
        png = reference_over_prediction(pixels[name], *masks, structures.names)
        label = {"cldice": "clDice", "dice": "Dice"}[metric]
        return Illustration(f"{rank}: {name}, {label} {'–' if value is None else f'{value:.3f}'}", png)

    return {
        structure: tuple(
            picture(name, structure, rank) for rank, name in frames.items() if name in pixels and name in predicted_as
        )
        for structure, frames in chosen.items()
    }


def _pixels(reference: Path, wanted: set[str], progress: Progress) -> dict[str, NDArray[Any]]:
    """The frames of these stems; the others are not decoded."""
    from ercpseg.decoding.decoders import borrow
    from ercpseg.importers.frames import Pending, list_frames, scan_frames
    from ercpseg.importers.naming import Namer, frame_stem

    pixels: dict[str, NDArray[Any]] = {}
    namer = Namer()
    with borrow() as decoders:
        for found in track(scan_frames(reference), progress, "Reading frames for the report"):
            for pending in list_frames(found, namer, decoders):
                if not isinstance(pending, Pending):
                    continue
                stem = frame_stem(found.stem, pending.index)  # what evaluate calls it
                if stem in wanted and stem not in pixels:
                    with contextlib.suppress(InputRefused):
                        pixels[stem] = pending.decode(decoders).pixels
            if len(pixels) == len(wanted):
                break
    return pixels


def _masks(folder: MaskFolder, frame: str, structures: StructureSet, shape: tuple[int, ...]) -> Mapping[str, Mask]:
    import numpy as np

    from ercpseg.evaluation.folders import read_mask

    masks = {}
    for name in structures:
        path = folder.files.get(name, {}).get(frame)
        masks[name] = read_mask(path) if path else np.zeros(shape, bool)
        if masks[name].shape != shape:
            raise DataError("this mask and its frame differ in size", where=path, expected=f"{shape[0]} × {shape[1]}")
    return masks


def _dataset_pairs(planned: Planned) -> tuple[tuple[str, str], ...]:
    dataset, fingerprint = planned.dataset, planned.fingerprint
    return (
        ("name", dataset.name),
        ("structures", ", ".join(dataset.structures)),
        ("found", f"{dataset.found}: {dataset.used} used, {dataset.refused} refused, {dataset.ignored} ignored"),
        ("patients", f"{fingerprint.patients} (grouped by {fingerprint.grouped_by})"),
    )


def _runs(space: Workspace, planned: Planned) -> list[Path]:
    from ercpseg.training.run import run_folder

    folds = [*(str(i) for i in range(planned.plan.values.folds.count)), "all"]
    folders = [run_folder(space, planned.dataset.name, fold) for fold in folds]
    return [folder for folder in folders if (folder / "log.jsonl").exists()]


def _curves(space: Workspace, planned: Planned) -> tuple[Illustration, ...]:
    from ercpseg.reporting.figures import training_curve
    from ercpseg.training.run import read_history

    histories = [(folder.name.replace("_", " "), read_history(folder)) for folder in _runs(space, planned)]
    return tuple(Illustration(name, training_curve(history)) for name, history in histories if history)


def _provenance(space: Workspace, planned: Planned) -> tuple[tuple[str, str], ...]:
    from ercpseg.documents.run import RunRecord

    pairs = [
        ("frames SHA-256", planned.dataset.frames_sha256),
        ("fingerprint SHA-256", planned.fingerprint.sha256),
        ("plan SHA-256", planned.plan.sha256),
    ]
    for folder in _runs(space, planned):
        try:
            record = documents.load(folder / "run.json", RunRecord)
        except (DataError, StorageError):  # not finished yet
            continue
        text = (
            f"seed {record.seed}, {record.iterations} iterations in {record.seconds:.0f} s on {record.device} "
            f"({record.threads} threads), {record.parameters:,} parameters"
        )
        pairs.append((folder.name.replace("_", " "), text))
        pairs += [(f"{name} version", version) for name, version in sorted(record.versions.items())]
    return tuple(dict.fromkeys(pairs))
