"""``predict``: read frames, push them through the predictor, write what the contract promises."""

from __future__ import annotations

import platform
import time
from collections import Counter
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ercpseg.errors import DataError, UsageError
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.lock import locked
from ercpseg.storage.resources import shipped_models
from ercpseg.storage.workspace import Workspace
from ercpseg.version import __version__

if TYPE_CHECKING:
    from ercpseg.inference.service import Served

DEFAULT_MODEL = "light"
"""Weights that come with the package, trained on synthetic frames only: what predicts when no model is named."""
REASONS = 5
"""How many of the reasons are told when no frame can be used."""


@dataclass(frozen=True)
class PredictOptions:
    """How to predict."""

    folds: tuple[str, ...] | None = None
    tta: bool | None = None
    device: str = "auto"
    overlays: bool = True
    formats: tuple[str, ...] = ("png",)
    """Names of :data:`ercpseg.export.formats.FORMATS`."""
    runtime: str = "auto"
    """A name of :data:`ercpseg.inference.runtimes.RUNTIMES`, or ``auto``: the fastest, by a short measurement."""
    precision: str = "auto"
    batch: int | None = None


def predict(
    source: Path,
    output: Path,
    model: str | Path | None = None,
    *,
    workspace: Workspace | str | Path | None = None,
    options: PredictOptions = PredictOptions(),
    progress: Progress = SILENT,
) -> Any:
    """Segment every frame of a file or folder into ``output``; returns the writer's summary and the shift alarm.

    ``model`` is a model folder or zip, the name of a dataset of the workspace, or of shipped weights;
    None: the shipped :data:`DEFAULT_MODEL`. The same again writes only what is missing.

    Raises
    ------
    UsageError
        when there is no such input or model, or ``output`` holds something else.
    WorkspaceBusy
        when another run writes to ``output``.
    DataError
        when no frame could be used; an earlier prediction in ``output`` stays as it is.
    """
    from ercpseg.export.previous import check_output
    from ercpseg.importers.frames import FrameFolder
    from ercpseg.inference.ahead import started

    began = time.perf_counter()
    if not source.exists():
        raise UsageError("there is no such file or folder", where=source, expected="frames to segment")
    _check_apart(source, output)
    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    path = default_model() if model is None else locate_model(model, space)
    check_output(output)
    frames = FrameFolder(source)
    held = locked(output, "output folder", "another OUTPUT", keep=False)
    with held, started(frames) as items:  # the first frames are decoded while torch and the model are loaded
        return _predict(frames, items, output, path, options, progress, began)


def _check_apart(source: Path, output: Path) -> None:
    """Refuse an input that lies in the output, where results of an earlier run are replaced."""
    given, out = source.resolve(), output.resolve()
    if output.exists() and (given == out or out in given.parents):
        raise UsageError(
            "the input lies in the output folder, whose files this run replaces",
            where=output,
            expected="an output folder that does not hold the input",
        )


def _predict(  # one caller
    frames: Any, items: Any, output: Path, path: Path, options: PredictOptions, progress: Progress, began: float
) -> Any:
    from ercpseg.export.folder import PredictionWriter
    from ercpseg.inference.folder import predict_frames
    from ercpseg.inference.predictor import Predictor, Speed
    from ercpseg.pipeline.shift import OUTSIDE_FRAC, Watch

    speed = Speed(options.runtime, options.precision, options.batch, len(frames))
    predictor = Predictor.load(path, folds=options.folds, device=options.device, tta=options.tta, speed=speed)
    start = time.perf_counter()
    made_by = {
        "model_sha256": predictor.sha256,
        "folds": list(predictor.folds),
        "tta": options.tta,
        "device": predictor.device,
        # What was asked for, not what auto chose, so that a rerun goes on from what a killed run left.
        "runtime": options.runtime,
        "precision": options.precision,
        "versions": {"ercpseg": __version__, "torch": metadata.version("torch")},
    }
    with PredictionWriter(
        output, predictor.structures, overlays=options.overlays, formats=options.formats, made_by=made_by
    ) as writer:
        limit = OUTSIDE_FRAC if predictor.planned is None else predictor.planned.values.alarm.outside_frac
        watch = Watch(
            writer,
            predictor.card,
            predictor.structures,
            total=len(frames),
            started=began,
            outside_frac=limit,
            frames=predictor.serving.frames,
        )
        pixels = predict_frames(predictor, items, watch, total=len(frames), progress=progress)
        run = {
            "model": predictor.card.name,
            "model_sha256": predictor.sha256,
            "plan_sha256": predictor.card.plan_sha256,
            "folds": list(predictor.folds),
            "inputs_sha256": pixels,
            "device": predictor.device,
            "runtime": predictor.chosen.note,
            "runtime_difference": predictor.chosen.difference,
            "seconds": round(time.perf_counter() - start, 3),
            "versions": {"ercpseg": __version__, **{n: metadata.version(n) for n in ("torch", "numpy", "pydicom")}},
            "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            "intended_use": predictor.card.intended_use,
            "shift": watch.record(),
        }
        summary = writer.finish(run, progress)
    if not summary.used:
        raise _nothing_usable(frames.root, writer.reasons)
    return replace(summary, shift=watch.warnings())


def serve(
    source: BinaryIO,
    target: BinaryIO,
    model: str | Path | None,
    *,
    workspace: Workspace | str | Path | None = None,
    options: PredictOptions = PredictOptions(),
) -> Served:
    """Answer the frames of a pipe until it ends; see :mod:`ercpseg.inference.service`."""
    from ercpseg.inference.predictor import Predictor, Speed
    from ercpseg.inference.service import serve as answer

    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    frames = 10_000 if options.runtime == "auto" else None  # a stream has no end that is known: the fastest pays
    speed = Speed(options.runtime, options.precision, options.batch, frames)
    path = default_model() if model is None else locate_model(model, space)
    predictor = Predictor.load(path, folds=options.folds, device=options.device, tta=options.tta, speed=speed)
    return answer(predictor, source, target, batch=options.batch or 1)


def _nothing_usable(source: Path, reasons: list[str]) -> DataError:
    """What to say when no frame was predicted: the most frequent reasons."""
    frequent = Counter(reasons).most_common(REASONS)
    text = "; ".join(f"{count} × {reason}" for reason, count in frequent) or "no file was found"
    return DataError(
        f"no usable frame in {len(reasons)} found: {text}",
        where=source,
        expected="PNG, TIFF, JPEG, BMP or DICOM frames",
        todo="give a folder that holds some; an earlier prediction in the output folder stays as it is",
    )


def default_model() -> Path:
    """The folder of the shipped weights that predict when no model is named.

    Raises
    ------
    UsageError
        when this copy of the program came without them.
    """
    shipped = shipped_models()
    if DEFAULT_MODEL not in shipped:
        raise UsageError(
            f"this copy of ercpseg came without its weights {DEFAULT_MODEL!r}", where="--model", expected="a model"
        )
    return shipped[DEFAULT_MODEL]


def locate_model(model: str | Path, workspace: Workspace, *, where: str = "--model") -> Path:
    """The folder or zip of what a person calls a model.

    Raises
    ------
    UsageError
        when there is none; lists what there is.
    """
    path, name = Path(model), str(model)
    trained = [n for n in workspace.names() if (workspace.model_folder(n) / "model.json").exists()]
    shipped = shipped_models()
    # A folder of a dataset, or of anything else, may lie here under a model's name; it is not meant.
    named = name in trained or name in shipped
    if name and path.exists() and not (named and path.is_dir() and not (path / "model.json").exists()):
        return path
    if name in trained:
        return workspace.model_folder(name)
    if name in shipped:
        return shipped[name]
    known = ", ".join([*trained, *shipped]) or "none yet"
    raise UsageError(
        f"there is no model {name[:200]!r}", where=where, expected=f"a model folder, its zip, or one of: {known}"
    )
