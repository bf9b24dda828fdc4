"""The output folder of ``predict``: masks, label images, overlays, ``frames.csv`` and ``run.json``.

::

    OUTPUT/masks/<structure>/<frame>.png   0 or 255, native size, for every structure of the model
    OUTPUT/labels/<frame>.png              bitmask, native size
    OUTPUT/overlays/<frame>.png            outlines over the frame
    OUTPUT/frames.csv                      a row for every file or frame found
    OUTPUT/run.json                        hashes, versions, plan, model; ``finished`` is false for a stopped run

An output folder is recognised by its ``run.json``. A run into one that exists begins by removing what the previous run
left there, so that masks of two runs (perhaps of two models) never lie side by side, whatever happens later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import StorageError, UsageError
from ercpseg.export.background import WriteQueue
from ercpseg.export.summary import PredictionSummary, summarise
from ercpseg.frames.frame import Frame
from ercpseg.frames.overlay import overlay
from ercpseg.storage.atomic import TEMPORARY_PREFIX, remove_leftovers, write_text
from ercpseg.storage.images import write_png
from ercpseg.storage.tables import write_table
from ercpseg.structures import Bitmask, StructureSet

SCHEMA = "ercpseg.prediction/1"
COLUMNS = ("frame", "source", "index", "status", "code", "reason", "milliseconds")


class PredictionWriter:
    """Writes the predictions of one run; PNG files are made in the background.

    Use it as a context manager and call :meth:`finish` at the end. If the block raises, what was written stays,
    ``frames.csv`` lists it, and ``run.json`` says ``"finished": false``.

    Parameters
    ----------
    output
        the folder; made if need be. Nothing in it is touched before the first row.
    structures
        all structures of the model, in the order of their bits.
    overlays
        write ``overlays/`` too.

    Raises
    ------
    UsageError
        when ``output`` is not empty and was not made by ``predict``, or is no folder.
    """

    def __init__(self, output: Path | str, structures: StructureSet, *, overlays: bool = True):
        self.output = Path(output)
        self.structures = structures
        self.overlays = overlays
        self._rows: list[dict[str, Any]] = []
        self._names: set[str] = set()
        self._queue = WriteQueue()
        self._begun = self._finished = False
        _check_output(self.output)

    def write(self, frame: Frame, bitmask: Bitmask, milliseconds: float) -> None:
        """Take one prediction; returns before its files are on the disk.

        Parameters
        ----------
        frame
            the frame; its ``name`` names the files and must be unique and safe as a file name.
        bitmask
            (y, x) uint8, of the size of ``frame.pixels``.
        milliseconds
            what preparing and predicting this frame took.

        Raises
        ------
        StorageError
            when this or an earlier frame could not be written.
        ValueError
            when the name is used already or unsafe, or the sizes differ.
        """
        if bitmask.shape != frame.pixels.shape or bitmask.dtype.name != "uint8":
            raise ValueError(f"bitmask is {bitmask.dtype} {bitmask.shape}; expected uint8 {frame.pixels.shape}")
        _check_name(frame.name, self._names)
        self._begin()
        row = {
            "frame": frame.name,
            "source": frame.source,
            "index": frame.index,
            "status": "used",
            "reason": "; ".join(frame.notes),
        }
        self._rows.append(row | {"milliseconds": round(float(milliseconds), 3)})
        self._queue.put(lambda: self._write_files(frame, bitmask), key=frame.name)

    def refuse(self, record: FrameRecord) -> None:
        """Take the row of a file or frame that was refused or ignored; nothing but the row is written."""
        if record.status == "used":
            raise ValueError("a used frame comes with its prediction; call write()")
        if self._finished:
            raise ValueError("this run is finished")
        self._rows.append({key: getattr(record, key) for key in COLUMNS if key != "milliseconds"})

    def finish(self, run: Mapping[str, Any]) -> PredictionSummary:
        """Wait for the files, write ``frames.csv`` and then ``run.json`` (``run`` plus counts), and count the rows.

        A run that predicted nothing leaves an earlier prediction in the folder as it is.

        Raises
        ------
        StorageError
            when a file could not be written.
        """
        summary = summarise(self.output, self._rows)
        if not self._begun and is_prediction(self.output):
            # Nothing was predicted: what an earlier run left here is worth more than a table of refusals.
            self._queue.abandon()
            self._finished = True
            return summary
        self._begin()
        self._queue.close()
        write_table(self.output / "frames.csv", COLUMNS, self._rows)
        self._write_run(run, summary)
        self._finished = True
        return summary

    @property
    def reasons(self) -> list[str]:
        """Why frames were refused or ignored, a text per row."""
        return [f"{row['code']} ({row['reason']})" for row in self._rows if row["status"] != "used"]

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._finished or not self._begun:
            self._queue.abandon()
            return
        if error is None:  # finish() was forgotten; a file that could not be written must still be heard of
            self._queue.close()
        lost = self._queue.abandon(wait_for_all=not isinstance(error, StorageError))
        rows = [row for row in self._rows if row["frame"] not in lost or row["status"] != "used"]
        try:
            write_table(self.output / "frames.csv", COLUMNS, rows)
        except StorageError:
            if error is None:
                raise

    def _begin(self) -> None:
        if self._finished:
            raise ValueError("this run is finished")
        if self._begun:
            return
        self._begun = True
        _check_output(self.output)  # again: time may have passed while the model was loaded
        self._write_run({}, None)  # first of all, so that a killed run leaves a folder that is known to be ours
        _remove_previous(self.output)
        for name in self.structures:  # a structure that is found nowhere still has its folder
            (self.output / "masks" / name).mkdir(parents=True, exist_ok=True)

    def _write_run(self, run: Mapping[str, Any], summary: PredictionSummary | None) -> None:
        record = {
            **run,
            "schema": SCHEMA,
            "finished": summary is not None,
            "structures": {name: self.structures.value(name) for name in self.structures},
            "frames": None if summary is None else summary.counts,
        }
        write_text(self.output / "run.json", json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n")

    def _write_files(self, frame: Frame, bitmask: Bitmask) -> None:
        file = f"{frame.name}.png"
        masks = self.structures.decode(bitmask)
        for name, mask in masks.items():
            write_png(self.output / "masks" / name / file, mask)
        write_png(self.output / "labels" / file, bitmask)
        if self.overlays:
            picture = overlay(frame.pixels, masks, self.structures.names)
            write_png(self.output / "overlays" / file, picture)


def is_prediction(folder: Path) -> bool:
    """Whether ``predict`` made ``folder``: it holds a ``run.json`` with our schema tag."""
    try:
        record = json.loads((folder / "run.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and str(record.get("schema", "")).startswith("ercpseg.prediction/")


def _check_output(output: Path) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError("the output is a file", where=output, expected="an empty folder, or one that is not there yet")
    try:
        foreign = any(not entry.name.startswith(TEMPORARY_PREFIX) for entry in output.iterdir())
    except OSError as error:
        raise StorageError("the output folder cannot be read", where=output, todo="check its permissions") from error
    if foreign and not is_prediction(output):
        raise UsageError(
            "the output folder is not empty and was not made by ercpseg predict",
            where=output,
            todo="choose an empty folder or a new name; nothing was written",
        )
    for name in ("masks", "labels", "overlays"):
        if (output / name).is_symlink():
            raise UsageError("this folder is a link", where=output / name, todo="choose another output folder")


def _remove_previous(output: Path) -> None:
    """Remove the pictures and the table of an earlier run; only files in the places where we write them."""
    folders = [output / "labels", output / "overlays"]
    structures = output / "masks"
    if structures.is_dir():
        folders += [folder for folder in structures.iterdir() if folder.is_dir() and not folder.is_symlink()]
    try:
        for name in ("frames.csv", "scores.json", "scores.csv"):  # scores of other masks must not outlive them
            (output / name).unlink(missing_ok=True)
        remove_leftovers(output)
        for folder in folders:
            remove_leftovers(folder)
            for file in folder.glob("*.png"):
                file.unlink(missing_ok=True)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise StorageError("removing the previous run failed", where=output, todo="check its permissions") from error


def _check_name(name: str, used: set[str]) -> None:
    folded = name.casefold()  # some file systems do not tell A from a
    if not name or name.startswith(".") or any(c in '/\\:*?"<>|' or ord(c) < 32 for c in name):
        raise ValueError(f"{name!r} is no safe file name")
    if folded in used:
        raise ValueError(f"two frames are named {name!r}")
    used.add(folded)
