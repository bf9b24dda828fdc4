"""The pictures of a fingerprint as files beside it, and back again for the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.reporting.content import Illustration
from ercpseg.storage.atomic import read_bytes, write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

OVERVIEW, ATLAS = "fingerprint.png", "fingerprint-atlas.png"
CAPTIONS = {
    OVERVIEW: "The data in numbers: grey values, widths, lengths, contrast, field, series",
    ATLAS: "Where each structure lies in the frame",
}
"""File → what it shows."""


def write_fingerprint_pictures(
    folder: Path,
    fingerprint: Fingerprint,
    histograms: Mapping[str, NDArray[Any]],
    widths_px: Mapping[str, NDArray[Any]],
    atlas: Mapping[str, NDArray[Any]],
) -> None:
    """Draw a fingerprint into ``fingerprint.png`` and ``fingerprint-atlas.png`` of ``folder``.

    Parameters
    ----------
    folder
        where ``fingerprint.json`` lies.
    fingerprint
        what is drawn.
    histograms, widths_px, atlas
        see :mod:`ercpseg.reporting.fingerprint_overview` and :mod:`ercpseg.reporting.fingerprint_atlas`.

    Raises
    ------
    StorageError
        when they cannot be written.
    """
    from ercpseg.reporting.fingerprint_atlas import atlas_picture
    from ercpseg.reporting.fingerprint_overview import overview_picture

    write_bytes(folder / OVERVIEW, overview_picture(fingerprint, histograms, widths_px))
    write_bytes(folder / ATLAS, atlas_picture(fingerprint, atlas))


def read_fingerprint_pictures(folder: Path) -> tuple[Illustration, ...]:
    """The pictures beside a fingerprint with their captions; those that are not there are left out."""
    found = [name for name in CAPTIONS if (folder / name).is_file()]
    return tuple(Illustration(CAPTIONS[name], read_bytes(folder / name)) for name in found)
