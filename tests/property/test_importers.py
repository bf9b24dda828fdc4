"""What is written as PNG, TIFF or DICOM comes back exactly; what is random never raises."""

import re
import tempfile
import unicodedata
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ercpseg.frames.frame import Frame
from ercpseg.importers.frames import iter_frames
from ercpseg.importers.naming import Namer, is_safe, name_key
from ercpseg.importers.scan import natural_key

QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FULL = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def stacks(dtypes=("uint8", "uint16"), frames=20):
    """(frames, y, x) of random values."""
    return st.sampled_from(dtypes).flatmap(
        lambda dtype: hnp.arrays(
            dtype, st.tuples(st.integers(1, frames), st.integers(1, 12), st.integers(1, 12)), elements=None, fill=None
        )
    )


def read_all(name, write):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return list(iter_frames(path))


def read_one(name, write):
    (row,) = read_all(name, write)
    return row


def same_or_constant(row, array):
    if array.min() == array.max():
        return row.code == "constant"
    return isinstance(row, Frame) and row.pixels.dtype == array.dtype and np.array_equal(row.pixels, array)


def write_png(path, frames):
    path.write_bytes(imagecodecs.png_encode(frames[0]))


def write_tiff(path, frames, compression, order):
    with tifffile.TiffWriter(path, byteorder=order) as writer:
        for frame in frames:
            writer.write(frame, compression=compression, photometric="minisblack", contiguous=False)


def write_dicom(path, frames, *, syntax, stored, signed, photometric):
    import pydicom
    from pydicom.dataset import FileMetaDataset

    order = ">" if syntax.endswith("2.2") else "<"
    allocated = frames.itemsize * 8
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *frames.shape[1:], 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelRepresentation = int(signed)
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    raw = frames.astype(frames.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if allocated == 8 and syntax != "1.2.840.10008.1.2" else "OW"
    dataset.save_as(path, enforce_file_format=True)


@given(stacks(), st.data())
@FULL
def test_what_is_written_is_read(frames, data):
    """Any bits stored, either sign, either polarity, 1 to 20 frames, three formats: values come back by the stated rule."""
    kind = data.draw(st.sampled_from(["png", "tiff", "dicom"]))
    expected = frames
    if kind == "png":
        rows, expected = read_all("x.png", lambda p: write_png(p, frames)), frames[:1]
    elif kind == "tiff":
        options = data.draw(st.sampled_from([None, "deflate"])), data.draw(st.sampled_from("<>"))
        rows = read_all("x.tif", lambda p: write_tiff(p, frames, *options))
    else:
        bits = 8 * frames.itemsize
        stored = data.draw(st.integers(8, bits)) if bits > 8 else 8
        signed, photometric = data.draw(st.booleans()), data.draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"]))
        syntax = data.draw(st.sampled_from(["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"]))
        options = {"syntax": syntax, "stored": stored, "signed": signed, "photometric": photometric}
        top = 2**stored - 1
        written = frames & frames.dtype.type(top)
        rows = read_all("x.dcm", lambda p: write_dicom(p, written, **options))
        values = written.astype(np.int64)
        if signed:  # as a number of that many bits, then shifted so that the least becomes 0
            values = np.where(values >= 2 ** (stored - 1), values - 2**stored, values) + 2 ** (stored - 1)
        values = top - values if photometric == "MONOCHROME1" else values
        expected = values.astype(np.uint8 if stored <= 8 else np.uint16)
    assert len(rows) == len(expected)
    assert [row.index for row in rows] == ([None] if len(expected) == 1 else list(range(len(expected))))
    assert all(same_or_constant(row, frame) for row, frame in zip(rows, expected, strict=True))


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


def by_parts(text):
    """The order in words: parts between numbers as text without case, numbers by value, then the text itself."""
    parts = re.split(r"([0-9]+)", unicodedata.normalize("NFC", text).casefold())
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), text


@given(st.lists(st.text("aB019.é_\0\1\2", max_size=8) | st.text(max_size=12), max_size=10, unique=True))
@QUICK
def test_natural_keys_sort_by_parts_in_python_and_byte_by_byte(names):
    expected = sorted(names, key=by_parts)
    assert sorted(names, key=natural_key) == expected
    assert sorted(names, key=lambda n: natural_key(n).encode("utf-8", "surrogatepass")) == expected
