"""Lines in a CSV table, as RANZCR CLiP has them: a row per line with its frame, its label, and ``[[x, y], …]``.

Points are pixels, the centre of the first at (0, 0). Both the mask, at the stated width, and the centre-line are kept.
The frame may be given as a stem, a file name or a UID; it is compared with the names of frames, and nothing is opened.
A row whose label and points are both empty says that its frame shows nothing.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ercpseg.decoding.decoders import Decoders
from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import DocumentError, InputRefused
from ercpseg.importers import places, strokes
from ercpseg.importers.annotation import Context, Drawn, Item, LabelNames, check_known
from ercpseg.importers.scan import Found
from ercpseg.importers.strokes import Pen
from ercpseg.storage.documents import MAX_BYTES, parse_json

MAX_FIELD_CHARACTERS = 16 * 1024 * 1024
"""Python's own limit, 131,072, is less than a long line takes."""


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Python's limit holds for the process, so it is put back."""
    before = csv.field_size_limit(MAX_FIELD_CHARACTERS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@dataclass
class _Frame:
    """The lines of one frame: structure, and the points as JSON text, which takes less memory than numbers."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    left_out: int = 0
    refusal: InputRefused | None = None


class Polylines:
    """CSV tables below the stated path; frames need not be in order, nor their rows together."""

    overlaps = True

    def __init__(self, spec: AnnotationSpec, names: LabelNames):
        self._spec, self._names = spec, names
        self._columns = (spec.frame_column, spec.label_column, spec.points_column)

    def claims(self, found: Found) -> bool:
        """Whether it is CSV below the stated path."""
        return places.below(found, self._spec) is not None and places.has_suffix(found, ".csv")

    def survey(self, found: Found, decoders: Decoders) -> Iterator[Item]:
        """One item per frame, in the order of their first rows. Nothing when the columns are those of another table.

        A row that cannot be drawn refuses its own frame, when that is drawn.

        Raises
        ------
        InputRefused
            ``bad-annotation`` when the table is damaged, a row names no frame, or a table that the descriptor names lacks
            a column; ``too-large`` above 256 MiB.
        """
        frames: dict[str, _Frame] = {}
        number = 0
        try:
            if (size := found.file.size) > MAX_BYTES:
                raise InputRefused("too-large", f"{size} bytes, limit {MAX_BYTES}")
            with _long_fields(), io.TextIOWrapper(found.file.open(), "utf-8-sig", newline="") as text:
                rows = csv.reader(text, strict=True)
                head = next(rows, [])
                times = Counter(head)
                if any(times[column] != 1 for column in self._columns):
                    if places.is_named(found, self._spec):
                        raise InputRefused("bad-annotation", "it lacks one of its three columns, or has one twice")
                    return
                where = [head.index(column) for column in self._columns]
                for number, row in enumerate(rows, start=1):
                    if len(row) != len(head) and row:
                        raise InputRefused("bad-annotation", f"row {number} has {len(row)} cells, the head {len(head)}")
                    if row:
                        self._take(frames, *(row[i] for i in where))
        except (csv.Error, UnicodeError) as error:
            raise InputRefused("bad-annotation", f"the table is damaged after row {number}") from error
        except OSError as error:
            raise InputRefused("unreadable", error.strerror or "") from error
        for key, frame in frames.items():
            yield _item(key, frame)

    def draw(self, found: Found, item: Item, context: Context) -> Drawn:
        """Draw the lines of one frame.

        Raises
        ------
        InputRefused
            ``unknown-structure``, ``too-large``, or ``bad-annotation`` for a line that cannot be drawn, or whose width is in
            mm on a frame without spacing.
        """
        data = places.unpack(item.payload)
        check_known(item.structures, context.structures)
        pen = Pen(self._spec, context)
        strokes.check_count(sum(len(points) for _, points in data["lines"]), strokes.MAX_POINTS, "points")
        for number, (structure, points) in enumerate(data["lines"]):
            pen.line(structure, np.array(points, np.float64), f"line {number}")
        left_out = data["left_out"]
        return pen.drawn(*([f"lines that have a label that is left out: {left_out}"] if left_out else []))

    def _take(self, frames: dict[str, _Frame], name: str, label: str, points: str) -> None:
        frame = frames.setdefault(places.frame_key(name, self._spec, is_file=False), _Frame())
        if not label.strip() and not points.strip():
            return
        try:
            structure = places.structure_of(self._names, label)
            if structure is None:
                frame.left_out += 1
            else:
                frame.lines.append((structure, _checked(points, f"line {len(frame.lines)}")))
        except InputRefused as error:
            frame.refusal = frame.refusal or error


def _checked(text: str, what: str) -> str:
    """Points as compact JSON."""
    try:
        parsed = parse_json(text.encode("utf-8", "surrogatepass"), where=None)
    except DocumentError as error:
        raise InputRefused("bad-annotation", f"{what} has points that are no list") from error
    points = strokes.points_of(parsed, what)
    if len(points) < 2:
        raise InputRefused("bad-annotation", f"{what} has {len(points)} points, 2 needed")
    return places.pack(points.tolist())


def _item(key: str, frame: _Frame) -> Item:
    if frame.refusal is not None:
        return Item(key, frozenset(), places.pack_refusal(frame.refusal.code, frame.refusal.detail))
    lines = ",".join(f"[{places.pack(structure)},{points}]" for structure, points in frame.lines)
    payload = f'{{"lines":[{lines}],"left_out":{frame.left_out}}}'
    return Item(key, frozenset(structure for structure, _ in frame.lines), payload)
