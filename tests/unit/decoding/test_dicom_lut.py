"""The Modality LUT, applied only on request and with the polarity kept, and colour palettes."""

import numpy as np
import pytest

from ercpseg.decoding.dicom_lut import ModalityLut
from ercpseg.decoding.grey import EQUAL
from tests.unit.decoding.conftest import items, ramp
from tests.unit.decoding.test_dicom import BIG_ENDIAN, JPEG, RLE, rle

XA, CR, SC = ("1.2.840.10008.5.1.4.1.1." + uid for uid in ("12.1", "1", "7"))
STORED = ramp(dtype=np.uint16, step=33)  # 0 to 957


def lut(entries, first=0, bits=16):
    data = np.asarray(entries, "<u2")
    item = {"LUTDescriptor": [len(data) % 65536, first, bits], "LUTData": data.tobytes()}
    return {"ModalityLUTSequence": items(item)}


# -- modality ----------------------------------------------------------------------------------------------------------


def test_stored_values_are_kept_unless_a_descriptor_says_otherwise(make_dicom, one):
    path = make_dicom(STORED, stored=12, RescaleSlope="2", RescaleIntercept="100")
    frame = one(path)
    assert (frame.pixels == STORED).all()
    assert (frame.bits, frame.notes) == (12, ("modality LUT not applied",))
    frame = one(path, modality_lut=True)
    assert (frame.pixels == STORED * 2 + 100).all()
    assert (frame.bits, frame.notes) == (16, ("rescale applied",))


def test_a_rescale_that_changes_nothing_is_not_worth_a_note(make_dicom, one):
    path = make_dicom(STORED, stored=12, RescaleSlope="1.0", RescaleIntercept="0")
    assert one(path).notes == ()
    assert (one(path, modality_lut=True).pixels == STORED).all()


@pytest.mark.parametrize(
    ("slope", "intercept", "expected", "said"),
    [
        ("1", "-1000", STORED.astype(int) - 1000 + 32768, "shifted by 32768"),
        ("10", "0", STORED * 10, "rescale applied"),
        # 0.5 × 0…4095 stretched over 16 bits: 65535 / 4095 per step
        ("0.5", "7", np.rint(STORED * (65535 / 4095)), "stretched"),
        ("100", "0", np.rint(STORED * (65535 / 4095)), "stretched"),
        ("1e-30", "0", np.rint(STORED * (65535 / 4095)), "stretched"),
    ],
)
def test_rescaled_values_fit_into_16_bits(make_dicom, one, slope, intercept, expected, said):
    frame = one(make_dicom(STORED, stored=12, RescaleSlope=slope, RescaleIntercept=intercept), modality_lut=True)
    assert (frame.pixels == expected).all()
    assert frame.pixels.dtype == np.uint16
    assert said in frame.notes[0]


def test_signed_values_are_rescaled_as_signed(make_dicom, one):
    values = np.array([[-2048, -1], [0, 2047]], np.int16)
    path = make_dicom(values & np.int16(0x0FFF), stored=12, signed=True, RescaleSlope="1", RescaleIntercept="3000")
    assert one(path, modality_lut=True).pixels.tolist() == [[952, 2999], [3000, 5047]]


@pytest.mark.parametrize("slope", [0.1, 1.0, 3.7, 1e-9, 1e9, -0.3])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_no_two_stored_values_become_one(slope, bits, signed):
    table, _, _ = ModalityLut(slope, -1.5).table(bits, signed=signed)
    assert len(np.unique(table)) == 2**bits
    assert (np.sign(np.diff(table.astype(int))) == np.sign(slope)).all()


def test_the_table_begins_at_its_first_value_and_its_ends_hold_beyond(make_dicom, one):
    entries = [500, 400, 450, 4000]
    path = make_dicom(np.arange(8, dtype=np.uint16).reshape(2, 4), stored=12, **lut(entries, first=2, bits=12))
    assert one(path).pixels.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    frame = one(path, modality_lut=True)
    assert frame.pixels.tolist() == [[500, 500, 500, 400], [450, 4000, 4000, 4000]]
    assert (frame.bits, frame.notes) == (12, ("modality LUT applied",))


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]
)  # the first does not say what is signed
def test_a_table_over_signed_values(make_dicom, one, syntax):
    values = np.array([[-3, -2, -1, 0]], np.int16)
    path = make_dicom(values, signed=True, syntax=syntax, **lut([1, 2, 3], first=-2))
    assert one(path, modality_lut=True).pixels.tolist() == [[1, 1, 2, 3]]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("falls", [True, False])
@pytest.mark.parametrize("apply", [True, False])
@pytest.mark.parametrize("uid", [XA, CR])
@pytest.mark.parametrize("kind", ["line", "table"])
def test_polarity_is_that_of_the_display(make_dicom, one, photometric, falls, apply, uid, kind):
    """What is displayed dark stays dark, however the values came about.

    Of CR, the Modality LUT is part of what is displayed; of XA it is not: there the stored values are displayed.
    """
    line = {"RescaleSlope": "-1" if falls else "1", "RescaleIntercept": "5000"}
    table = lut(np.arange(4096)[:: -1 if falls else 1])
    elements = line if kind == "line" else table
    path = make_dicom(STORED, stored=12, photometric=photometric, SOPClassUID=uid, **elements)
    frame = one(path, modality_lut=apply)
    displayed = STORED.astype(int)
    if falls and uid == CR:
        displayed = -displayed
    if photometric == "MONOCHROME1":
        displayed = -displayed
    order = np.sign(np.diff(frame.pixels.astype(int).ravel()))
    assert (order == np.sign(np.diff(displayed.ravel()))).all()
    if not apply:
        assert frame.bits == 12
        assert set(frame.pixels.ravel().tolist()) <= {*range(958), *range(4095 - 957, 4096)}


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": "2"},
        {"RescaleSlope": "0", "RescaleIntercept": "1"},
        lut([1, 2, 3]) | {"x": 1},
        {"ModalityLUTSequence": items({"LUTDescriptor": [4, 0, 16]})},
        {"ModalityLUTSequence": items({})},
    ],
)
def test_an_unsound_one_is_refused_only_when_it_is_needed(make_dicom, one, code, elements):
    if elements.pop("x", None):
        elements["ModalityLUTSequence"][0].LUTDescriptor = [4, 0, 16]
    path = make_dicom(STORED, stored=12, **elements)
    assert (one(path).pixels == STORED).all()
    assert one(path).notes == ("modality LUT not understood and not applied",)
    assert code(path, modality_lut=True) == "unreadable"


def test_a_rescale_per_frame(make_dicom, read, code):
    cine = np.stack([STORED, STORED // 2])

    def make(*slopes):
        groups = [{"PixelValueTransformationSequence": [{"RescaleSlope": s, "RescaleIntercept": "0"}]} for s in slopes]
        return make_dicom(cine, frames=2, stored=12, PerFrameFunctionalGroupsSequence=items(*groups))

    assert (read(make("2", "2"), modality_lut=True)[1].pixels == STORED // 2 * 2).all()
    assert (read(make("2", "3"))[1].pixels == STORED // 2).all()
    assert code(make("2", "3"), modality_lut=True) == "unsupported-pixels"


# -- palettes ----------------------------------------------------------------------------------------------------------

NAMES = ("Red", "Green", "Blue")


def palette(red, green, blue, first=0, bits=16, dtype="<u2"):
    elements = {"photometric": "PALETTE COLOR"}
    for name, entries in zip(NAMES, (red, green, blue), strict=True):
        data = np.asarray(entries, dtype).tobytes()
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [len(entries) % 65536, first, bits]
        elements[f"{name}PaletteColorLookupTableData"] = data + b"\0" * (len(data) % 2)
    return elements


INDEX = ramp(step=1)  # 0 to 29


@pytest.mark.parametrize(("bits", "dtype"), [(16, "<u2"), (8, "u1"), (8, "<u2")])
def test_a_grey_palette_is_resolved(make_dicom, one, bits, dtype):
    top = 2**bits - 1
    grey = top - np.arange(30) * (2000 if bits == 16 else 8)
    frame = one(make_dicom(INDEX, **palette(grey, grey, grey, bits=bits, dtype=dtype)))
    assert (frame.pixels == grey[INDEX]).all()
    assert (frame.bits, frame.notes) == (bits, ("palette resolved", EQUAL))


def test_an_odd_number_of_bytes_is_padded(make_dicom, one):
    grey = np.arange(200, 229)
    frame = one(make_dicom(INDEX % 29, **palette(grey, grey, grey, bits=8, dtype="u1")))
    assert (frame.pixels == 200 + INDEX % 29).all()


def test_indices_beyond_the_palette_take_its_ends(make_dicom, one):
    grey = [1000, 2000, 3000]
    frame = one(make_dicom(INDEX, **palette(grey, grey, grey, first=5)))
    assert (frame.pixels == np.interp(INDEX, [5, 6, 7], grey)).all()


def test_a_coloured_palette_is_refused(make_dicom, code):
    entries = np.arange(30) * 2000
    assert code(make_dicom(INDEX, **palette(entries, entries[::-1], entries))) == "colour"


def test_a_full_palette_of_65536_in_16_bits(make_dicom, one):
    grey = np.arange(65536)[::-1]
    image = ramp(dtype=np.uint16, step=2000)
    data = np.asarray(grey, "<u2").tobytes()
    elements = palette([0], [0], [0])
    for name in NAMES:
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [0, 0, 16]
        elements[f"{name}PaletteColorLookupTableData"] = data
    frame = one(make_dicom(image, **elements))
    assert (frame.pixels == 65535 - image).all()


def test_palettes_of_other_encodings(make_dicom, one, code):
    grey = 1000 + np.arange(30) * 2000
    expected = grey[INDEX]
    options = {"shape": (6, 5), "allocated": 8}
    assert (one(make_dicom([rle(INDEX)], syntax=RLE, **options, **palette(grey, grey, grey))).pixels == expected).all()
    big = palette(grey, grey, grey, dtype=">u2")
    assert (one(make_dicom(INDEX, syntax=BIG_ENDIAN, **big)).pixels == expected).all()
    import imagecodecs

    lossy = imagecodecs.jpeg8_encode(INDEX)  # a rounded index is another colour
    path = make_dicom([lossy], syntax=JPEG + "50", **options, **palette(grey, grey, grey))
    assert code(path) == "unsupported-pixels"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"GreenPaletteColorLookupTableData": None}, "unreadable"),
        ({"GreenPaletteColorLookupTableDescriptor": None}, "unreadable"),
        ({"GreenPaletteColorLookupTableDescriptor": [29, 0, 16]}, "unreadable"),
        ({"GreenPaletteColorLookupTableDescriptor": [30, 1, 16]}, "unreadable"),
        ({"GreenPaletteColorLookupTableDescriptor": [30, 0, 32]}, "unreadable"),
        ({"GreenPaletteColorLookupTableDescriptor": [30, 0]}, "unreadable"),
        ({"SegmentedRedPaletteColorLookupTableData": bytes(4)}, "unsupported-pixels"),
        ({"SamplesPerPixel": 3, "PlanarConfiguration": 0}, "unsupported-pixels"),
    ],
)
def test_damaged_palettes(make_dicom, code, change, expected):
    grey = np.arange(30) * 2000
    assert code(make_dicom(INDEX, **palette(grey, grey, grey) | change)) == expected
