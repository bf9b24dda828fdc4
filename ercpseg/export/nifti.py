"""NIfTI-1, one file per structure: a label map could not keep overlaps.

Source: nifti1.h. Written by hand for the same reason as NRRD.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from ercpseg.export.protocol import Result
from ercpseg.storage.atomic import place, write_bytes
from ercpseg.structures import Mask, StructureSet

LEVEL = 4
_UINT8, _MM, _SCANNER = 2, 2, 1
_HEADER = struct.Struct("<i36x8h14xhhh8ffff2xBB24x80s24xhh6f12f16s4s")


class Nifti:
    """``nifti/<structure>/<frame>.nii.gz``: 0 or 1, one slice."""

    says = "masks as NIfTI, 0 or 1, one per structure, for ITK-SNAP and the like"
    suffix = ".nii.gz"
    needs_probabilities = False

    def folders(self, structures: StructureSet) -> tuple[str, ...]:
        """One per structure."""
        return tuple(f"nifti/{name}" for name in structures)

    def write(self, output: Path, result: Result) -> None:
        """Write the files."""
        about = result.frame.about
        where = "unknown: a pixel is 1" if about.spacing_mm is None else str(about.spacing_source)
        for name, mask in result.masks.items():
            data = encode(mask, about.spacing_mm, f"ercpseg {name}; spacing {where}")
            write_bytes(place(output, "nifti", name, f"{result.frame.name}{self.suffix}"), data)


def encode(mask: Mask, spacing_mm: tuple[float, float] | None, description: str) -> bytes:
    """A mask (y, x) as a packed file of one slice; equal input gives equal bytes.

    Without a spacing a pixel is 1 of an unknown unit. Directions are those that ITK gives a picture without a position (x to
    the left, y to the back), which is what viewers give the frame itself; NIfTI counts to the right and to the front.
    """
    height, width = mask.shape
    y_mm, x_mm = spacing_mm or (1.0, 1.0)
    affine = (-x_mm, 0, 0, 0, 0, -y_mm, 0, 0, 0, 0, 1, 0)
    header = _HEADER.pack(
        348,
        *(3, width, height, 1, 1, 1, 1, 1),
        *(_UINT8, 8, 0),
        *(1, x_mm, y_mm, 1, 0, 0, 0, 0),
        *(352, 1, 0),
        *(0, 0 if spacing_mm is None else _MM),
        description.encode("ascii")[:79],
        *(_SCANNER, _SCANNER),
        *(0, 0, 1, 0, 0, 0),
        *affine,
        b"",
        b"n+1\0",
    )
    return gzip.compress(header + bytes(4) + mask.astype(np.uint8).tobytes(), LEVEL, mtime=0)
