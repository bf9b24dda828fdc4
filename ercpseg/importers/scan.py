"""Every file of a folder, once, in an order that does not depend on the file system.

Order is natural (``img2`` before ``img10``), folder by folder. Nothing is left out in silence: what is no frame comes
with the rule by which it was ignored, or the code by which it was refused. Formats are told by content, not by suffix.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ercpseg.decoding.sniff import HEAD_BYTES, Kind, sniff
from ercpseg.decoding.source import Source
from ercpseg.errors import UsageError

IGNORE_RULES: dict[str, str] = {
    "hidden": "hidden files and folders are not searched",
    "system": "left by an operating system, no data",
    "sidecar": "text or table beside the frames, no image",
    "dicomdir": "index of a DICOM medium; the files themselves are read",
    "link-outside": "a link that leads out of the folder is not followed",
    "link-broken": "a link to nothing",
    "link-folder": "a link to a folder is not followed",
    "not-a-file": "no regular file",
    "outside-layout": "in a dataset folder, only the folders of frames and annotations are read",
    "workspace": "a workspace of ercpseg is no input",
    "output": "an output folder of ercpseg is no input",
    "packed-twice": "a zip inside a zip is not opened; unpack it first",
    "channel": "only channel 0000 of an nnU-Net dataset is read",
}
"""Rules by which a file is ignored, each as a sentence."""

_SYSTEM = {"thumbs.db", "desktop.ini", "__macosx"}
_SIDECARS = frozenset(
    [
        "csv",
        "tsv",
        "txt",
        "md",
        "rst",
        "json",
        "jsonl",
        "yaml",
        "yml",
        "xml",
        "html",
        "htm",
        "pdf",
        "log",
        "ini",
        "toml",
        "xlsx",
        "xls",
        "docx",
        "doc",
        "sha256",
        "md5",
        "py",
        "sh",
    ]
)
_SIDECAR_NAMES = {"readme", "license", "licence", "notice", "changelog", "sha256sums", "md5sums"}
_DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
_ZIP = b"PK\x03\x04"
MAX_MEMBERS = 100_000
"""Files in one zip; their list is held in memory."""


@dataclass(frozen=True)
class Found:
    """One file. Exactly one of ``kind``, ``ignored`` (a key of :data:`IGNORE_RULES`) and ``refused`` (a code) is set.

    ``source`` is the path relative to the folder that was scanned, with ``/``, printable in UTF-8.
    """

    path: Path
    source: str
    kind: Kind | None = None
    ignored: str | None = None
    refused: str | None = None
    detail: str = ""
    member: str | None = None
    """Name inside the zip at ``path``."""

    @property
    def file(self) -> Source:
        """Where its bytes are."""
        return Source(self.path, self.member)

    @property
    def stem(self) -> str:
        """File name without its last suffix, or the double one of packed NIfTI."""
        stem = Path(self.source).stem
        return stem[: -len(".nii")] if self.source.lower().endswith(".nii.gz") and len(stem) > len(".nii") else stem


def natural_key(text: str) -> str:
    """Sort key: digits by value, letters without case, ties by the text itself, which is what follows the first NUL.

    One short text, since a folder may hold a hundred thousand names; it also sorts so byte by byte, as SQLite does.

    >>> sorted(["img10", "img2", "Img1"], key=natural_key)
    ['Img1', 'img2', 'img10']
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    folded = re.sub(r"[\0-\2]", lambda mark: f"\2{mark[0]}", folded)  # \0 ends the key's first part, \1 begins a number
    digits = re.sub(r"[0-9]+", lambda run: f"\1{len(run[0].lstrip('0')):05d}{run[0].lstrip('0')}", folded)
    return f"{digits}\0{text}"


def scan(root: Path) -> Iterator[Found]:
    """Every file under ``root`` (or ``root`` itself when it is a file), in natural order.

    Raises
    ------
    UsageError
        when there is no such file or folder.
    """
    if root.is_file() and root.name.upper() == "DICOMDIR":  # the index of a medium stands for the whole of it
        yield from _folder(root.parent, "", root.parent.resolve())
    elif root.is_file():
        yield from _classify(root, _printable(root.name))
    elif root.is_dir():
        yield from _folder(root, "", root.resolve())
    else:
        raise UsageError("no such file or folder", where=root)


def _folder(folder: Path, prefix: str, top: Path) -> Iterator[Found]:
    try:
        with os.scandir(folder) as listing:
            keys = sorted(natural_key(entry.name) for entry in listing)
    except OSError as error:
        yield Found(folder, prefix, refused="unreadable", detail=error.strerror or "")
        return
    for key in keys:
        name = key.partition("\0")[2]
        path, source = folder / name, prefix + _printable(name)
        try:
            mode = path.lstat().st_mode
            rule = _ignored(path, mode, top)
        except OSError as error:
            yield Found(path, source, refused="unreadable", detail=error.strerror or "")
            continue
        if rule:
            yield Found(path, source, ignored=rule)
        elif stat.S_ISDIR(mode):
            yield from _folder(path, source + "/", top)
        else:
            yield from _classify(path, source)


def _ignored(path: Path, mode: int, top: Path) -> str | None:
    """The rule by which an entry of a folder is ignored without looking inside, if any; ``mode`` is that of a link itself."""
    name = path.name.lower()
    if name.startswith("."):
        return "hidden"
    if name in _SYSTEM:
        return "system"
    if stat.S_ISLNK(mode):
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(top):
            return "link-outside"
        if not target.exists():
            return "link-broken"
        if target.is_dir():
            return "link-folder"
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        if (path / "workspace.json").is_file():
            return "workspace"
        return "output" if _is_prediction(path) else None
    return None if stat.S_ISREG(mode) else "not-a-file"


RUN_BYTES = 1 << 20
"""More than any ``run.json`` holds."""


def _is_prediction(folder: Path) -> bool:
    """Whether ``predict`` made this folder: it begins with ``run.json``, whose schema tag says so."""
    try:
        with (folder / "run.json").open("rb") as handle:
            return b'"schema": "ercpseg.prediction/' in handle.read(RUN_BYTES)
    except OSError:
        return False


def _classify(path: Path, source: str) -> Iterator[Found]:
    """One file, or every file in a zip."""
    if path.name.upper() == "DICOMDIR":
        yield Found(path, source, ignored="dicomdir")
        return
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
    except OSError as error:
        yield Found(path, source, refused="unreadable", detail=error.strerror or "")
        return
    if head.startswith(_ZIP) and not _is_sidecar(path.name):
        yield from _packed(path, source)
    else:
        yield _told(Found(path, source), head, size)


def _packed(path: Path, source: str) -> Iterator[Found]:
    """The files in a zip, in natural order; their first bytes are unpacked, no more."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted((i for i in archive.infolist() if not i.is_dir()), key=lambda i: natural_key(i.filename))
            if len(members) > MAX_MEMBERS:
                yield Found(path, source, refused="too-large", detail=f"{len(members)} packed files")
                return
            if not members:
                yield Found(path, source, refused="unreadable", detail="an empty zip")
            names = Counter(info.filename for info in members)
            for info in members:
                found = _member(archive, info, path, source)
                twins = names[info.filename] > 1  # a name finds only the last of them
                yield replace(found, kind=None, ignored=None, refused="duplicate") if twins else found
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        yield Found(path, source, refused="unreadable", detail=type(error).__name__)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, source: str) -> Found:
    name = info.filename.encode("utf-8", "backslashreplace").decode().replace("\\", "/")
    found = Found(path, f"{source}/{name}", member=info.filename)
    parts = [part.lower() for part in name.split("/")]
    if any(part in _SYSTEM for part in parts):
        return replace(found, ignored="system")
    if any(part.startswith(".") for part in parts):
        return replace(found, ignored="hidden")
    if parts[-1] == "dicomdir":
        return replace(found, ignored="dicomdir")
    try:
        with archive.open(info) as stream:
            head = stream.read(HEAD_BYTES)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error):
        return replace(found, refused="unreadable", detail="it cannot be unpacked")
    if head.startswith(_ZIP) and not _is_sidecar(name):
        return replace(found, ignored="packed-twice")
    return _told(found, head, info.file_size)


def _told(found: Found, head: bytes, size: int) -> Found:
    """What the first bytes of a file tell."""
    name = found.source.rpartition("/")[2]
    kind = sniff(head, size)
    if kind is None and Path(name).suffix.lower() in _DICOM_SUFFIXES:
        kind = "dicom"
    if kind is not None:
        return replace(found, kind=kind)
    if _is_sidecar(name):
        return replace(found, ignored="sidecar")
    if not head:
        return replace(found, refused="truncated", detail="0 bytes")
    return replace(found, refused="unknown-format")


def _is_sidecar(name: str) -> bool:
    return Path(name).suffix.lower().lstrip(".") in _SIDECARS or name.lower() in _SIDECAR_NAMES


def _printable(name: str) -> str:
    """A file name as text that UTF-8 can hold; bytes that are no UTF-8 become backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
