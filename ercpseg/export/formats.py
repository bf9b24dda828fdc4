"""The table of output formats: what ``--format`` may name."""

from __future__ import annotations

from ercpseg.errors import UsageError
from ercpseg.export.nifti import Nifti
from ercpseg.export.npz import Npz
from ercpseg.export.nrrd import SegNrrd
from ercpseg.export.png import Masks
from ercpseg.export.protocol import FrameFormat

ALWAYS = "png"
FORMATS: dict[str, FrameFormat] = {
    ALWAYS: Masks(),
    "seg-nrrd": SegNrrd(),
    "nifti": Nifti(),
    "npz": Npz(),
}
"""Name → format. ``png`` is always written, asked for or not."""


def chosen(text: str) -> tuple[str, ...]:
    """The formats that a comma-separated list names, in the order of the table.

    >>> chosen("png")
    ('png',)

    Raises
    ------
    UsageError
        for a name that is not in the table.
    """
    words = {word.strip() for word in text.split(",")}
    for word in sorted(words - set(FORMATS)):
        raise UsageError(f"unknown format {word[:16]!r}", where="--format", expected=", ".join(FORMATS))
    return tuple(name for name in FORMATS if name in words | {ALWAYS})
