"""GDCM in place of a codec that imagecodecs was built without (the extra ``gdcm``), by pydicom's plug-in for it.

Never a second opinion on damaged data: GDCM fills what is missing with memory of its own. So it is asked only where there
is no other decoder, after size and end of the stream were checked, and like all decoders in the limited child.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused


def decode(syntax: str, stream: bytes, shape: tuple[int, int, int], bits_allocated: int) -> NDArray[Any]:
    """Decode one grey frame of a compressed transfer syntax to (y, x), values as stored.

    Raises
    ------
    InputRefused
        ``unsupported-syntax`` when GDCM is not installed either, does not know the syntax, or the frame has colours, which
        each decoder treats its own way.
    Exception
        what GDCM throws at damaged data.
    """
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    height, width, channels = shape
    if decoder is None or channels != 1 or "gdcm" not in decoder.available_plugins:
        raise InputRefused("unsupported-syntax", "its codec is not installed; the extra ercpseg[gdcm] may bring it")
    header: dict[str, Any] = {
        "rows": height,
        "columns": width,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "number_of_frames": 1,
        "bits_allocated": bits_allocated,
        "bits_stored": bits_allocated,
        "pixel_representation": 0,
        "pixel_keyword": "PixelData",
    }
    decoded, _ = decoder.as_array(encapsulate([stream]), decoding_plugin="gdcm", raw=True, **header)
    return np.asarray(decoded)
