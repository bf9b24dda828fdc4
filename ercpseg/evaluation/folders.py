"""Find and read the masks of a folder: a predict output, a dataset folder, or anything with ``masks/<structure>/``."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ercpseg.errors import DataError
from ercpseg.storage.atomic import read_bytes
from ercpseg.storage.tables import read_table
from ercpseg.structures import PARENTS, Mask

MAX_PIXELS = 2**26
"""A mask of more pixels is refused before it is decoded (8192 × 8192)."""
_GREY = 0
_STRUCTURE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FRAME_OF_FILE = re.compile(r"(.+)_f\d{4,}")
_IMAGE_SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".dcm", ".dicom", ".ima"}
_NO_IMAGES = {".json", ".csv", ".txt", ".yaml", ".yml", ".md", ".xml", ".html", ".db"}


@dataclass(frozen=True)
class MaskFolder:
    """What lies in one folder; masks are not read yet."""

    path: Path
    files: dict[str, dict[str, Path]]
    """structure → frame → mask file."""
    images: frozenset[str]
    """Stems of ``images/``."""
    refused: dict[str, str]
    """Frame → code, of a predict output's ``frames.csv``."""
    aliases: dict[str, str]
    """Frame → stem of its source file, where predict had to rename it; only where one file gave one frame."""
    is_predict_output: bool
    """Whether ``frames.csv`` says what predict did with every frame."""
    warnings: tuple[str, ...]

    @property
    def masked(self) -> frozenset[str]:
        """Frames with a mask file of any structure, without what predict refused (an older file may lie there)."""
        return frozenset(frame for files in self.files.values() for frame in files) - self.refused.keys()

    def frames(self, known: frozenset[str]) -> frozenset[str]:
        """Frames with a mask or an image.

        The file of a series is no frame: where ``known`` (frames of either side) holds ``<stem>_f0007``, the image
        ``<stem>`` is left out.
        """
        series = {match[1] for name in known | self.masked if (match := _FRAME_OF_FILE.fullmatch(name))}
        return self.masked | (self.images - series - self.refused.keys())


def open_folder(path: Path, role: str) -> MaskFolder:
    """List the masks of a folder; ``role`` (prediction or reference) is for messages.

    Raises
    ------
    DataError
        when there is no such folder or it has no ``masks/<structure>/``.
    """
    root = path if path.name == "masks" else path / "masks"
    looked_for = f"{path}/masks/<structure>/<frame>.png"
    todo = "give a predict output, a dataset folder, or a folder that holds masks/"
    if not path.is_dir():
        raise DataError(f"the {role} is no folder", where=path, expected=looked_for, todo=todo)
    if not root.is_dir():
        raise DataError(f"the {role} has no masks folder", where=path, expected=looked_for, todo=todo)
    warnings: list[str] = []
    files = {}
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if not _STRUCTURE.fullmatch(folder.name) or folder.name in PARENTS:
            warnings.append(f"{role}: masks/{folder.name[:64]} does not name a structure and was not read")
            continue
        entries = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())
        files[folder.name] = {p.stem: p for p in entries if p.suffix.lower() == ".png"}
        others = sum(p.suffix.lower() != ".png" for p in entries)
        if others:
            warnings.append(f"{role}: {others} file(s) of masks/{folder.name} are no PNG and were not read")
    if not files:
        raise DataError(f"the {role} has no masks of a structure", where=root, expected=looked_for, todo=todo)
    table = root.parent / "frames.csv"
    refused, aliases = _read_frames_table(table) if table.is_file() else ({}, {})
    return MaskFolder(
        path=path,
        files=files,
        images=_image_stems(root.parent / "images"),
        refused=refused,
        aliases=aliases,
        is_predict_output=table.is_file(),
        warnings=tuple(warnings),
    )


def read_mask(path: Path) -> Mask:
    """Read a PNG of any kind as a mask (y, x): present where a grey value, palette index or colour is not 0.

    Fully transparent pixels are absent.

    Raises
    ------
    DataError
        when it is no PNG, damaged, or has more than :data:`MAX_PIXELS` pixels.
    StorageError
        when it cannot be read.
    """
    import imagecodecs
    from PIL import Image

    data = read_bytes(path)
    expected = "an undamaged PNG file"
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
        raise DataError("this mask is no PNG, whatever its name says", where=path, expected=expected)
    # Size from the header first: what Pillow does about huge images is a warning, not always an error.
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < width * height <= MAX_PIXELS:
        raise DataError(f"this mask claims {width} × {height} pixels", where=path, expected=f"at most {MAX_PIXELS}")
    depth, colour_type = data[24], data[25]
    try:
        if depth == 16 and colour_type != _GREY:
            # Pillow keeps the upper byte of 16-bit colours only, so a label of 1 would vanish.
            pixels = np.asarray(imagecodecs.png_decode(data))
        else:
            # Pillow keeps palette indices, which imagecodecs turns into colours (index 1 may well be black).
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, imagecodecs.PngError) as error:
        raise DataError("this mask is damaged", where=path, expected=expected, todo="export it again") from error
    present: Mask = pixels != 0
    if present.ndim == 3 and present.shape[-1] in (2, 4):
        present = present[..., :-1] & present[..., -1:]
    flat: Mask = present if present.ndim == 2 else np.any(present, axis=-1)
    return flat


def _image_stems(folder: Path) -> frozenset[str]:
    if not folder.is_dir():
        return frozenset()
    # A DICOM file often has no suffix, and a UID is full of dots: only a known suffix is taken off.
    return frozenset(
        p.stem if p.suffix.lower() in _IMAGE_SUFFIXES else p.name
        for p in folder.iterdir()
        if p.is_file() and not p.name.startswith(".") and p.suffix.lower() not in _NO_IMAGES
    )


def _read_frames_table(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Refused frames with their codes, and aliases, of a predict output's ``frames.csv``."""
    try:
        rows = [row for row in read_table(path) if row.get("frame")]
    except (UnicodeDecodeError, ValueError) as error:
        raise DataError("this frames.csv cannot be read", where=path, todo="run predict again") from error
    refused = {row["frame"]: row.get("code") or "refused" for row in rows if row.get("status") == "refused"}
    sources: dict[str, list[str]] = {}
    for row in (r for r in rows if r.get("status") in ("used", "refused")):
        stem = PurePosixPath((row.get("source") or "").replace("\\", "/")).stem
        sources.setdefault(stem, []).append(row["frame"])
    aliases = {frames[0]: stem for stem, frames in sources.items() if stem and len(frames) == 1 and frames[0] != stem}
    return refused, aliases
