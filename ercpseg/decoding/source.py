"""Where the bytes of one file are: on the disk, or packed in a zip."""

from __future__ import annotations

import functools
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ercpseg.errors import InputRefused

MAX_FILE_BYTES = 1024**3
"""Bytes of a file that has to be read as a whole (everything but DICOM)."""
MAX_MEMBER_BYTES = 256 * 1024 * 1024
"""Bytes of one packed file. It is unpacked in memory, so this is less than for a file on the disk."""
MAX_RATIO, SMALL_BYTES = 200, 64 * 1024
"""How many times larger than packed (or than :data:`SMALL_BYTES`, if that is more) a file may get.

Pixels of a drawn mask reach 100, those of an empty one 1000, as do bombs.
"""


@dataclass(frozen=True)
class Source:
    """A file on the disk, or the ``member`` of the zip at ``path``."""

    path: Path
    member: str | None = None

    def open(self) -> BinaryIO:
        """A seekable stream of the bytes; the caller closes it.

        Raises
        ------
        InputRefused
            ``too-large`` when a packed file exceeds the limits, ``unreadable`` when it cannot be unpacked.
        OSError
            when the file cannot be read.
        """
        if self.member is None:
            return self.path.open("rb")
        return io.BytesIO(_unpack(self.path, self.member, self.path.stat().st_mtime_ns))

    @property
    def size(self) -> int:
        """Number of bytes.

        Raises
        ------
        InputRefused
            ``unreadable`` when the zip is damaged or has no such member.
        OSError
            when the file cannot be looked at.
        """
        if self.member is None:
            return self.path.stat().st_size
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.getinfo(self.member).file_size
        except (zipfile.BadZipFile, KeyError) as error:
            raise InputRefused("unreadable", "it cannot be unpacked") from error

    def read(self, limit: int = MAX_FILE_BYTES) -> bytes:
        """All bytes, at most ``limit``.

        Raises
        ------
        InputRefused
            ``too-large`` when there are more.
        """
        size = self.size
        if size > limit:
            raise InputRefused("too-large", f"{size} bytes, limit {limit}")
        with self.open() as stream:
            return stream.read()

    @property
    def key(self) -> str:
        """Text that tells two sources apart; the NUL cannot be part of a path."""
        return f"{self.path}\0{self.member or ''}"


@functools.lru_cache(maxsize=1)  # frames of one packed cine are asked for one after the other
def _unpack(path: Path, member: str, modified_ns: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(member)
            if info.flag_bits & 0x1:
                raise InputRefused("unreadable", "packed with a password")
            if info.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):  # the others unpack without a bound
                raise InputRefused("unreadable", "packed by another method than deflate")
            if info.file_size > MAX_MEMBER_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, SMALL_BYTES):
                raise InputRefused("too-large", f"{info.file_size} bytes when unpacked, limit {MAX_MEMBER_BYTES}")
            with archive.open(info) as stream:
                data = stream.read(info.file_size + 1)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, KeyError, zlib.error) as error:
        raise InputRefused("unreadable", "it cannot be unpacked") from error
    if len(data) != info.file_size:
        raise InputRefused("truncated", f"{len(data)} of {info.file_size} bytes")
    return data
