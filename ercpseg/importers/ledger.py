"""The import's book: every file found, what annotations say, what became of every frame. On disk, so memory stays flat."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import InputRefused
from ercpseg.importers.annotation import Item
from ercpseg.importers.scan import IGNORE_RULES, Found, natural_key
from ercpseg.storage.scratch import scratch

_SCHEMA = """
CREATE TABLE files(
  seq INTEGER PRIMARY KEY, role TEXT, stem TEXT, key TEXT, path BLOB, member BLOB, source TEXT, kind TEXT,
  ignored TEXT, refused TEXT, detail TEXT);
CREATE INDEX files_key ON files(key) WHERE role = 'frame';
CREATE TABLE items(
  seq INTEGER PRIMARY KEY, file INTEGER, format INTEGER, key TEXT, structures TEXT, payload TEXT, code TEXT, detail TEXT);
CREATE INDEX items_key ON items(key);
CREATE TABLE names(name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE records(
  seq INTEGER PRIMARY KEY, frame TEXT, status TEXT, code TEXT, reason TEXT, json TEXT, digest TEXT,
  natural TEXT, source TEXT, number INTEGER, series TEXT, place TEXT);
CREATE INDEX records_frame ON records(frame) WHERE status = 'used';
CREATE TABLE keys(key TEXT, record INTEGER, matters INTEGER, PRIMARY KEY(key, record)) WITHOUT ROWID;
CREATE TABLE findings(seq INTEGER PRIMARY KEY, frame TEXT, json TEXT);
"""


@dataclass(frozen=True)
class Annotated:
    """One item about a frame, with its file and the number of its format; ``refusal`` when the file is damaged."""

    found: Found
    format: int
    item: Item
    refusal: InputRefused | None = None


class Ledger:
    """See the module. Used from one thread."""

    def __init__(self, connection: sqlite3.Connection):
        self._db = connection

    # -- what was found ------------------------------------------------------------------------------------------------

    def add_file(self, found: Found, role: str, stem: str = "", key: str = "") -> int:
        """Enter a file: ``role`` is frame, annotation or other."""
        member = None if found.member is None else found.member.encode("utf-8", "surrogatepass")
        cursor = self._db.execute(
            "INSERT INTO files(role, stem, key, path, member, source, kind, ignored, refused, detail)"
            " VALUES(?,?,?,?,?,?,?,?,?,?)",
            (role, stem, key, os.fsencode(found.path), member, found.source, found.kind, found.ignored, found.refused,
             found.detail),
        )  # fmt: skip
        return int(cursor.lastrowid or 0)

    def add_item(self, file: int, format_: int, item: Item) -> None:
        """Enter what an annotation file says of a frame."""
        self._db.executemany("INSERT OR IGNORE INTO names VALUES(?)", [(name,) for name in item.structures])
        self._db.execute(
            "INSERT INTO items(file, format, key, structures, payload) VALUES(?,?,?,?,?)",
            (file, format_, item.key, json.dumps(sorted(item.structures)), item.payload),
        )

    def add_damaged(self, file: int, format_: int, key: str, error: InputRefused) -> None:
        """Enter an annotation file that cannot be read, under the key of the frame that it would be about."""
        self._db.execute(
            "INSERT INTO items(file, format, key, structures, payload, code, detail) VALUES(?,?,?,'[]','',?,?)",
            (file, format_, key, error.code, error.detail),
        )

    def structures(self) -> set[str]:
        """All structures that annotations name."""
        return {name for (name,) in self._db.execute("SELECT name FROM names")}

    def count(self, role: str) -> int:
        """Files of a role."""
        return int(self._db.execute("SELECT COUNT(*) FROM files WHERE role = ?", (role,)).fetchone()[0])

    def annotated(self) -> int:
        """Annotation items that can be drawn."""
        return int(self._db.execute("SELECT COUNT(*) FROM items WHERE code IS NULL").fetchone()[0])

    def frames(self) -> Iterator[tuple[str, Found, bool]]:
        """Stem, file, and whether another file has the same key, in the order of the scan."""
        rows = self._db.cursor().execute(
            "SELECT f.*, (SELECT COUNT(*) FROM files g WHERE g.role = 'frame' AND g.key = f.key) AS n"
            " FROM files f WHERE role = 'frame' ORDER BY seq"
        )
        for row in rows:
            yield row[2], _found(row), row[11] > 1

    def items(self, keys: Sequence[str]) -> list[Annotated]:
        """Everything that annotations say about the frame of these keys, in the order of the scan."""
        marks = ",".join("?" * len(keys))
        rows = self._db.execute(
            f"SELECT f.*, i.format, i.key, i.structures, i.payload, i.code, i.detail FROM items i JOIN files f"  # noqa: S608
            f" ON f.seq = i.file WHERE i.key IN ({marks}) ORDER BY i.seq",
            tuple(keys),
        )
        return [
            Annotated(
                _found(row),
                row[11],
                Item(row[12], frozenset(json.loads(row[13])), row[14]),
                InputRefused(row[15], row[16] or "") if row[15] else None,
            )
            for row in rows
        ]

    # -- what became of it ---------------------------------------------------------------------------------------------

    def add_record(
        self, record: FrameRecord, keys: Sequence[str] = (), *, digest: str | None = None, place: Sequence[int] = ()
    ) -> None:
        """Enter a row of the report. ``keys`` tell the frame; a used frame that shares one becomes a duplicate."""
        cursor = self._db.execute(
            "INSERT INTO records(frame, status, code, reason, json, digest, natural, source, number, series, place)"
            " VALUES(?,?,?,?,?,?,?,?,?,?,?)",
            (record.frame, record.status, record.code, record.reason, record.model_dump_json(exclude_defaults=True), digest,
             natural_key(record.frame if record.status == "used" else record.source), natural_key(record.source),
             record.index if record.index is not None else -1, record.series,
             ".".join(f"{min(max(n, 0), 10**9):010d}" for n in place)),
        )  # fmt: skip
        self._db.executemany("INSERT OR IGNORE INTO keys VALUES(?,?,1)", [(key, cursor.lastrowid) for key in keys])

    def add_finding(self, frame: str, finding: dict[str, Any]) -> None:
        """Enter something that may give a person away."""
        self._db.execute("INSERT INTO findings(frame, json) VALUES(?,?)", (frame, json.dumps(finding)))

    def findings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Frame and finding, in natural order."""
        for frame, text in self._db.cursor().execute("SELECT frame, json FROM findings ORDER BY seq"):
            yield frame, json.loads(text)

    def refuse_duplicates(self) -> None:
        """Frames that share a key become refused, all of them: nobody can say which one an annotation means."""
        error = InputRefused("duplicate")
        twins = "SELECT DISTINCT record FROM keys WHERE key IN (SELECT key FROM keys GROUP BY key HAVING COUNT(*) > 1)"
        rows = self._db.execute(f"SELECT seq, json FROM records WHERE status = 'used' AND seq IN ({twins})").fetchall()  # noqa: S608
        for seq, text in rows:
            old = FrameRecord.model_validate_json(text)
            new = FrameRecord(
                frame=old.frame,
                source=old.source,
                index=old.index,
                status="refused",
                code=error.code,
                reason=error.reason,
            )
            self._db.execute(
                "UPDATE records SET status='refused', code=?, reason=?, json=?, digest=NULL, natural=? WHERE seq=?",
                (error.code, error.reason, new.model_dump_json(exclude_defaults=True), natural_key(old.source), seq),
            )

    def refuse_lonely(self) -> None:
        """A row for every annotation file whose frames were not found, all or some of them."""
        rows = self._db.execute(
            "SELECT f.source, f.ignored, COUNT(*), SUM(EXISTS(SELECT 1 FROM keys k WHERE k.key = i.key)), MAX(i.code)"
            " FROM items i JOIN files f ON f.seq = i.file GROUP BY f.seq"
        ).fetchall()
        for source, ignored, items, met, code in rows:
            if not met and code and ignored:  # damaged JSON or CSV that no frame asks for: perhaps no annotation at all
                rule = IGNORE_RULES[ignored]
                self.add_record(FrameRecord(frame="", source=source, status="ignored", code=ignored, reason=rule))
            elif met < items:
                detail = "" if items == 1 else f"{items - met} of its {items} annotations name no frame that was found"
                error = InputRefused(code if code and items == 1 else "no-frame", detail)
                self.add_record(
                    FrameRecord(frame="", source=source, status="refused", code=error.code, reason=error.reason)
                )

    def reasons(self, most: int = 5) -> list[tuple[int, str]]:
        """The most frequent reasons of refusals, with their counts."""
        rows = self._db.execute(
            "SELECT COUNT(*) AS n, code, reason FROM records WHERE status='refused' GROUP BY code, reason"
            " ORDER BY n DESC, MIN(seq) LIMIT ?",
            (most,),
        )
        return [(n, f"{code} ({reason})") for n, code, reason in rows]

    def counts(self) -> dict[str, int]:
        """Rows by status."""
        found = dict(self._db.execute("SELECT status, COUNT(*) FROM records GROUP BY status"))
        return {status: int(found.get(status, 0)) for status in ("used", "refused", "ignored")}

    def digests(self) -> Iterator[str]:
        """Digests of the used frames, sorted."""
        for (digest,) in self._db.cursor().execute("SELECT digest FROM records WHERE status='used' ORDER BY digest"):
            yield digest

    def is_used(self, frame: str) -> bool:
        """Whether a frame of this name is part of the dataset."""
        row = self._db.execute("SELECT 1 FROM records WHERE frame = ? AND status = 'used'", (frame,)).fetchone()
        return row is not None

    def repeated_places(self) -> int:
        """Series in which two frames claim the same place, so that their order is that of their names."""
        row = self._db.execute(
            "SELECT COUNT(DISTINCT series) FROM (SELECT series FROM records WHERE status='used' AND place != ''"
            " GROUP BY series, place, number HAVING COUNT(*) > 1)"
        ).fetchone()
        return int(row[0])

    def unmasked(self) -> int:
        """Used frames that have mask files, but not of every structure."""
        row = self._db.execute(
            "SELECT COUNT(*) FROM records WHERE status='used' AND json_extract(json, '$.unmasked') IS NOT NULL"
        ).fetchone()
        return int(row[0])

    def records(self) -> Iterator[FrameRecord]:
        """The rows of the report in their order: used frames by name, then refused, then ignored files."""
        for record, _ in self.rows():
            yield record

    def rows(self) -> Iterator[tuple[FrameRecord, str]]:
        """:meth:`records` with their digests.

        ``position`` counts the used frames of a series by acquisition, instance and frame number, ties by name.
        """
        rows = self._db.cursor().execute(
            "SELECT json, digest, CASE WHEN status = 'used' AND series IS NOT NULL THEN ROW_NUMBER() OVER ("
            " PARTITION BY status, series ORDER BY place, source, number) - 1 END"
            " FROM records ORDER BY status != 'used', status != 'refused', natural, number, seq"
        )
        for text, digest, position in rows:
            record = FrameRecord.model_validate_json(text)
            yield record if position is None else record.model_copy(update={"position": position}), digest or ""


@contextlib.contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """A fresh ledger in a private scratch file of ``folder``, gone afterwards."""
    try:
        with scratch(folder, _SCHEMA) as connection:
            yield Ledger(connection)
    finally:
        with contextlib.suppress(OSError):  # nothing else was made here yet: leave no empty folders behind
            folder.rmdir()
            folder.parent.rmdir()


def _found(row: Sequence[Any]) -> Found:
    return Found(
        Path(os.fsdecode(row[4])),
        row[6],
        kind=row[7],
        ignored=row[8],
        refused=row[9],
        detail=row[10],
        member=None if row[5] is None else bytes(row[5]).decode("utf-8", "surrogatepass"),
    )
