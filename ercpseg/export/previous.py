"""What an earlier run left in the output folder: is it ours, what of it still holds, what has to go.

Every label image carries, in a text chunk, a SHA-256 over what it was made from: the run's making (model, folds, options)
and the frame's pixels. It is written last of a frame's files, so a label with the right sum says that the frame is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ercpseg.errors import DataError, StorageError, UsageError
from ercpseg.frames.frame import Frame
from ercpseg.storage.atomic import TEMPORARY_PREFIX, Place, remove_leftovers
from ercpseg.storage.images import read_png, read_png_text
from ercpseg.storage.lock import LOCK, OWNER
from ercpseg.storage.tables import read_table
from ercpseg.structures import Bitmask

SCHEMA = "ercpseg.prediction/1"
MADE_FROM = "ercpseg-made-from"
"""Keyword of the text chunk in label images."""


def making(made_by: Mapping[str, Any]) -> str:
    """SHA-256 of everything but the frame that a result depends on; equal for equal mappings."""
    return hashlib.sha256(json.dumps(made_by, sort_keys=True, allow_nan=False).encode()).hexdigest()


def made_from(frame: Frame, making_sha256: str | None) -> str:
    """SHA-256 of what the result of ``frame`` is made from: of the file its pixels and its spacing, and the frames before it
    that the model saw too.
    """
    digest = hashlib.sha256(
        f"{making_sha256} {frame.pixels.dtype} {frame.pixels.shape} {frame.bits} {frame.about.spacing_mm} "
        f"{frame.about.spacing_source}".encode()
    )
    if frame.before_sha256 is not None:
        digest.update(frame.before_sha256.encode())
    digest.update(np.ascontiguousarray(frame.pixels).data)
    return digest.hexdigest()


def read_label(path: Place, made_from_sha256: str) -> Bitmask | None:
    """The bitmask of an earlier run, when it was made from the same; else None."""
    try:
        if read_png_text(path).get(MADE_FROM) != made_from_sha256:
            return None
        return read_png(path)
    except (StorageError, MemoryError):  # not there, damaged, or too large: it is made again
        return None


def is_prediction(folder: Path) -> bool:
    """Whether ``predict`` made ``folder``: it holds a ``run.json`` with our schema tag."""
    return str(_run_of(folder).get("schema", "")).startswith("ercpseg.prediction/")


def making_of(folder: Path) -> str | None:
    """The making of the run that is in ``folder``; None when it does not say."""
    found = _run_of(folder).get("making")
    return found if isinstance(found, str) else None


def times_of(folder: Path) -> dict[str, float]:
    """Frame → milliseconds, of the table that an earlier run left; empty when there is none."""
    try:
        rows = read_table(folder / "frames.csv")
        return {row["frame"]: float(row["milliseconds"]) for row in rows if row["milliseconds"]}
    except (StorageError, DataError, KeyError, ValueError):
        return {}


def _run_of(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / "run.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def check_output(output: Path, folders: Iterable[str] = ()) -> None:
    """Refuse an output that is a file, somebody else's folder, or has links where we write.

    Raises
    ------
    UsageError, StorageError
        before anything was written.
    """
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError("the output is a file", where=output, expected="an empty folder, or one that is not there yet")
    try:
        names = {entry.name for entry in output.iterdir()} - {LOCK, OWNER}
    except OSError as error:
        raise StorageError("the output folder cannot be read", where=output, todo="check its permissions") from error
    foreign = any(not name.startswith(TEMPORARY_PREFIX) for name in names)
    if foreign and not is_prediction(output):
        raise UsageError(
            "the output folder is not empty and was not made by ercpseg predict",
            where=output,
            todo="choose an empty folder or a new name; nothing was written",
        )
    for name in sorted({folder.split("/")[0] for folder in folders}):
        if (output / name).is_symlink():
            raise UsageError("this folder is a link", where=output / name, todo="choose another output folder")


def remove_table(path: Path) -> None:
    """Remove a table of an earlier run.

    Raises
    ------
    StorageError
        when that fails.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError("removing the previous run failed", where=path, todo="check its permissions") from error


def remove_previous(output: Path, folders: Mapping[str, str], keep: Callable[[str, str], bool]) -> None:
    """Remove what an earlier run left: only files in the places where we write them.

    Parameters
    ----------
    output
        the output folder.
    folders
        folder relative to the output → suffix of our files there. ``masks/`` is looked through for folders of structures
        that another model had.
    keep
        whether the file of a folder with this name (without suffix) stays.
    """
    places = dict(folders)
    structures = output / "masks"
    if structures.is_dir() and not structures.is_symlink():
        inside = [folder for folder in structures.iterdir() if folder.is_dir() and not folder.is_symlink()]
        places |= {f"masks/{folder.name}": ".png" for folder in inside}
    try:
        for name in ("frames.csv", "scores.json", "scores.csv"):  # scores of other masks must not outlive them
            (output / name).unlink(missing_ok=True)
        remove_leftovers(output)
        for place, suffix in places.items():
            folder = output / place
            remove_leftovers(folder)
            for file in folder.glob(f"*{suffix}"):
                if not keep(place, file.name.removesuffix(suffix)):
                    file.unlink(missing_ok=True)
            for empty in (folder, folder.parent):
                if empty not in (output, structures) and empty.is_dir() and not any(empty.iterdir()):
                    empty.rmdir()
    except OSError as error:
        raise StorageError("removing the previous run failed", where=output, todo="check its permissions") from error
