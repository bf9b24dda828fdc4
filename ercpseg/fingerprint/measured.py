"""What one pass over a dataset has found: the input of the summary and of the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import FrameRecord
from ercpseg.fingerprint.frame import FrameContent, FrameMeasures
from ercpseg.fingerprint.intensity import IntensityMeasures
from ercpseg.fingerprint.structure import StructureMeasures


@dataclass(frozen=True)
class Measured:
    """Everything by frame name, so that neither threads nor the order of the records matter.

    ``records`` and ``contents`` are of all used frames, in one order, at least one. ``bitmask_counts`` (256,) counts the
    pixels of each bitmask value in all frames. ``structures`` holds the sample of each structure, ``grey`` that of the
    grey values, ``by_device`` the frames summarised of each device, ``device_grey`` their grey values, and ``devices``
    the device of every frame.
    """

    records: Sequence[FrameRecord]
    contents: Sequence[FrameContent]
    bitmask_counts: NDArray[np.int64]
    structures: Mapping[str, Sequence[tuple[StructureMeasures, FrameMeasures]]]
    grey: Sequence[IntensityMeasures]
    devices: Mapping[str, str]
    by_device: Mapping[str, Sequence[str]]
    device_grey: Mapping[str, IntensityMeasures]
