"""Where a spacing comes from, and which sources hold in the patient."""

from __future__ import annotations

from typing import Literal

SpacingSource = Literal["USER", "FIDUCIAL", "GEOMETRY", "ERMF", "DETECTOR", "UNKNOWN"]
IN_PATIENT: tuple[SpacingSource, ...] = ("USER", "FIDUCIAL", "GEOMETRY", "ERMF")
"""Sources of a spacing that holds in the patient. The others hold at the detector, or nobody knows where."""
