"""Models that stock nnU-Net v2 trained, read safely: a results folder, or the zip that nnU-Net exports.

nnU-Net itself unpickles the checkpoint and looks names up anywhere. Here a checkpoint may hold tensors and plain values
only, the network is one of two from nnU-Net's library by the numbers in the plans, and no trainer class is imported.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.run import FoldWeights, ModelCard
from ercpseg.errors import DataError, DocumentError, StorageError, UsageError
from ercpseg.nnunet import PLAN_KEY
from ercpseg.nnunet.stock_plans import stock_serving
from ercpseg.storage.atomic import read_bytes
from ercpseg.storage.documents import parse_json
from ercpseg.storage.models import StoredModel, load_model
from ercpseg.version import __version__

PLANS, DATASET = "plans.json", "dataset.json"
FINAL = "checkpoint_final.pth"
CHECKPOINT = re.compile(r"fold_(all|[0-9]{1,3})/checkpoint_(?:final|best|latest)\.pth")
logger = logging.getLogger(__name__)
MAX_BYTES = 4 * 1024**3


def find_stock(path: Path) -> StockFiles | None:
    """The files of a stock model: a trainer's results folder, its dataset's folder, or a zip of either; else None.

    Raises
    ------
    UsageError
        when it holds several: which one is meant is not guessed.
    """
    if path.is_file():
        return _in_zip(path)
    if _is_stock(path):
        return StockFiles(path, "", path)
    found = sorted(p for p in path.iterdir() if _is_stock(p)) if path.is_dir() else []
    if len(found) > 1:
        raise UsageError(
            f"the folder holds {len(found)} models",
            where=path,
            expected=f"one of {', '.join(p.name for p in found)}",
            todo="give the folder of one of them",
        )
    return StockFiles(path, "", found[0]) if found else None


def _is_stock(folder: Path) -> bool:
    return (folder / PLANS).is_file() and (folder / DATASET).is_file() and not (folder / "model.json").exists()


class StockFiles:
    """The files of one trained configuration, in a folder or in a zip; nothing is ever unpacked to disk."""

    def __init__(self, path: Path, prefix: str, folder: Path | None):
        self.path, self._prefix, self._folder = path, prefix, folder

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        if self._folder is not None:
            return read_bytes(self._folder / name)
        try:
            with zipfile.ZipFile(self.path) as archive:
                if archive.getinfo(self._prefix + name).file_size > MAX_BYTES:
                    raise StorageError("a file of the archive is too large", where=self.path)
                return archive.read(self._prefix + name)
        except (KeyError, zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError) as error:
            raise StorageError(f"{name} cannot be read from the zip", where=self.path, todo="copy it again") from error

    def names(self) -> Iterable[str]:
        """Paths of all files, relative to the configuration."""
        if self._folder is not None:
            return [f"{p.parent.name}/{p.name}" for p in self._folder.glob("fold_*/*.pth")]
        with zipfile.ZipFile(self.path) as archive:
            inside = [n for n in archive.namelist() if n.startswith(self._prefix)]
        return [name.removeprefix(self._prefix) for name in inside]

    def folds(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Fold → its final checkpoint, and the folds that have only those of a training that did not end."""
        names = set(self.names())
        folds = sorted({match[1] for match in map(CHECKPOINT.fullmatch, names) if match})
        finished = {fold: f"fold_{fold}/{FINAL}" for fold in folds if f"fold_{fold}/{FINAL}" in names}
        return finished, tuple(fold for fold in folds if fold not in finished)


def _in_zip(path: Path) -> StockFiles | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return None
    plans = [name for name in names if name.rpartition("/")[2] == PLANS]
    prefixes = [name.removesuffix(PLANS) for name in plans if name.removesuffix(PLANS) + DATASET in names]
    if not prefixes or any(name.rpartition("/")[2] == "model.json" for name in names):
        return None
    if len(prefixes) > 1:
        raise UsageError(f"the zip holds {len(prefixes)} models", where=path, todo="export one configuration alone")
    return StockFiles(path, prefixes[0], None)


def load_stock(files: StockFiles, folds: tuple[str, ...] | None = None) -> StoredModel:
    """Read a stock model as one of ours.

    Raises
    ------
    UsageError
        when a fold is missing or not finished, or the model is none that this program can run (3D, several channels, spacings).
    DocumentError
        when plans or labels are not what they should be, or name a network that is not on the list.
    DataError
        when a checkpoint holds anything but weights and plain values.
    StorageError
        when a file cannot be read or is torn.
    """
    raw = {name: files.read(name) for name in (PLANS, DATASET)}
    plans, dataset = (_mapping(raw[name], files.path / name) for name in (PLANS, DATASET))
    if PLAN_KEY in plans:
        raise UsageError(
            "these are plans of ercpseg", where=files.path, todo="give the model folder that ercpseg train made"
        )
    available, unfinished = files.folds()
    wanted = folds or tuple(fold for fold in available if fold != "all") or tuple(available)
    missing = [fold for fold in wanted if fold not in available]
    if missing or not wanted:
        raise UsageError(
            f"the model has no fold {', '.join(missing) or 'with a checkpoint'}",
            where="--fold",
            expected=f"of {', '.join(available) or f'fold_0 … with {FINAL}'}",
            todo=f"finish the training of fold {', '.join(unfinished)} first" if unfinished else None,
        )
    left_out = f"fold {', '.join(unfinished)} left out: not finished (no {FINAL})" if unfinished and not folds else ""
    if left_out:
        logger.warning("%s", left_out)
    digest = hashlib.sha256(raw[PLANS] + raw[DATASET])
    weights, entries, configuration, axes = {}, [], "", ()
    for fold in wanted:
        data = files.read(available[fold])
        sha256 = hashlib.sha256(data).hexdigest()
        digest.update(sha256.encode())
        checkpoint = read_checkpoint(data, where=files.path / available[fold])
        weights[fold] = _arrays(checkpoint, where=files.path / available[fold])
        configuration = str(_get(checkpoint, "init_args", dict).get("configuration", ""))
        axes = tuple(checkpoint.get("inference_allowed_mirroring_axes") or ())
        epochs = checkpoint.get("current_epoch")
        entries.append(
            FoldWeights(
                fold=fold,
                file=f"fold_{fold}.safetensors",
                sha256=sha256,
                epochs=epochs if isinstance(epochs, int) else None,
                iterations=None,
                seed=None,
            )
        )
    serving = stock_serving(plans, dataset, configuration, axes, where=files.path)
    frames = dataset.get("numTraining")
    card = ModelCard.new(
        name=serving.name,
        structures=serving.structures,
        ercpseg_version=__version__,
        plan_sha256=serving.sha256,
        frames=frames if isinstance(frames, int) else None,
        patients=None,
        folds=tuple(entries),
        training_data="; ".join(filter(None, ["trained by stock nnU-Net; see its own dataset.json", left_out])),
        intended_use="Research. Not a medical device; not for diagnosis or treatment.",
    )
    return StoredModel(None, card, weights, digest.hexdigest(), serving)


def read_checkpoint(data: bytes, *, where: object) -> dict[str, Any]:
    """A checkpoint of nnU-Net: tensors and plain values; everything else in it is refused, and nothing of it is run."""
    import torch

    kinds = (np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType)
    # What nnU-Net puts beside the weights: the logged losses are numpy scalars.
    allowed = [np._core.multiarray.scalar, np.dtype, *kinds]  # type: ignore[attr-defined]
    try:
        with torch.serialization.safe_globals(allowed):
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file fails in many ways
        if "PytorchStreamReader" in str(error) or isinstance(error, EOFError):
            raise StorageError("the checkpoint is torn", where=where, todo="copy the model again") from error
        raise DataError(
            "the checkpoint holds more than weights and plain values, so it was not loaded",
            where=where,
            expected="a checkpoint of nnU-Net v2",
            todo="ask who made it",
        ) from error
    if not isinstance(loaded, dict):
        raise DocumentError("the checkpoint holds no mapping", where=where, expected="a checkpoint of nnU-Net v2")
    return loaded


def _arrays(checkpoint: Mapping[str, Any], *, where: object) -> dict[str, NDArray[Any]]:
    """The weights by name, each storage once (nnU-Net's state dict has 240 names for 88 storages)."""
    import torch

    seen: set[int] = set()
    arrays = {}
    for name, tensor in _get(checkpoint, "network_weights", dict).items():
        if not isinstance(tensor, torch.Tensor) or not isinstance(name, str):
            raise DocumentError("network_weights holds something else than tensors", where=where)
        key = tensor.data_ptr() if tensor.numel() else id(tensor)
        if key not in seen:
            seen.add(key)
            arrays[name] = tensor.detach().contiguous().numpy().copy()
    return arrays


def _get(checkpoint: Mapping[str, Any], key: str, kind: type) -> Any:
    value = checkpoint.get(key)
    if not isinstance(value, kind):
        raise DocumentError(f"the checkpoint has no {key}", where=key, expected="a checkpoint of nnU-Net v2")
    return value


def _mapping(data: bytes, where: Path) -> dict[str, Any]:
    found = parse_json(data, where=where)
    if not isinstance(found, dict):
        raise DocumentError("holds no mapping", where=where, expected="a file of nnU-Net v2")
    return found


def load_any(path: Path, folds: tuple[str, ...] | None = None) -> StoredModel:
    """A model of ours or of stock nnU-Net, whichever ``path`` holds; see :func:`load_stock` and ``load_model``."""
    files = find_stock(path)
    return load_model(path, folds) if files is None else load_stock(files, folds)
