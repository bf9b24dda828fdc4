"""The child process that decodes: ``python -m ercpseg.decoding.worker``. It limits itself, then answers requests.

A decoder that is led astray by a hostile file can then neither write, nor reach the network where the kernel allows to
forbid it, nor take more memory than :data:`MEMORY_BYTES` above its base, nor stay longer than the parent waits.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from ercpseg.decoding import formats, segmentations, wire
from ercpseg.decoding.dicom_reference import read_reference
from ercpseg.decoding.reading import Listing
from ercpseg.decoding.sniff import KINDS, Kind
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

MEMORY_BYTES = 512 * 1024 * 1024
"""Address space that decoding may take above what the child has after its imports. More becomes ``too-large``."""
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

Arrays = list[NDArray[Any]]
Reply = tuple[dict[str, Any], Arrays]


class _Files:
    """The listing of the file that was asked for last: frames of a cine come one after the other."""

    def __init__(self) -> None:
        self._key: tuple[str, int, int, bool] | None = None
        self._listing: Listing | None = None

    def listing(self, source: Source, kind: Kind, request: dict[str, Any]) -> Listing:
        status, modality_lut = source.path.stat(), bool(request.get("modality_lut"))
        key = (source.key, status.st_mtime_ns, status.st_size, modality_lut)
        if self._listing is None or key != self._key:
            self._key, self._listing = None, None
            self._listing, self._key = formats.listing(source, kind, modality_lut=modality_lut), key
        return self._listing


_FILES = _Files()


def _list(source: Source, kind: Kind, request: dict[str, Any]) -> Reply:
    listing = _FILES.listing(source, kind, request)
    return {"count": listing.count, "numbered": listing.numbered, "about": asdict(listing.about)}, []


def _frame(source: Source, kind: Kind, request: dict[str, Any]) -> Reply:
    picture = formats.frame(_FILES.listing(source, kind, request), int(request["number"]))
    return {"bits": picture.bits, "notes": list(picture.notes)}, [picture.pixels]


def _mask(source: Source, kind: Kind, _: dict[str, Any]) -> Reply:
    return {}, [formats.mask(source, kind)]


def _labels(source: Source, kind: Kind, _: dict[str, Any]) -> Reply:
    return {}, [formats.labels(source, kind)]


def _colours(source: Source, kind: Kind, _: dict[str, Any]) -> Reply:
    return {}, [formats.colours(source, kind)]


def _reference(source: Source, kind: Kind, _: dict[str, Any]) -> Reply:
    if kind != "dicom":
        raise InputRefused("not-dicom")
    return read_reference(source), []


OPERATIONS: dict[str, Callable[[Source, Kind, dict[str, Any]], Reply]] = {
    "list": _list,
    "frame": _frame,
    "mask": _mask,
    "labels": _labels,
    "colours": _colours,
    "reference": _reference,
    **segmentations.OPERATIONS,
}
"""What may be asked of a file."""


def answer(request: dict[str, Any]) -> Reply:
    """Carry out one request.

    Raises
    ------
    InputRefused
        when the file cannot be used.
    """
    source = Source(Path(os.fsdecode(bytes.fromhex(request["path"]))), request.get("member"))
    kind = request["kind"]
    if kind not in KINDS:
        raise InputRefused("unknown-format")
    return OPERATIONS[request["operation"]](source, kind, request)


def limit() -> None:
    """Take away what decoding does not need. Where a limit is not to be had, the others hold."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        base = _address_space()
        if base:
            resource.setrlimit(resource.RLIMIT_AS, (base + MEMORY_BYTES, base + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # fails where it is not allowed; that is all


def _address_space() -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the other side closes."""
    while True:
        try:
            request, _ = wire.receive(requests)
        except wire.Gone:
            return
        try:
            reply, arrays = answer(request)
        except InputRefused as error:
            wire.send(replies, {"refused": [error.code, error.detail]})
        except MemoryError:
            wire.send(replies, {"refused": ["too-large", "decoding needs more memory than is allowed"]})
        except Exception as error:
            wire.send(replies, {"refused": ["unreadable", type(error).__name__]})
        else:
            wire.send(replies, {"reply": reply}, arrays)


def main() -> None:
    """Take the pipes, be silent from here on, limit, serve."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # decoders in C may write to 1 and 2
        os.dup2(nothing, descriptor)
    warnings.simplefilter("ignore")
    import imagecodecs  # noqa: F401 - what most files need is loaded before the limit is taken

    limit()
    serve(requests, replies)


if __name__ == "__main__":
    main()
