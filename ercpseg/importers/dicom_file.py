"""Open a DICOM file: find its transfer syntax, inflate it if need be (within a limit), read its header."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ercpseg.errors import InputRefused
from ercpseg.importers import codecs
from ercpseg.importers.dicom_header import Header, read_header
from ercpseg.importers.scan import HEAD_BYTES, sniff

MAX_INFLATED_BYTES = 256 * 1024 * 1024
"""Limit for deflated files, which have to be inflated in memory as a whole."""
MAX_META_BYTES = 65536

IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
NATIVE = (IMPLICIT, "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED)
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")


@dataclass(frozen=True)
class DicomFile:
    """Where the bytes are: a file, or what it held inflated."""

    path: Path
    inflated: bytes | None
    syntax: str
    header: Header

    def open(self) -> BinaryIO:
        """A stream of the bytes; the caller closes it."""
        return self.path.open("rb") if self.inflated is None else io.BytesIO(self.inflated)


def open_dicom(path: Path) -> tuple[DicomFile, int]:
    """Find the transfer syntax, inflate if need be, read the header; also the number of bytes there are.

    Raises
    ------
    InputRefused
        when it is no DICOM, too large when inflated, or in a transfer syntax without decoder.
    Exception
        what pydicom and zlib throw at damaged data.
    """
    with path.open("rb") as handle:
        size = path.stat().st_size
        if sniff(handle.read(HEAD_BYTES), size) != "dicom":
            raise InputRefused("unreadable", "no DICOM header")
        handle.seek(128)
        if handle.read(4) != b"DICM":
            handle.seek(0)
        syntax = _transfer_syntax(handle)
        inflated = None
        stream: BinaryIO = handle
        if syntax == DEFLATED:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            inflated = inflater.decompress(handle.read(MAX_INFLATED_BYTES), MAX_INFLATED_BYTES)
            if len(inflated) >= MAX_INFLATED_BYTES:
                raise InputRefused("too-large", f"more than {MAX_INFLATED_BYTES} bytes when inflated")
            stream, size = io.BytesIO(inflated), len(inflated)
        if syntax is not None and syntax not in NATIVE and syntax not in codecs.DECODERS:
            raise InputRefused("unsupported-syntax")
        start = stream.read(6)
        stream.seek(-len(start), io.SEEK_CUR)
        if syntax is None:  # no meta group: the first element tells (PS3.5 7.1)
            big = start[:1] == b"\0"
            implicit = not start[4:6].isalpha()
            syntax = BIG_ENDIAN if big else IMPLICIT if implicit else NATIVE[1]
        header = read_header(stream, implicit=syntax == IMPLICIT, little_endian=syntax != BIG_ENDIAN)
    return DicomFile(path, inflated, syntax, header), size


def _transfer_syntax(handle: BinaryIO) -> str | None:
    """Skip the meta group, always explicit little endian; the transfer syntax in it, None when there is none."""
    syntax, begin = None, handle.tell()
    while handle.tell() - begin < MAX_META_BYTES:
        at = handle.tell()
        head = handle.read(8)
        if len(head) < 8 or head[:2] != b"\x02\0":
            handle.seek(at)
            break
        long = head[4:6] in _LONG_VRS
        length = int.from_bytes(handle.read(4), "little") if long else int.from_bytes(head[6:8], "little")
        if length > MAX_META_BYTES:
            raise InputRefused("unreadable", "the meta group is damaged")
        value = handle.read(length)
        if head[2:4] == b"\x10\0":
            syntax = value.decode("ascii", "replace").strip("\0 ")
    return syntax
