"""What is refused, with which code, and that a refusal costs nothing."""

import io
import zlib

import imagecodecs
import numpy as np
import pytest

from ercpseg.decoding import dicom, dicom_file
from ercpseg.errors import InputRefused
from tests.unit.decoding.conftest import ramp, smooth
from tests.unit.decoding.test_dicom import DEFLATED, JPEG, RLE, rle


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(28), "truncated"),
        (bytes(2), "truncated"),
        (bytes(60), "surplus-data"),
        (bytes(32), "surplus-data"),
    ],
)
def test_the_bytes_must_be_those_that_the_header_declares(make_dicom, code, data, expected):
    assert code(make_dicom(ramp(), PixelData=data)) == expected


def test_an_odd_byte_too_many(make_dicom, code):
    path = make_dicom(ramp(), PixelData=bytes(32))
    data = path.read_bytes()
    head = data.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(data[: head + 8] + (31).to_bytes(4, "little") + data[head + 12 : -1])
    assert code(path) == "surplus-data"


def test_a_file_that_ends_early_is_refused_wherever_it_ends(make_dicom, listing):
    path = make_dicom(ramp(), PixelSpacing=["0.2", "0.2"])
    whole = path.read_bytes()
    header = whole.index(b"\xe0\x7f\x10\x00")
    for keep in range(132, len(whole)):
        path.write_bytes(whole[:keep])
        expected = {"truncated"} if keep >= header + 12 else {"truncated", "not-an-image", "unreadable"}
        with pytest.raises(InputRefused) as refused:
            listing(path)  # not only when a frame is loaded
        assert refused.value.code in expected, keep


def test_a_header_that_promises_gigabytes_costs_nothing(make_dicom, code):
    assert code(make_dicom(ramp(), Rows=65535, Columns=65535)) == "too-large"
    assert code(make_dicom(ramp(), NumberOfFrames=2_000_000_000)) == "truncated"
    stream = imagecodecs.jpegls_encode(smooth(8))
    assert code(make_dicom([stream], shape=(8000, 8000), allocated=8, syntax=JPEG + "80")) == "unreadable"


def test_a_deflated_bomb(tmp_path, make_dicom, code, monkeypatch):
    monkeypatch.setattr(dicom_file, "MAX_INFLATED_BYTES", 10_000)
    path = make_dicom(np.zeros((500, 500), np.uint8), syntax=DEFLATED)
    assert path.stat().st_size < 2000
    assert code(path) == "too-large"


def test_frame_counts_of_fragments(make_dicom, code, read):
    streams = [imagecodecs.jpegls_encode(smooth(8) ^ np.uint8(i)) for i in range(3)]
    options = {"shape": (64, 48), "allocated": 8, "syntax": JPEG + "80"}
    assert len(read(make_dicom(streams, NumberOfFrames=3, **options))) == 3
    assert code(make_dicom(streams, NumberOfFrames=2, **options)) == "surplus-data"
    assert code(make_dicom(streams, NumberOfFrames=4, **options)) == "truncated"
    assert code(make_dicom(streams, **options)) == "surplus-data"


def test_a_compressed_stream_that_ends_early(make_dicom, code):
    noise = np.random.default_rng(0).integers(0, 255, (64, 48)).astype(np.uint8)
    options = {"shape": noise.shape, "allocated": 8}
    jpeg, packed = imagecodecs.jpeg8_encode(noise), rle(noise)
    assert code(make_dicom([jpeg[: len(jpeg) // 2]], syntax=JPEG + "50", **options)) == "truncated"
    assert code(make_dicom([packed[: len(packed) // 2]], syntax=RLE, **options)) == "truncated"
    for syntax, expected, stream in (
        ("80", "truncated", imagecodecs.jpegls_encode(noise)),
        ("90", "unreadable", imagecodecs.jpeg2k_encode(noise, codecformat="j2k", reversible=True)),
    ):
        assert code(make_dicom([stream[: len(stream) // 2]], syntax=JPEG + syntax, **options)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"photometric": "PALETTE COLOR"}, "unreadable"),
        ({"photometric": "HSV"}, "unsupported-pixels"),
        ({"stored": 1, "allocated": 1}, "unsupported-pixels"),
        ({"stored": 1}, "unsupported-pixels"),
        ({"stored": 32, "allocated": 32}, "unsupported-pixels"),
        ({"stored": 12, "allocated": 24}, "unsupported-pixels"),
        ({"HighBit": 9}, "unsupported-pixels"),
        ({"Rows": 0}, "unsupported-pixels"),
        ({"SamplesPerPixel": 2}, "unsupported-pixels"),
        ({"Rows": None}, "unreadable"),
        ({"PixelRepresentation": None}, "unreadable"),
        ({"NumberOfFrames": -1}, "unreadable"),
        ({"NumberOfFrames": 0}, "unreadable"),
    ],
)
def test_what_is_not_understood(make_dicom, code, options, expected):
    assert code(make_dicom(ramp(), **options)) == expected


@pytest.mark.parametrize(
    ("syntax", "word"),
    [
        (JPEG + "100", "video"),
        (JPEG + "102", "video"),
        (JPEG + "107", "video"),
        ("1.2.840.10008.1.2.7.1", "video"),
        (JPEG + "94", "JPIP"),
        (JPEG + "205", "JPIP"),
        (JPEG + "55", "retired"),
        (JPEG + "110", "JPEG XL"),
        ("1.2.3.4.5.6.7.8.9.1", "private"),
    ],
)
def test_syntaxes_without_decoder_are_named_in_our_words(make_dicom, listing, syntax, word):
    path = make_dicom([b"abcd"], shape=(6, 5), allocated=8, syntax=JPEG + "102.1")
    rename_syntax(path, JPEG + "102.1", syntax)
    with pytest.raises(InputRefused) as refused:
        listing(path)
    assert refused.value.code == "unsupported-syntax"
    assert word in refused.value.detail
    assert syntax not in refused.value.detail


def rename_syntax(path, old, new):
    """Change the transfer syntax without writing the file anew, which would check it."""
    size = len(old) + len(old) % 2
    path.write_bytes(path.read_bytes().replace(old.encode().ljust(size, b"\0"), new.encode().ljust(size, b"\0"), 2))


def test_fragments_and_plain_pixels_do_not_pass_for_one_another(make_dicom, code):
    path = make_dicom([imagecodecs.jpegls_encode(smooth(8))], shape=(64, 48), allocated=8, syntax=JPEG + "80")
    rename_syntax(path, JPEG + "80", "1.2.840.10008.1.2.1")
    assert code(path) == "unreadable"
    path = make_dicom(smooth(8), syntax=DEFLATED.removesuffix(".99"))
    rename_syntax(path, "1.2.840.10008.1.2.1", RLE)
    assert code(path) == "unreadable"


def test_a_million_frames_of_nothing(make_dicom, code, monkeypatch):
    monkeypatch.setattr(dicom, "MAX_FRAMES", 5)
    assert code(make_dicom(ramp(6, 1).reshape(6, 1, 1), frames=6)) == "too-large"
    assert (
        code(make_dicom([b"\xff\xd8\0\0"] * 6, NumberOfFrames=6, shape=(9, 9), allocated=8, syntax=JPEG + "80"))
        == "too-large"
    )


def test_a_deflated_file_that_ends_early(make_dicom, code):
    noise = np.random.default_rng(0).integers(0, 255, (64, 48)).astype(np.uint8)
    path = make_dicom(noise, syntax=DEFLATED)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 1000])
    assert code(path) == "truncated"
    with io.BytesIO(whole) as handle:
        handle.seek(132)
        dicom_file._transfer_syntax(handle)
        start = handle.tell()
    data = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    open_ended = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(whole[:start] + open_ended.compress(data) + open_ended.flush(zlib.Z_SYNC_FLUSH))
    assert code(path) == "truncated"  # all is there, but its end is not


def test_a_report_is_no_image(tmp_path, make_dicom, code):
    import pydicom

    data = pydicom.dcmread(make_dicom(ramp()))
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(data, keyword)
    data.save_as(tmp_path / "a.dcm")
    assert code(tmp_path / "a.dcm") == "not-an-image"


@pytest.mark.parametrize("text", [b"0_25\\0_25", b"0x25\\0x25", b"0,25\\0,25", b" inf\\ inf", b"0.25 0.25"])
def test_numbers_are_decimal_numbers(make_dicom, about, text):
    path = make_dicom(ramp(), PixelSpacing=["0.25", "0.25"])
    path.write_bytes(path.read_bytes().replace(b"0.25\\0.25", text))
    assert about(path).spacing_mm is None


def test_odd_optional_fields_do_not_cost_the_frame(make_dicom, one, about, caplog, recwarn):
    path = make_dicom(ramp(), PixelSpacing=["0.25", "0.25"], PatientID="X" * 300, SeriesInstanceUID="NOT^A^UID")
    path.write_bytes(path.read_bytes().replace(b"0.25\\0.25", b"abcd\\efgh"))
    caplog.clear()
    recwarn.clear()
    assert (one(path).pixels == ramp()).all()
    facts = about(path)
    assert (facts.spacing_mm, facts.patient, facts.series) == (None, "X" * 300, "1.2.3/NOT^A^UID")
    assert not caplog.records
    assert not list(recwarn)


@pytest.mark.parametrize("end", ["66.4", "66.7", "30", "481.2"])
def test_numbers_that_are_no_grey_values(make_dicom, code, end):
    """A segmentation of 8 bits (fractional, label map) looks like a frame to everything but its class."""
    path = make_dicom(ramp(), SOPClassUID="1.2.840.10008.5.1.4.1.1." + end)
    assert code(path) == "not-an-image"


def test_a_class_that_is_no_projection_is_said(make_dicom, one):
    assert one(make_dicom(ramp())).notes == ()
    (note,) = one(make_dicom(ramp(), SOPClassUID="1.2.840.10008.5.1.4.1.1.2")).notes  # CT
    assert "no X-ray projection" in note
