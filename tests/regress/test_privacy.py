"""No text of an input leaves the private tables, whatever is done with it and whatever goes wrong.

Forty strings are planted in inputs of every kind, then looked for in every byte that was written or printed: as they are,
as UTF-16, base64 and hexadecimal, and inside of whatever is compressed. Stems of plain files are the user's own names and
appear in outputs; so do paths that a person typed. Everything else of an input must not.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import random
import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, PngImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, BasicTextSRStorage, ExplicitVRLittleEndian, XRayRadiofluoroscopicImageStorage

from ercpseg.storage.tables import read_table

SIZE = 96
MARK = "ZQXVKJWH"
"""Part of every planted text; letters that meet nowhere else."""
ROOT = "7391846205"
"""Part of every planted UID and number."""
BORN, SEEN = ("18930728", "1893-07-28"), ("18940817", "1894-08-17")

PLANTED = {
    name: f"{MARK}{number:02d}"
    for number, name in enumerate(
        (
            # DICOM elements
            "PatientName", "PatientID", "OtherPatientNames", "PatientComments", "AccessionNumber", "InstitutionName",
            "InstitutionAddress", "StationName", "ReferringPhysicianName", "OperatorsName", "StudyDescription",
            "SeriesDescription", "StudyID", "ProtocolName", "DeviceSerialNumber", "ImageComments", "RequestedProcedureID",
            # other parts of a DICOM file
            "preamble", "sender", "private creator", "private element", "overlay label", "overlay description",
            "sequence", "wrong SpecificCharacterSet", "wrong InstanceNumber", "wrong FrameTime", "padding",
            # other files
            "png text", "png compressed text", "png international text", "exif", "jpeg comment", "tiff description",
            "tiff artist", "behind a bmp", "nrrd comment", "nrrd key", "zip comment", "labelme path", "labelme description",
            "labelme flag", "labelme extra", "unknown label", "coco info", "coco licence", "coco folder", "coco extra",
            "csv column", "sidecar", "unknown format",
            # names
            "folder", "dicom file", "zip member", "refused file",
        )
    )
}  # fmt: skip
UIDS = {"study": f"1.2.826.{ROOT}.1", "series": f"1.2.826.{ROOT}.2", "instance": f"1.2.826.{ROOT}.3"}


# -- the searcher ------------------------------------------------------------------------------------------------------


def spellings(text: str) -> Iterator[bytes]:
    """How a text may stand in a file without being compressed."""
    plain = text.encode()
    yield from (
        plain,
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        plain.hex().encode(),
        plain.hex().upper().encode(),
    )
    for phase in range(3):  # bytes before it in a group of three; characters that depend on neighbours are left out
        coded = base64.b64encode(b"\0" * phase + plain)
        end = len(coded) if (phase + len(plain)) % 3 == 0 else coded.index(b"=") - 1
        yield coded[(0, 2, 3)[phase] : end]


def pattern(text: str) -> re.Pattern[bytes]:
    alone = (rb"(?<![0-9.])", rb"(?![0-9])") if text.isdigit() and len(text) < 9 else (b"", b"")
    return re.compile(b"|".join(alone[0] + re.escape(spelling) + alone[1] for spelling in spellings(text)))


SOUGHT = [pattern(text) for text in (MARK, MARK.lower(), MARK.title(), ROOT, *BORN, *SEEN)]
ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
BASE64 = re.compile(rb"[A-Za-z0-9+/]{64,}={0,2}")


def layers(data: bytes, depth: int = 3) -> Iterator[bytes]:
    """The bytes themselves and whatever is packed in them."""
    yield data
    if depth == 0:
        return
    inner: list[bytes] = []
    for start in ZLIB.finditer(data):
        try:
            inner.append(zlib.decompressobj().decompress(memoryview(data)[start.start() :], 1 << 26))
        except zlib.error:
            continue
    inner += [base64.b64decode(r[0][: len(r[0]) // 4 * 4]) for r in BASE64.finditer(data)]
    if data.startswith(b"\x1f\x8b"):
        inner.append(gzip.decompress(data))
    if data.startswith(b"\x89PNG"):
        inner.append(Image.open(io.BytesIO(data)).tobytes())  # rows may be stored as differences
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inner += [archive.read(name) for name in archive.namelist()]
    if data[:8].find(b"b2frame") >= 0:
        frame = blosc2.ndarray_from_cframe(data)
        inner.append(np.asarray(frame[...]).tobytes())
        inner += [repr(frame.schunk.vlmeta[key]).encode() for key in frame.schunk.vlmeta]
    for packed in inner:
        if len(packed) > 7:
            yield from layers(packed, depth - 1)


def shows(data: bytes) -> bool:
    """Whether anything that was planted can be read in it."""
    return any(sought.search(layer) for layer in layers(data) for sought in SOUGHT)


def noise(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


def _png(text: str | None = None, *, packed: bool = False, pixels: bytes | None = None) -> bytes:
    side, info, buffer = 64, PngImagePlugin.PngInfo(), io.BytesIO()
    if text is not None:
        info.add_text("Comment", text, zip=packed)
    raw = bytearray(noise(side * side))
    raw[side * 9 + 3 : side * 9 + 3 + len(pixels or b"")] = pixels or b""
    Image.frombytes("L", (side, side), bytes(raw)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _zip(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def _blosc(content: bytes, meta: str = "") -> bytes:
    array = np.frombuffer(content.ljust(4096, b"\0"), np.uint8)
    packed = blosc2.asarray(array, chunks=(1024,))
    packed.schunk.vlmeta["origin"] = meta
    return bytes(packed.to_cframe())


def _split_png() -> bytes:
    """A PNG whose pixel stream is cut into chunks of 50 bytes."""
    data, raw = _png(), b""
    stream = zlib.compress(b"\0" + noise(33) + MARK.encode() + noise(23) + 63 * (b"\0" + noise(64)))
    for part in (stream[i : i + 50] for i in range(0, len(stream), 50)):
        raw += len(part).to_bytes(4, "big") + b"IDAT" + part + zlib.crc32(b"IDAT" + part).to_bytes(4, "big")
    return data[:33] + raw + data[-12:]


HIDDEN: dict[str, Callable[[], bytes]] = {
    "utf-8": lambda: MARK.encode(),
    "lower case": lambda: MARK.lower().encode(),
    "utf-16-le": lambda: MARK.encode("utf-16-le"),
    "utf-16-be": lambda: MARK.encode("utf-16-be"),
    "hex": lambda: f"ab{MARK}".encode().hex().encode(),
    "HEX": lambda: f"ab{MARK}".encode().hex().upper().encode(),
    **{f"base64 after {n}": lambda n=n: base64.b64encode(noise(n) + MARK.encode() + noise(5)) for n in range(9, 15)},
    "number": lambda: UIDS["series"].encode(),
    "date": lambda: b"born " + BORN[0].encode() + b".",
    "iso date": lambda: SEEN[1].encode(),
    "zlib": lambda: zlib.compress(b"x" * 50 + MARK.encode()),
    "zlib, fast": lambda: zlib.compress(MARK.encode() * 9, 1),
    "gzip": lambda: gzip.compress(MARK.encode()),
    "zip": lambda: _zip("a.txt", MARK.encode() * 20),
    "zip name": lambda: _zip(f"{MARK}.txt", b"x"),
    "zip in zip": lambda: _zip("b.zip", _zip("a.txt", MARK.encode() * 20)),
    "png text": lambda: _png(MARK),
    "png packed text": lambda: _png(MARK * 5, packed=True),
    "png pixels": lambda: _png(pixels=MARK.encode()),
    "png in pieces": _split_png,
    "png in html": lambda: b"<img src='data:image/png;base64," + base64.b64encode(_png(MARK * 3, packed=True)) + b"'>",
    "blosc": lambda: _blosc(MARK.encode()),
    "blosc meta": lambda: _blosc(b"", MARK),
}
WHOLE = {"gzip", "zip", "zip name", "zip in zip", "png pixels", "png in pieces", "blosc", "blosc meta"}
"""Formats that are files; the others are found anywhere in one."""


@pytest.mark.parametrize("how", HIDDEN)
def test_the_searcher_sees(how: str) -> None:
    data = HIDDEN[how]()
    assert shows(data)
    if how not in WHOLE:
        assert shows(noise(1000, 1) + data + noise(1000, 2))


def test_the_searcher_is_not_easily_fooled() -> None:
    for data in (noise(200_000), _png("nobody"), b"0.18930728, 218930728", b"ZQXVKJW H", _blosc(noise(4000))):
        assert not shows(data)


# -- inputs ------------------------------------------------------------------------------------------------------------


def frame(number: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]:
    """A round field with a dark tube and a duct, and where they are."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:SIZE, :SIZE]
    exposed = np.hypot(y - 48, x - 48) < 46
    masks = {"endoscope": np.abs(x - 60 + y // 4 - number) < 6, "cbd": np.abs(y - 40 - x // 5 - number) < 3}
    pixels = 150 + y // 3 + rng.normal(0, 4, y.shape)
    for mask, grey in zip(masks.values(), (40, 90), strict=True):
        pixels[mask] = grey
    pixels[~exposed] = 0
    return pixels.clip(0, 255).astype(np.uint8), {name: mask & exposed for name, mask in masks.items()}


def dicom(path: Path, number: int, *, frames: int = 1, **changes: Any) -> Dataset:
    """A DICOM file with everything planted in it that it can hold; ``changes`` are set last."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = XRayRadiofluoroscopicImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = UID(f"{UIDS['instance']}.{number}")
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.SourceApplicationEntityTitle = PLANTED["sender"]
    ds.preamble = PLANTED["preamble"].encode().ljust(128, b"\0")
    for keyword in list(PLANTED)[:17]:
        setattr(ds, keyword, PLANTED[keyword])
    ds.PatientID, ds.PatientName = f"{PLANTED['PatientID']}{number // 2}", f"{PLANTED['PatientName']}^JANE"
    ds.PatientBirthDate, ds.StudyDate, ds.Modality = BORN[0], SEEN[0], "RF"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = UIDS["study"], f"{UIDS['series']}.{number}"
    item = Dataset()
    item.RequestedProcedureDescription = PLANTED["sequence"]
    ds.RequestAttributesSequence = [item]
    block = ds.private_block(0x0011, PLANTED["private creator"], create=True)
    block.add_new(1, "LO", PLANTED["private element"])
    ds.add_new(0x60000010, "US", 8)
    ds.add_new(0x60000011, "US", 8)
    ds.add_new(0x60000022, "LO", PLANTED["overlay description"])
    ds.add_new(0x60000040, "CS", "G")
    ds.add_new(0x60000050, "SS", [1, 1])
    ds.add_new(0x60000100, "US", 1)
    ds.add_new(0x60000102, "US", 0)
    ds.add_new(0x60001500, "LO", PLANTED["overlay label"])
    ds.add_new(0x60003000, "OW", noise(8))
    pixels = np.stack([frame(number + i)[0] for i in range(frames)])
    ds.Rows = ds.Columns = SIZE
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    if frames > 1:
        ds.NumberOfFrames = frames
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB"
    ds.add_new(0xFFFCFFFC, "OB", PLANTED["padding"].encode())
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return ds


def broken_values(path: Path, number: int) -> None:
    """Values that readers warn about, quoting them: a character set, a date and numbers that are none."""
    right = {"SpecificCharacterSet": "ISO_IR 192", "InstanceNumber": "1234567890", "FrameTime": "1234567891"}
    dicom(path, number, ContentDate="20010203", **right)
    wrong = {text: PLANTED[f"wrong {keyword}"] for keyword, text in right.items()} | {"20010203": MARK}
    data = path.read_bytes()
    for text, planted in wrong.items():
        assert data.count(text.encode()) == 1
        data = data.replace(text.encode(), planted.encode())
    path.write_bytes(data)


def plain(path: Path, picture: Image.Image) -> None:
    """An image file with text wherever its format takes any."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = PLANTED["exif"]
    exif[ExifTags.Base.ImageDescription] = PLANTED["exif"]
    if path.suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_text("Author", PLANTED["png text"])
        info.add_text("Comment", PLANTED["png compressed text"] * 4, zip=True)
        info.add_itxt("Title", PLANTED["png international text"], lang="en", tkey="Title")
        picture.save(path, pnginfo=info, exif=exif)
    elif path.suffix == ".jpg":
        picture.save(path, quality=95, comment=PLANTED["jpeg comment"], exif=exif)
    elif path.suffix == ".tif":
        picture.save(path, tiffinfo={270: PLANTED["tiff description"], 315: PLANTED["tiff artist"]})
    elif path.suffix == ".bmp":
        picture.save(path)
        path.write_bytes(path.read_bytes() + PLANTED["behind a bmp"].encode())
    else:
        head = f"NRRD0004\n# {PLANTED['nrrd comment']}\nname:={PLANTED['nrrd key']}\ntype: uint8\ndimension: 2\n"
        head += f"sizes: {SIZE} {SIZE}\nencoding: raw\n\n"
        path.write_bytes(head.encode() + picture.tobytes())


def labelme(path: Path, number: int, **changes: Any) -> None:
    """An annotation with text in every field that its frame does not need."""
    extra = PLANTED["labelme extra"]
    y = 40 + number
    shape = {
        "label": "cbd",
        "points": [[10, y], [80, y], [80, y + 6], [10, y + 6]],
        "shape_type": "polygon",
        "group_id": extra,
        "description": PLANTED["labelme description"],
        "flags": {PLANTED["labelme flag"]: True},
    }
    scope = shape | {"label": "endoscope", "points": [[50, 5], [62, 5], [62, 90], [50, 90]]}
    data = {
        "version": extra,
        "flags": {PLANTED["labelme flag"]: False},
        "shapes": [shape, scope],
        "imagePath": f"C:\\{PLANTED['labelme path']}\\x.png",
        "imageData": base64.b64encode(extra.encode()).decode(),
        "imageHeight": SIZE,
        "imageWidth": SIZE,
        extra: extra,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data | changes))


def masks(folder: Path, stem: str, number: int) -> None:
    for name, mask in frame(number)[1].items():
        plain(folder / "masks" / name / f"{stem}.png", Image.fromarray(mask))


PLAIN = ("png", "jpg", "tif", "bmp", "nrrd")


def project(folder: Path, *, names: bool) -> None:
    """Frames of every format with masks; DICOM files have planted names where ``names``, else ones like those of others."""
    (images := folder / "images").mkdir(parents=True)
    for number in range(10):
        suffix = PLAIN[number % len(PLAIN)]
        plain(images / PLANTED["folder"] / f"p{number // 2}_{number}.{suffix}", Image.fromarray(frame(number)[0]))
        masks(folder, f"p{number // 2}_{number}", number)
    for number in range(10, 18):
        stem = f"{PLANTED['dicom file']}^JANE_{number}" if names else f"q{number // 2}_{number}"
        if number < 16:
            dicom(images / PLANTED["folder"] / f"{stem}.dcm", number)
            masks(folder, stem, number)
        else:
            dicom(images / f"{stem}.dcm", number, frames=2)
            masks(folder, f"{stem}_f0000", number)
            masks(folder, f"{stem}_f0001", number + 1)
    stem = PLANTED["zip member"] if names else "z9_1"
    dicom(folder / "x.dcm", 19)
    with zipfile.ZipFile(images / "pack.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "x.dcm", f"{PLANTED['folder']}/{stem}.dcm")
        archive.comment = PLANTED["zip comment"].encode()
    (folder / "x.dcm").unlink()
    masks(folder, stem, 19)
    (folder / "notes.txt").write_text(PLANTED["sidecar"])


REFUSED = {
    "bad-annotation", "colour", "constant", "duplicate", "no-annotation", "no-frame", "not-an-image", "size-mismatch",
    "surplus-data", "too-large", "truncated", "unknown-format", "unknown-structure", "unreadable", "unsupported-syntax",
}  # fmt: skip
"""Codes that :func:`spoilt` provokes."""


def spoilt(folder: Path, name: str = PLANTED["refused file"]) -> None:
    """Files that are refused, each for its own reason; ``name`` begins the names of DICOM files."""
    folder = folder / PLANTED["folder"]
    pixels = frame(0)[0]
    dicom(folder / f"{name}cut.dcm", 30)
    data = (folder / f"{name}cut.dcm").read_bytes()
    (folder / f"{name}cut.dcm").write_bytes(data[: -SIZE * SIZE // 2])
    dicom(folder / f"{name}more.dcm", 31, PixelData=pixels.tobytes() * 3)
    dicom(folder / f"{name}large.dcm", 32, Rows=60000, Columns=60000)
    ds = dicom(folder / f"{name}video.dcm", 33)
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")
    ds.PixelData = encapsulate([noise(100)])
    ds.save_as(folder / f"{name}video.dcm")
    ds = dicom(folder / f"{name}none.dcm", 34, SOPClassUID=BasicTextSRStorage)
    ds.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    del ds.PixelData, ds.Rows
    ds.save_as(folder / f"{name}none.dcm")
    broken_values(folder / f"{name}broken.dcm", 35)
    for part in ("a", "b"):
        dicom(folder / part / f"{name}twin.dcm", 36)
    rgb = np.stack([pixels, 255 - pixels, pixels // 2], axis=-1)
    plain(folder / "colour.png", Image.fromarray(rgb))
    plain(folder / "constant.png", Image.fromarray(np.full((SIZE, SIZE), 7, np.uint8)))
    plain(folder / "torn.png", Image.fromarray(pixels))
    data = (folder / "torn.png").read_bytes()
    (folder / "torn.png").write_bytes(data.replace(b"IDAT", b"IDAT\xff\xff", 1))
    (folder / "unknown.png").write_bytes(PLANTED["unknown format"].encode() * 50)
    for stem in ("lonely", "small", "other", "ill", "bare"):
        if stem != "lonely":
            plain(folder / f"{stem}.png", Image.fromarray(pixels))
        if stem != "bare":
            labelme(folder / f"{stem}.json", 0)
    labelme(folder / "small.json", 0, imageHeight=SIZE + 1)
    text = (folder / "other.json").read_text()
    (folder / "other.json").write_text(text.replace('"label": "cbd"', f'"label": "{PLANTED["unknown label"]}"'))
    (folder / "ill.json").write_text((folder / "ill.json").read_text()[:-20])
    for stem in (
        "colour",
        "constant",
        "torn",
        "unknown",
        *(f"{name}{end}" for end in ("cut", "more", "large", "video", "none", "broken", "twin")),
    ):
        labelme(folder / f"{stem}.json", 0)


# -- what is done with them --------------------------------------------------------------------------------------------


class Place:
    """A folder with ``inputs``; commands run in it as a person would run them, in a process of their own."""

    def __init__(self, root: Path):
        self.root = root
        self.inputs = root / "inputs"
        self.inputs.mkdir()
        (root / "tmp").mkdir()
        self.said = b""

    def run(self, *commands: str) -> list[int]:
        """Exit codes of command lines, all with --debug and a workspace."""
        lines = [[*command.split(), "--debug"] for command in commands]
        script = (
            "import json, sys\nfrom ercpseg.cli.app import run\n"
            "codes = [run(line) for line in json.loads(sys.argv[1])]\nprint('\\n@' + json.dumps(codes))"
        )
        environment = os.environ | {
            "TMPDIR": str(self.root / "tmp"),
            "ERCPSEG_WORKSPACE": str(self.root / "w"),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "PYTHONWARNINGS": "always",
        }
        done = subprocess.run(
            [sys.executable, "-c", script, json.dumps(lines)],
            cwd=self.root,
            env=environment,
            capture_output=True,
            check=False,
        )
        out, _, codes = done.stdout.rpartition(b"\n@")
        self.said += out + done.stderr
        assert codes, self.said.decode(errors="replace")
        return list(json.loads(codes))

    def table(self, name: str) -> list[dict[str, str]]:
        return read_table(self.root / "w" / "datasets" / name / "frames.csv")

    def written(self) -> list[Path]:
        """Every file but the inputs, the private tables, and DICOM results, which are filed under their patient."""
        files = [path for path in self.root.rglob("*") if path.is_file() and self.inputs not in path.parents]
        return [path for path in files if path.name != "frames.csv" and path not in self.dicom()]

    def dicom(self) -> list[Path]:
        return [path for folder in ("dicom-seg", "dicom-sc") for path in self.root.glob(f"out*/{folder}/*.dcm")]

    def leaks(self) -> list[str]:
        found = [str(path.relative_to(self.root)) for path in self.written() if shows(path.read_bytes())]
        names = [path.relative_to(self.root) for path in self.root.rglob("*") if self.inputs not in path.parents]
        found += [f"name {path}" for path in names if shows(str(path).encode())]
        return found + (["said: " + self.said.decode(errors="replace")] if shows(self.said) else [])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_project_from_import_to_report(place: Place) -> None:
    project(place.inputs / "data", names=True)
    project(place.inputs / "held", names=False)
    spoilt(place.inputs / "spoilt", "r")
    plain(place.inputs / "unusable" / PLANTED["folder"] / "constant.png", Image.fromarray(np.zeros((9, 9), np.uint8)))
    pins = " ".join(
        f"--set={key}" for key in ("schedule.iterations_per_epoch=2", "schedule.epochs=1", "patch.batch_size=2")
    )
    codes = place.run(
        "import inputs/data --name d --check-identity",
        f"plan-and-preprocess inputs/data --name d --time-budget 1s --device cpu {pins}",
        "train d 0 --epochs 1",
        "predict inputs/held/images out --model d --format seg-nrrd,nifti,npz,contact-sheet,gif,mp4,dicom-seg,dicom-sc",
        "predict inputs/spoilt out2 --model d",
        "predict inputs/unusable out3 --model d",
        "evaluate out inputs/held",
        "report d report.html --predictions out --reference inputs/held",
    )
    assert codes == [0, 0, 0, 3, 3, 65, 0, 0], place.said.decode(errors="replace")
    rows = place.table("d")
    assert sum(row["status"] == "used" for row in rows) == 10 + 6 + 4 + 1
    private = (place.root / "w" / "datasets" / "d" / "frames.csv").read_bytes()
    for name in ("PatientID", "folder", "dicom file", "zip member"):  # so the search would see them
        assert PLANTED[name].encode() in private
    assert len(place.written()) > 100
    assert place.leaks() == []
    results = place.dicom()
    assert len(results) >= 4
    allowed = ("PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "StudyID")
    for path in results:
        content = path.read_bytes()
        assert PLANTED["PatientID"].encode() in content
        for name in allowed:
            content = content.replace(PLANTED[name].encode(), b"")
        assert MARK.encode() not in content, path  # nothing but patient and study, not the institution or who operated


def test_names_are_kept_on_request_only(place: Place) -> None:
    project(place.inputs / "data", names=True)
    assert place.run("import inputs/data --name d --keep-names") == [0]
    assert any(PLANTED["dicom file"] in row["frame"] for row in place.table("d"))
    assert place.leaks() != []


def test_refusals_quote_nothing(place: Place) -> None:
    spoilt(place.inputs / "data")
    plain(place.inputs / "data" / "good.png", Image.fromarray(frame(0)[0]))
    labelme(place.inputs / "data" / "good.json", 0)
    codes = place.run("import inputs/data --name d --check-identity --structures endoscope,cbd")
    assert codes == [3], place.said.decode(errors="replace")
    rows = place.table("d")
    assert REFUSED - {row["code"] for row in rows if row["status"] == "refused"} == set()
    assert place.leaks() == []


def test_nothing_usable_quotes_nothing(place: Place) -> None:
    spoilt(place.inputs / "data")
    for path in place.inputs.rglob("*broken.dcm"):  # this one can be read
        path.unlink()
    codes = place.run(
        "import inputs/data --name d --structures endoscope,cbd",
        "plan-and-preprocess inputs/data --name d --structures endoscope,cbd",
        "import inputs/nowhere --name d",
    )
    assert codes == [65, 65, 2], place.said.decode(errors="replace")
    assert place.leaks() == []


TABLES = """\
schema: ercpseg.descriptor/1
name: d
title: two frames
source: here
licence: none
access: none
frames: {folder: images}
annotations:
  - {format: coco, path: coco.json}
  - {format: polylines, path: lines.csv, width_px: 3}
labels: {cbd: , guidewire: }
grouping:
  patient: {by: table, table: patients.csv, key: frame, column: patient}
"""


def test_tables_and_descriptors_give_what_they_are_asked_for(place: Place) -> None:
    data, extra = place.inputs / "data", PLANTED["coco extra"]
    for stem in ("p1_1", "p2_1"):
        plain(data / "images" / f"{stem}.png", Image.fromarray(frame(len(stem))[0]))
    (data.parent / "d.yaml").write_text(TABLES)
    images = [
        {"id": i, "file_name": f"{PLANTED['coco folder']}/{stem}.png", "height": SIZE, "width": SIZE, "coco_url": extra}
        for i, stem in enumerate(("p1_1", "p2_1", PLANTED["coco extra"]))
    ]
    objects = [
        {
            "id": i,
            "image_id": i,
            "category_id": 1,
            "segmentation": [[10, 10, 60, 10, 60, 30]],
            "iscrowd": 0,
            "note": extra,
        }
        for i in range(3)
    ]
    coco = {
        "info": {"contributor": PLANTED["coco info"]},
        "licenses": [{"name": PLANTED["coco licence"]}],
        "categories": [{"id": 1, "name": "cbd", "supercategory": extra}],
        "images": images,
        "annotations": objects,
    }
    (data / "coco.json").write_text(json.dumps(coco))
    column = PLANTED["csv column"]
    lines = f'frame,label,data,{column}\np1_1,guidewire,"[[10,10],[50,60]]",{column}\np2_1,{column},"[[1,1],[9,9]]",{column}\n'
    (data / "lines.csv").write_text(lines)
    (data / "patients.csv").write_text(f"frame,patient,{column}\np1_1,{column},x\np2_1,b,x\n")
    codes = place.run("import inputs/d.yaml --root inputs/data --name d --check-identity")
    assert codes == [3], place.said.decode(errors="replace")
    rows = {row["frame"]: row for row in place.table("d")}
    assert rows["p1_1"]["patient"] == column
    assert rows["p2_1"]["code"] == "unknown-structure"
    assert place.leaks() == []
