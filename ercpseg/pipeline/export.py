"""``export``: a model in a form that others can run, also stock nnU-Net, or a stock nnU-Net model as one of ours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ercpseg.errors import UsageError
from ercpseg.storage.atomic import new_folder, write_bytes, write_text
from ercpseg.storage.workspace import Workspace

FORMATS = {
    "onnx": "model.onnx (mean of the folds) and model.json, which tells the whole preparation of a frame",
    "nnunet": "a results folder that stock nnU-Net predicts with, through the one-line shim; for models trained here",
    "ercpseg": "a model folder of ours, with checked hashes and without pickles; for stock nnU-Net models",
}
ONNX, SIDECAR = "model.onnx", "model.json"


@dataclass(frozen=True)
class Exported:
    """What was written, and for ONNX the largest difference of logits to torch."""

    folder: Path
    difference: float | None = None


def export_to(
    model: str | Path,
    output: Path,
    format_: str,
    *,
    workspace: Workspace | str | Path | None = None,
    folds: tuple[str, ...] | None = None,
) -> Exported:
    """Write ``model`` to the folder ``output`` in one of :data:`FORMATS`.

    Raises
    ------
    UsageError
        for an unknown format, an output that is there already, or a model that cannot be written so.
    """
    from ercpseg.pipeline.apply import locate_model

    if format_ not in FORMATS:
        raise UsageError(f"unknown format {format_[:16]!r}", where="--format", expected=", ".join(FORMATS))
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError("the output is there already", where=output, todo="choose a new name; nothing was written")
    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    path = locate_model(model, space)
    write = {"onnx": _onnx, "nnunet": _nnunet, "ercpseg": _ours}[format_]
    return write(path, output, folds)


def _onnx(path: Path, output: Path, folds: tuple[str, ...] | None) -> Exported:
    from ercpseg.inference.onnx import OnnxRuntime
    from ercpseg.inference.onnx_export import to_onnx
    from ercpseg.inference.predictor import Predictor
    from ercpseg.inference.runtimes import Task, difference

    predictor = Predictor.load(path, folds=folds, device="cpu", tta=False)
    shape = (1, predictor.serving.frames, *predictor.serving.tile_px)
    graph = to_onnx(predictor.networks, shape)
    found = difference(OnnxRuntime(graph, "cpu"), predictor.chosen.runtime, Task(shape), "cpu")
    with new_folder(output) as folder:
        write_bytes(folder / ONNX, graph)
        write_text(folder / SIDECAR, predictor.serving.to_json())
    return Exported(output, found)


def _nnunet(path: Path, output: Path, folds: tuple[str, ...] | None) -> Exported:
    from ercpseg.nnunet.answer import results_folder
    from ercpseg.nnunet.stock import load_any

    files = results_folder(load_any(path, folds))
    with new_folder(output) as folder:
        for name, data in files.items():
            write_bytes(folder / name, data)
    return Exported(output)


def _ours(path: Path, output: Path, folds: tuple[str, ...] | None) -> Exported:
    from ercpseg.nnunet.stock import load_any
    from ercpseg.storage.arrays import encode_arrays
    from ercpseg.storage.models import write_model

    model = load_any(path, folds)
    taken = [entry for entry in model.card.folds if entry.fold in model.weights]
    weights = {entry.file: encode_arrays(model.weights[entry.fold], {}) for entry in taken}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in weights.items()}
    entries = tuple(entry.model_copy(update={"sha256": sums[entry.file]}) for entry in taken)
    card = model.card.model_copy(update={"folds": entries})
    write_model(output, model.serving if model.plan is None else model.plan, card, weights)
    return Exported(output)
