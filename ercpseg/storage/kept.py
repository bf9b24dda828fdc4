"""A table on disk that outlives an interruption: results by the hash of what they were made from.

Losing it costs time only, so a damaged one is thrown away without a word.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from ercpseg.errors import StorageError

_SCHEMA = "CREATE TABLE IF NOT EXISTS kept(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
BATCH = 32
"""Results per commit: what a kill costs at most. A power cut may cost the whole table."""


class Kept:
    """Text by key, for several threads at a time."""

    def __init__(self, connection: sqlite3.Connection):
        self._db = connection
        self._lock = threading.Lock()
        self._new = 0
        self._used: set[str] = set()

    def get(self, key: str) -> str | None:
        """The value that was put under ``key``, or None."""
        with self._lock:
            self._used.add(key)
            row = self._db.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, value: str) -> None:
        """Keep ``value`` under ``key``, in place of what was there."""
        with self._lock:
            self._used.add(key)
            if not self._db.in_transaction:
                self._db.execute("BEGIN")
            self._db.execute("INSERT OR REPLACE INTO kept VALUES(?, ?)", (key, value))
            self._new += 1
            if self._new % BATCH == 0:
                self._db.execute("COMMIT")

    def forget_others(self) -> None:
        """Drop what was neither asked for nor put since the table was opened."""
        with self._lock:
            self.flush()
            old = [(key,) for (key,) in self._db.execute("SELECT key FROM kept") if key not in self._used]
            if old:
                self._db.execute("BEGIN")
                self._db.executemany("DELETE FROM kept WHERE key = ?", old)
                self._db.execute("COMMIT")

    def flush(self) -> None:
        """Make what was put last until the next time."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")


@contextlib.contextmanager
def keep(path: Path) -> Iterator[Kept]:
    """The table at ``path``, for its owner's eyes only; what was put is kept also when the block raises.

    Raises
    ------
    StorageError
        when it cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = _open(path)
        try:
            kept = Kept(connection)
            try:
                yield kept
            finally:
                kept.flush()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StorageError(
            f"the table of results failed: {type(error).__name__}",
            where=path,
            todo="free space, then run the same command again",
        ) from error
    except OSError as error:
        raise StorageError(
            f"writing failed: {error.strerror or type(error).__name__}",
            where=path,
            todo="free space or check the permissions, then run the same command again",
        ) from error


def _open(path: Path) -> sqlite3.Connection:
    for left in (1, 0):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            connection.executescript(
                f"PRAGMA journal_mode=DELETE; PRAGMA synchronous=OFF; PRAGMA cache_size=-4000; {_SCHEMA};"
            )
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                return connection
        except sqlite3.DatabaseError:
            if not left:
                connection.close()
                raise
        connection.close()
        path.unlink()
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    raise sqlite3.DatabaseError("damaged")
