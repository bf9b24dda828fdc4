"""The facts of a DICOM file beside its pixels: who, when, which run, how fast, what is covered or hidden."""

from __future__ import annotations

import datetime
import hashlib
import math
from typing import get_args

from ercpseg.decoding.dicom_spacing import spacing
from ercpseg.decoding.dicom_values import Values
from ercpseg.frames.about import About, Intensity, Modality, TimeSource

_CLASSES = "1.2.840.10008.5.1.4.1.1."
MODALITIES: dict[str, Modality] = {
    "12.1": "XA", "12.1.1": "XA", "12.3": "XA",
    "12.2": "RF", "12.2.1": "RF",
    "1": "CR",
    "1.1": "DX", "1.1.1": "DX",
    "7": "SC", "7.1": "SC", "7.2": "SC", "7.3": "SC", "7.4": "SC",
}  # fmt: skip
"""SOP class below 1.2.840.10008.5.1.4.1.1 → kind of image (PS3.4 B.5; 12.3 is the retired biplane XA)."""
SHORTEST_MS, LONGEST_MS = 1.0, 60_000.0
"""Times from frame to frame that are believed."""
_SUBTRACTED = {"SUBTRACTION", "SUBTRACTED", "DSA"}
Box = tuple[int, int, int, int]


def about(values: Values, frames: int, rows: int, columns: int) -> About:
    """Everything but ``lossy`` by compression: the transfer syntax is not in the data set."""
    spacing_mm, spacing_source = spacing(values)
    time_ms, time_source = frame_time(values, frames)
    uids = [values.text("StudyInstanceUID"), values.text("SeriesInstanceUID")]
    relation = values.word("PixelIntensityRelationship")
    return About(
        patient=values.text("PatientID"),
        study=uids[0],
        series="/".join(uid for uid in uids if uid) or None,
        instance=values.text("SOPInstanceUID"),
        date=date(values),
        order=order(values),
        modality=modality(values),
        spacing_mm=spacing_mm,
        spacing_source=spacing_source,
        frame_time_ms=time_ms,
        time_source=time_source,
        intensity=relation if relation in get_args(Intensity) else None,  # type: ignore[arg-type]
        lossy=values.word("LossyImageCompression") == "01",
        burned_in={"YES": True, "NO": False}.get(values.word("BurnedInAnnotation") or ""),
        overlays=len(values.elements.overlays),
        private_tags=values.elements.private,
        shutter=shutter(values, rows, columns),
        subtracted=subtracted(values),
        device=device(values),
    )


def device(values: Values) -> str | None:
    """16 hexadecimal digits that are the same for files of one X-ray device; None when the header names none.

    A hash, because the text may name a hospital's machine: the fingerprint needs to know which frames belong together,
    not what the machine is called.
    """
    named = [values.word(keyword) or "" for keyword in ("Manufacturer", "ManufacturerModelName", "DetectorID")]
    return hashlib.sha256("\0".join(named).encode()).hexdigest()[:16] if any(named) else None


def modality(values: Values) -> Modality | None:
    """By SOP class; by the Modality element only where an old file has no class."""
    uid = values.text("SOPClassUID")
    if uid is not None:
        return MODALITIES.get(uid.removeprefix(_CLASSES), "other") if uid.startswith(_CLASSES) else "other"
    word = values.word("Modality")
    return None if word is None else word if word in ("XA", "RF", "CR", "DX") else "other"  # type: ignore[return-value]


def date(values: Values) -> str | None:
    """The day of the acquisition, else of the series, else of the study, ``YYYY-MM-DD``.

    What is no day of the calendar is passed over, and so are years up to 1900: those are placeholders.
    """
    for keyword in ("AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "StudyDate"):
        text = (values.word(keyword) or "")[: 8 if keyword.endswith("Time") else None]
        text = text.replace(".", "") if len(text) == 10 else text  # as written before 1993 (PS3.5 6.2, DA)
        if len(text) == 8 and text.isascii() and text.isdigit():
            try:
                day = datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))
            except ValueError:
                continue
            if day.year > 1900:
                return day.isoformat()
    return None


def order(values: Values) -> tuple[int, ...]:
    """(acquisition number, instance number), 0 where only the other is there; empty when neither is."""
    acquisition, instance = values.integer("AcquisitionNumber"), values.integer("InstanceNumber")
    return () if acquisition is None and instance is None else (acquisition or 0, instance or 0)


def frame_time(values: Values, frames: int) -> tuple[float | None, TimeSource | None]:
    """Mean milliseconds from frame to frame, and which element says so (PS3.3 C.7.6.5).

    The element that FrameIncrementPointer names comes first; where it names none, FrameTime and FrameTimeVector count too. The
    first increment of a vector belongs to the first frame and is 0.
    """
    found: list[tuple[float | None, TimeSource]] = []
    unnamed = not values.raw("FrameIncrementPointer")
    if unnamed:
        found.append((values.number("FrameTime"), "FrameTime"))
    if unnamed or values.points_to("FrameIncrementPointer", "FrameTimeVector"):
        vector = values.numbers("FrameTimeVector")
        whole = len(vector) == frames > 1 and min(vector) >= 0
        found.append((sum(vector[1:]) / (frames - 1) if whole else None, "FrameTimeVector"))
    elif values.points_to("FrameIncrementPointer", "FrameTime"):
        found.append((values.number("FrameTime"), "FrameTime"))
    rates: tuple[TimeSource, ...] = ("CineRate", "RecommendedDisplayFrameRate")
    for name in rates:
        rate = values.number(name)
        found.append((1000 / rate if rate and rate > 0 else None, name))
    for time_ms, source in found:
        if time_ms is not None and SHORTEST_MS <= time_ms <= LONGEST_MS:
            return time_ms, source
    return None, None


def subtracted(values: Values) -> bool:
    """Whether the run is meant to be seen subtracted (PS3.3 C.7.6.10), or was stored so."""
    operations = [raw.data.strip(b" \0") for raw in values.inside("MaskOperation")]
    masked = values.items("MaskSubtractionSequence") > 0 and (not operations or any(o != b"NONE" for o in operations))
    stored = not _SUBTRACTED.isdisjoint(values.texts("ImageType"))
    return masked or stored or values.word("RecommendedViewingMode") == "SUB"


def shutter(values: Values, rows: int, columns: int) -> Box | None:
    """The exposed rectangle (top, left, bottom, right) in pixels from 0, bottom and right exclusive.

    PS3.3 C.7.6.11: rows and columns are counted from 1, edges are within; several shapes leave what all of them leave.
    Circles and polygons become the rectangle around them. None when there is no shutter, it makes no sense, or it
    differs from frame to frame.
    """
    shapes = set(values.texts("ShutterShape")) & {"RECTANGULAR", "CIRCULAR", "POLYGONAL"}
    if not shapes:
        return None
    top, left, bottom, right = 0, 0, rows, columns
    for shape in shapes:
        edges = _edges(values, shape)
        if edges is None:
            return None
        top, left = max(top, math.floor(edges[0]) - 1), max(left, math.floor(edges[1]) - 1)
        bottom, right = min(bottom, math.ceil(edges[2])), min(right, math.ceil(edges[3]))
    return (top, left, bottom, right) if top < bottom and left < right else None


def _edges(values: Values, shape: str) -> tuple[float, float, float, float] | None:
    """First and last row and column of one shape, from 1: (top, left, bottom, right)."""
    if shape == "RECTANGULAR":
        names = ("UpperHorizontal", "LeftVertical", "LowerHorizontal", "RightVertical")
        edges = [values.number(f"Shutter{name}Edge") for name in names]
        top, left, bottom, right = edges
        return None if top is None or left is None or bottom is None or right is None else (top, left, bottom, right)
    if shape == "CIRCULAR":
        centre, radius = values.numbers("CenterOfCircularShutter"), values.number("RadiusOfCircularShutter")
        if len(centre) != 2 or radius is None or radius <= 0:
            return None
        y, x = centre
        return y - radius, x - radius, y + radius, x + radius
    vertices = values.numbers("VerticesOfThePolygonalShutter")
    if len(vertices) < 6 or len(vertices) % 2:
        return None
    return min(vertices[::2]), min(vertices[1::2]), max(vertices[::2]), max(vertices[1::2])
