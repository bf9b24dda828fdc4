"""Every file of a folder, once, in an order that does not depend on the file system.

Order is natural (``img2`` before ``img10``), folder by folder. Nothing is left out in silence: what is no frame comes
with the rule by which it was ignored, or the code by which it was refused. Formats are told by content, not by suffix.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ercpseg.errors import UsageError

Kind = Literal["png", "jpeg", "tiff", "bmp", "dicom"]

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
    "channel": "only channel 0000 of an nnU-Net dataset is read",
}
"""Rules by which a file is ignored, each as a sentence."""

HEAD_BYTES = 132
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
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}


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

    @property
    def stem(self) -> str:
        """File name without its last suffix."""
        return Path(self.source).stem


def natural_key(text: str) -> tuple[tuple[int | str, ...], str]:
    """Sort key: digits by value, letters without case, ties by the text itself.

    >>> sorted(["img10", "img2", "Img1"], key=natural_key)
    ['Img1', 'img2', 'img10']
    """
    parts = re.split(r"([0-9]+)", unicodedata.normalize("NFC", text).casefold())
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), text


def scan(root: Path) -> Iterator[Found]:
    """Every file under ``root`` (or ``root`` itself when it is a file), in natural order.

    Raises
    ------
    UsageError
        when there is no such file or folder.
    """
    if root.is_file():
        yield _classify(root, _printable(root.name))
    elif root.is_dir():
        yield from _folder(root, "", root.resolve())
    else:
        raise UsageError("no such file or folder", where=root)


def _folder(folder: Path, prefix: str, top: Path) -> Iterator[Found]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: natural_key(entry.name))
    except OSError as error:
        yield Found(folder, prefix, refused="unreadable", detail=error.strerror or "")
        return
    for entry in entries:
        path, source = folder / entry.name, prefix + _printable(entry.name)
        try:
            rule = _ignored(entry, path, top)
        except OSError as error:
            yield Found(path, source, refused="unreadable", detail=error.strerror or "")
            continue
        if rule:
            yield Found(path, source, ignored=rule)
        elif entry.is_dir(follow_symlinks=False):
            yield from _folder(path, source + "/", top)
        else:
            yield _classify(path, source)


def _ignored(entry: os.DirEntry[str], path: Path, top: Path) -> str | None:
    """The rule by which an entry of a folder is ignored without looking inside, if any."""
    name = entry.name.lower()
    if name.startswith("."):
        return "hidden"
    if name in _SYSTEM:
        return "system"
    if entry.is_symlink():
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


def _classify(path: Path, source: str) -> Found:
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
    except OSError as error:
        return Found(path, source, refused="unreadable", detail=error.strerror or "")
    if path.name.upper() == "DICOMDIR":
        return Found(path, source, ignored="dicomdir")
    kind = sniff(head, size)
    if kind is None and path.suffix.lower() in _DICOM_SUFFIXES:
        kind = "dicom"
    if kind is not None:
        return Found(path, source, kind=kind)
    if path.suffix.lower().lstrip(".") in _SIDECARS or path.name.lower() in _SIDECAR_NAMES:
        return Found(path, source, ignored="sidecar")
    if not head:
        return Found(path, source, refused="truncated", detail="0 bytes")
    return Found(path, source, refused="unknown-format")


def sniff(head: bytes, size: int) -> Kind | None:
    """The format that the first :data:`HEAD_BYTES` bytes of a file of ``size`` bytes show, or None."""
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    return "dicom" if _headless_dicom(head, size) else None


def _headless_dicom(head: bytes, size: int) -> bool:
    """DICOM without preamble begins with group 0002 or 0008: a tag, then a VR or a length that the file can hold."""
    if len(head) < 16:
        return False
    for order in ("little", "big"):
        group = int.from_bytes(head[0:2], order)
        if group in (2, 8) and head[4:6] in (b"UL", b"UI", b"CS", b"SH", b"DA", b"TM", b"OB", b"LO"):
            return True
        length = int.from_bytes(head[4:8], order)
        if order == "little" and group in (2, 8) and length % 2 == 0 and length < min(size, 1024):
            return True
    return False


def _printable(name: str) -> str:
    """A file name as text that UTF-8 can hold; bytes that are no UTF-8 become backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
