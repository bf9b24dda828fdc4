"""Outputs of pretended predictions: real frames, read from files, with bitmasks that follow from the frames' names."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ercpseg.export.folder import PredictionWriter
from ercpseg.export.summary import PredictionSummary
from ercpseg.frames.frame import Frame
from ercpseg.importers.frames import FrameFolder
from ercpseg.storage.tables import read_table
from ercpseg.structures import DEFAULT_STRUCTURES, StructureSet
from tests.unit.decoding.conftest import dicom_dataset

MADE_BY = {"model": "m"}


def drawn(name: str, shape: tuple[int, int], structures: int = 4) -> np.ndarray:
    """Rectangles that overlap; which structures there are, and where, differs from frame to frame."""
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    bitmask = np.zeros(shape, np.uint8)
    for bit in range(structures):
        if rng.random() < 0.8:
            y, x = rng.integers(0, shape[0] - 3), rng.integers(0, shape[1] - 3)
            bitmask[y : y + rng.integers(3, shape[0]), x : x + rng.integers(3, shape[1])] |= np.uint8(1 << bit)
    return bitmask


def write_dicom(path: Path, *, frames: int = 1, shape: tuple[int, int] = (19, 23), **elements: Any) -> Path:
    """An XA file of noise with everything that the standard wants of it, of a patient called ``Doe^Jane``."""
    rng = np.random.default_rng(frames)
    pixels = rng.integers(0, 4096, (frames, *shape) if frames > 1 else shape).astype(np.uint16)
    known = {
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19500102",
        "PatientSex": "F",
        "StudyDate": "20240203",
        "StudyTime": "101112",
        "StudyID": "S1",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "Roe^Richard",
        "SOPInstanceUID": f"1.2.826.0.1.{int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16)}",
        "Modality": "XA",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some tests want odd values
        data = dicom_dataset(pixels, frames=frames, stored=12, **known | elements)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.save_as(path, enforce_file_format=True)
    return path


def predicted(
    source: Path,
    output: Path,
    formats: Sequence[str],
    structures: Sequence[str] = DEFAULT_STRUCTURES,
    *,
    of: Callable[[str, tuple[int, int]], np.ndarray] | None = None,
) -> tuple[PredictionSummary, dict[str, np.ndarray], list[str]]:
    """What predict does, without a network: (summary, frame → bitmask, frames that were not known)."""
    bitmasks, fresh = {}, []
    with PredictionWriter(output, StructureSet(tuple(structures)), formats=formats, made_by=MADE_BY) as writer:
        for item in FrameFolder(source):
            if not isinstance(item, Frame):
                writer.refuse(item)
                continue
            shape = (item.pixels.shape[0], item.pixels.shape[1])
            bitmask = writer.known(item)
            milliseconds = None
            if bitmask is None:
                bitmask, milliseconds = (of or drawn)(item.name, shape) & ((1 << len(structures)) - 1), 1.0
                fresh.append(item.name)
            bitmasks[item.name] = bitmask.astype(np.uint8)
            writer.write(item, bitmasks[item.name], milliseconds)
        summary = writer.finish({})
    return summary, bitmasks, fresh


def exports(output: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """(format, name) → (status, code) of ``exports.csv``."""
    rows = read_table(output / "exports.csv")
    return {(row["format"], row["name"]): (row["status"], row["code"]) for row in rows}
