"""What is written as PNG, TIFF or DICOM comes back exactly; what is random never raises."""

import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ercpseg.frames.frame import Frame
from ercpseg.importers import iter_frames
from ercpseg.importers.naming import Namer, is_safe, name_key
from ercpseg.importers.scan import natural_key

QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pixels(dtypes=("uint8", "uint16")):
    return st.sampled_from(dtypes).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
    )


def read_one(name, write):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        (row,) = iter_frames(path)
    return row


def same_or_constant(row, array):
    if array.min() == array.max():
        return row.code == "constant"
    return isinstance(row, Frame) and row.pixels.dtype == array.dtype and np.array_equal(row.pixels, array)


@given(pixels())
@QUICK
def test_png_write_read(array):
    assert same_or_constant(read_one("x.png", lambda p: p.write_bytes(imagecodecs.png_encode(array))), array)


@given(pixels(), st.sampled_from([None, "deflate"]), st.sampled_from("<>"))
@QUICK
def test_tiff_write_read(array, compression, order):
    def write(path):
        tifffile.imwrite(path, array, compression=compression, byteorder=order, photometric="minisblack")

    assert same_or_constant(read_one("x.tif", write), array)


@given(pixels(), st.data())
@QUICK
def test_dicom_write_read(array, data):
    """Any stored bits, either sign, either polarity, three byte orders: the values come back by the stated rule."""
    import pydicom
    from pydicom.dataset import FileMetaDataset

    syntax = data.draw(st.sampled_from(["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"]))
    allocated = array.itemsize * 8
    stored = data.draw(st.integers(2, allocated))
    signed, inverted = data.draw(st.booleans()), data.draw(st.booleans())
    order = ">" if syntax.endswith("2.2") else "<"
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *array.shape, 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelRepresentation = int(signed)
    raw = array.astype(array.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if allocated == 8 and syntax != "1.2.840.10008.1.2" else "OW"
    row = read_one("x.dcm", lambda p: dataset.save_as(p, enforce_file_format=True))
    top = 2**stored - 1
    expected = array.astype(np.int64) & top
    if signed:  # as a number of that many bits, then shifted so that the least becomes 0
        expected = np.where(expected >= 2 ** (stored - 1), expected - 2**stored, expected) + 2 ** (stored - 1)
    expected = top - expected if inverted else expected
    assert same_or_constant(row, expected.astype(np.uint8 if stored <= 8 else np.uint16))


@given(
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"BM", bytes(128) + b"DICM", b"\x08\0\x05\0CS"]),
    st.binary(max_size=200),
    st.sampled_from(["x.png", "x.dcm", "x"]),
)
@settings(max_examples=150, deadline=None)
def test_random_bytes_are_refused_not_raised(start, rest, name):
    row = read_one(name, lambda p: p.write_bytes(start + rest))
    assert isinstance(row, Frame) or row.status == "refused"


@given(st.lists(st.text(max_size=100), max_size=12), st.booleans())
@QUICK
def test_names_are_safe_and_unique(stems, multi):
    namer = Namer()
    names = [namer.claim(stem, f"{i}/{stem}", i if multi else None) for i, stem in enumerate(stems)]
    assert all(is_safe(name) for name in names)
    assert len({name_key(name) for name in names}) == len(names)


@given(st.lists(st.text("ab1290.é_", max_size=8) | st.text(max_size=20), max_size=10))
@QUICK
def test_the_order_is_total(names):
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)
