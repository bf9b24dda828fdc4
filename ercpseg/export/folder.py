"""The output folder of ``predict``: masks, label images, overlays, ``frames.csv`` and ``run.json``.

::

    OUTPUT/masks/<structure>/<frame>.png   0 or 255, native size, for every structure of the model
    OUTPUT/labels/<frame>.png              bitmask, native size
    OUTPUT/overlays/<frame>.png            outlines over the frame
    OUTPUT/frames.csv                      a row for every file or frame found
    OUTPUT/run.json                        hashes, versions, plan, model; ``finished`` is false for a stopped run

Other formats have folders of their own (:data:`ercpseg.export.formats.FORMATS`). An output folder is recognised by its
``run.json``. A run into one that was made otherwise (another model, fold or option) begins by removing what is there, so
that masks of two models never lie side by side, whatever happens later. The same run again writes only what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import StorageError
from ercpseg.export import previous
from ercpseg.export.background import WriteQueue
from ercpseg.export.choice import Choice
from ercpseg.export.files import NO_ROOM, FrameFiles
from ercpseg.export.formats import ALWAYS
from ercpseg.export.protocol import Probabilities, Result
from ercpseg.export.rows import COLUMNS, Rows
from ercpseg.export.series import TABLE, TABLE_COLUMNS, Collected, left_out, names_of, write_series
from ercpseg.export.summary import PredictionSummary, count_exports, summarise
from ercpseg.frames.frame import Frame
from ercpseg.frames.names import Names
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.atomic import flush_everything, write_text
from ercpseg.storage.tables import write_table
from ercpseg.structures import Bitmask, StructureSet


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
    formats
        names of :data:`ercpseg.export.formats.FORMATS`; ``png`` is always among them.
    made_by
        everything but the frames that results depend on (model, folds, options), JSON-able. A run that was made by the
        same is continued. None: what is there is always replaced.

    Raises
    ------
    UsageError
        when ``output`` is not empty and was not made by ``predict``, or is no folder.
    """

    def __init__(
        self,
        output: Path | str,
        structures: StructureSet,
        *,
        overlays: bool = True,
        formats: Sequence[str] = (ALWAYS,),
        made_by: Mapping[str, Any] | None = None,
    ):
        self.output = Path(output)
        self.structures = structures
        self._choice = Choice(formats, structures, overlays=overlays)
        self._collected = Collected() if self._choice.series else None
        self._files = FrameFiles(self.output, self._choice)
        self._making = None if made_by is None else previous.making(made_by)
        self._rows = Rows()
        self._names = Names()
        self._made_from: dict[str, str] = {}
        self._queue = WriteQueue()
        self._begun = self._finished = False
        previous.check_output(self.output, self._choice.all_places)
        self._continued = self._making is not None and previous.making_of(self.output) == self._making
        self._times = previous.times_of(self.output) if self._continued else {}

    @property
    def wants_probabilities(self) -> bool:
        """Whether :meth:`write` must be given probabilities."""
        return self._choice.wants_probabilities

    def known(self, frame: Frame) -> Bitmask | None:
        """What an earlier run of the same making predicted for the same pixels; None when it has to be predicted.

        A frame that is known is passed to :meth:`write` like any other, without milliseconds, in its place.
        """
        if not self._continued:
            return None
        made_from = previous.made_from(frame, self._making)
        bitmask = previous.read_label(self._files.label(frame.name), made_from)
        if bitmask is None:
            return None
        if any(f.needs_probabilities for f in self._choice.missing(self.output, frame.name).values()):
            return None
        self._made_from[frame.name] = made_from
        return bitmask

    def write(
        self,
        frame: Frame,
        bitmask: Bitmask,
        milliseconds: float | None,
        probabilities: Probabilities | None = None,
    ) -> None:
        """Take one prediction; returns before its files are on the disk.

        Parameters
        ----------
        frame
            the frame; its ``name`` names the files and must be unique and safe as a file name.
        bitmask
            (y, x) uint8, of the size of ``frame.pixels``.
        milliseconds
            what preparing and predicting this frame took; None for one that was :meth:`known`.
        probabilities
            (structures, y, x) float16, where :attr:`wants_probabilities`.

        Raises
        ------
        StorageError
            when this or an earlier frame could not be written.
        ValueError
            when the name is used already or unsafe, or the sizes differ.
        """
        if bitmask.shape != frame.pixels.shape or bitmask.dtype.name != "uint8":
            raise ValueError(f"bitmask is {bitmask.dtype} {bitmask.shape}; expected uint8 {frame.pixels.shape}")
        known = frame.name in self._made_from
        made_from = self._made_from.pop(frame.name, None) or previous.made_from(frame, self._making)
        if self.wants_probabilities and probabilities is None and not known:
            raise ValueError("a format needs probabilities, and there are none")
        _check_name(frame.name, self._names)
        self._begin()
        if milliseconds is None:
            milliseconds = self._times.get(frame.name)
        row = {
            "frame": frame.name,
            "source": frame.source,
            "index": frame.index,
            "status": "used",
            "reason": "; ".join(frame.notes),
        }
        self._rows.append(row | {"milliseconds": None if milliseconds is None else round(float(milliseconds), 3)})
        result = Result(frame, bitmask, self.structures, probabilities)
        text = {} if self._making is None else {previous.MADE_FROM: made_from}
        self._queue.put(lambda: self._files.write(result, text, known=known), key=frame.name)
        if self._collected is not None:
            self._collected.add(frame, made_from)

    def refuse(self, record: FrameRecord) -> None:
        """Take the row of a file or frame that was refused or ignored; nothing but the row is written."""
        if record.status == "used":
            raise ValueError("a used frame comes with its prediction; call write()")
        if self._finished:
            raise ValueError("this run is finished")
        self._rows.append({key: getattr(record, key) for key in COLUMNS if key != "milliseconds"})
        if self._collected is not None:
            self._collected.lose(record)

    def finish(self, run: Mapping[str, Any], progress: Progress = SILENT) -> PredictionSummary:
        """Wait for the files, write formats of series, ``frames.csv`` and ``run.json`` (``run`` plus counts); count.

        A run that predicted nothing leaves an earlier prediction in the folder as it is.

        Raises
        ------
        StorageError
            when a file could not be written.
        """
        if not self._begun and previous.is_prediction(self.output):
            # Nothing was predicted: what an earlier run left here is worth more than a table of refusals.
            self._queue.abandon()
            self._finished = True
            return summarise(self.output, self._rows)
        self._begin()
        self._queue.close()
        flush_everything()  # a flush per file took 8 ms of the disk's time, for six files per frame
        self._take_back()
        exports: list[dict[str, Any]] = []
        if self._collected is not None:
            exports = write_series(self._choice.series, self._collected, self.output, self.structures, progress)
        if self._files.left_out:
            exports += [left_out(*pair) for pair in self._files.left_out]
            write_table(self.output / TABLE, TABLE_COLUMNS, exports)
        if self._continued:
            self._remove_stale(exports)
        summary = summarise(self.output, self._rows)
        summary = replace(summary, exports=count_exports(self._choice.series, exports, summary.used))
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
        self._take_back()
        rows = (row for row in self._rows if row["frame"] not in lost or row["status"] != "used")
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
        places = self._choice.all_places
        previous.check_output(self.output, places)  # again: time may have passed while the model was loaded
        self._write_run({}, None)  # first of all, so that a killed run leaves a folder that is known to be ours
        ours = {*self._choice.places, *(f.folder for f in self._choice.series.values())} if self._continued else set()
        previous.remove_previous(self.output, places, lambda folder, _: folder in ours)
        if not ours or not self._choice.series:
            previous.remove_table(self.output / TABLE)
        for name in self.structures:  # a structure that is found nowhere still has its folder
            (self.output / "masks" / name).mkdir(parents=True, exist_ok=True)

    def _take_back(self) -> None:
        """Frames whose files did not fit the memory were taken as used, and are refused."""
        self._rows.refuse(self._files.lost, NO_ROOM.code, NO_ROOM.reason)
        if self._collected is not None:
            self._collected.drop(self._files.lost)

    def _remove_stale(self, exports: Sequence[Mapping[str, Any]]) -> None:
        """Remove what an earlier run made of frames that are not there any more."""
        names: dict[str, Container[str]] = dict.fromkeys(self._choice.places, self._names)
        names |= {format_.folder: names_of(exports, name) for name, format_ in self._choice.series.items()}
        places = self._choice.places | {f.folder: f.suffix for f in self._choice.series.values()}
        previous.remove_previous(self.output, places, lambda folder, name: name.casefold() in names.get(folder, ()))

    def _write_run(self, run: Mapping[str, Any], summary: PredictionSummary | None) -> None:
        record = {
            **run,
            "schema": previous.SCHEMA,
            "making": self._making,
            "finished": summary is not None,
            "structures": {name: self.structures.value(name) for name in self.structures},
            "frames": None if summary is None else summary.counts,
            **({"exports": summary.exports} if summary is not None and summary.exports else {}),
        }
        write_text(self.output / "run.json", json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _check_name(name: str, used: Names) -> None:
    folded = name.casefold()  # some file systems do not tell A from a
    if not name or name.startswith(".") or any(c in '/\\:*?"<>|' or ord(c) < 32 for c in name):
        raise ValueError(f"{name!r} is no safe file name")
    if folded in used:
        raise ValueError(f"two frames are named {name!r}")
    used.add(folded)
