import struct

import imagecodecs
import numpy as np
import pytest

from ercpseg.decoding.reading import Picture
from ercpseg.errors import InputRefused
from tests.unit.decoding.conftest import ramp, smooth

JPEG = "1.2.840.10008.1.2.4."
BIG_ENDIAN, DEFLATED, RLE = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"


# -- pixels ------------------------------------------------------------------------------------------------------------


def test_8_bits(make_dicom, one, listing):
    path = make_dicom(ramp())
    frame = one(path)
    assert (frame.pixels == ramp()).all()
    assert (frame.bits, frame.notes, listing(path).numbered) == (8, (), False)


@pytest.mark.parametrize("stored", [10, 12, 16])
def test_an_overlay_above_the_bits_stored_is_cut_off(make_dicom, one, code, stored):
    pixels = ramp(dtype=np.uint16, step=33)
    overlay = pixels | np.uint16(0x8000 if stored < 16 else 0)
    if stored < 16:
        assert code(make_dicom(overlay, stored=stored)) == "unsupported-pixels"  # a deeper image, for all that is said
    frame = one(make_dicom(overlay, stored=stored, add={0x60000100: ("US", 1), 0x60000102: ("US", 15)}))
    assert (frame.pixels == pixels).all()
    assert frame.pixels.dtype == np.uint16
    assert frame.bits == stored


def test_8_bits_in_words_become_bytes(make_dicom, one):
    frame = one(make_dicom(ramp(dtype=np.uint16), stored=8))
    assert frame.pixels.dtype == np.uint8
    assert (frame.pixels == ramp()).all()


def test_high_bit_says_where_the_value_is(make_dicom, one):
    frame = one(make_dicom(ramp(dtype=np.uint16) << 4, stored=12, HighBit=15))
    assert (frame.pixels == ramp()).all()


def test_signed_values_are_shifted_into_the_unsigned_range(make_dicom, one):
    values = np.array([[-2048, -1], [0, 2047]], np.int16)
    frame = one(make_dicom(values & np.int16(0x0FFF), stored=12, signed=True))
    assert frame.pixels.tolist() == [[0, 2047], [2048, 4095]]
    frame = one(make_dicom(np.array([[-32768, 32767]], np.int16), signed=True))
    assert frame.pixels.tolist() == [[0, 65535]]


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
    ],
)
def test_polarity_is_normalised_once(make_dicom, one, photometric, shape, inverted):
    pixels = ramp(dtype=np.uint16, step=100)
    extra = {"PresentationLUTShape": shape} if shape else {}
    frame = one(make_dicom(pixels, stored=12, photometric=photometric, **extra))
    assert (frame.pixels == (4095 - pixels if inverted else pixels)).all()


@pytest.mark.parametrize("planar", [0, 1])
def test_equal_channels_are_collapsed(make_dicom, one, planar, code):
    rgb = np.stack([ramp()] * 3, axis=-1)
    frame = one(
        make_dicom(
            np.moveaxis(rgb, -1, 0) if planar else rgb, shape=(6, 5, 3), photometric="RGB", PlanarConfiguration=planar
        )
    )
    assert (frame.pixels == ramp()).all()
    rgb[..., 1] = 255 - ramp()
    assert code(make_dicom(rgb, photometric="RGB")) == "colour"


def test_ybr_without_colour_is_its_luma(make_dicom, one):
    ybr = np.stack([ramp(), np.full((6, 5), 128, np.uint8), np.full((6, 5), 128, np.uint8)], axis=-1)
    assert (one(make_dicom(ybr, photometric="YBR_FULL")).pixels == ramp()).all()


def test_neither_modality_lut_nor_window_is_applied(make_dicom, one):
    path = make_dicom(ramp(), RescaleSlope="2", RescaleIntercept="-10", WindowCenter="30", WindowWidth="5")
    assert (one(path).pixels == ramp()).all()


# -- frames ------------------------------------------------------------------------------------------------------------


def test_multi_frame(make_dicom, read, listing):
    cine = np.stack([ramp(dtype=np.uint16, step=s) for s in (3, 5, 7)])
    path = make_dicom(cine, frames=3, stored=12)
    assert (listing(path).count, listing(path).numbered) == (3, True)
    assert all((f.pixels == image).all() for f, image in zip(read(path), cine, strict=True))


def test_one_bad_frame_does_not_stop_the_others(make_dicom, read):
    cine = np.stack([ramp(), np.full((6, 5), 9, np.uint8), ramp(step=3)])
    first, second, third = read(make_dicom(cine, frames=3))
    assert isinstance(first, Picture)
    assert isinstance(third, Picture)
    assert isinstance(second, InputRefused)
    assert second.code == "constant"


def test_odd_length_is_padded_with_one_byte(make_dicom, read):
    cine = np.stack([ramp(3, 3), ramp(3, 3, step=5), ramp(3, 3, step=9)])
    frames = read(make_dicom(cine, frames=3))
    assert (frames[2].pixels == cine[2]).all()


@pytest.mark.parametrize("dtype", [np.uint8, ">u2"])
def test_big_endian_comes_out_native(tmp_path, one, dtype, make_dicom):
    pixels = ramp(3, 3, dtype=dtype, step=25)
    path = make_dicom(pixels, syntax=BIG_ENDIAN)
    frame = one(path)
    assert (frame.pixels == pixels).all()
    assert frame.pixels.dtype.isnative


def test_big_endian_bytes_in_words_change_places(make_dicom, read):
    cine = np.stack([ramp(3, 3), ramp(3, 3, step=11)])
    stored = np.frombuffer(cine.tobytes(), "<u2").astype(">u2")
    path = make_dicom(cine, frames=2, syntax=BIG_ENDIAN, PixelData=stored.tobytes())
    import pydicom

    data = pydicom.dcmread(path)
    data["PixelData"].VR = "OW"
    data.PixelData = stored.tobytes()
    data.save_as(path)
    assert [f.pixels.tolist() for f in read(path)] == cine.tolist()


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", DEFLATED])
def test_other_uncompressed_syntaxes(make_dicom, one, syntax):
    pixels = ramp(dtype=np.uint16, step=2000)
    assert (one(make_dicom(pixels, syntax=syntax)).pixels == pixels).all()


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_preamble(tmp_path, one, implicit, make_dicom):
    import pydicom

    data = pydicom.dcmread(make_dicom(ramp()))
    (tmp_path / "a.dcm").unlink()
    del data.file_meta
    pydicom.dcmwrite(tmp_path / "no_suffix", data, implicit_vr=implicit, little_endian=True)
    assert (one(tmp_path / "no_suffix").pixels == ramp()).all()


# -- compression -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (JPEG + "57", lambda a, bits: imagecodecs.ljpeg_encode(a, bitspersample=bits)),
        (JPEG + "70", lambda a, bits: imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, bitspersample=bits)),
        (JPEG + "80", lambda a, bits: imagecodecs.jpegls_encode(a)),
        (JPEG + "90", lambda a, bits: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True)),
        (JPEG + "201", lambda a, bits: imagecodecs.htj2k_encode(a)),
        (RLE, lambda a, bits: rle(a)),
    ],
)
def test_lossless_codecs_are_exact(make_dicom, one, syntax, encode, bits):
    pixels = smooth(bits)
    stream = encode(pixels, bits)
    path = make_dicom([stream], shape=pixels.shape, allocated=pixels.itemsize * 8, stored=bits, syntax=syntax)
    frame = one(path)
    assert frame.bits == bits
    assert (frame.pixels == pixels).all()


@pytest.mark.parametrize(
    ("syntax", "bits", "encode"),
    [
        (JPEG + "50", 8, lambda a: imagecodecs.jpeg8_encode(a, level=95)),
        (JPEG + "51", 12, lambda a: imagecodecs.jpeg8_encode(a, level=95, bitspersample=12)),
        (JPEG + "91", 12, lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", level=80)),
        (JPEG + "81", 12, lambda a: imagecodecs.jpegls_encode(a, level=3)),
    ],
)
def test_lossy_codecs_are_close_and_never_wrap(make_dicom, one, syntax, bits, encode):
    pixels = smooth(bits)
    path = make_dicom(
        [encode(pixels)], shape=pixels.shape, allocated=8 if bits == 8 else 16, stored=bits, syntax=syntax
    )
    assert np.abs(one(path).pixels.astype(int) - pixels).max() <= 2 ** (bits - 6)


def test_white_that_overshoots_stays_white(make_dicom, one):
    pixels = np.full((16, 16), 1000, np.uint16)
    pixels[:, 8:] = 1030  # a 12-bit stream in a file that stores 10 bits
    path = make_dicom(
        [imagecodecs.jpeg8_encode(pixels, level=100, bitspersample=12)],
        shape=(16, 16),
        allocated=16,
        stored=10,
        syntax=JPEG + "51",
    )
    assert one(path).pixels[:, 10:].min() == 1023


def test_signed_jpeg_2000(make_dicom, one):
    values = smooth(12).astype(np.int16) - 2048
    path = make_dicom(
        [imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True)],
        shape=values.shape, allocated=16, stored=12, signed=True, syntax=JPEG + "90",
    )  # fmt: skip
    assert (one(path).pixels == values + 2048).all()


def test_colour_jpeg_of_a_grey_picture(make_dicom, one):
    rgb = np.stack([smooth(8)] * 3, axis=-1)
    for photometric, options in (("YBR_FULL_422", {}), ("RGB", {"colorspace": "RGB", "outcolorspace": "RGB"})):
        stream = imagecodecs.jpeg8_encode(rgb, level=98, **options)
        path = make_dicom([stream], shape=rgb.shape, allocated=8, photometric=photometric, syntax=JPEG + "50")
        assert np.abs(one(path).pixels.astype(int) - smooth(8)).max() <= 3


def rle(array):
    """PackBits of the byte planes, most significant first (PS3.5 G)."""
    big = array.astype(array.dtype.newbyteorder(">"))
    planes = np.frombuffer(big.tobytes(), np.uint8).reshape(-1, array.itemsize).T
    segments = []
    for plane in planes:
        body = b"".join(
            bytes([len(p) - 1]) + p for p in (plane[i : i + 128].tobytes() for i in range(0, plane.size, 128))
        )
        segments.append(body + b"\0" * (len(body) % 2))
    offsets = np.cumsum([64] + [len(s) for s in segments[:-1]])
    return struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)
