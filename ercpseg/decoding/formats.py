"""One table of formats, and what may be asked of a file: its frames, one frame, a mask, its labels, its colours."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.reading import Listing, Picture, guarded
from ercpseg.decoding.sniff import Kind
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused


def listing(source: Source, kind: Kind, *, modality_lut: bool = False) -> Listing:
    """The frames that a file declares; looks at headers only.

    Raises
    ------
    InputRefused
        when the file as a whole cannot be used; nothing else.
    """
    return guarded(partial(_listing, source, kind, modality_lut=modality_lut))


def frame(file: Listing, number: int) -> Picture:
    """Decode one frame, from 0.

    Raises
    ------
    InputRefused
        for whatever is wrong with it; nothing else.
    """
    picture = guarded(partial(file.load, number))
    if picture.pixels.min() == picture.pixels.max():
        raise InputRefused("constant", f"all pixels are {int(picture.pixels.flat[0])}")
    return Picture(np.ascontiguousarray(picture.pixels), picture.bits, picture.notes)


def mask(source: Source, kind: Kind) -> NDArray[np.bool_]:
    """A mask (y, x): 0 is absent, anything else present."""
    from ercpseg.decoding import images

    return guarded(partial(images.read_mask, source, kind))


def labels(source: Source, kind: Kind) -> NDArray[Any]:
    """A label image (y, x) of stored integers."""
    from ercpseg.decoding import images

    return guarded(partial(images.read_labels, source, kind))


def colours(source: Source, kind: Kind) -> NDArray[np.uint8]:
    """A colour map (y, x, 3) as a viewer shows it."""
    from ercpseg.decoding import images

    return guarded(partial(images.read_colours, source, kind))


def _listing(source: Source, kind: Kind, *, modality_lut: bool) -> Listing:
    if kind == "dicom":
        from ercpseg.decoding import dicom

        return dicom.listing(source, modality_lut=modality_lut)
    if kind in ("nrrd", "nifti", "mha"):
        from ercpseg.decoding import volume

        return volume.listing(source)
    if kind == "video":
        from ercpseg.decoding import video

        return video.listing(source)
    from ercpseg.decoding import images

    return images.listing(source, kind)
