"""Spacing with its provenance: every rung of the ladder, and what must never come out."""

import itertools

import numpy as np
import pytest

from ercpseg.decoding.dicom_spacing import ladder
from tests.unit.decoding.conftest import items, ramp

P, D = (0.2, 0.25), (0.3, 0.375)


@pytest.mark.parametrize(
    ("pixel", "detector", "calibration", "magnified", "expected"),
    [
        (None, None, None, None, (None, None)),
        (None, None, None, 1.5, (None, None)),
        (None, None, "FIDUCIAL", None, (None, None)),
        (P, None, None, None, (P, "UNKNOWN")),
        (P, None, None, 1.5, (P, "UNKNOWN")),
        (P, None, "SOMETHING", None, (P, "UNKNOWN")),
        (P, None, "FIDUCIAL", None, (P, "FIDUCIAL")),
        (P, None, "GEOMETRY", None, (P, "GEOMETRY")),
        (P, D, None, None, (P, "GEOMETRY")),
        (P, D, "FIDUCIAL", None, (P, "FIDUCIAL")),
        (D, D, "GEOMETRY", None, (D, "GEOMETRY")),
        (D, D, None, None, (D, "DETECTOR")),
        ((0.3001, 0.3751), D, None, None, (D, "DETECTOR")),  # the same, rounded
        ((0.2999, 0.3749), D, None, None, (D, "DETECTOR")),
        (D, D, None, 1.5, ((0.2, 0.25), "ERMF")),
        (None, D, None, 1.5, ((0.2, 0.25), "ERMF")),
        (None, D, None, None, (D, "DETECTOR")),
        # larger than at the detector: impossible, so the detector's, uncorrected even where the header has a factor
        ((0.4, 0.5), D, None, None, (D, "DETECTOR")),
        ((0.4, 0.5), D, "FIDUCIAL", 1.5, (D, "DETECTOR")),
        ((0.2, 0.4), D, None, None, (D, "DETECTOR")),
        # y and x shrink differently, or out of all proportion: kept, but not believed
        ((0.2, 0.3), D, None, None, ((0.2, 0.3), "UNKNOWN")),
        ((0.2, 0.375), D, None, None, ((0.2, 0.375), "UNKNOWN")),
        ((0.003, 0.00375), D, None, None, ((0.003, 0.00375), "UNKNOWN")),
        ((0.2, 0.3), D, "FIDUCIAL", None, ((0.2, 0.3), "FIDUCIAL")),
    ],
)
def test_ladder(pixel, detector, calibration, magnified, expected):
    spacing, source = ladder(pixel, detector, calibration, magnified)
    assert source == expected[1]
    assert spacing == (pytest.approx(expected[0], abs=1e-9) if expected[0] else None)


def test_nothing_is_invented():
    """Whatever the header says, the result is a number that the header holds, or one divided by the other."""
    for pixel, detector, calibration, magnified in itertools.product(
        (None, P, D, (0.4, 0.1)), (None, D), (None, "FIDUCIAL", "GEOMETRY"), (None, 1.5)
    ):
        spacing, source = ladder(pixel, detector, calibration, magnified)
        assert (spacing is None) == (source is None)
        if spacing is not None:
            stated = [value for value in (pixel, detector) if value]
            assert spacing in stated or (source == "ERMF" and detector and spacing[0] == detector[0] / 1.5)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PixelSpacing": ["0.2", "0.25"], "ImagerPixelSpacing": ["0.4", "0.5"]}, ((0.2, 0.25), "GEOMETRY")),
        ({"PixelSpacing": ["0.2", "0.25"], "PixelSpacingCalibrationType": "FIDUCIAL"}, ((0.2, 0.25), "FIDUCIAL")),
        ({"PixelSpacing": ["0.2", "0.25"]}, ((0.2, 0.25), "UNKNOWN")),
        ({"PixelSpacing": ["0", "0"], "PixelSpacingCalibrationType": "FIDUCIAL"}, (None, None)),
        ({"PixelSpacing": ["-0.2", "0.2"], "PixelSpacingCalibrationType": "FIDUCIAL"}, (None, None)),
        ({"PixelSpacing": ["0.2"], "PixelSpacingCalibrationType": "FIDUCIAL"}, (None, None)),
        ({"PixelSpacing": ["nan", "nan"], "PixelSpacingCalibrationType": "FIDUCIAL"}, (None, None)),
        ({"ImagerPixelSpacing": ["0.3", "0.3"]}, ((0.3, 0.3), "DETECTOR")),
        ({"NominalScannedPixelSpacing": ["0.3", "0.3"]}, ((0.3, 0.3), "DETECTOR")),
        ({"NominalScannedPixelSpacing": ["0.3", "0.3"], "PixelSpacing": ["0.2", "0.2"]}, ((0.2, 0.2), "GEOMETRY")),
        (
            {"ImagerPixelSpacing": ["0.3", "0.3"], "EstimatedRadiographicMagnificationFactor": "1.5"},
            ((0.2, 0.2), "ERMF"),
        ),
        (
            {"ImagerPixelSpacing": ["0.3", "0.3"], "EstimatedRadiographicMagnificationFactor": "1"},
            ((0.3, 0.3), "DETECTOR"),
        ),
        (
            {
                "ImagerPixelSpacing": ["0.3", "0.3"],
                "DistanceSourceToDetector": "1200",
                "DistanceSourceToPatient": "800",
            },
            ((0.2, 0.2), "ERMF"),
        ),
        (
            {
                "ImagerPixelSpacing": ["0.3", "0.3"],
                "DistanceSourceToDetector": "800",
                "DistanceSourceToPatient": "1200",
            },
            ((0.3, 0.3), "DETECTOR"),
        ),
        (
            {"ImagerPixelSpacing": ["0.3", "0.3"], "DistanceSourceToDetector": "1000", "DistanceSourceToPatient": "0"},
            ((0.3, 0.3), "DETECTOR"),
        ),
        ({"DistanceSourceToDetector": "1200", "DistanceSourceToPatient": "800"}, (None, None)),
        ({"FrameTime": "66", "PixelAspectRatio": [1, 1]}, (None, None)),
        ({"PixelAspectRatio": [4, 3]}, (None, None)),
    ],
)
def test_spacing_of_a_file(make_dicom, about, elements, expected):
    facts = about(make_dicom(ramp(), **elements))
    assert facts.spacing_source == expected[1]
    assert facts.spacing_mm == (pytest.approx(expected[0]) if expected[0] else None)
    assert (facts.spacing_in_patient_mm is not None) == (expected[1] in ("FIDUCIAL", "GEOMETRY", "ERMF"))


def test_pixels_that_are_not_square_without_a_spacing_are_told(make_dicom, one):
    assert one(make_dicom(ramp(), PixelAspectRatio=[4, 3])).notes == ("pixels are not square: 4 high, 3 wide",)
    assert one(make_dicom(ramp(), PixelAspectRatio=[4, 3], PixelSpacing=["0.4", "0.3"])).notes == ()
    assert one(make_dicom(ramp(), PixelAspectRatio=[1, 1])).notes == ()


# -- functional groups of Enhanced XA ----------------------------------------------------------------------------------

CINE = np.stack([ramp(step=s) for s in (3, 5, 7)])
ENHANCED = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.1.1", "frames": 3}


def properties(spacing):
    return {"FramePixelDataPropertiesSequence": [{"ImagerPixelSpacing": spacing}]}


def geometry(detector, isocentre):
    return {"XRayGeometrySequence": [{"DistanceSourceToDetector": detector, "DistanceSourceToIsocenter": isocentre}]}


def at_object(spacing):
    return {"ProjectionPixelCalibrationSequence": [{"ObjectPixelSpacingInCenterOfBeam": spacing}]}


@pytest.mark.parametrize(
    ("shared", "frames", "expected"),
    [
        (properties(["0.3", "0.3"]), [{}] * 3, ((0.3, 0.3), "DETECTOR")),
        ({}, [properties(["0.3", "0.3"])] * 3, ((0.3, 0.3), "DETECTOR")),
        (properties(["0.3", "0.3"]) | geometry("1200", 800), [{}] * 3, ((0.2, 0.2), "ERMF")),
        (properties(["0.3", "0.3"]), [geometry("1200", 800)] * 3, ((0.2, 0.2), "ERMF")),
        (properties(["0.3", "0.3"]), [geometry("1200", 800)] * 2 + [geometry("1100", 800)], ((0.3, 0.3), "DETECTOR")),
        (properties(["0.3", "0.3"]) | at_object([0.25, 0.25]), [{}] * 3, ((0.25, 0.25), "GEOMETRY")),
        (properties(["0.3", "0.3"]), [at_object([0.25, 0.25])] * 3, ((0.25, 0.25), "GEOMETRY")),
        ({}, [at_object([0.25, 0.25])] * 3, ((0.25, 0.25), "GEOMETRY")),
        (properties(["0.3", "0.3"]), [at_object([0.25, 0.25])] * 2 + [at_object([0.24, 0.24])], (None, None)),
        (properties(["0.3", "0.3"]), [at_object([0.25, 0.25])] * 2 + [{}], (None, None)),
        ({"PixelMeasuresSequence": [{"PixelSpacing": ["0.2", "0.25"]}]}, [{}] * 3, ((0.2, 0.25), "UNKNOWN")),
        # the same tags elsewhere in the groups mean something else
        ({"ReferencedImageSequence": [{"ImagerPixelSpacing": ["0.3", "0.3"]}]}, [{}] * 3, (None, None)),
    ],
)
@pytest.mark.parametrize("undefined", [True, False])
def test_spacing_of_functional_groups(make_dicom, about, one, read, shared, frames, expected, undefined):
    shared_groups, frame_groups = items(shared), items(*frames)
    path = make_dicom(
        CINE, **ENHANCED, SharedFunctionalGroupsSequence=shared_groups, PerFrameFunctionalGroupsSequence=frame_groups
    )
    if undefined:
        import pydicom

        data = pydicom.dcmread(path)
        for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
            data[keyword].is_undefined_length = True
            for item in data[keyword].value:
                item.is_undefined_length_sequence_item = True
                for element in item:
                    element.is_undefined_length = True
        data.save_as(path)
    facts = about(path)
    assert (facts.modality, facts.spacing_source) == ("XA", expected[1])
    assert facts.spacing_mm == (pytest.approx(expected[0]) if expected[0] else None)
    told = {note for frame in read(path) for note in frame.notes}
    mixed = expected == (None, None) and any("Projection" in key for frame in frames for key in frame)
    assert told == ({"the spacing differs from frame to frame, so it is unknown"} if mixed else set())


def test_shutter_of_functional_groups(make_dicom, about):
    def shut(left):
        edges = {"ShutterRightVerticalEdge": 4, "ShutterUpperHorizontalEdge": 1, "ShutterLowerHorizontalEdge": 6}
        return {
            "FrameDisplayShutterSequence": [{"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": left, **edges}]
        }

    def shutter(*groups):
        return about(make_dicom(CINE, **ENHANCED, PerFrameFunctionalGroupsSequence=items(*groups))).shutter

    assert shutter(shut(2), shut(2), shut(2)) == (0, 1, 6, 4)
    assert shutter(shut(2), shut(3), shut(2)) is None
