"""Model folders: plan, card, safetensors weights per fold, SHA-256 sums. No pickle, no code; the zip of one works too.

A model that stock nnU-Net trained has no plan of ours; in its place ``serving.json`` says what prediction needs.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.plan import Plan
from ercpseg.documents.run import ModelCard
from ercpseg.documents.serving import Serving, serving_of
from ercpseg.errors import DocumentError, StorageError, UsageError
from ercpseg.storage.arrays import decode_arrays
from ercpseg.storage.atomic import new_folder, read_bytes, write_bytes
from ercpseg.storage.documents import parse_json

SUMS, PLAN, SERVING, CARD = "SHA256SUMS", "plan.json", "serving.json", "model.json"
MAX_BYTES = 4 * 1024**3
"""Limit of an unpacked model; the largest network planned has 0.2 GB."""


@dataclass(frozen=True)
class StoredModel:
    """What a model folder holds. ``weights`` maps a fold to its arrays. ``stock`` stands for ``plan`` where there is none."""

    plan: Plan | None
    card: ModelCard
    weights: dict[str, dict[str, NDArray[Any]]]
    sha256: str
    stock: Serving | None = None

    @property
    def planned(self) -> Plan:
        """The plan.

        Raises
        ------
        UsageError
            when stock nnU-Net trained the model, which has none.
        """
        if self.plan is None:
            raise UsageError("this model has no plan of ours", where=self.card.name, expected="one trained by ercpseg")
        return self.plan

    @property
    def serving(self) -> Serving:
        """What prediction needs."""
        return serving_of(self.planned) if self.stock is None else self.stock


def write_model(folder: Path, plan: Plan | Serving, card: ModelCard, weights: dict[str, bytes]) -> None:
    """Write a whole model folder at once; ``weights`` maps file names to safetensors bytes."""
    name = PLAN if isinstance(plan, Plan) else SERVING
    files = {name: plan.to_json().encode(), CARD: card.to_json().encode(), **weights}
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    with new_folder(folder) as temporary:
        for name, data in {**files, SUMS: sums.encode()}.items():
            write_bytes(temporary / name, data)


def load_model(path: Path, folds: tuple[str, ...] | None = None) -> StoredModel:
    """Read and verify a model folder or its zip.

    Raises
    ------
    UsageError
        when this is no model, or a wanted fold is not in it.
    StorageError
        when a file is missing, not listed or damaged.
    """
    files = _read_verified(path)
    foreign = SERVING in files and PLAN not in files
    name = SERVING if foreign else PLAN
    decided = (Serving if foreign else Plan).parse(_json(files, name, path), where=path / name)
    card = ModelCard.parse(_json(files, CARD, path), where=path / CARD)
    structures = decided.structures if isinstance(decided, Serving) else decided.values.heads.structures
    if card.structures != structures:
        raise StorageError("card and plan name different structures", where=path, todo="train the model again")
    if card.plan_sha256 != decided.sha256:
        raise StorageError("the card names another plan", where=path, todo="copy the model again")
    wrong = [e.file for e in card.folds if e.file not in files or hashlib.sha256(files[e.file]).hexdigest() != e.sha256]
    if wrong:
        raise StorageError(
            f"the card names weights that are not here: {', '.join(n[:64] for n in wrong[:5])}",
            where=path,
            todo="copy the model again",
        )
    available = {entry.fold: entry.file for entry in card.folds}
    wanted = folds or tuple(available)
    missing = [fold for fold in wanted if fold not in available]
    if missing:
        raise UsageError(
            f"the model has no fold {', '.join(missing)}", where="--fold", expected=f"of {', '.join(available)}"
        )
    weights = {fold: _weights(files[available[fold]], path / available[fold]) for fold in wanted}
    sha256 = hashlib.sha256(files[SUMS]).hexdigest()
    if isinstance(decided, Serving):
        return StoredModel(None, card, weights, sha256, decided)
    return StoredModel(decided, card, weights, sha256)


def _weights(data: bytes, where: Path) -> dict[str, NDArray[Any]]:
    """A fold's arrays; half precision is a way of storing (it saves half of the file), networks are of single precision."""
    arrays, _ = decode_arrays(data, where=where)
    return {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in arrays.items()}


def read_plan(path: Path) -> Plan:
    """The plan of a model folder or its zip, verified like the whole model; the weights are not decoded."""
    return Plan.parse(_json(_read_verified(path), PLAN, path), where=path / PLAN)


def _read_verified(path: Path) -> dict[str, bytes]:
    files = _read_zip(path) if path.is_file() else _read_folder(path)
    if SUMS not in files or CARD not in files:
        raise UsageError(
            "this is no model",
            where=path,
            expected=f"a folder or zip with model.json, plan.json, fold_*.safetensors and {SUMS}",
        )
    _verify(files, path)
    return files


def _verify(files: dict[str, bytes], path: Path) -> None:
    listed = {}
    for line in files[SUMS].decode(errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    wrong = sorted(name for name in set(files) - {SUMS} if hashlib.sha256(files[name]).hexdigest() != listed.get(name))
    wrong += sorted(set(listed) - set(files))
    if wrong:
        raise StorageError(
            f"{len(wrong)} file(s) are missing, damaged or not listed in {SUMS}: {', '.join(n[:64] for n in wrong[:5])}",
            where=path,
            todo="copy the model again",
        )


def _read_folder(path: Path) -> dict[str, bytes]:
    if not path.is_dir():
        raise UsageError(
            "there is no such model", where=path, expected="a model folder, its zip or a trained dataset's name"
        )
    return {entry.name: read_bytes(entry) for entry in sorted(path.iterdir()) if entry.is_file()}


def _read_zip(path: Path) -> dict[str, bytes]:
    """Members are read into memory by their base name; nothing is unpacked to disk, so no name becomes a path."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if sum(m.file_size for m in members) > MAX_BYTES:
                raise StorageError("the archive is too large", where=path, expected=f"at most {MAX_BYTES} bytes")
            files = {Path(m.filename).name: archive.read(m) for m in members}
    # A damaged archive fails in many ways: a decompressor's error, a missing end, "encrypted" (RuntimeError).
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError) as error:
        raise UsageError("this is no zip of a model", where=path) from error
    if len(files) != len(members):
        raise StorageError("two files of the archive have one name", where=path, todo="zip the model folder again")
    return files


def _json(files: dict[str, bytes], name: str, path: Path) -> Any:
    if name not in files:
        raise StorageError(f"{name} is missing", where=path, todo="copy the model again")
    try:
        return parse_json(files[name], where=path / name)
    except DocumentError as error:
        raise StorageError(f"{name} is no valid JSON", where=path, todo="copy the model again") from error
