"""Probabilities of one frame as a compressed NumPy archive."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from ercpseg.export.protocol import Result
from ercpseg.storage.atomic import place, write_bytes
from ercpseg.structures import StructureSet

LEVEL = 1
_DATE = (1980, 1, 1, 0, 0, 0)


class Npz:
    """``probabilities/<frame>.npz``: an array (y, x) float16 per structure, before thresholds and post-processing."""

    says = "probabilities before thresholds, float16, native size; numpy.load opens it"
    suffix = ".npz"
    needs_probabilities = True

    def folders(self, structures: StructureSet) -> tuple[str, ...]:
        """One."""
        return ("probabilities",)

    def write(self, output: Path, result: Result) -> None:
        """Write the archive; equal probabilities give equal bytes."""
        assert result.probabilities is not None  # noqa: S101 - asked for by needs_probabilities
        archive = io.BytesIO()
        # Not by numpy.savez, which stamps the time and takes no array called "file".
        with zipfile.ZipFile(archive, "w") as packed:
            for name, probabilities in zip(result.structures, result.probabilities, strict=True):
                array = io.BytesIO()
                np.lib.format.write_array(array, probabilities, allow_pickle=False)
                entry = zipfile.ZipInfo(f"{name}.npy", _DATE)
                packed.writestr(entry, array.getvalue(), zipfile.ZIP_DEFLATED, LEVEL)
        write_bytes(place(output, "probabilities", f"{result.frame.name}{self.suffix}"), archive.getvalue())
