"""How a folder is understood: as its descriptor says, else as masks in folders, labelme beside images, or nnU-Net raw.

The three layouts that need no descriptor are descriptors too, made here, so that one reader serves all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ercpseg.decoding.decoders import Decoders
from ercpseg.documents.descriptor import AnnotationSpec, Descriptor, FramesSpec, GroupingSpec
from ercpseg.errors import DataError, InputRefused, UsageError
from ercpseg.importers import formats, nnunet
from ercpseg.importers.annotation import AnnotationFormat, LabelNames, structure_set
from ercpseg.importers.frames import ignored_record
from ercpseg.importers.knowledge import Knowledge
from ercpseg.importers.ledger import Ledger
from ercpseg.importers.naming import name_key
from ercpseg.importers.scan import Found, scan
from ercpseg.progress import Task
from ercpseg.structures import StructureSet

IMAGES, MASKS = "images", "masks"
NNUNET_FRAMES, NNUNET_LABELS, NNUNET_CHANNEL = "imagesTr", "labelsTr", "_0000"


@dataclass(frozen=True)
class Layout:
    """Where frames and annotations are, and what is known of frames beside their pixels."""

    kind: str
    frames: FramesSpec
    formats: tuple[AnnotationFormat, ...]
    knowledge: Knowledge
    hold_out_from: str | None = None

    def stem(self, found: Found) -> str | None:
        """What annotations call a frame file; None when it is no frame of this dataset."""
        inside = f"{self.frames.folder}/" if self.frames.folder else ""
        if not found.source.startswith(inside):
            return None
        if self.frames.pattern is not None:
            import re

            match = re.search(self.frames.pattern, found.source[len(inside) :][:512])
            return match[1] if match and match[1] else None
        stem = found.stem
        if self.frames.strip:
            return stem.removesuffix(self.frames.strip) if stem.endswith(self.frames.strip) else None
        return stem

    def notes(self) -> tuple[str, ...]:
        """What the annotation formats cannot express."""
        if all(one.overlaps for one in self.formats):
            return ()
        return ("The annotation is one label per pixel: where structures overlap, only one of them is marked.",)


def understand(source: Path, descriptor: Descriptor | None, line_width_px: float, *, annotated: bool = True) -> Layout:
    """Find out how a dataset folder is to be read; looks at names of folders only.

    Raises
    ------
    UsageError
        when there is no such folder.
    DataError
        when nnU-Net's ``dataset.json`` cannot be used, or a table of the descriptor is missing.
    """
    if not source.is_dir():
        raise UsageError("no such folder", where=source)
    if descriptor is not None:
        kind, frames, specs, grouping = "descriptor", descriptor.frames, descriptor.annotations, descriptor.grouping
        names = LabelNames(descriptor.labels, descriptor.ignore_labels)
        if not specs and annotated:
            raise DataError("the descriptor names no annotations", where=descriptor.name, expected="annotations: […]")
    else:
        kind, frames, specs = _guess(source, line_width_px)
        grouping, names = GroupingSpec(), LabelNames()
    return Layout(
        kind,
        frames,
        tuple(formats.make(spec, names) for spec in specs),
        Knowledge(grouping, source),
        grouping.hold_out_from,
    )


def _guess(source: Path, line_width_px: float) -> tuple[str, FramesSpec, tuple[AnnotationSpec, ...]]:
    if (source / NNUNET_FRAMES).is_dir() and (source / "dataset.json").is_file():
        values = nnunet.read_labels_json(source / "dataset.json")
        spec = AnnotationSpec(format="labels", path=NNUNET_LABELS, values=values)
        return "nnunet", FramesSpec(folder=NNUNET_FRAMES, strip=NNUNET_CHANNEL), (spec,)
    if (source / IMAGES).is_dir() and (source / MASKS).is_dir():
        return "folder", FramesSpec(folder=IMAGES), (AnnotationSpec(format="masks", path=MASKS),)
    inside = IMAGES if (source / IMAGES).is_dir() else ""
    return "labelme", FramesSpec(folder=inside), (AnnotationSpec(format="labelme", width_px=line_width_px),)


def enter(source: Path, layout: Layout, ledger: Ledger, decoders: Decoders, task: Task) -> None:
    """One scan of the folder: every file gets its role, every annotation file says which frames it is about."""
    for found in scan(source):
        number = next((i for i, one in enumerate(layout.formats) if _open(found) and one.claims(found)), None)
        if number is not None:
            _survey(found, number, layout, ledger, decoders)
        elif found.ignored is not None:
            ledger.add_record(ignored_record(found))
        else:
            stem = layout.stem(found)
            if stem is None:
                channel = layout.frames.strip and found.source.startswith(f"{layout.frames.folder}/")
                rule = "channel" if channel else "outside-layout"
                ledger.add_record(ignored_record(replace(found, kind=None, refused=None, ignored=rule)))
            else:
                ledger.add_file(found, "frame", stem, name_key(stem))
        task.advance(0)


def _open(found: Found) -> bool:
    """Whether an annotation may hide in it: sidecars are text, and JSON and CSV are that."""
    return found.ignored in (None, "sidecar")


def _survey(found: Found, number: int, layout: Layout, ledger: Ledger, decoders: Decoders) -> None:
    """Enter what an annotation file says. JSON that is no annotation lies beside frames now and then: it is ignored."""
    try:
        items = list(layout.formats[number].survey(found, decoders))
    except InputRefused as error:
        key = name_key(PurePosixPath(found.source).stem)
        ledger.add_damaged(ledger.add_file(found, "annotation"), number, key, error)
        return
    if not items and found.ignored is not None:
        ledger.add_record(ignored_record(found))
        return
    file = ledger.add_file(found, "annotation")
    for item in items:
        ledger.add_item(file, number, item)


def settle(ledger: Ledger, declared: Sequence[str] | None, source: Path) -> StructureSet:
    """The dataset's structures: those declared, else those found.

    Raises
    ------
    DataError
        when nothing is annotated, or too many structures are named.
    """
    if declared is not None:
        return StructureSet(tuple(declared))
    if not ledger.annotated():
        frames = ledger.count("frame")
        raise DataError(
            f"{frames} possible frames, but no annotations that are understood",
            where=source,
            expected="images/ beside masks/<structure>/, labelme JSON beside the images, an nnU-Net raw dataset, "
            "or a descriptor that says where they are",
        )
    return structure_set(ledger.structures())


def declared_of(descriptor: Descriptor | None, structures: Sequence[str] | None) -> Sequence[str] | None:
    """The structures that a person named: at the command, else in the descriptor."""
    if structures is not None or descriptor is None or not descriptor.labels:
        return structures
    return StructureSet.ordered(descriptor.labels).names
