"""PNG files that we write and read back: canonical frames, masks, label images, overlays.

Foreign images come in through ``ercpseg.importers``; this room only handles the plain 8- and 16-bit PNG of our own.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import StorageError
from ercpseg.storage.atomic import read_bytes, write_bytes

FAST = 1
"""zlib level: frames and masks are written once and read often; higher levels cost time for a few per cent."""
FLAT_FRAC = 0.9
"""Share of pixels equal to their left neighbour from which an image counts as drawn (a mask), not as recorded."""

_HEADER = struct.Struct(">16xIIB")


def encode_png(array: NDArray[Any]) -> bytes:
    """Encode (y, x) uint8/uint16/bool or (y, x, 3) uint8 as PNG. Booleans become 0 and 255."""
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
    return bytes(png_encode(array, level=FAST, filter=filtering, strategy=strategy))


def _is_flat(array: NDArray[Any]) -> bool:
    rows = array[::8]
    return int(np.count_nonzero(rows[:, 1:] == rows[:, :-1])) > FLAT_FRAC * rows[:, 1:].size


def read_png_header(path: Path) -> tuple[tuple[int, int], int]:
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


def write_png(path: Path, array: NDArray[Any]) -> None:
    """Write an array as PNG, atomically; see :func:`encode_png`."""
    write_bytes(path, encode_png(array))


def read_png(path: Path) -> NDArray[Any]:
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


def _damaged(path: Path) -> StorageError:
    return StorageError("this PNG is damaged", where=path, todo="run the step that made it again")
