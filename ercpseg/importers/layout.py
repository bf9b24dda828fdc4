"""How a folder without descriptor is understood: masks in folders, labelme beside the images, or nnU-Net raw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import DataError, InputRefused, UsageError
from ercpseg.importers import labelme, masks, nnunet
from ercpseg.importers.annotation import Annotation, structure_name, structure_set
from ercpseg.importers.frames import ignored_record
from ercpseg.importers.naming import name_key
from ercpseg.importers.scan import Found, scan
from ercpseg.structures import StructureSet

IMAGES = "images"


@dataclass(frozen=True)
class Layout:
    """Frames with the stem that their annotation goes by, annotations by :func:`name_key`, and everything else."""

    kind: Literal["folder", "labelme", "nnunet"]
    structures: StructureSet
    frames: tuple[tuple[str, Found], ...]
    annotations: dict[str, Annotation]
    others: tuple[FrameRecord, ...]


def understand(source: Path, structures: Sequence[str] | None, line_width_px: float) -> Layout:
    """Find out what a dataset folder holds. Reads names, JSON files and the first bytes of files, no pixels.

    Raises
    ------
    UsageError
        when there is no such folder.
    DataError
        when it is none of the three layouts, or names more structures than eight.
    """
    if not source.is_dir():
        raise UsageError("no such folder", where=source)
    files = list(scan(source))
    declared = None if structures is None else StructureSet(tuple(structures))
    if (source / nnunet.FRAMES).is_dir() and (source / "dataset.json").is_file():
        return _nnunet(source, files, declared)
    if (source / IMAGES).is_dir() and (source / masks.FOLDER).is_dir():
        return _folder(files, declared)
    return _labelme(source, files, declared, line_width_px)


def _folder(files: list[Found], declared: StructureSet | None) -> Layout:
    frames, drawn, others, names = [], [], [], set[str]()
    for found in files:
        if found.ignored is not None:
            others.append(ignored_record(found))
        elif found.source.startswith(f"{IMAGES}/"):
            frames.append((found.stem, found))
        elif (structure := masks.mask_folder(found)) is not None:
            names.add(structure)
            drawn.append(found)
        else:
            others.append(_outside(found))
    structures = declared or structure_set(names)
    return Layout("folder", structures, tuple(frames), masks.by_stem(drawn), tuple(others))


def _labelme(source: Path, files: list[Found], declared: StructureSet | None, line_width_px: float) -> Layout:
    inside = f"{IMAGES}/" if (source / IMAGES).is_dir() else ""
    frames, others, names = [], [], set[str]()
    annotations: dict[str, Annotation] = {}
    stems = {name_key(f.stem) for f in files if f.ignored is None and f.source.startswith(inside)}
    for found in files:
        drawing: labelme.Drawing | InputRefused | None = None
        if found.ignored == "sidecar" and found.path.suffix.lower() == ".json":
            try:
                drawing = labelme.read_drawing(found.path)
            except InputRefused as error:
                drawing = error if name_key(found.stem) in stems else None
        if drawing is not None:
            names |= drawing.structures if isinstance(drawing, labelme.Drawing) else set()
            _add_drawing(annotations, found, drawing, line_width_px)
        elif found.ignored is not None:
            others.append(ignored_record(found))
        elif found.source.startswith(inside):
            frames.append((found.stem, found))
        else:
            others.append(_outside(found))
    if not annotations:
        raise DataError(
            f"{len(frames)} possible frames, but no annotations that are understood",
            where=source,
            expected="images/ beside masks/<structure>/, labelme JSON beside the images, or an nnU-Net raw dataset",
        )
    return Layout("labelme", declared or structure_set(names), tuple(frames), annotations, tuple(others))


def _add_drawing(
    annotations: dict[str, Annotation], found: Found, drawing: labelme.Drawing | InputRefused, line_width_px: float
) -> None:
    key = name_key(found.stem)
    if key in annotations:
        sources = [*annotations[key].sources, found.source]
        two = InputRefused("duplicate", "two labelme files have its name")
        annotations[key] = replace(labelme.annotation(two, "", line_width_px), sources=sources)
    else:
        annotations[key] = labelme.annotation(drawing, found.source, line_width_px)


def _nnunet(source: Path, files: list[Found], declared: StructureSet | None) -> Layout:
    labels = nnunet.read_labels_json(source / "dataset.json")
    frames, label_images, others = [], [], []
    for found in files:
        if found.ignored is not None:
            others.append(ignored_record(found))
        elif found.source.startswith(f"{nnunet.FRAMES}/"):
            stem = nnunet.case_stem(found)
            if stem is None:
                others.append(ignored_record(replace(found, kind=None, refused=None, ignored="channel")))
            else:
                frames.append((stem, found))
        elif found.source.startswith(f"{nnunet.LABELS}/"):
            label_images.append(found)
        else:
            others.append(_outside(found))
    structures = declared or structure_set(structure_name(name) for name in labels.values)
    annotations = nnunet.by_stem(label_images, labels)
    return Layout("nnunet", structures, tuple(frames), annotations, tuple(others))


def _outside(found: Found) -> FrameRecord:
    return ignored_record(replace(found, kind=None, refused=None, ignored="outside-layout"))
