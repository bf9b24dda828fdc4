"""The size of a pixel in millimetres, with where it comes from: calibrated, corrected for magnification, or neither.

Everything lies on a cone between source and detector, so it is projected larger than it is. A spacing at the detector
measures too much in the patient, by about 1.3 in cholangiography. PS3.3 10.7.1 says how the two are told apart.
"""

from __future__ import annotations

from ercpseg.decoding.dicom_values import Values
from ercpseg.spacing import SpacingSource

Pair = tuple[float, float]

EQUAL = 0.001
"""Relative difference below which two spacings are the same number, rounded differently."""
AGREE = 0.02
"""Relative difference that the magnifications along y and x may have: it is one cone."""
MAX_MAGNIFICATION = 10.0


def spacing(values: Values) -> tuple[Pair | None, SpacingSource | None]:
    """The spacing (y, x) of a file and its source; both None when the file says nothing, or it differs by frame.

    Of Enhanced XA, the spacing at the object (PS3.3 C.8.19.6.9) stands for PixelSpacing calibrated by geometry, and the
    isocentre for the place of the patient. A film's scanned spacing stands for the detector's.
    """
    if values.mixed("PixelSpacing", "ImagerPixelSpacing", "ObjectPixelSpacingInCenterOfBeam"):
        return None, None
    at_object = values.pair("ObjectPixelSpacingInCenterOfBeam")
    detector = values.pair("ImagerPixelSpacing") or values.pair("NominalScannedPixelSpacing")
    calibration = "GEOMETRY" if at_object else values.word("PixelSpacingCalibrationType")
    return ladder(at_object or values.pair("PixelSpacing"), detector, calibration, magnification(values))


def magnification(values: Values) -> float | None:
    """How much larger than life the header says the projection is: stated, else from the distances; None if not told."""
    told = values.number("EstimatedRadiographicMagnificationFactor")
    if told is not None and 1 < told <= MAX_MAGNIFICATION:
        return told
    detector = values.number("DistanceSourceToDetector")
    patient = values.number("DistanceSourceToPatient") or values.number("DistanceSourceToIsocenter")
    if detector is None or not patient or patient <= 0:
        return None
    return detector / patient if 1 < detector / patient <= MAX_MAGNIFICATION else None


def ladder(
    pixel: Pair | None, detector: Pair | None, calibration: str | None, magnified: float | None
) -> tuple[Pair | None, SpacingSource | None]:
    """The best spacing that a header supports, and how far it can be trusted. Never a default.

    Parameters
    ----------
    pixel, detector
        PixelSpacing, which may be in the patient, and ImagerPixelSpacing, which is not; (y, x) in mm.
    calibration
        PixelSpacingCalibrationType.
    magnified
        Ratio of the distances from the source to the detector and to the patient, more than 1.

    Notes
    -----
    A PixelSpacing larger than the detector's would be behind the detector: it is dropped, and what remains is not
    corrected, since the header contradicts itself. One that shrinks y and x differently is kept as ``UNKNOWN``.

    Examples
    --------
    >>> ladder((0.2, 0.2), (0.3, 0.3), None, None), ladder((0.3, 0.3), (0.3, 0.3), None, None)
    (((0.2, 0.2), 'GEOMETRY'), ((0.3, 0.3), 'DETECTOR'))
    >>> ladder(None, (0.3, 0.3), None, 2.0), ladder((0.2, 0.2), None, None, 1.5)
    (((0.15, 0.15), 'ERMF'), ((0.2, 0.2), 'UNKNOWN'))
    """
    ratios = tuple(d / p for d, p in zip(detector, pixel, strict=True)) if pixel and detector else None
    if ratios and min(ratios) < 1 - EQUAL:
        return detector, "DETECTOR"
    if pixel and calibration == "FIDUCIAL":
        return pixel, "FIDUCIAL"
    if pixel and calibration == "GEOMETRY":
        return pixel, "GEOMETRY"
    if ratios and max(ratios) > 1 + EQUAL:
        one_cone = max(ratios) <= min(MAX_MAGNIFICATION, min(ratios) * (1 + AGREE))
        return pixel, "GEOMETRY" if one_cone else "UNKNOWN"
    if detector and magnified:
        return (detector[0] / magnified, detector[1] / magnified), "ERMF"
    if detector:
        return detector, "DETECTOR"
    return (pixel, "UNKNOWN") if pixel else (None, None)
