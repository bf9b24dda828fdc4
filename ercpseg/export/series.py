"""Formats of series: which frames belong together, what they are called, and what is missing of them on the disk.

``exports.csv`` has a row for every file that such a format was asked to write: written, or refused with code and reason, and
one for each file of another format that a frame had to do without. It grows while files are written, so that a killed run
goes on where it was. Names are those of frames: ``frames.csv`` says where they come from, and this table may be passed on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ercpseg.decoding.decoders import borrow
from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import DataError, InputRefused, ResourceError, StorageError, out_of_memory
from ercpseg.export.files import NO_ROOM
from ercpseg.export.protocol import FromFile, Series, SeriesFormat, Shot
from ercpseg.frames.frame import Frame
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.atomic import append_line
from ercpseg.storage.tables import encode_table, read_table, write_table
from ercpseg.structures import StructureSet

TABLE = "exports.csv"
TABLE_COLUMNS = ("format", "name", "frames", "status", "code", "reason", "made_from")
_NUMBER = re.compile(r"_f\d{4,}$")


class Collected:
    """The frames of a run, by file, in order of arrival."""

    def __init__(self) -> None:
        self._files: dict[str, FromFile] = {}
        self._lost: dict[str, list[int]] = {}

    def add(self, frame: Frame, made_from: str) -> None:
        """Take a frame that was predicted."""
        file = self._files.get(frame.source)
        if file is None:
            # Files of no series belong together where they lie in one folder: a cine exported as pictures.
            key = frame.series or f"folder {PurePosixPath(frame.source).parent}"
            about = frame.about
            file = FromFile(
                *(frame.source, frame.path, frame.member, key, about.order, about.frame_time_ms, about.burned_in)
            )
            file.lost = self._lost.setdefault(frame.source, [])
            self._files[frame.source] = file
        file.shots.append(Shot(frame.name, frame.index, made_from))

    def lose(self, record: FrameRecord) -> None:
        """Take a frame that was refused, when it is one of a file of several."""
        if record.index is not None and record.status == "refused":
            self._lost.setdefault(record.source, []).append(record.index)

    def drop(self, frames: Collection[str]) -> None:
        """Take frames back: they turned out to be lost."""
        for source, file in list(self._files.items()) if frames else ():
            file.lost += [shot.index for shot in file.shots if shot.name in frames and shot.index is not None]
            file.shots = [shot for shot in file.shots if shot.name not in frames]
            if not file.shots:
                del self._files[source]

    def series(self, output: Path, structures: StructureSet, per: str) -> Iterator[Series]:
        """What is written as one, with its name."""
        files = list(self._files.values())
        groups: dict[str, list[FromFile]] = {}
        for file in files:
            groups.setdefault(file.source if per == "file" else file.key, []).append(file)
        taken: set[str] = set()
        for group in groups.values():
            if all(file.order for file in group):
                group = sorted(group, key=lambda file: file.order)
            name = _name(group[0].shots[0], taken)
            taken.add(name.casefold())
            yield Series(name, tuple(group), output, structures)


def _name(first: Shot, taken: set[str]) -> str:
    """The name of the first frame, without its number where it has one and the rest is free."""
    stem = first.name if first.index is None else _NUMBER.sub("", first.name)
    for name in (stem, first.name):
        if name and name.casefold() not in taken:
            return name
    return next(name for n in range(2, len(taken) + 3) if (name := f"{first.name}-{n}").casefold() not in taken)


def write_series(
    formats: Mapping[str, SeriesFormat],
    collected: Collected,
    output: Path,
    structures: StructureSet,
    progress: Progress = SILENT,
) -> list[dict[str, Any]]:
    """Write what is missing of each format and series; returns the rows of ``exports.csv``.

    Raises
    ------
    StorageError
        when the disk is full or fails; what was written until then is in the table.
    """
    table = output / TABLE
    known = _known(table)
    write_table(table, TABLE_COLUMNS, known.values())
    rows: list[dict[str, Any]] = []
    for name, format_ in formats.items():
        series = list(collected.series(output, structures, format_.per))
        # One decoding child for all objects: starting and ending one for each took 0.3 of the 0.33 s of an object.
        with borrow(), progress.task(f"Writing {name}", len(series)) as task:
            for one in series:
                path = output / format_.folder / f"{one.name}{format_.suffix}"
                row = known.get((name, one.name))
                if row is None or row["made_from"] != one.made_from or not path.is_file():
                    row = _write(name, format_, one, path)
                    append_line(table, encode_table(TABLE_COLUMNS, [row]).splitlines()[1])
                rows.append(row)
                task.advance()
    write_table(table, TABLE_COLUMNS, rows)
    return rows


def _write(name: str, format_: SeriesFormat, series: Series, path: Path) -> dict[str, Any]:
    row = {
        "format": name,
        "name": series.name,
        "frames": len(series.shots),
        "status": "written",
        "made_from": series.made_from,
    }
    try:
        format_.write(path, series)
    except InputRefused as error:
        refusal = error
    except Exception as error:
        if not (isinstance(error, ResourceError) or out_of_memory(error)):
            raise
        refusal = NO_ROOM
    else:
        return row
    path.unlink(missing_ok=True)
    return row | {"status": "refused", "code": refusal.code, "reason": refusal.reason}


def left_out(format_: str, frame: str) -> dict[str, Any]:
    """The row of a format whose file of one frame did not fit the memory."""
    row = {"format": format_, "name": frame, "frames": 1, "status": "refused"}
    return row | {"code": NO_ROOM.code, "reason": NO_ROOM.reason}


def _known(table: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What an earlier run wrote; nothing when its table is damaged, then everything is written again."""
    try:
        rows = read_table(table)
        return {(row["format"], row["name"]): dict(row) for row in rows if row["status"] == "written"}
    except (StorageError, DataError, KeyError):
        return {}


def names_of(rows: Iterable[Mapping[str, Any]], name: str) -> set[str]:
    """The names that a format has written, folded."""
    return {str(row["name"]).casefold() for row in rows if row["format"] == name and row["status"] == "written"}
