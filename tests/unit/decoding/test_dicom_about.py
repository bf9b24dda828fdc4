"""The facts beside the pixels: each field from the elements that state it, and None from those that do not."""

import numpy as np
import pytest

from ercpseg.decoding.dicom_values import tags
from ercpseg.frames.about import About
from tests.unit.decoding.conftest import items, ramp

CLASS = "1.2.840.10008.5.1.4.1.1."
CINE = np.stack([ramp(step=s) for s in (3, 5, 7, 9)])


def test_every_keyword_is_in_the_dictionary():
    assert 0 not in tags().vr


def test_a_bare_file_says_who_and_what_and_nothing_else(make_dicom, about):
    assert about(make_dicom(ramp())) == About(
        patient="PAT-7", study="1.2.3", series="1.2.3/1.2.3.1", instance="1.2.3.4", modality="XA"
    )


def test_absent_identities_are_none(make_dicom, about):
    path = make_dicom(ramp(), PatientID="", StudyInstanceUID="")
    facts = about(path)
    assert (facts.patient, facts.study, facts.series) == (None, None, "1.2.3.1")


@pytest.mark.parametrize(
    ("character_set", "patient"),
    [
        ("ISO_IR 100", "Jürgen-1"),
        ("ISO_IR 192", "患者-2"),
        (["", "ISO 2022 IR 87"], "患者-3"),
        ("ISO_IR 144", "Пациент"),
    ],
)
def test_patients_of_all_alphabets(make_dicom, about, character_set, patient, recwarn):
    path = make_dicom(ramp(), SpecificCharacterSet=character_set, PatientID=patient)
    recwarn.clear()
    assert about(path).patient == patient
    assert not list(recwarn)


def test_text_in_an_unknown_character_set_is_still_a_key(make_dicom, about, recwarn):
    path = make_dicom(ramp(), SpecificCharacterSet="ISO_IR 100", PatientID="Jürgen")
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"KOI-WRONG "))
    recwarn.clear()
    assert about(path).patient.startswith("J")
    assert not list(recwarn)


# -- when --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"StudyDate": "20240229"}, "2024-02-29"),
        ({"StudyDate": "20240229", "SeriesDate": "20240301"}, "2024-03-01"),
        ({"StudyDate": "20240229", "AcquisitionDateTime": "20240302101500.5"}, "2024-03-02"),
        ({"AcquisitionDateTime": "20240302101500.5", "AcquisitionDate": "20240303"}, "2024-03-03"),
        ({"StudyDate": "20230229"}, None),
        ({"StudyDate": "20241301"}, None),
        ({"StudyDate": "2024-01-01"}, None),
        ({"StudyDate": "1997.04.30"}, "1997-04-30"),
        ({"StudyDate": "19000101"}, None),
        ({"StudyDate": "00000000"}, None),
        ({"StudyDate": ""}, None),
        ({"StudyDate": "20240229", "AcquisitionDate": "99999999"}, "2024-02-29"),
        ({"AcquisitionDateTime": "2024"}, None),
    ],
)
def test_date(make_dicom, about, elements, expected):
    assert about(make_dicom(ramp(), **elements)).date == expected


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, ()),
        ({"AcquisitionNumber": "3", "InstanceNumber": "12"}, (3, 12)),
        ({"InstanceNumber": "12"}, (0, 12)),
        ({"AcquisitionNumber": "3"}, (3, 0)),
        ({"AcquisitionNumber": "", "InstanceNumber": ""}, ()),
        ({"InstanceNumber": "-2"}, (0, -2)),
    ],
)
def test_order(make_dicom, about, elements, expected):
    assert about(make_dicom(ramp(), **elements)).order == expected


# -- what --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        ("12.1", "XA"), ("12.1.1", "XA"), ("12.2", "RF"), ("12.2.1", "RF"), ("1", "CR"), ("1.1", "DX"), ("1.1.1", "DX"),
        ("7", "SC"), ("7.1", "SC"), ("7.2", "SC"), ("7.3", "SC"), ("7.4", "SC"), ("2", "other"), ("1.2", "other"),
        ("13.1.1", "other"), ("12", "other"),
    ],
)  # fmt: skip
def test_modality_by_class(make_dicom, about, uid, expected):
    assert about(make_dicom(ramp(), SOPClassUID=CLASS + uid, Modality="RF")).modality == expected


@pytest.mark.parametrize(
    ("uid", "modality", "expected"),
    [("1.2.3.99", "XA", "other"), ("", "RF", "RF"), ("", "CT", "other"), ("", "SC", "other"), ("", "", None)],
)
def test_modality_of_private_and_missing_classes(make_dicom, about, uid, modality, expected):
    assert about(make_dicom(ramp(), SOPClassUID=uid, Modality=modality)).modality == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("LIN", "LIN"), ("LOG", "LOG"), ("DISP", "DISP"), ("OTHER", None), ("", None)]
)
def test_intensity(make_dicom, about, value, expected):
    assert about(make_dicom(ramp(), PixelIntensityRelationship=value)).intensity == expected


@pytest.mark.parametrize(("value", "expected"), [("YES", True), ("NO", False), ("", None), ("MAYBE", None)])
def test_burned_in(make_dicom, about, value, expected):
    assert about(make_dicom(ramp(), BurnedInAnnotation=value)).burned_in is expected


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"MaskSubtractionSequence": items({"MaskOperation": "AVG_SUB", "MaskFrameNumbers": 1})}, True),
        ({"MaskSubtractionSequence": items({"MaskOperation": "NONE"}, {"MaskOperation": "TID"})}, True),
        ({"MaskSubtractionSequence": items({"MaskOperation": "NONE"})}, False),
        ({"MaskSubtractionSequence": items({})}, True),
        ({"MaskSubtractionSequence": []}, False),
        ({"RecommendedViewingMode": "SUB"}, True),
        ({"RecommendedViewingMode": "NAT"}, False),
        ({"ImageType": ["DERIVED", "PRIMARY", "SINGLE PLANE", "SUBTRACTION"]}, True),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]}, False),
    ],
)
def test_subtracted(make_dicom, about, elements, expected):
    assert about(make_dicom(ramp(), **elements)).subtracted is expected


def test_overlays_and_private_elements_are_counted(make_dicom, about):
    import pydicom

    path = make_dicom(ramp())
    data = pydicom.dcmread(path)
    for group in (0x6000, 0x601E):
        data.add_new((group, 0x0010), "US", 6)
        data.add_new((group, 0x3000), "OW", bytes(4))
    data.add_new((0x6004, 0x0010), "US", 6)  # declared, its bits are among those of the pixels
    data.add_new((0x5000, 0x0005), "US", 2)  # a curve
    data.add_new((0x6001, 0x0010), "LO", "PRIVATE")
    data.add_new((0x0009, 0x0010), "LO", "MAKER")
    data.add_new((0x0009, 0x1001), "LO", "something")
    data.save_as(path)
    assert (about(path).overlays, about(path).private_tags) == (3, 3)


def test_lossy_by_header_and_by_syntax(make_dicom, about):
    import imagecodecs

    def facts(syntax, **elements):
        stream = imagecodecs.jpegls_encode(ramp())
        return about(
            make_dicom([stream], shape=(6, 5), allocated=8, syntax="1.2.840.10008.1.2.4." + syntax, **elements)
        )

    assert about(make_dicom(ramp(), LossyImageCompression="01")).lossy
    assert not about(make_dicom(ramp(), LossyImageCompression="00")).lossy
    assert facts("81").lossy
    assert not facts("81", LossyImageCompression="00").lossy  # this syntax can do both
    assert not facts("80").lossy
    assert facts("80", LossyImageCompression="01").lossy  # lost earlier
    assert facts("50", LossyImageCompression="00").lossy  # this one cannot


# -- how fast ----------------------------------------------------------------------------------------------------------

TIME, VECTOR = 0x00181063, 0x00181065


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, (None, None)),
        ({"FrameIncrementPointer": TIME, "FrameTime": "66.6"}, (66.6, "FrameTime")),
        ({"FrameTime": "66.6"}, (66.6, "FrameTime")),
        ({"FrameIncrementPointer": VECTOR, "FrameTimeVector": ["0", "40", "50", "60"]}, (50.0, "FrameTimeVector")),
        ({"FrameTimeVector": ["0", "40", "50", "60"]}, (50.0, "FrameTimeVector")),  # nothing is named
        ({"FrameTime": "33", "FrameTimeVector": ["0", "40", "50", "60"]}, (33.0, "FrameTime")),
        ({"FrameIncrementPointer": VECTOR, "FrameTimeVector": ["0", "40"], "CineRate": "25"}, (40.0, "CineRate")),
        ({"FrameIncrementPointer": VECTOR, "FrameTimeVector": ["0", "40", "-5", "60"]}, (None, None)),
        ({"FrameIncrementPointer": VECTOR, "FrameTime": "66.6"}, (None, None)),
        ({"FrameIncrementPointer": 0x00200100, "FrameTime": "66.6"}, (None, None)),
        ({"FrameIncrementPointer": [0x00200100, TIME], "FrameTime": "66.6"}, (66.6, "FrameTime")),
        ({"FrameIncrementPointer": TIME, "FrameTime": "66", "CineRate": "25"}, (66.0, "FrameTime")),
        ({"FrameIncrementPointer": TIME, "FrameTime": "0", "CineRate": "25"}, (40.0, "CineRate")),
        ({"FrameTime": "-33"}, (None, None)),
        ({"CineRate": "8"}, (125.0, "CineRate")),
        ({"CineRate": "0", "RecommendedDisplayFrameRate": "20"}, (50.0, "RecommendedDisplayFrameRate")),
        ({"CineRate": "8", "RecommendedDisplayFrameRate": "20"}, (125.0, "CineRate")),
        ({"RecommendedDisplayFrameRate": "0"}, (None, None)),
        ({"CineRate": "1000000"}, (None, None)),
        ({"FrameTime": "1e9"}, (None, None)),
    ],
)
def test_frame_time(make_dicom, about, elements, expected):
    facts = about(make_dicom(CINE, frames=4, **elements))
    assert (facts.frame_time_ms, facts.time_source) == expected
    assert facts.spacing_mm is None  # never taken for millimetres


# -- shutter -----------------------------------------------------------------------------------------------------------

EDGES = (
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
)


def rectangle(left, right, upper, lower):
    return {"ShutterShape": "RECTANGULAR", **dict(zip(EDGES, (left, right, upper, lower), strict=True))}


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, None),
        (rectangle(3, 10, 2, 8), (1, 2, 8, 10)),  # rows 2 to 8 and columns 3 to 10, counted from 1
        (rectangle(0, 40, -5, 90), (0, 0, 20, 30)),
        (rectangle(10, 3, 2, 8), None),
        (rectangle(0, 0, 0, 0), None),
        ({"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 3}, None),
        (
            {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [10, 15], "RadiusOfCircularShutter": 5},
            (4, 9, 15, 20),
        ),
        ({"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [10, 15], "RadiusOfCircularShutter": 0}, None),
        ({"ShutterShape": "CIRCULAR", "RadiusOfCircularShutter": 5}, None),
        ({"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [2, 10, 18, 4, 18, 22]}, (1, 3, 18, 22)),
        ({"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [2, 10, 18, 4]}, None),
        ({"ShutterShape": "BITMAP"}, None),
    ],
)
def test_shutter(make_dicom, about, elements, expected):
    assert about(make_dicom(ramp(20, 30, step=1, dtype=np.uint16), **elements)).shutter == expected


def test_two_shutters_leave_what_both_leave(make_dicom, about):
    both = rectangle(3, 30, 2, 12) | {
        "ShutterShape": ["RECTANGULAR", "CIRCULAR"], "CenterOfCircularShutter": [10, 15], "RadiusOfCircularShutter": 5,
    }  # fmt: skip
    assert about(make_dicom(ramp(20, 30, step=1, dtype=np.uint16), **both)).shutter == (4, 9, 12, 20)
