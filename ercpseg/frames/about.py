"""What a file says about its frames beside the pixels: who, when, how large, and what may give a person away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ercpseg.spacing import IN_PATIENT, SpacingSource

TimeSource = Literal["FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate", "file", "descriptor"]
Modality = Literal["XA", "RF", "CR", "DX", "SC", "other"]
Intensity = Literal["LIN", "LOG", "DISP"]


@dataclass(frozen=True)
class About:
    """Facts of one file, all optional: None is "the file does not say", never a guess.

    ``patient``, ``study``, ``series``, ``instance`` and ``date`` are text of the file: they stay in the private table
    and are never printed. Everything else is a number, a flag or a word of a fixed list.
    """

    patient: str | None = None
    study: str | None = None
    series: str | None = None
    instance: str | None = None
    """Identifies the file wherever it is copied to (DICOM SOPInstanceUID)."""
    date: str | None = None
    """Day of the acquisition or study, ``YYYY-MM-DD``."""
    order: tuple[int, ...] = ()
    """Place within the series: (acquisition number, instance number) where the file has them."""
    modality: Modality | None = None
    spacing_mm: tuple[float, float] | None = None
    """(y, x), together with ``spacing_source``; holds in the patient only when the source is one of :data:`IN_PATIENT`."""
    spacing_source: SpacingSource | None = None
    frame_time_ms: float | None = None
    """Mean time from frame to frame."""
    time_source: TimeSource | None = None
    intensity: Intensity | None = None
    """PixelIntensityRelationship: linear, logarithmic or display values."""
    lossy: bool = False
    """Compressed with loss, now or at any time before."""
    burned_in: bool | None = None
    """BurnedInAnnotation of the header; None when it does not say."""
    overlays: int = 0
    """Overlay planes. They are never drawn into the frame, and may hold a name."""
    private_tags: int = 0
    shutter: tuple[int, int, int, int] | None = None
    """Exposed rectangle (top, left, bottom, right) in pixels, bottom and right exclusive."""
    subtracted: bool = False
    """A subtracted (DSA) run."""
    device: str | None = None
    """Tells X-ray devices apart: a hash of maker, model and detector, never their text."""

    @property
    def spacing_in_patient_mm(self) -> tuple[float, float] | None:
        """The spacing (y, x) where it holds in the patient, else None."""
        return self.spacing_mm if self.spacing_source in IN_PATIENT else None
