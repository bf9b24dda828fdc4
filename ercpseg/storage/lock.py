"""One run at a time in a folder. The kernel drops the lock when its holder dies, so a killed run leaves nothing to clean up."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from ercpseg.errors import StorageError, WorkspaceBusy
from ercpseg.storage.atomic import write_text

LOCK, OWNER = ".lock", ".lock-owner.json"
"""What a killed run may leave in the folder; neither stands in anybody's way."""


@contextlib.contextmanager
def locked(folder: Path, what: str, other: str, *, keep: bool = True) -> Iterator[None]:
    """Hold ``folder``, made if need be; another run that wants it is refused at once.

    Parameters
    ----------
    folder
        what is held.
    what
        its name in errors, for example ``workspace``.
    other
        what to give instead of it, for example ``another --workspace``.
    keep
        leave the lock file, and the folder even if it is empty; otherwise there is no trace of the lock afterwards.

    Raises
    ------
    WorkspaceBusy
        when another run holds it.
    StorageError
        when it cannot be written.
    """
    import filelock

    owner = folder / OWNER
    lock = filelock.FileLock(folder / LOCK, mode=0o600)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:  # an OSError too, so it comes first
        raise WorkspaceBusy(
            f"another run is using this {what}",
            where=_describe_owner(owner) or folder,
            todo=f"wait until it is done, stop it, or use {other}",
        ) from None
    except OSError as error:
        raise StorageError(
            f"the {what} cannot be written: {error.strerror or type(error).__name__}",
            where=folder,
            todo=f"check the permissions or use {other}",
        ) from error
    try:
        write_text(owner, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n")
        yield
    finally:
        with contextlib.suppress(OSError):
            owner.unlink(missing_ok=True)
            if not keep:
                (folder / LOCK).unlink(missing_ok=True)  # while it is held: who waits for it sees that it is gone
        lock.release()
        if not keep:
            with contextlib.suppress(OSError):  # it is not empty
                for place in made:
                    place.rmdir()


def _describe_owner(owner: Path) -> str | None:
    try:
        data = json.loads(owner.read_text())
        return f"process {int(data['pid'])} on {str(data['host'])[:64]}"
    except (OSError, ValueError, KeyError, TypeError):
        return None
