import gzip
import struct
import zipfile
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.decoding import formats, volume
from ercpseg.decoding.sniff import HEAD_BYTES, sniff
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

NAME = "DOE^JANE"
SUFFIXES = ["nrrd", "nii", "nii.gz", "mha"]


def kind_of(path):
    data = path.read_bytes()
    return sniff(data[:HEAD_BYTES], len(data))


def listing(path):
    return formats.listing(Source(path), kind_of(path))


def frames(path):
    found = listing(path)
    return [formats.frame(found, i) for i in range(found.count)]


def code(path, call=frames):
    with pytest.raises(InputRefused) as error:
        call(path)
    assert "JANE" not in str(error.value)
    return error.value.code


def ramp(*shape, dtype=np.uint16, step=3):
    return (np.arange(np.prod(shape)).reshape(shape) * step).astype(dtype)


def write(path, array, *, packed=False, spacing=None, vector=False):
    image = sitk.GetImageFromArray(array, isVector=vector)
    if spacing:
        image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path), packed)
    return path


def nrrd(data, *fields, magic=b"NRRD0004"):
    return magic + b"\n" + "".join(f"{field}\n" for field in fields).encode() + b"\n" + data


PLAIN = ("type: uint8", "dimension: 2", "sizes: 4 3", "encoding: raw")
DATA = bytes(range(12))


def nifti(data=DATA, *, dim=(2, 4, 3, 1, 1, 1, 1, 1), kind=2, bits=8, pixdim=(1, 1, 1, 1), offset=352, scale=(0, 0), order="<",
          magic=b"n+1\0", units=2, sform=1, row=-1.0):  # fmt: skip
    head = bytearray(352)
    struct.pack_into(order + "i", head, 0, 348)
    struct.pack_into(order + "8h", head, 40, *dim)
    struct.pack_into(order + "2h", head, 70, kind, bits)
    struct.pack_into(order + "4f", head, 76, *pixdim)
    struct.pack_into(order + "3f", head, 108, offset, *scale)
    head[123] = units
    head[148 : 148 + len(NAME)] = NAME.encode()
    struct.pack_into(order + "2h", head, 252, 0, sform)
    struct.pack_into(order + "f", head, 280, row)
    head[344:348] = magic
    return bytes(head) + data


def meta(data=DATA, **changes):
    fields = {"ObjectType": "Image", "NDims": "2", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
              "CompressedData": "False", "Comment": NAME, "DimSize": "4 3", "ElementType": "MET_UCHAR",
              "ElementDataFile": "LOCAL"}  # fmt: skip
    fields.update(changes)
    fields["ElementDataFile"] = fields.pop("ElementDataFile")
    return "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None).encode() + data


def put(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    return tmp_path / "x"


# -- against SimpleITK -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_every_type_as_simpleitk_writes_it(tmp_path, suffix, packed, dtype):
    """The array is that of the same picture in PNG: (y, x), and the first axis numbers the frames."""
    pixels = ramp(3, 7, 5, dtype=dtype, step=1)
    for array in (pixels, pixels[1]):
        path = write(tmp_path / f"x.{suffix}", array, packed=packed)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), array)
        found = frames(path)
        assert len(found) == (3 if array.ndim == 3 else 1)
        assert listing(path).numbered == (array.ndim == 3)
        for frame, expected in zip(found, array if array.ndim == 3 else [array], strict=True):
            np.testing.assert_array_equal(frame.pixels, expected)
            assert frame.bits == (8 if dtype in ("u1", "i1") else 16)
            assert frame.pixels.dtype == (np.uint8 if frame.bits == 8 else np.uint16)
            assert bool(frame.notes) == (dtype not in ("u1", "u2"))
        everything, _ = volume.read_volume(Source(path))
        np.testing.assert_array_equal(everything, array)
        assert everything.dtype in (np.uint8, np.uint16, np.int32)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=3).filter(lambda s: s[-1] * s[-2] > 1),
    dtype=st.sampled_from(["u1", "u2", "i2", "f4"]),
    suffix=st.sampled_from(SUFFIXES),
    packed=st.booleans(),
    spacing=st.lists(st.sampled_from([0.1, 0.25, 1.0, 2.5]), min_size=3, max_size=3),
)
def test_write_then_read_is_identity(tmp_path_factory, sizes, dtype, suffix, packed, spacing):
    pixels = ramp(*sizes, dtype=dtype, step=1)
    path = tmp_path_factory.mktemp("volume") / f"x.{suffix}"
    write(path, pixels, packed=packed, spacing=spacing[: len(sizes)])
    found = frames(path)
    np.testing.assert_array_equal(np.stack([f.pixels for f in found]).reshape(pixels.shape), pixels)
    about, (x, y) = listing(path).about, spacing[:2]
    if (x, y) == (1.0, 1.0):
        assert (about.spacing_mm, about.spacing_source) == (None, None)
    else:
        assert about.spacing_mm == pytest.approx((y, x), rel=1e-6)
        assert about.spacing_source == "UNKNOWN"
        assert about.spacing_in_patient_mm is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colour_is_refused(tmp_path, suffix):
    path = write(tmp_path / f"x.{suffix}", ramp(4, 5, 3, dtype=np.uint8), vector=True)
    assert code(path) in ("colour", "unsupported-pixels")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_negative_and_large_and_broken_values(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    assert code(write(path, ramp(4, 5, dtype=np.int16) - np.int16(1))) == "unsupported-pixels"
    assert code(write(path, ramp(4, 5, dtype=np.float32) + np.float32(0.5))) == "unsupported-pixels"
    assert code(write(path, ramp(4, 5, dtype=np.int32) + 65500)) == "unsupported-pixels"
    for value in (np.nan, np.inf):
        pixels = ramp(4, 5, dtype=np.float32)
        pixels[1, 1] = value
        assert code(write(path, pixels)) == "unsupported-pixels"
    one = ramp(2, 4, 5, dtype=np.int16)
    one[0, 0, 0] = -1  # only the frame that has them
    found = listing(write(path, one))
    assert code(found, lambda file: formats.frame(file, 0)) == "unsupported-pixels"
    np.testing.assert_array_equal(formats.frame(found, 1).pixels, one[1])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("packed", [False, True])
def test_truncated_and_surplus(tmp_path, suffix, packed):
    """SimpleITK reads half a NIfTI file without a word."""
    noise = np.random.default_rng(0).integers(0, 4096, (2, 40, 30)).astype(np.uint16)
    path = write(tmp_path / f"x.{suffix}", noise, packed=packed)
    data = path.read_bytes()
    for length in (len(data) - 1, len(data) - 200, len(data) // 2):
        path.write_bytes(data[:length])
        assert code(path) == "truncated", length
    path.write_bytes(data + b"\1")
    assert code(path) in ("surplus-data", "unreadable")


@pytest.mark.parametrize("suffix", ["nrrd", "nii.gz", "mha"])
def test_damaged_packed_data(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 4096, (40, 30)).astype(np.uint16)
    path = write(tmp_path / f"x.{suffix}", noise, packed=True)
    data = bytearray(path.read_bytes())
    data[-900] ^= 0x10
    path.write_bytes(data)
    assert code(path) in ("unreadable", "truncated", "surplus-data")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_masks_and_labels(tmp_path, suffix):
    stored = np.array([[0, 1, 2], [3, 0, 255]])
    for dtype, expected in (("u1", np.uint8), ("u2", np.uint16), ("i2", np.int32), ("f4", np.int32), ("u4", np.int32)):
        path = write(tmp_path / f"x.{suffix}", stored.astype(dtype))
        found = formats.labels(Source(path), kind_of(path))
        assert found.dtype == expected
        np.testing.assert_array_equal(found, stored)
        np.testing.assert_array_equal(formats.mask(Source(path), kind_of(path)), stored != 0)
        thick = write(tmp_path / f"y.{suffix}", stored.astype(dtype)[None])
        np.testing.assert_array_equal(formats.labels(Source(thick), kind_of(thick)), stored)
    for bad in (stored.astype("i2") - 1, stored.astype("f4") + 0.5, np.stack([stored.astype("u1")] * 2)):
        path = write(tmp_path / f"x.{suffix}", bad)
        for call in (formats.labels, formats.mask, formats.colours):
            assert code(path, lambda p, call=call: call(Source(p), kind_of(p))) == "bad-annotation"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_from_a_zip(tmp_path, suffix):
    pixels = ramp(3, 7, 5)
    path = write(tmp_path / f"x.{suffix}", pixels)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "in/x")
    found = formats.listing(Source(tmp_path / "a.zip", "in/x"), kind_of(path))
    assert [formats.frame(found, i).pixels.tolist() for i in range(3)] == pixels.tolist()


def test_spacing_of_frames_in_a_stack_is_that_of_y_and_x(tmp_path):
    for suffix in SUFFIXES:
        path = write(tmp_path / f"x.{suffix}", ramp(3, 7, 5), spacing=(0.3, 0.4, 9.0))  # SimpleITK: x, y, z
        assert listing(path).about.spacing_mm == pytest.approx((0.4, 0.3), rel=1e-6)


# -- NRRD --------------------------------------------------------------------------------------------------------------


def test_nrrd_by_hand(tmp_path):
    path = put(tmp_path, nrrd(DATA, *PLAIN))
    assert frames(path)[0].pixels.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    path = put(tmp_path, nrrd(gzip.compress(DATA[::-1]), *PLAIN[:3], "encoding: gz"))
    assert frames(path)[0].pixels[0].tolist() == [11, 10, 9, 8]
    path = put(tmp_path, nrrd(DATA, "type: ushort", "dimension: 2", "sizes: 3 2", "encoding: raw", "endian: big"))
    assert frames(path)[0].pixels.tolist() == [[0x0001, 0x0203, 0x0405], [0x0607, 0x0809, 0x0A0B]]
    windows = nrrd(DATA, *PLAIN).split(b"\n\n")[0].replace(b"\n", b"\r\n") + b"\r\n\r\n" + DATA
    assert frames(put(tmp_path, windows))[0].pixels[2, 3] == 11


@pytest.mark.parametrize(
    ("fields", "spacing"),
    [
        (("spacings: 0.2 0.3",), (0.3, 0.2)),
        (("spacings: 1 1",), None),
        (("spacings: 1 0.5",), (0.5, 1.0)),
        (("spacings: nan 0.3",), None),
        (("spacings: 0 0.3",), None),
        (("spacings: 0.2 0.3", 'units: "um" "um"'), None),
        (("space directions: (0.3,0.4) (0,-0.2)", "space dimension: 2"), (0.2, 0.5)),
        (("space directions: (0.2,0) (0,0.2)", 'space units: "mm" "mm"'), (0.2, 0.2)),
        (("space directions: (0.2,0) (0,0.2)", 'space units: "cm" "cm"'), None),
        (("space directions: none (0,1)",), None),
    ],
)
def test_nrrd_spacing(tmp_path, fields, spacing):
    about = listing(put(tmp_path, nrrd(DATA, *PLAIN, *fields))).about
    assert about.spacing_mm == (pytest.approx(spacing) if spacing else None)


@pytest.mark.parametrize(
    "change",
    [
        {"data": b"", "add": ("data file: pixels.raw",)},
        {"add": ("datafile: /etc/passwd",)},
        {"add": ("byte skip: 4",)},
        {"add": ("line skip: 1",)},
        {"add": ("type: uint8",)},
        {"add": ("byteskip: -1",)},
        {"replace": {3: "encoding: bzip2"}},
        {"replace": {3: "encoding: ascii"}},
        {"replace": {3: ""}},
        {"replace": {2: ""}},
        {"replace": {2: "sizes: 4 x"}},
        {"replace": {2: "sizes: 4 3 1"}},
        {"replace": {2: "sizes: 0 3"}},
        {"replace": {2: "sizes: -4 -3"}},
        {"replace": {0: "type: block"}},
        {"replace": {0: "type: ushort", 2: "sizes: 3 2"}},
        {"add": ("kinds: domain",)},
        {"replace": {1: "dimension: 1", 2: "sizes: 12"}},
    ],
)
def test_nrrd_refusals(tmp_path, change):
    fields = list(PLAIN)
    for place, text in change.get("replace", {}).items():
        fields[place] = text
    data = nrrd(change.get("data", DATA), *[f for f in fields if f], *change.get("add", ()), f"content: {NAME}")
    assert code(put(tmp_path, data)) in ("unreadable", "unsupported-pixels")


def test_nrrd_without_an_end(tmp_path):
    assert code(put(tmp_path, b"NRRD0004\ntype: uint8\n")) == "truncated"
    assert code(put(tmp_path, b"NRRD0004\n" + b"# comment\n" * 200_000 + b"\n")) == "truncated"


def test_nrrd_axes(tmp_path):
    four = ("type: uint8", "dimension: 4", "sizes: 2 3 1 2", "encoding: raw", "kinds: domain domain domain time")
    found = frames(put(tmp_path, nrrd(DATA, *four)))
    assert [f.pixels.tolist() for f in found] == [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]]
    for kinds in ("list domain domain", "vector domain domain", "RGB-color domain domain", "domain domain list"):
        three = ("type: uint8", "dimension: 3", "sizes: 2 3 2", "encoding: raw", f"kinds: {kinds}")
        assert code(put(tmp_path, nrrd(DATA, *three))) in ("colour", "unsupported-pixels")
    one = ("type: uint8", "dimension: 3", "sizes: 1 4 3", "encoding: raw", "kinds: list domain domain")
    assert frames(put(tmp_path, nrrd(DATA, *one)))[0].pixels.shape == (3, 4)
    two = ("type: uint8", "dimension: 4", "sizes: 2 1 2 3", "encoding: raw")
    assert code(put(tmp_path, nrrd(DATA, *two))) == "unsupported-pixels"


def test_read_volume_keeps_axes_and_text(tmp_path):
    fields = ("type: uint8", "dimension: 3", "sizes: 2 3 2", "encoding: raw", "kinds: list domain domain", "Space: LPS")
    pairs = ("Segment0_Name:=common bile duct", "Segment0_ID:=a:=b", f"Long:={'x' * 30_000}", "type:=not the field")
    path = put(tmp_path, nrrd(DATA, *fields, *pairs, "# a comment"))
    array, text = volume.read_volume(Source(path))
    assert array.tolist() == np.arange(12).reshape(2, 3, 2).tolist()
    assert text["Segment0_Name"] == "common bile duct"
    assert text["Segment0_ID"] == "a:=b"
    assert len(text["Long"]) == 10_000
    assert (text["type"], text["space"], text["sizes"]) == ("uint8", "LPS", "2 3 2")


# -- NIfTI -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_nifti_by_hand(tmp_path, order, packed):
    data = nifti(ramp(3, 4).astype(order + "i2").tobytes(), kind=4, bits=16, order=order)
    (frame,) = frames(put(tmp_path, gzip.compress(data) if packed else data))
    np.testing.assert_array_equal(frame.pixels, ramp(3, 4))


def test_nifti_2(tmp_path):
    head = bytearray(544)
    struct.pack_into("<i8s2h8q", head, 0, 540, b"n+2\0\r\n\x1a\n", 2, 8, 2, 4, 3, 1, 1, 1, 1, 1)
    struct.pack_into("<3d", head, 104, 1, 0.2, 0.4)
    struct.pack_into("<q2d", head, 168, 544, 0, 0)
    struct.pack_into("<i", head, 500, 2)
    path = put(tmp_path, bytes(head) + DATA)
    assert frames(path)[0].pixels.tolist() == np.arange(12).reshape(3, 4).tolist()
    assert listing(path).about.spacing_mm == (0.4, 0.2)


def test_nifti_extension_before_the_pixels(tmp_path):
    data = nifti(b"", offset=384) + NAME.encode().ljust(32) + DATA
    for path in (put(tmp_path, data), put(tmp_path, gzip.compress(data))):
        (frame,) = frames(path)
        assert frame.pixels.tolist() == np.arange(12).reshape(3, 4).tolist()
        assert "JANE" not in repr((frame, listing(path).about))
    assert volume.read_volume(Source(path))[1] == {}


@pytest.mark.parametrize(("units", "spacing"), [(2, 0.2), (0, 0.2), (1, 200.0), (3, 0.0002), (5, None), (2 + 8, 0.2)])
def test_nifti_units(tmp_path, units, spacing):
    about = listing(put(tmp_path, nifti(pixdim=(1, 0.2, 0.2, 1), units=units))).about
    assert about.spacing_mm == (pytest.approx((spacing, spacing)) if spacing else None)


def test_nifti_axes(tmp_path):
    assert len(frames(put(tmp_path, nifti(dim=(4, 2, 3, 1, 2, 1, 1, 1))))) == 2  # (x, y, 1, t)
    assert code(put(tmp_path, nifti(dim=(5, 2, 3, 1, 1, 2, 1, 1)))) == "unsupported-pixels"  # vectors
    assert code(put(tmp_path, nifti(dim=(4, 2, 1, 2, 3, 1, 1, 1)))) == "unsupported-pixels"


def test_nifti_without_an_orientation_says_so(tmp_path):
    """Programs that put an array without geometry into NIfTI often mean (y, x) by its first two axes."""
    assert frames(put(tmp_path, nifti()))[0].notes == ()
    for options in ({"sform": 0}, {"row": 1.0}):
        assert "which axis is x" in frames(put(tmp_path, nifti(**options)))[0].notes[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scale": (2, 0)}, "unsupported-pixels"),
        ({"scale": (1, -1024)}, "unsupported-pixels"),
        ({"kind": 128, "bits": 24}, "colour"),
        ({"kind": 1, "bits": 1}, "unsupported-pixels"),
        ({"bits": 16}, "unsupported-pixels"),
        ({"magic": b"ni1\0"}, "unreadable"),
        ({"offset": 0}, "unreadable"),
        ({"offset": 1e9}, "unreadable"),
        ({"offset": float("nan")}, "unreadable"),
        ({"dim": (0, 4, 3, 1, 1, 1, 1, 1)}, "unreadable"),
        ({"dim": (2, 0, 3, 1, 1, 1, 1, 1)}, "unsupported-pixels"),
        ({"dim": (2, -4, -3, 1, 1, 1, 1, 1)}, "unsupported-pixels"),
        ({"dim": (2, 30000, 30000, 1, 1, 1, 1, 1)}, "too-large"),
        ({"dim": (2, 4, 4, 1, 1, 1, 1, 1)}, "truncated"),
        ({"dim": (2, 4, 2, 1, 1, 1, 1, 1)}, "surplus-data"),
    ],
)
def test_nifti_refusals(tmp_path, options, expected):
    assert code(put(tmp_path, nifti(**options))) == expected


def test_nifti_scales_that_change_nothing(tmp_path):
    for scale in ((0, 5), (1, 0), (float("nan"), 0)):
        assert frames(put(tmp_path, nifti(scale=scale)))[0].pixels[2, 3] == 11


# -- MetaImage ---------------------------------------------------------------------------------------------------------


def test_meta_by_hand(tmp_path):
    assert frames(put(tmp_path, meta()))[0].pixels.tolist() == np.arange(12).reshape(3, 4).tolist()
    big = meta(ramp(3, 4).astype(">u2").tobytes(), ElementType="MET_USHORT", BinaryDataByteOrderMSB="True")
    np.testing.assert_array_equal(frames(put(tmp_path, big))[0].pixels, ramp(3, 4))
    packed = meta(zlib.compress(DATA), CompressedData="True")
    assert frames(put(tmp_path, packed))[0].pixels[0].tolist() == [0, 1, 2, 3]
    spaced = put(tmp_path, meta(ElementSize="0.2 0.3"))
    assert listing(spaced).about.spacing_mm == (0.3, 0.2)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ElementDataFile": "x.raw"}, "unreadable"),
        ({"ElementDataFile": "LIST"}, "unreadable"),
        ({"ElementDataFile": "/etc/passwd"}, "unreadable"),
        ({"BinaryData": "False"}, "unsupported-pixels"),
        ({"HeaderSize": "-1"}, "unsupported-pixels"),
        ({"ElementNumberOfChannels": "3"}, "colour"),
        ({"ElementType": "MET_ULONG"}, "unsupported-pixels"),
        ({"ElementType": None}, "unreadable"),
        ({"DimSize": "4"}, "unsupported-pixels"),
        ({"DimSize": "4 three"}, "unreadable"),
        ({"DimSize": "4 -3"}, "unsupported-pixels"),
        ({"DimSize": "9000 9000"}, "too-large"),
    ],
)
def test_meta_refusals(tmp_path, changes, expected):
    assert code(put(tmp_path, meta(**changes))) == expected


def test_meta_header_damage(tmp_path):
    assert code(put(tmp_path, meta().replace(b"Comment", b"NDims"))) == "unreadable"  # repeated
    assert code(put(tmp_path, meta()[:60])) == "truncated"


# -- bombs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pack",
    [
        lambda data, n: nrrd(
            gzip.compress(data), "type: uint8", "dimension: 3", f"sizes: 100 100 {n}", "encoding: gzip"
        ),
        lambda data, n: gzip.compress(nifti(data, dim=(3, 100, 100, n, 1, 1, 1, 1))),
        lambda data, n: meta(zlib.compress(data), NDims="3", DimSize=f"100 100 {n}", CompressedData="True"),
    ],
)
def test_packed_data_are_unpacked_with_a_cap(tmp_path, pack, monkeypatch):
    path = put(tmp_path, pack(bytes(50_000_000), 2))  # holds more than it declares
    assert code(path) == "surplus-data"
    path = put(tmp_path, pack(bytes(20_000), 30_000))  # declares more than the limit
    assert code(path) == "too-large"
    path = put(tmp_path, pack(bytes(20_000), 20_000))  # declares more than its bytes can hold
    assert code(path) == "truncated"


def test_slices_that_are_not_packed_are_read_one_by_one(tmp_path, monkeypatch):
    path = write(tmp_path / "x.nrrd", ramp(50, 20, 30))
    lengths = []
    read = volume._read
    monkeypatch.setattr(volume, "_read", lambda *a: lengths.append(a[2]) or read(*a))
    np.testing.assert_array_equal(frames(path)[49].pixels, ramp(50, 20, 30)[49])
    assert lengths == [20 * 30 * 2] * 50
