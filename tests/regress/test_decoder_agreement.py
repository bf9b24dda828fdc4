"""The same real images in up to 8 encodings (NEMA WG-04): what is lossless is equal to the reference bit by bit.

The reference pixels are compared with what numpy reads from the plain file, not with our own reading of it.
"""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.encaps import generate_frames

from ercpseg.decoding import formats
from ercpseg.decoding.reading import Picture
from ercpseg.decoding.source import Source

FOLDER = "odd-files/dicom/nema-wg04"
LOSSLESS = ("J2KR", "JLSL", "JPLL", "RLE")
LOSSY = {"J2KI": 16, "JLSN": 4, "JPLY": 128}
"""Largest difference of any pixel of the X-ray image, as measured (8, 4 and 116 of 1023) with some room."""


def picture(path: Path) -> Picture:
    listing = formats.listing(Source(path), "dicom")
    assert listing.count == 1
    return formats.frame(listing, 0)


@pytest.fixture
def reference(real_data: Path, tmp_path: Path):
    """The uncompressed file of an image, and its pixels as numpy reads them from behind the header."""
    folder = real_data / FOLDER / "REF"
    if not folder.is_dir():
        pytest.skip("the odd files are not there")

    def get(name: str) -> tuple[Path, NDArray[np.int64]]:
        path = tmp_path / name
        path.write_bytes(imagecodecs.zstd_decode((folder / f"{name}_UNC.zst").read_bytes()))
        header = pydicom.dcmread(path, stop_before_pixels=True)
        data, shape = path.read_bytes(), (header.Rows, header.Columns)
        start = data.rindex(b"\xe0\x7f\x10\x00OW\0\0") + 12
        stored = np.frombuffer(data[start : start + 2 * shape[0] * shape[1]], "<u2").reshape(shape)
        values = stored.astype(np.int64) & (2**header.BitsStored - 1)
        half = 2 ** (header.BitsStored - 1)
        return path, values ^ half if header.PixelRepresentation else values

    return get


@pytest.mark.parametrize("name", ["XA1", "MR4", "NM1"])
def test_lossless_encodings_are_equal_to_the_reference(real_data: Path, reference, name: str) -> None:
    path, expected = reference(name)
    plain = picture(path)
    assert (plain.pixels == expected).all()
    for encoding in LOSSLESS:
        frame = picture(real_data / FOLDER / encoding / f"{name}_{encoding}")
        assert frame.pixels.tobytes() == plain.pixels.tobytes(), encoding
        assert (frame.pixels.dtype, frame.bits) == (plain.pixels.dtype, plain.bits)


@pytest.mark.parametrize(("encoding", "largest"), LOSSY.items())
def test_lossy_encodings_of_the_x_ray_are_close(real_data: Path, reference, encoding: str, largest: int) -> None:
    _, expected = reference("XA1")
    frame = picture(real_data / FOLDER / encoding / f"XA1_{encoding}")
    difference = np.abs(frame.pixels.astype(np.int64) - expected)
    assert 0 < difference.max() <= largest
    assert difference.mean() < 8


def test_an_inverted_radiograph_is_the_same_in_all_encodings(real_data: Path) -> None:
    """MONOCHROME1, 10 bits; there is no plain file of it."""
    folder = real_data / FOLDER
    first, second = (picture(folder / encoding / f"RG3_{encoding}") for encoding in ("J2KR", "JLSL"))
    assert first.pixels.tobytes() == second.pixels.tobytes()
    fragments = pydicom.dcmread(folder / "JLSL" / "RG3_JLSL").PixelData
    stored = imagecodecs.jpegls_decode(next(generate_frames(fragments, number_of_frames=1)))
    assert (first.pixels == 1023 - stored).all()
