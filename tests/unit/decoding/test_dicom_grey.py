"""One policy for grey: the same picture in any encoding gives the same array."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ercpseg.decoding import formats
from ercpseg.decoding.source import Source
from tests.unit.decoding.conftest import dicom_dataset, list_frames, ramp, smooth
from tests.unit.decoding.test_dicom import BIG_ENDIAN, DEFLATED, JPEG, RLE, rle

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED)


@st.composite
def pictures(draw):
    """(frames, y, x) unsigned values of ``bits`` bits, as they should come out."""
    bits = draw(st.integers(8, 16))
    frames, height, width = draw(st.integers(1, 20)), draw(st.integers(1, 7)), draw(st.integers(2, 7))
    seed = draw(st.integers(0, 2**32 - 1))
    values = np.random.default_rng(seed).integers(0, 2**bits, (frames, height, width))
    values[:, 0, :2] = 0, 1  # no frame is constant
    return values.astype(np.uint8 if bits == 8 else np.uint16), bits


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    picture=pictures(),
    inverse=st.sampled_from(["", "MONOCHROME1", "INVERSE", "both"]),
    signed=st.booleans(),
    syntax=st.sampled_from(SYNTAXES),
    allocated=st.sampled_from([8, 16, 32]),
    spare=st.integers(0, 31),
)
def test_the_same_picture_gives_the_same_array(tmp_path, picture, inverse, signed, syntax, allocated, spare):
    expected, bits = picture
    allocated = max(allocated, 8 if bits == 8 else 16)
    spare = min(spare, allocated - bits)
    dtype = np.dtype(f"{'>' if syntax == BIG_ENDIAN else '<'}u{allocated // 8}")
    stored = expected.astype(np.int64)
    if inverse:
        stored = 2**bits - 1 - stored
    if signed:
        stored = (stored - 2 ** (bits - 1)) & (2**bits - 1)
    stored = stored << spare
    if spare:
        stored |= 1  # an overlay below the value …
    above = bits + spare < allocated
    if above:
        stored |= 1 << (allocated - 1)  # … and one above
    data = dicom_dataset(
        (stored if len(stored) > 1 else stored[0]).astype(dtype),
        frames=len(stored), syntax=syntax, stored=bits, signed=signed, HighBit=bits + spare - 1,
        photometric="MONOCHROME1" if inverse in ("MONOCHROME1", "both") else "MONOCHROME2",
        PresentationLUTShape="INVERSE" if inverse in ("INVERSE", "both") else "IDENTITY",
        add={0x60000100: ("US", 1), 0x60000102: ("US", allocated - 1)} if above else {},
    )  # fmt: skip
    path = tmp_path / "a.dcm"
    data.save_as(path, enforce_file_format=True, overwrite=True)
    listing = list_frames(path)
    assert listing.count == len(expected)
    for number, frame in enumerate(expected):
        picture = formats.frame(listing, number)
        assert (picture.pixels == frame).all()
        assert (picture.pixels.dtype, picture.bits) == (frame.dtype, bits)


@pytest.mark.parametrize("bits", [8, 16])
def test_dicom_and_png_agree(make_dicom, one, tmp_path, bits):
    image = smooth(bits)
    Image.fromarray(image).save(tmp_path / "a.png")
    png, dicom = one(tmp_path / "a.png"), one(make_dicom(image))
    inverse = one(make_dicom((2**bits - 1 - image).astype(image.dtype), photometric="MONOCHROME1"))
    for other in (dicom, inverse):
        assert (other.pixels == png.pixels).all()
        assert (other.pixels.dtype, other.bits) == (png.pixels.dtype, png.bits)


def test_integers_of_32_bits_that_hold_16_or_less(make_dicom, one, code):
    image = ramp(dtype=np.uint32, step=2000)
    for path in (make_dicom(image, stored=16), make_dicom(image.astype(">u4"), stored=16, syntax=BIG_ENDIAN)):
        assert (one(path).pixels == image).all()
        assert one(path).pixels.dtype == np.uint16
    path = make_dicom([rle(image)], shape=(6, 5), allocated=32, stored=12, syntax=RLE)
    assert code(path) == "unsupported-pixels"  # 58,000 is no number of 12 bits
    assert code(make_dicom(image, stored=17)) == "unsupported-pixels"


# -- colour that is grey -----------------------------------------------------------------------------------------------


def test_subsampled_colour(make_dicom, one, code):
    """Two luma, then the chroma of both (PS3.3 C.7.6.3.1.2)."""
    luma = ramp(6, 4)
    grey = np.stack([luma[:, ::2], luma[:, 1::2], np.full((6, 2), 128), np.full((6, 2), 128)], axis=-1).astype(np.uint8)

    def make(samples, **elements):
        options = {"shape": (6, 4, 3), "allocated": 8, "photometric": "YBR_FULL_422"} | elements
        return make_dicom(np.frombuffer(samples.tobytes(), np.uint8), **options)

    assert (one(make(grey)).pixels == luma).all()
    assert code(make(np.concatenate([grey, grey]))) == "surplus-data"
    assert code(make(grey[:5])) == "truncated"
    assert code(make(grey, PlanarConfiguration=1)) == "unsupported-pixels"
    assert code(make(grey, Columns=3)) == "unsupported-pixels"
    red = grey.copy()
    red[..., 3] = 240
    assert code(make(red)) == "colour"


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("syntax", [JPEG + "80", JPEG + "90", RLE])
def test_luma_and_chroma_that_decoders_leave_alone(make_dicom, one, photometric, syntax):
    import imagecodecs

    ybr = np.stack([smooth(8), *[np.full((64, 48), 128, np.uint8)] * 2], axis=-1)
    encode = {
        JPEG + "80": imagecodecs.jpegls_encode,
        JPEG + "90": lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True, mct=False),
        RLE: lambda a: rle_planes(a),
    }[syntax]
    path = make_dicom([encode(ybr)], shape=ybr.shape, allocated=8, photometric=photometric, syntax=syntax)
    assert (one(path).pixels == smooth(8)).all()


def rle_planes(colour):
    """Three planes of bytes, one segment each: as a grey image of three bytes per pixel would be packed."""
    packed = np.zeros(colour.shape[:2], np.uint32)
    for channel in range(3):
        packed |= colour[..., channel].astype(np.uint32) << (8 * (2 - channel))
    stream = rle(packed)  # four segments: the first, of the empty highest byte, is left out
    offsets = np.frombuffer(stream[4:20], "<u4")
    body = stream[offsets[1] :]
    header = np.zeros(16, "<u4")
    header[:4] = 3, *(offsets[1:4] - offsets[1] + 64)
    return header.tobytes() + body


# -- memory ------------------------------------------------------------------------------------------------------------


def test_a_run_of_5000_frames_is_not_read_as_a_whole(make_dicom, one):
    """1.3 GB on paper; the file is sparse, only the last frame holds anything."""
    import tracemalloc

    side, frames = 512, 5000
    path = make_dicom(np.zeros((2, 2), np.uint8))
    import pydicom

    data = pydicom.dcmread(path)
    data.Rows = data.Columns = side
    data.NumberOfFrames = frames
    data.PixelData = b"\0\0\0\0"
    data.save_as(path, overwrite=True)
    head = path.read_bytes()[:-8]
    with path.open("wb") as stream:
        stream.write(head + (side * side * frames).to_bytes(4, "little"))
        stream.seek(side * side * (frames - 1), 1)
        stream.write(bytes(range(256)) * (side * side // 256))
    tracemalloc.start()
    listing = list_frames(path)
    assert listing.count == frames
    last = formats.frame(listing, frames - 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last.pixels[0, :4].tolist() == [0, 1, 2, 3]
    assert peak < 10 * side * side


def test_a_file_in_a_zip(make_dicom, tmp_path):
    import zipfile

    cine = np.stack([ramp(step=3), ramp(step=5)])
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(make_dicom(cine, frames=2), "deep/inside")
    listing = formats.listing(Source(tmp_path / "a.zip", "deep/inside"), "dicom")
    assert [formats.frame(listing, i).pixels.tolist() for i in range(listing.count)] == cine.tolist()
