"""PNG files that we write and read back: canonical frames, masks, label images, overlays.

Foreign images come in through ``ercpseg.importers``; this room only handles the plain 8- and 16-bit PNG of our own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import StorageError
from ercpseg.storage.atomic import Place, read_bytes, write_bytes

FAST = 1
"""zlib level: frames and masks are written once and read often; higher levels cost time for a few per cent."""
FLAT_FRAC = 0.9
"""Share of pixels equal to their left neighbour from which an image counts as drawn (a mask), not as recorded."""

_HEADER = struct.Struct(">16xIIB")
_AFTER_HEADER, _MAX_HEAD = 33, 4096
_NO_TEXT: Mapping[str, str] = MappingProxyType({})


def encode_png(array: NDArray[Any], text: Mapping[str, str] = _NO_TEXT) -> bytes:
    """Encode (y, x) uint8/uint16/bool or (y, x, 3) uint8 as PNG. Booleans become 0 and 255.

    ``text`` goes into tEXt chunks right behind the header: keyword → ASCII.
    """
    from imagecodecs import PNG, png_encode

    if array.dtype == np.bool_:
        array = array.view(np.uint8) * np.uint8(255)
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"cannot write {array.dtype} as PNG; expected bool, uint8 or uint16")
    array = np.ascontiguousarray(array)
    # Measured on frames of 512²: libpng's choice of a filter per row takes 60 % of the time, and the search for
    # repetitions finds none in noise. A mask is decoded twice as fast without a filter.
    filtering, strategy = (
        (PNG.FILTER.NONE, PNG.STRATEGY.DEFAULT) if _is_flat(array) else (PNG.FILTER.UP, PNG.STRATEGY.RLE)
    )
    data = bytes(png_encode(array, level=FAST, filter=filtering, strategy=strategy))
    chunks = b"".join(_chunk(f"{key}\0{value}".encode("ascii")) for key, value in text.items())
    return data[:_AFTER_HEADER] + chunks + data[_AFTER_HEADER:] if chunks else data


def _chunk(content: bytes) -> bytes:
    body = b"tEXt" + content
    return len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def read_png_text(path: Place) -> dict[str, str]:
    """The texts that :func:`encode_png` put behind the header of a PNG; its pixels are not read.

    Raises
    ------
    StorageError
        when it cannot be read or is no PNG.
    """
    head = read_bytes(path, _MAX_HEAD)
    if not head.startswith(b"\x89PNG\r\n\x1a\n"):
        raise _damaged(path)
    texts, at = {}, _AFTER_HEADER
    while head[at + 4 : at + 8] == b"tEXt":
        length = int.from_bytes(head[at : at + 4], "big")
        key, _, value = head[at + 8 : at + 8 + length].decode("latin-1").partition("\0")
        texts[key] = value
        at += length + 12
    return texts


def _is_flat(array: NDArray[Any]) -> bool:
    rows = array[::8]
    return int(np.count_nonzero(rows[:, 1:] == rows[:, :-1])) > FLAT_FRAC * rows[:, 1:].size


def read_png_header(path: Place) -> tuple[tuple[int, int], int]:
    """Size (y, x) and bits per sample that the header of a PNG states; nothing is decoded.

    Raises
    ------
    StorageError
        when it cannot be read or is no PNG.
    """
    head = read_bytes(path, _HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(b"\x89PNG\r\n\x1a\n"):
        raise _damaged(path)
    width, height, bits = _HEADER.unpack(head)
    return (height, width), bits


def write_png(path: Place, array: NDArray[Any], text: Mapping[str, str] = _NO_TEXT, *, durable: bool = True) -> None:
    """Write an array as PNG, atomically; see :func:`encode_png`, and for ``durable`` :func:`write_bytes`."""
    write_bytes(path, encode_png(array, text), durable=durable)


def read_png(path: Place) -> NDArray[Any]:
    """Read a PNG that :func:`write_png` wrote.

    Raises
    ------
    StorageError
        when it cannot be read or is damaged.
    """
    import imagecodecs

    data = read_bytes(path)
    try:
        return np.asarray(imagecodecs.png_decode(data))
    except (imagecodecs.PngError, ValueError) as error:
        raise _damaged(path) from error


def _damaged(path: Place) -> StorageError:
    return StorageError("this PNG is damaged", where=path, todo="run the step that made it again")
