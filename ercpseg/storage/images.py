"""PNG files that we write and read back: canonical frames, masks, label images, overlays.

Foreign images come in through ``ercpseg.importers``; this room only handles the plain 8- and 16-bit PNG of our own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import StorageError
from ercpseg.storage.atomic import read_bytes, write_bytes

FAST = 1
"""zlib level: frames and masks are written once and read often; higher levels cost time for a few per cent."""


def encode_png(array: NDArray[Any]) -> bytes:
    """Encode (y, x) uint8/uint16/bool or (y, x, 3) uint8 as PNG. Booleans become 0 and 255."""
    import imagecodecs

    if array.dtype == np.bool_:
        array = array.view(np.uint8) * np.uint8(255)
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"cannot write {array.dtype} as PNG; expected bool, uint8 or uint16")
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(array), level=FAST))


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
        raise StorageError("this PNG is damaged", where=path, todo="run the step that made it again") from error
