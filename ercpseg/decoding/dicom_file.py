"""Open a DICOM file: find its transfer syntax, inflate it if need be (within a limit), read its header."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ercpseg.decoding import codecs
from ercpseg.decoding.dicom_elements import LONG_VRS
from ercpseg.decoding.dicom_header import Header, read_header
from ercpseg.decoding.sniff import HEAD_BYTES, sniff
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

MAX_INFLATED_BYTES = 256 * 1024 * 1024
"""Limit for deflated files, which have to be inflated in memory as a whole."""
MAX_META_BYTES = 65536

IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
NATIVE = (IMPLICIT, "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED)


@dataclass(frozen=True)
class DicomFile:
    """Where the bytes are: a file, or what it held inflated."""

    source: Source
    inflated: bytes | None
    syntax: str
    header: Header

    def open(self) -> BinaryIO:
        """A stream of the bytes; the caller closes it."""
        return self.source.open() if self.inflated is None else io.BytesIO(self.inflated)


@dataclass(frozen=True)
class Encoding:
    """How the elements of a data set are encoded. ``inflated`` is what a deflated file held, ``size`` where bytes end."""

    syntax: str
    implicit: bool
    size: int
    inflated: bytes | None

    @property
    def little_endian(self) -> bool:
        """Byte order."""
        return self.syntax != BIG_ENDIAN


def open_dicom(source: Source, *, apply_modality_lut: bool = False) -> tuple[DicomFile, int]:
    """Find the transfer syntax, inflate if need be, read the header; also the number of bytes there are.

    Raises
    ------
    InputRefused
        when it is no DICOM, damaged, too large when inflated, or in a transfer syntax without decoder.
    Exception
        what zlib throws at damaged data.
    """
    with elements_of(source) as (stream, encoding):
        header = read_header(
            stream,
            encoding.size,
            implicit=encoding.implicit,
            little_endian=encoding.little_endian,
            apply_modality_lut=apply_modality_lut,
        )
    return DicomFile(source, encoding.inflated, encoding.syntax, header), encoding.size


@contextlib.contextmanager
def elements_of(source: Source) -> Iterator[tuple[BinaryIO, Encoding]]:
    """A stream that stands at the first element of the data set, and how elements are encoded; see :func:`open_dicom`."""
    with source.open() as handle:
        size = source.size
        if sniff(handle.read(HEAD_BYTES), size) != "dicom":
            raise InputRefused("unreadable", "no DICOM header")
        handle.seek(128)
        if handle.read(4) != b"DICM":
            handle.seek(0)
        syntax = _transfer_syntax(handle)
        if syntax is not None and syntax not in NATIVE and syntax not in codecs.DECODERS:
            raise InputRefused("unsupported-syntax", codecs.why_refused(syntax))
        inflated = _inflate(handle) if syntax == DEFLATED else None
        stream: BinaryIO = handle
        if inflated is not None:
            stream, size = io.BytesIO(inflated), len(inflated)
        start = stream.read(6)
        stream.seek(-len(start), io.SEEK_CUR)
        implicit = not (start[4:6].isalpha() and start[4:6].isupper())  # more reliable than what is declared
        if syntax is None:  # no meta group: the first element tells (PS3.5 7.1)
            syntax = BIG_ENDIAN if start[:1] == b"\0" else IMPLICIT if implicit else NATIVE[1]
        yield stream, Encoding(syntax, implicit, size, inflated)


def _inflate(handle: BinaryIO) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(handle.read(MAX_INFLATED_BYTES), MAX_INFLATED_BYTES)
    if len(inflated) >= MAX_INFLATED_BYTES:
        raise InputRefused("too-large", f"more than {MAX_INFLATED_BYTES} bytes when inflated")
    if not inflater.eof:
        raise InputRefused("truncated", "the deflated data end early")
    return inflated


def _transfer_syntax(handle: BinaryIO) -> str | None:
    """Skip the meta group, always explicit little endian; the transfer syntax in it, None when there is none."""
    syntax, begin = None, handle.tell()
    while handle.tell() - begin < MAX_META_BYTES:
        at = handle.tell()
        head = handle.read(8)
        if len(head) < 8 or head[:2] != b"\x02\0":
            handle.seek(at)
            break
        long = head[4:6] in LONG_VRS
        length = int.from_bytes(handle.read(4), "little") if long else int.from_bytes(head[6:8], "little")
        if length > MAX_META_BYTES:
            raise InputRefused("unreadable", "the meta group is damaged")
        value = handle.read(length)
        if len(value) < length:
            raise InputRefused("truncated", "the meta group ends early")
        if head[2:4] == b"\x10\0":
            syntax = value.decode("ascii", "replace").strip("\0 ")
    return syntax
