"""One frame and everything that is said of it become one case: canonical pixels, bitmask, centre-lines, report row."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.decoders import Decoders
from ercpseg.decoding.reading import Picture
from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.descriptor import Split
from ercpseg.errors import InputRefused
from ercpseg.frames.about import About
from ercpseg.frames.windows import place_text
from ercpseg.importers.annotation import Context, Drawn, Lines
from ercpseg.importers.frames import Pending
from ercpseg.importers.layout import Layout
from ercpseg.importers.ledger import Annotated
from ercpseg.importers.masks import Masks
from ercpseg.storage.images import encode_png
from ercpseg.structures import StructureSet


@dataclass(frozen=True)
class Case:
    """A usable frame with its annotation, encoded; ``digest`` is what ``frames_sha256`` is made of."""

    record: FrameRecord
    image_png: bytes
    label_png: bytes
    lines_json: bytes | None
    digest: str
    place: tuple[int, ...] = ()
    findings: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Looked:
    """A frame that can be used: decoded, annotated, known."""

    record: FrameRecord
    picture: Picture
    bitmask: NDArray[np.uint8]
    lines: Lines
    place: tuple[int, ...]


@dataclass(frozen=True)
class CaseMaker:
    """Decodes, draws and encodes; used by several threads at a time. Without structures nothing has to be annotated."""

    layout: Layout
    structures: StructureSet | None
    decoders: Decoders
    check_identity: bool = False

    def look(self, pending: Pending, stem: str, items: Sequence[Annotated]) -> Looked | FrameRecord:
        """Everything that is known of a frame, or the row that says why it cannot be used, and where it is missing."""
        about = pending.about
        try:
            about, split = self._known(pending, stem)
            if not items and self.structures is not None:
                raise InputRefused("no-annotation")
            _check_items(items)
            picture = self._picture(pending)
            drawn, bitmask = Drawn(), np.zeros(picture.pixels.shape, np.uint8)
            if self.structures is not None:
                height, width = picture.pixels.shape
                context = Context((height, width), self.structures, self.decoders, about.spacing_in_patient_mm)
                for one in items:
                    drawn.join(self.layout.formats[one.format].draw(one.found, one.item, context))
                bitmask = drawn.bitmask(context)
        except InputRefused as error:
            missing = {"series": about.series, "place": place_text(about.order)}
            return pending.refused(error).model_copy(update=missing)
        record = _record(pending, picture, about, split, picture.notes + drawn.notes)
        record = record.model_copy(update={"unmasked": self._unmasked(items)})
        return Looked(record, picture, bitmask, drawn.lines, about.order)

    def make(self, pending: Pending, stem: str, items: Sequence[Annotated]) -> Case | FrameRecord:
        """The case of a frame, or the row that says why there is none."""
        from ercpseg.frames.likeness import look

        seen = self.look(pending, stem, items)
        if isinstance(seen, FrameRecord):
            return seen
        pixels = seen.picture.pixels
        record = seen.record.model_copy(update={"look": look(pixels)})
        lines = encode_lines(seen.lines)
        # Folds follow from how frames group, so other groups are other data.
        known = json.dumps([record.patient, record.study, record.series, record.date, record.split]).encode()
        parts = (known, lines or b"")
        digest = "\0".join(
            [
                pending.name,
                _sha256(pixels),
                _sha256(seen.bitmask),
                *(hashlib.sha256(part).hexdigest() for part in parts),
            ]
        )
        findings: tuple[dict[str, Any], ...] = ()
        if self.check_identity:
            from ercpseg.importers.identity import findings_of

            findings = tuple(findings_of(record, pixels, seen.picture.bits))
        return Case(record, encode_png(pixels), encode_png(seen.bitmask), lines, digest, seen.place, findings)

    def _known(self, pending: Pending, stem: str) -> tuple[About, Split | None]:
        """What the file, its name and the descriptor say of the frame."""
        spec, about = self.layout.frames, pending.about
        if spec.spacing_mm is not None:
            about = replace(about, spacing_mm=spec.spacing_mm, spacing_source="USER")
        if spec.frame_time_ms is not None:
            about = replace(about, frame_time_ms=spec.frame_time_ms, time_source="descriptor")
        facts = self.layout.knowledge.facts(stem, pending.found.source, about)
        series = facts.series or (pending.found.source if pending.index is not None else None)
        order = about.order if facts.order is None else (facts.order,)
        known = replace(about, patient=facts.patient, study=facts.study, series=series, date=facts.date, order=order)
        return known, facts.split

    def _unmasked(self, items: Sequence[Annotated]) -> str | None:
        """Structures without a mask file of their own, where the frame has nothing but such files."""
        if self.structures is None or not all(isinstance(self.layout.formats[one.format], Masks) for one in items):
            return None
        said = {name for one in items for name in one.item.structures}
        return " ".join(name for name in self.structures if name not in said) or None

    def _picture(self, pending: Pending) -> Picture:
        spec = self.layout.frames
        picture = pending.decode(self.decoders, modality_lut=spec.modality_lut)
        if spec.polarity == "inverted":
            top = picture.pixels.dtype.type(2**picture.bits - 1)
            picture = Picture(top - picture.pixels, picture.bits, (*picture.notes, "inverted as the descriptor says"))
        return picture


def _record(
    pending: Pending, picture: Picture, about: About, split: Split | None, notes: tuple[str, ...]
) -> FrameRecord:
    """The report's row of a usable frame."""
    height, width = picture.pixels.shape
    y_mm, x_mm = about.spacing_mm or (None, None)
    return FrameRecord(
        frame=pending.name,
        source=pending.found.source,
        index=pending.index,
        status="used",
        reason="; ".join(notes) or None,
        patient=about.patient,
        study=about.study,
        series=about.series,
        place=place_text(about.order),
        date=about.date,
        split=split,
        height_px=height,
        width_px=width,
        bits=picture.bits,
        spacing_y_mm=y_mm,
        spacing_x_mm=x_mm,
        spacing_source=about.spacing_source,
        frame_time_ms=about.frame_time_ms,
        time_source=about.time_source,
        modality=about.modality,
        intensity=about.intensity,
        subtracted=about.subtracted,
        shutter_px=None if about.shutter is None else " ".join(map(str, about.shutter)),
        device=about.device,
        lossy=about.lossy,
        burned_in=about.burned_in,
        overlays=about.overlays,
        private_tags=about.private_tags,
    )


def encode_lines(lines: Lines) -> bytes | None:
    """Centre-lines as JSON: structure → list of lines, each a list of [y, x] in pixels; None when there are none."""
    if not lines:
        return None
    plain = {name: [np.round(line, 3).tolist() for line in drawn] for name, drawn in sorted(lines.items())}
    return json.dumps(plain, separators=(",", ":")).encode() + b"\n"


def _check_items(items: Sequence[Annotated]) -> None:
    """Refuse what is damaged, and two files of one kind that both claim to be the annotation of the frame."""
    for one in items:
        if one.refusal is not None:
            raise one.refusal
    folders = Counter((one.format, one.item.payload, "/".join(one.found.source.split("/")[:2])) for one in items)
    if any(count > 1 for count in folders.values()):
        raise InputRefused("duplicate", "two annotations of one kind have its name")


def _sha256(array: NDArray[Any]) -> str:
    """SHA-256 of type, shape and little-endian content."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.name}{array.shape}".encode())
    digest.update(little.data)
    return digest.hexdigest()
