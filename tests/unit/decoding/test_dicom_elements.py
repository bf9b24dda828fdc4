"""The walk through a data set: pydicom as oracle on real files, and the limits that pydicom has not."""

import io
import random
import struct
import sys
import time
import warnings
from pathlib import Path

import pytest

from ercpseg.decoding import dicom_elements, dicom_file
from ercpseg.decoding.dicom_elements import MAX_DEPTH, PER_FRAME, SHARED, walk
from ercpseg.decoding.dicom_values import Values, tags
from ercpseg.errors import InputRefused
from tests.unit.decoding.conftest import ramp

UNDEFINED = 0xFFFFFFFF
PATIENT, ROWS, PIXELS = 0x00100020, 0x00280010, 0x7FE00010


def element(tag, vr, data, length=None):
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    length = len(data) if length is None else length
    long = vr in (b"SQ", b"UN", b"OB", b"OW")
    return head + (struct.pack("<HL", 0, length) if long else struct.pack("<H", length)) + data


def item(content, defined=True):
    if defined:
        return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content
    return struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + content + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)


def sequence(tag, *contents, defined=True, vr=b"SQ"):
    body = b"".join(item(content, defined) for content in contents)
    if defined:
        return element(tag, vr, body)
    return element(tag, vr, body + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0), UNDEFINED)


PIXEL_ELEMENT = element(PIXELS, b"OW", bytes(4))


def walked(data):
    wanted = tags()
    return walk(
        io.BytesIO(data), len(data), top=wanted.top, nested=wanted.nested, implicit=False, little_endian=True
    )  # fmt: skip


def refusal(data):
    with pytest.raises(InputRefused) as refused:
        walked(data)
    return refused.value.code


# -- pydicom as oracle -------------------------------------------------------------------------------------------------


def bundled():
    import pydicom

    return sorted((Path(pydicom.__file__).parent / "data" / "test_files").rglob("*.dcm"))


def parts(value):
    """A value of pydicom as ours: a list of numbers, or of stripped text."""
    from pydicom.multival import MultiValue

    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    try:
        return [float(part) for part in values]
    except ValueError:
        return [str(part).strip() for part in values]


def both(path):
    """A file as pydicom reads it, and as we do; None when it has no plain pixels, or pydicom cannot read it."""
    import pydicom

    try:
        data = pydicom.dcmread(path)
        pixels = data.get("PixelData")
    except (pydicom.errors.InvalidDicomError, ValueError, TypeError, AttributeError):
        return None
    if pixels is None or data.file_meta.get("TransferSyntaxUID") in (None, dicom_file.DEFLATED):
        return None
    little_endian = data.file_meta.TransferSyntaxUID != dicom_file.BIG_ENDIAN
    with path.open("rb") as handle:
        handle.seek(132)
        dicom_file._transfer_syntax(handle)
        wanted, implicit = tags(), data.original_encoding[0]
        size = path.stat().st_size
        options = {"implicit": implicit, "little_endian": little_endian}
        found = walk(handle, size, top=wanted.top, nested=wanted.nested, **options)
        handle.seek(found.pixels.offset)
        assert handle.read(min(64, len(pixels))) == pixels[:64], path.name
    return data, Values(found, little_endian=little_endian)


def test_values_and_pixels_are_those_that_pydicom_finds():
    from pydicom.datadict import dictionary_VR

    files = values = 0
    for path in bundled():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = both(path)
            if read is None:
                continue
            data, ours = read
            theirs = {}
            for word, tag in tags().tag.items():
                if tag in tags().top and dictionary_VR(tag) not in ("OW", "OV", "SQ", "AT", "US or OW"):
                    try:
                        theirs[word] = data.get(word)
                    except (ValueError, TypeError):
                        continue  # what pydicom cannot convert
        files += 1
        assert (ours.elements.pixels.length is None) == data["PixelData"].is_undefined_length
        assert ours.elements.private == sum(e.tag.is_private and e.tag < PIXELS for e in data), path.name
        assert ours.elements.overlays == {e.tag.group for e in data if 0x6000 <= e.tag.group <= 0x60FF}
        for word, value in theirs.items():
            if value in (None, "", []):
                assert "SharedFunctionalGroupsSequence" in data or not ours.text(word), (path.name, word)
            elif parts(value) not in (ours.numbers(word), ours.texts(word)):
                assert parts(value) == [ours.text(word)], (path.name, word)  # text that is not plain ASCII
            values += value is not None
    assert files > 50
    assert values > 800


# -- structure ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("defined", [True, False])
def test_the_pixels_are_found_behind_sequences(defined):
    inner = sequence(0x00081140, element(PATIENT, b"LO", b"nested"), defined=defined)
    data = element(PATIENT, b"LO", b"PAT7") + sequence(0x00081115, inner, inner, defined=defined) + PIXEL_ELEMENT
    found = walked(data)
    assert found.values[PATIENT].data == b"PAT7"  # not that of an item
    assert found.pixels == (PIXELS, b"OW", len(data) - 4, 4)


def test_pixels_of_an_icon_are_not_the_image():
    icon = element(PIXELS, b"OB", b"", UNDEFINED) + item(b"") + item(b"icon") + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    for defined in (True, False):
        data = sequence(0x00880200, element(ROWS, b"US", b"\x40\0") + icon, defined=defined) + PIXEL_ELEMENT
        found = walked(data)
        assert ROWS not in found.values
        assert found.pixels.offset == len(data) - 4


def test_implicit_items_within_an_unknown_sequence():
    """PS3.5 6.2.2: what has VR UN and undefined length is encoded implicitly inside."""
    inside = struct.pack("<HHL", 0x0009, 0x1001, 6) + b"abcdef"
    data = sequence(0x00091000, inside, defined=False, vr=b"UN") + PIXEL_ELEMENT
    assert walked(data).pixels.offset == len(data) - 4


def test_values_that_differ_between_frames():
    spacing = [sequence(0x00289443, element(0x00181164, b"DS", text)) for text in (b"0.2\\0.2 ", b"0.3\\0.3 ")]
    tag = 0x00181164

    def groups(*frames, shared=b""):
        found = walked(sequence(SHARED, shared) + sequence(PER_FRAME, *frames) + PIXEL_ELEMENT)
        return tag in found.mixed, found.values[tag].data if tag in found.values else None

    a, b = spacing
    assert groups(a, a) == (False, b"0.2\\0.2 ")
    assert groups(a, b) == (True, None)
    assert groups(a, b"") == (True, None)
    assert groups(b"", b"", shared=a) == (False, b"0.2\\0.2 ")
    assert groups(a, b, shared=a) == (True, None)
    assert groups() == (False, None)


# -- limits ------------------------------------------------------------------------------------------------------------


def nest(depth, defined=False, tag=0x00081140):
    data = b""
    for _ in range(depth):
        data = sequence(tag, data, defined=defined)
    return data


def test_depth_is_limited():
    assert walked(nest(MAX_DEPTH) + PIXEL_ELEMENT).pixels is not None
    assert refusal(nest(MAX_DEPTH + 1) + PIXEL_ELEMENT) == "unreadable"


def test_very_deep_nesting_is_refused_at_once():
    """pydicom ends such a file with RecursionError."""
    depth = 200_000
    assert depth > 100 * sys.getrecursionlimit()
    opening = element(0x00081140, b"SQ", b"", UNDEFINED) + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
    start = time.perf_counter()
    assert refusal(opening * depth) == "unreadable"
    assert time.perf_counter() - start < 1
    # sequences of known length are stepped over, however deep
    assert walked(nest(1000, defined=True) + PIXEL_ELEMENT).pixels is not None
    # but not within the sequences that are read
    assert refusal(sequence(SHARED, nest(MAX_DEPTH + 1)) + PIXEL_ELEMENT) == "unreadable"


def test_elements_are_limited(monkeypatch):
    monkeypatch.setattr(dicom_elements, "MAX_ELEMENTS", 100)
    few = element(0x00091001, b"LO", b"ab") * 99
    assert walked(few + PIXEL_ELEMENT).private == 99
    assert refusal(few + few + PIXEL_ELEMENT) == "too-large"
    assert refusal(sequence(0x00081140, few + few, defined=False) + PIXEL_ELEMENT) == "too-large"


def test_a_value_of_absurd_length_counts_as_absent(monkeypatch):
    monkeypatch.setattr(dicom_elements, "MAX_VALUE_BYTES", 100)
    found = walked(element(PATIENT, b"UN", b"x" * 102) + PIXEL_ELEMENT)
    assert PATIENT not in found.values
    assert found.pixels is not None


@pytest.mark.parametrize(
    "data",
    [
        element(PATIENT, b"LO", b"abc", 100),
        element(0x00091001, b"UN", b"abc", 0xFFFFFFFE),
        sequence(SHARED, b"")[:-1],
        element(SHARED, b"SQ", b"", 1000),
        element(0x00081140, b"SQ", item(b"", defined=False)[:8], UNDEFINED),
        b"\x08\0\x05",
        element(PATIENT, b"OB", b"")[:10],
    ],
)
def test_what_reaches_beyond_the_file_is_truncated(data):
    assert refusal(data) == "truncated"


@pytest.mark.parametrize(
    "data",
    [
        sequence(SHARED, element(PATIENT, b"LO", b"abcdef"))[:-2] + element(PATIENT, b"LO", b"ab") * 3,
        element(0x00081140, b"SQ", element(PATIENT, b"LO", b"ab"), UNDEFINED),
        element(0x00081140, b"OB", item(b"", defined=False), UNDEFINED),
        element(0x00081140, b"SQ", item(b"")[:4] + b"\xff" * 4 + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0), UNDEFINED),
    ],
)
def test_broken_structure_is_refused(data):
    assert refusal(data + PIXEL_ELEMENT) in {"unreadable", "truncated"}


def test_any_damage_ends_in_a_refusal_or_in_a_frame_of_the_size_declared(make_dicom, read):
    """2,000 damaged headers: no other exception, and never more pixels than the file has bytes."""
    path = make_dicom(
        ramp(16, 16, step=1), PixelSpacing=["0.2", "0.2"], ImagerPixelSpacing=["0.3", "0.3"], FrameTime="33",
        ReferencedImageSequence=[], SpecificCharacterSet="ISO_IR 192", PatientID="Ä",
    )  # fmt: skip
    whole = path.read_bytes()
    start, end = 132, whole.index(struct.pack("<HH", 0x7FE0, 0x0010)) + 12
    chance = random.Random(1)
    accepted = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(start, end)
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 1 << chance.randrange(8)))
        path.write_bytes(bytes(data))
        try:
            frames = read(path)
        except InputRefused:
            continue
        for frame in frames:
            if not isinstance(frame, InputRefused):
                accepted += 1
                assert frame.pixels.size <= 2 * 256
    assert accepted > 500
