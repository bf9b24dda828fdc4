"""What may give a person away: text in the pixels, overlay planes, private elements, names of files.

Findings hold numbers and sentences of our own, never text of an input, so that their table (``identity.csv``) and what is
printed can be passed on. They say where to look; nothing is removed or covered here, and no finding is no proof.

Source: DICOM PS3.3 C.7.6.1.1.2 (BurnedInAnnotation), C.8.6 (SC equipment), C.9.2 (overlay planes); PS3.15 annex E asks of
a de-identifier what is only counted here.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import FrameRecord
from ercpseg.frames.burned_in import TextBox, text_boxes
from ercpseg.frames.field import SURROUND_FRAC

Kind = Literal[
    "header-yes",
    "text-outside",
    "text-inside",
    "capture",
    "panels",
    "colour",
    "mark-outside",
    "overlay",
    "private-tags",
]
Severity = Literal["high", "look", "note"]

MOST_BOXES = 5
"""Boxes that are listed for a frame and kind, the ones with most characters."""
PANEL_GAP_PX = 2
"""Dark rows or columns between two panels, at least."""
PANEL_FRAC = 0.1
"""Share of the frame's height or width that a panel has, at least."""

_COVER = "look at the frame; cover the text in the file or leave the frame out before frames or pictures are passed on"
_LOOK = "look at the frame"

KINDS: dict[Kind, tuple[Severity, str, str]] = {
    "header-yes": ("high", "the header says that text is burned in", _COVER),
    "text-outside": ("high", "what looks like text outside of the exposed field", _COVER),
    "text-inside": ("look", "what looks like text inside of the exposed field", _COVER),
    "capture": ("look", "captured from a screen or film, and the header does not say whether text is burned in", _LOOK),
    "panels": ("look", "several panels, as in a capture of a whole screen", _LOOK),
    "colour": ("look", "coloured marks, which X-ray frames do not have", _LOOK),
    "mark-outside": ("note", "a bright mark outside of the exposed field", _LOOK),
    "overlay": (
        "note",
        "overlay planes, which are left out of the frame",
        "the file still has them: do not pass it on",
    ),
    "private-tags": ("note", "private elements, which are not read", "the file still has them: do not pass it on"),
}
"""Kind → severity, what it is, what to do; the gravest first."""

COLUMNS = ("frame", "kind", "severity", "count", "top_px", "left_px", "bottom_px", "right_px", "what", "todo")
"""Columns of ``identity.csv``. ``count`` is characters (roughly), overlay planes, private elements or panels."""


@dataclass(frozen=True)
class Finding:
    """One thing about one frame. ``box`` is (top, left, bottom, right) in pixels where it has a place."""

    kind: Kind
    severity: Severity
    what: str
    todo: str
    count: int | None = None
    box: tuple[int, int, int, int] | None = None

    @classmethod
    def of(cls, kind: Kind, count: int | None = None, box: TextBox | None = None) -> Finding:
        """A finding with the words of :data:`KINDS`."""
        severity, what, todo = KINDS[kind]
        return cls(
            kind, severity, what, todo, count, None if box is None else (box.top, box.left, box.bottom, box.right)
        )


def findings(facts: FrameRecord, pixels: NDArray[Any], bits: int) -> list[Finding]:
    """Everything about a frame (y, x) of ``bits`` that may give a person away, the gravest first.

    Of ``facts`` only flags, counts and the notes of decoding are looked at.
    """
    found = []
    if facts.burned_in:
        found.append(Finding.of("header-yes"))
    if facts.modality == "SC" and facts.burned_in is None:
        found.append(Finding.of("capture"))
    if facts.overlays:
        found.append(Finding.of("overlay", facts.overlays))
    if facts.private_tags:
        found.append(Finding.of("private-tags", facts.private_tags))
    if "coloured marks" in (facts.reason or ""):
        found.append(Finding.of("colour"))
    if (count := panels(pixels)) > 1:
        found.append(Finding.of("panels", count))
    listed = Counter[Kind]()
    for box in sorted(text_boxes(pixels, bits), key=lambda box: -box.characters):
        kind: Kind = "text-inside" if not box.outside else "mark-outside" if box.characters == 1 else "text-outside"
        listed[kind] += 1
        if listed[kind] <= MOST_BOXES:
            found.append(Finding.of(kind, box.characters, box))
    return sorted(found, key=lambda finding: list(KINDS).index(finding.kind))


def findings_of(facts: FrameRecord, pixels: NDArray[Any], bits: int) -> list[dict[str, Any]]:
    """:func:`findings` as rows of ``identity.csv`` without the frame's name."""
    return [_row(finding) for finding in findings(facts, pixels, bits)]


def _row(finding: Finding) -> dict[str, Any]:
    sides = dict(zip(("top_px", "left_px", "bottom_px", "right_px"), finding.box or (None,) * 4, strict=True))
    return {key: value for key, value in asdict(finding).items() if key != "box"} | sides


def panels(pixels: NDArray[Any]) -> int:
    """Number of exposed parts that dark rows or columns across the whole of a frame (y, x) set apart; 1 for one picture."""
    low, high = int(pixels.min()), int(pixels.max())
    bright = pixels > low + SURROUND_FRAC * (high - low)
    return max(1, _stretches(np.logical_or.reduce(bright, axis=0)), _stretches(np.logical_or.reduce(bright, axis=1)))


def _stretches(bright: NDArray[np.bool_]) -> int:
    """Long runs of True, those nearer than :data:`PANEL_GAP_PX` counted as one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bright, [False]]).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    apart = starts[1:] - stops[:-1] >= PANEL_GAP_PX
    starts, stops = starts[np.concatenate([[True], apart])], stops[np.concatenate([apart, [True]])]
    return int(np.count_nonzero(stops - starts >= PANEL_FRAC * len(bright)))


# -- names of files ----------------------------------------------------------------------------------------------------

_UID = re.compile(r"\d+(\.\d+){4,}")
_DATE = re.compile(r"(?<!\d)(?:(\d{4})[-_.]?(\d\d)[-_.]?(\d\d)|(\d\d)[-_.](\d\d)[-_.](\d{4}))(?!\d)")
_NUMBER = re.compile(r"[1-9]\d{5,}")
_PRIVATE = re.compile(r"x[0-9a-f]{10}(?![0-9A-Za-z])")
NAME_KINDS = ("person", "date", "uid", "number")


def name_kinds(part: str) -> set[str]:
    """What a file or folder name seems to hold: ``person`` (a ``^``), ``date``, ``uid``, ``number`` of six digits or more.

    >>> sorted(name_kinds("DOE^JANE_19610312")), name_kinds("frame_000123")
    (['date', 'person'], set())
    """
    kinds = {"person"} if "^" in part else set()
    part, uids = _UID.subn(" ", part)
    if uids:
        kinds.add("uid")
    for match in _DATE.finditer(part):
        year, month, day = match.group(1, 2, 3) if match[1] else match.group(6, 5, 4)
        if _is_day(int(year), int(month), int(day)):
            kinds.add("date")
            part = part.replace(match[0], " ")
    if _NUMBER.search(part):
        kinds.add("number")
    return kinds


def _stem(name: str) -> str:
    """A file's name without its suffix; the dots of a UID are none."""
    return name if _UID.fullmatch(name) or "." not in name else name.rpartition(".")[0]


def _is_day(year: int, month: int, day: int) -> bool:
    """Whether it is a day on which a patient may have been born or seen; months and days may change places."""
    for m, d in ((month, day), (day, month)):
        try:
            datetime.date(year, m, d)
        except ValueError:
            continue
        return 1900 <= year < 2100
    return False


# -- the report --------------------------------------------------------------------------------------------------------


@dataclass
class IdentityReport:
    """Counts over all findings, kept while frames stream by; memory does not grow with the number of frames."""

    frames: int = 0
    silent: int = 0
    """DICOM frames whose header does not say whether text is burned in."""
    by_kind: Counter[str] = field(default_factory=Counter)
    """Frames by kind of finding."""
    names: Counter[str] = field(default_factory=Counter)
    """File and folder names by what they seem to hold."""
    kept_names: int = 0
    """Frames that are called by a file name that seems to hold something."""
    _counted: set[int] = field(default_factory=set)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take what was found on one frame: :func:`findings_of`, or its rows of ``identity.csv``."""
        self.by_kind.update({str(row["kind"]) for row in rows})

    def add_source(self, source: str, frame: str, facts: FrameRecord | None = None) -> None:
        """Take the path of a file that was found, and the name of the frame that was made of it (empty for none)."""
        self.frames += bool(frame)
        self.silent += facts is not None and facts.modality is not None and facts.burned_in is None
        parts = source.split("/")
        for depth, part in enumerate(parts, 1):
            kinds = name_kinds(_stem(part) if depth == len(parts) else part)
            path = hash("/".join(parts[:depth]))
            if kinds and path not in self._counted:
                self._counted.add(path)
                self.names.update(kinds)
        self.kept_names += bool(frame and name_kinds(_stem(parts[-1])) and not _PRIVATE.match(frame))

    @classmethod
    def of(cls, records: Iterable[FrameRecord], rows: Iterable[Mapping[str, Any]]) -> IdentityReport:
        """Over all rows of ``frames.csv`` and of ``identity.csv``; those of one frame stand together."""
        report = cls()
        for record in records:
            used = record.status == "used"
            report.add_source(record.source, record.frame if used else "", record if used else None)
        for _, found in itertools.groupby(rows, key=lambda row: row["frame"]):
            report.add(list(found))
        return report

    def table(self) -> list[tuple[int, Kind, str]]:
        """Frames, kind, and what it is, the gravest first."""
        return [(self.by_kind[kind], kind, what) for kind, (_, what, _) in KINDS.items() if self.by_kind[kind]]

    def advice(self) -> list[str]:
        """What to know and do, one sentence or two each."""
        return list(self._advice())

    def _advice(self) -> Iterator[str]:
        grave = [kind for kind, (severity, *_) in KINDS.items() if severity == "high" and self.by_kind[kind]]
        if grave:
            yield (
                "Text is or seems to be burned in. Frames of the workspace, overlays of predict and pictures of reports show"
                " it: cover it in the files, or leave those frames out."
            )
        elif any(severity == "look" and self.by_kind[kind] for kind, (severity, *_) in KINDS.items()):
            yield "Some frames may show text: look at those that are listed."
        else:
            yield "No text was found in the pixels. That is no proof: slanted, faint and handwritten text goes unseen."
        if self.silent:
            yield f"The headers of {self.silent} frames do not say whether text is burned in."
        if self.by_kind["overlay"] or self.by_kind["private-tags"]:
            yield "Overlay planes and private elements stay in your files; nothing of them is in the workspace."
        if self.names:
            words = {"person": "a person", "date": "a date", "uid": "a DICOM UID", "number": "a long number"}
            counts = ", ".join(f"{words[kind]} ({self.names[kind]})" for kind in NAME_KINDS if self.names[kind])
            yield f"Names of files or folders seem to hold {counts}. frames.csv has them: keep it private."
        if self.kept_names:
            yield (
                f"Such names are frame names, too ({self.kept_names}), and appear in file names, scores and reports:"
                " rename those files first."
            )
