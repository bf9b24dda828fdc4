"""SHA-256 of the files of a dataset, as ``sha256sum`` writes them, and the one hash over all of these lines."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ercpseg.documents.descriptor import ManifestSpec
from ercpseg.errors import DocumentError
from ercpseg.importers.scan import natural_key
from ercpseg.progress import SILENT, Progress, track
from ercpseg.storage.atomic import read_bytes

THREADS = 2
"""Hashing releases the GIL; more threads wait for the disk."""
MAX_SUMS_BYTES = 256 * 1024 * 1024
_SYSTEM = {"thumbs.db", "desktop.ini", "__macosx"}
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True)
class Sum:
    """One file: its path below the root, with ``/``, its SHA-256 and its size. The hash is empty when it cannot be read."""

    path: str
    sha256: str
    bytes: int


def files_below(root: Path, paths: Sequence[str]) -> list[str]:
    """The files below ``paths`` of ``root``, which may be files themselves, in natural order, each once.

    Hidden files, what operating systems leave behind, and links that lead out of the root or to folders do not count.
    """
    top = os.path.realpath(root)
    found = {one for path in paths for one in _walk(root, path, top)}
    return sorted(found, key=natural_key)


def _walk(root: Path, path: str, top: str) -> Iterator[str]:
    real = Path(os.path.realpath(root / path))
    if not real.is_relative_to(top):
        return
    if real.is_file():
        yield path
    elif real.is_dir():
        with os.scandir(root / path) as listing:
            entries = [entry for entry in listing if not (entry.name.startswith(".") or entry.name.lower() in _SYSTEM)]
        for entry in entries:
            if not (entry.is_symlink() and entry.is_dir()):
                yield from _walk(root, f"{path}/{entry.name}" if path else entry.name, top)


def hash_files(root: Path, paths: Iterable[str], *, progress: Progress = SILENT) -> dict[str, Sum]:
    """Path → hash and size, read by two threads. What is no file is left out."""
    wanted = list(paths)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="ercpseg-hash") as pool:
        try:
            sums = pool.map(lambda path: _hash(root, path), wanted)
            return {one.path: one for one in track(sums, progress, "hashing files", len(wanted)) if one is not None}
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _hash(root: Path, path: str) -> Sum | None:
    whole = root / path
    if not Path(os.path.realpath(whole)).is_relative_to(os.path.realpath(root)) or not whole.is_file():
        return None
    try:
        with whole.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
            return Sum(path, digest, handle.tell())
    except OSError:
        return Sum(path, "", 0)


def sums_lines(sums: Iterable[Sum]) -> bytes:
    """The lines of ``sha256sum``, sorted as bytes: what :func:`manifest_of` hashes and ``SHA256SUMS`` holds."""
    return b"".join(sorted(os.fsencode(f"{one.sha256}  {one.path}\n") for one in sums))


def manifest_of(sums: Sequence[Sum], paths: Sequence[str]) -> ManifestSpec:
    """The manifest that a descriptor has for these files."""
    return ManifestSpec(
        paths=tuple(paths),
        files=len(sums),
        bytes=sum(one.bytes for one in sums),
        sha256=hashlib.sha256(sums_lines(sums)).hexdigest(),
    )


def read_sums(path: Path) -> list[Sum]:
    """The lines of a file that ``sha256sum`` (also ``shasum -a 256``) wrote; sizes are not in it and stay 0.

    Raises
    ------
    StorageError
        when it cannot be read.
    DocumentError
        when it is no such file.
    """
    data = read_bytes(path, MAX_SUMS_BYTES + 1)
    lines = [_LINE.fullmatch(line) for line in os.fsdecode(data).replace("\r\n", "\n").split("\n") if line]
    if len(data) > MAX_SUMS_BYTES or not all(lines):
        raise DocumentError("this is no list of hashes", where=path, expected="lines as sha256sum writes them")
    return [Sum(match[2].removeprefix("./"), match[1], 0) for match in lines if match]
