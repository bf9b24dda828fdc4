import gzip
import io
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from ercpseg.decoding.sniff import HEAD_BYTES, gunzip_head, sniff, video_container


def kind(data):
    return sniff(data[:HEAD_BYTES], len(data))


def saved(suffix):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(buffer, suffix)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("PNG", "png"), ("JPEG", "jpeg"), ("TIFF", "tiff"), ("BMP", "bmp"), ("GIF", None), ("WEBP", None), ("PPM", None)],
)
def test_images(name, expected):
    assert kind(saved(name)) == expected


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii", "a.nii.gz", "a.mha"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [4, 200])
def test_volumes(tmp_path, name, packed, size):
    noise = np.random.default_rng(0).integers(0, 255, (size, size)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(tmp_path / name), packed)
    expected = {"a.nrrd": "nrrd", "a.mha": "mha"}.get(name, "nifti")
    assert kind((tmp_path / name).read_bytes()) == expected


def test_detached_headers_are_told_too(tmp_path):
    """They are refused by the reader, which says why."""
    image = sitk.GetImageFromArray(np.zeros((3, 4), np.uint8))
    for name, expected in [("a.nhdr", "nrrd"), ("a.mhd", "mha"), ("a.hdr", "nifti")]:
        sitk.WriteImage(image, str(tmp_path / name))
        assert kind((tmp_path / name).read_bytes()) == expected


def test_a_long_text_in_a_packed_nifti_header(tmp_path):
    """The mark must be found although the bytes before it do not pack well."""
    header = bytearray(352)
    header[0:4], header[344:348] = struct.pack("<i", 348), b"n+1\0"
    header[4:344] = np.random.default_rng(0).bytes(340)
    body = np.random.default_rng(1).bytes(5000)
    assert kind(gzip.compress(bytes(header) + body)) == "nifti"
    assert kind(gzip.compress(b"no volume" * 100)) is None


def test_gunzip_head_is_bounded():
    bomb = gzip.compress(bytes(50_000_000))
    assert len(gunzip_head(bomb, 1000)) == 1000
    assert gunzip_head(b"\x1f\x8b\x08" + b"\xff" * 50) == b""
    assert gunzip_head(b"") == b""


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\0\0\0\x18ftypisom\0\0\2\0", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\0\0\0\1mdat\0\0\0\0\0\1\0\0", "mov"),
        (b"RIFF\x10\0\0\0AVI LIST", "avi"),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", "matroska"),
        (b"#EXTM3U\nhttp://x/\n", None),
        (b"\0\0\1\xba\x44\0\4\0", None),
    ],
)
def test_video(head, container):
    data = head.ljust(400, b"\0")
    assert video_container(data) == container
    assert kind(data) == ("video" if container else None)


@pytest.mark.parametrize(
    "text",
    [b"Comment = a picture\nsome notes\n", b"NDims: 3\n", b"ObjectType = Scene\nNDims = 3\n", b"NRRD0004", b"NDims"],
)
def test_text_is_no_volume(text):
    assert kind(text) is None


def test_dicom():
    assert kind(bytes(128) + b"DICM" + bytes(20)) == "dicom"
    assert kind(b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100" + bytes(20)) == "dicom"  # implicit VR, no preamble
    assert kind(b"\x08\0\x05\0CS\x0a\0ISO_IR 100" + bytes(20)) == "dicom"
    assert kind(b"\0\x08\0\x05CS\0\x0aISO_IR 100" + bytes(20)) == "dicom"  # big endian


@pytest.mark.parametrize("length", range(0, 20))
def test_short_files(length):
    for data in (b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08\0", b"RIFF\0\0\0\0AVI ", bytes(20), b"NRRD0001\n"):
        kind(data[:length])
