"""A throw-away table on disk, for lists that grow with the number of frames while memory must not."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ercpseg.errors import StorageError
from ercpseg.storage.atomic import TEMPORARY_PREFIX


@contextlib.contextmanager
def scratch(folder: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """An SQLite file in ``folder`` that nobody else reads, gone afterwards; a kill leaves it to ``remove_leftovers``.

    It may be used from one thread at a time. Nothing in it has to survive, so nothing is flushed.

    Raises
    ------
    StorageError
        when it cannot be made or written.
    """
    path = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    connection = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))  # what is in it may name patients
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-4000;" + schema)
        yield connection
    except sqlite3.Error as error:
        raise StorageError(
            f"the scratch table failed: {type(error).__name__}", where=folder, todo="free space, then run it again"
        ) from error
    except OSError as error:
        raise StorageError(
            f"writing failed: {error.strerror or type(error).__name__}",
            where=folder,
            todo="free space or check the permissions, then run the same command again",
        ) from error
    finally:
        if connection is not None:
            connection.close()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
