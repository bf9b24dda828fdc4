"""Damaged files: seeds of every format, and the ways to damage them (reliability.md 4.2)."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

CANARY = "CANARY^JOHN"
MAX_SEED_BYTES = 300_000
Mutator = Callable[[np.random.Generator, bytes], bytes]


def _at(rng: np.random.Generator, data: bytes, room: int = 0) -> int:
    return int(rng.integers(0, max(1, len(data) - room)))


def flip_bits(rng: np.random.Generator, data: bytes) -> bytes:
    """1 to 8 bits anywhere."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[_at(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def truncate(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: _at(rng, data)]


def overwrite(rng: np.random.Generator, data: bytes) -> bytes:
    """1 to 8 bytes of a value that lengths and counts do not like."""
    at, count = _at(rng, data), int(rng.integers(1, 9))
    value = bytes([[0, 1, 0x7F, 0x80, 0xFF][int(rng.integers(5))]])
    return data[:at] + value * count + data[at + count :]


def delete(rng: np.random.Generator, data: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] + data[at + int(rng.integers(1, 64)) :]


def insert(rng: np.random.Generator, data: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] + rng.bytes(int(rng.integers(1, 64))) + data[at:]


def long_length(rng: np.random.Generator, data: bytes) -> bytes:
    """A 32-bit number becomes the largest, the largest positive, zero or an even near-largest one."""
    at = _at(rng, data, 4)
    value = [0xFFFFFFFF, 0x7FFFFFFF, 0, 0xFFFFFFFE][int(rng.integers(4))]
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


def early(mutator: Mutator) -> Mutator:
    """The same within the first kilobyte, where headers are."""
    return lambda rng, data: mutator(rng, data[:1024]) + data[1024:]


def png_chunk(rng: np.random.Generator, data: bytes) -> bytes:
    """Damage inside one chunk of a PNG, with a checksum that fits again."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return data
    which = int(rng.integers(len(chunks)))
    out = [data[:8]]
    for i, (name, body) in enumerate(chunks):
        body = [flip_bits, overwrite, truncate][int(rng.integers(3))](rng, body) if i == which and body else body
        out += [len(body).to_bytes(4, "big"), name, body, zlib.crc32(name + body).to_bytes(4, "big")]
    return b"".join(out)


PLAIN: tuple[Mutator, ...] = (flip_bits, truncate, overwrite, delete, insert, long_length)
MUTATORS: tuple[Mutator, ...] = (*PLAIN, *(early(m) for m in PLAIN))


def dicom_element(rng: np.random.Generator, data: bytes) -> bytes:
    """Drop, swap, nest or retype one element of a DICOM file; written by pydicom, so all lengths fit."""
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(data))
            elements = [e.tag for e in dataset if e.tag.group != 2]
            tag = elements[int(rng.integers(len(elements)))]
            kind = int(rng.integers(4))
            if kind == 0:
                del dataset[tag]
            elif kind == 1:
                dataset[tag].VR = ["LO", "US", "SQ", "OB", "DS", "UI"][int(rng.integers(6))]
            elif kind == 2:
                other = elements[int(rng.integers(len(elements)))]
                dataset[tag]._value, dataset[other]._value = dataset[other]._value, dataset[tag]._value
            else:
                inner = dataset
                for _ in range(int(rng.integers(1, 90))):
                    outer = pydicom.Dataset()
                    outer.add_new(0x00081140, "SQ", [inner if inner is not dataset else pydicom.Dataset()])
                    inner = outer
                dataset.add_new(0x00081140, "SQ", [inner])
            out = io.BytesIO()
            dataset.save_as(out)
            return out.getvalue()
        except Exception:  # pydicom cannot write everything that it is asked to; then the plain way
            return flip_bits(rng, data)


def png_seeds() -> Iterator[bytes]:
    """Every depth and colour type that imagecodecs or Pillow writes, small."""
    import imagecodecs
    from PIL import Image, PngImagePlugin

    rng = np.random.default_rng(0)
    for shape in ((17, 23), (17, 23, 2), (17, 23, 3), (17, 23, 4)):
        for dtype in (np.uint8, np.uint16):
            yield bytes(imagecodecs.png_encode(rng.integers(0, np.iinfo(dtype).max, shape, dtype)))
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", CANARY)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).convert(mode).save(buffer, "PNG", pnginfo=info)
        yield buffer.getvalue()


def other_seeds() -> Iterator[tuple[str, bytes]]:
    """JPEG, BMP and TIFF by Pillow and tifffile."""
    import tifffile
    from PIL import Image

    rng = np.random.default_rng(1)
    grey, colour = (
        rng.integers(0, 255, (24, 31), np.uint8),
        np.repeat(rng.integers(0, 255, (24, 31, 1), np.uint8), 3, 2),
    )
    for kind, name in (("jpeg", "JPEG"), ("bmp", "BMP")):
        for pixels in (grey, colour):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, name)
            yield kind, buffer.getvalue()
    for options in ({}, {"compression": "zlib"}, {"tile": (16, 16)}, {"description": CANARY}):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, np.stack([grey, grey.T.reshape(24, 31)]).astype(np.uint16) * 17, **options)
        yield "tiff", buffer.getvalue()


def dicom_seeds() -> Iterator[bytes]:
    """Native, big endian, deflated, RLE, JPEG lossless, JPEG-LS and JPEG 2000; one and several frames."""
    import imagecodecs
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        JPEG2000Lossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
    )

    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 4096, (3, 16, 20)).astype(np.uint16)
    codecs = {
        JPEGLosslessSV1: lambda f: imagecodecs.ljpeg_encode(f, bitspersample=16),
        JPEGLSLossless: imagecodecs.jpegls_encode,
        JPEG2000Lossless: lambda f: imagecodecs.jpeg2k_encode(f, codecformat="j2k", level=0, reversible=True),
    }
    native = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    for syntax in (*native, *codecs):
        for frames in (1, 3):
            data = pydicom.Dataset()
            data.file_meta = pydicom.dataset.FileMetaDataset()
            data.file_meta.TransferSyntaxUID = syntax
            data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3.4"
            data.PatientName, data.PatientID, data.StudyInstanceUID = CANARY, CANARY, "1.2.3"
            data.Rows, data.Columns, data.SamplesPerPixel, data.BitsAllocated, data.BitsStored = 16, 20, 1, 16, 12
            data.HighBit, data.PixelRepresentation, data.PhotometricInterpretation = 11, 0, "MONOCHROME1"
            data.NumberOfFrames, data.FrameTime, data.PixelSpacing = frames, 66.6, [0.3, 0.3]
            used = pixels[:frames]
            if syntax in codecs:
                data.PixelData = encapsulate([bytes(codecs[syntax](frame)) for frame in used])
                data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
            else:
                data.PixelData = used.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()
                data["PixelData"].VR = "OW"
            buffer = io.BytesIO()
            data.save_as(buffer, enforce_file_format=True)
            yield buffer.getvalue()


def real_seeds() -> Iterator[tuple[str, bytes]]:
    """Small odd files of the development data, where they are."""
    root = Path(os.environ.get("ERCPSEG_TEST_DATA", "/nonexistent")) / "odd-files"
    for folder, kind in (("dicom", "dicom"), ("png", "png")):
        files = [
            p for p in sorted((root / folder).rglob("*")) if p.is_file() and 200 < p.stat().st_size < MAX_SEED_BYTES
        ]
        for path in files[:: max(1, len(files) // 40)]:
            yield kind, path.read_bytes()


def seeds() -> list[tuple[str, bytes]]:
    """Kind and bytes of all seeds."""
    made = [("png", data) for data in png_seeds()] + list(other_seeds()) + [("dicom", data) for data in dicom_seeds()]
    return made + list(real_seeds())


def mutate(rng: np.random.Generator, kind: str, data: bytes) -> bytes:
    """One damaged copy."""
    mutators = (*MUTATORS, *{"png": (png_chunk, png_chunk), "dicom": (dicom_element,)}.get(kind, ()))
    return mutators[int(rng.integers(len(mutators)))](rng, data)


def json_seeds() -> list[bytes]:
    """labelme and COCO documents."""
    shapes = [
        {"label": "stone", "points": [[3, 3], [9, 3], [6, 8]], "shape_type": "polygon", "description": CANARY},
        {"label": "guidewire", "points": [[1, 1], [12, 9]], "shape_type": "linestrip"},
    ]
    labelme = {"shapes": shapes, "imagePath": CANARY, "imageData": None, "imageHeight": 16, "imageWidth": 20}
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "height": 16, "width": 20}],
        "categories": [{"id": 1, "name": "stone"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[3, 3, 9, 3, 6, 8]]},
            {"id": 2, "image_id": 1, "category_id": 1, "segmentation": {"size": [16, 20], "counts": [5, 10, 305]}},
        ],
    }
    return [json.dumps(labelme).encode(), json.dumps(coco).encode()]
