"""Which frames may never be on two sides of a split: those of one patient, and what else hangs together.

Frames hang together by what is known of them (patient, study, series) and by their looks. A leak is worse than a group
too few, so whatever joins two frames wins: a study that names two patients makes one group of both, and so does a
frame that is in the data twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import DataError
from ercpseg.frames.likeness import find_alike

KINDS = ("patient", "study", "series")
"""What is known of a frame, best first."""
SERIES = ("series",)
INNER = ("study", "series")
"""What still tells frames of one patient apart."""
PLURALS = {"study": "studies", "series": "series"}
BY_LOOKS, BY_FRAME = "near-duplicates", "frame"
NAMES = "begin file names with the patient and a _, or write a descriptor"


@dataclass(frozen=True)
class Groups:
    """Groups of the used frames.

    ``of`` tells the group's number of every frame; numbers follow the order of frame names. ``grouped_by`` says what
    told groups apart: the best known of each frame, for example ``patient`` or ``patient, series``. ``known`` counts
    patients, studies and series. ``alike`` are pairs of near-duplicates that nothing else joins, one pair for each time
    two groups became one.
    """

    of: Mapping[str, int]
    grouped_by: str
    known: Mapping[str, int] = field(default_factory=dict)
    alike: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(set(self.of.values()))


def group_frames(records: Sequence[FrameRecord], *, by_looks: bool = True, kinds: Sequence[str] = KINDS) -> Groups:
    """Group the used frames of an import report; the order of the records changes nothing.

    Parameters
    ----------
    records
        rows with keys and looks; only ``used`` ones count. Keys of studies and series must differ between patients.
    by_looks
        whether near-duplicates belong together too.
    kinds
        what may join frames, of :data:`KINDS`; without the patient these are the groups within one.

    Raises
    ------
    DataError
        when a frame occurs twice.
    """
    used = sorted((r for r in records if r.status == "used"), key=lambda r: r.frame)
    names = [r.frame for r in used]
    if len(set(names)) != len(names):
        raise DataError("a frame occurs twice among the records", todo="run plan-and-preprocess again")
    joined = _Joined(len(used))
    known = {kind: joined.by_key(getattr(r, kind) for r in used) if kind in kinds else 0 for kind in KINDS}
    before = joined.numbers()
    pairs = find_alike([r.look or "" for r in used], before) if by_looks else []
    for i, j in pairs:
        joined.join(i, j)
    after = joined.numbers()
    return Groups(
        of=dict(zip(names, after, strict=True)),
        grouped_by=_grouped_by(used, known, pairs, kinds),
        known=known,
        alike=tuple((names[i], names[j]) for i, j in pairs),
        warnings=tuple(_warnings(used, known, pairs, before, after)) if tuple(kinds) == KINDS else (),
    )


class _Joined:
    """Disjoint sets of 0 … n − 1."""

    def __init__(self, count: int):
        self.parent = list(range(count))

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = i = self.parent[self.parent[i]]
        return i

    def join(self, i: int, j: int) -> None:
        a, b = sorted((self.root(i), self.root(j)))
        self.parent[b] = a

    def by_key(self, keys: Iterable[str | None]) -> int:
        """Join all that share a key; returns the number of keys. Empty ones join nothing."""
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            if key:
                self.join(i, first.setdefault(key, i))
        return len(first)

    def numbers(self) -> list[int]:
        """The set of each, numbered in the order of their first members."""
        number: dict[int, int] = {}
        return [number.setdefault(self.root(i), len(number)) for i in range(len(self.parent))]


def _level(record: FrameRecord, kinds: Sequence[str] = KINDS) -> str:
    """The best of ``kinds`` that is known of a frame, else :data:`BY_FRAME`."""
    return next((kind for kind in kinds if getattr(record, kind)), BY_FRAME)


def _one_frame_each(used: Sequence[FrameRecord], known: Mapping[str, int]) -> bool:
    """Every frame has a patient of its own: in plain files whose names say nothing, the whole name counts as one."""
    return len(used) > 1 and known["patient"] == len(used)


def _grouped_by(
    used: Sequence[FrameRecord], known: Mapping[str, int], pairs: Sequence[tuple[int, int]], kinds: Sequence[str]
) -> str:
    if _one_frame_each(used, known):
        return BY_LOOKS if pairs else "patient"
    levels = {_level(record, kinds) for record in used}
    paired = {i for pair in pairs for i in pair}
    if any(_level(used[i], kinds) == BY_FRAME for i in paired):
        levels = levels - {BY_FRAME} | {BY_LOOKS}
    return ", ".join(kind for kind in (*KINDS, BY_LOOKS, BY_FRAME) if kind in levels)


def _warnings(
    used: Sequence[FrameRecord],
    known: Mapping[str, int],
    pairs: Sequence[tuple[int, int]],
    before: Sequence[int],
    after: Sequence[int],
) -> Iterable[str]:
    """Sentences with numbers only: keys may name a patient. ``before`` and ``after`` are groups without and with looks."""
    levels = [_level(record) for record in used]
    frames = len(used)
    for kind in ("study", "series"):
        torn = _of_several_patients(used, kind)
        if torn:
            yield (
                f"CONTRADICTION: {torn} {PLURALS[kind]} hold frames of several patients; these patients count as one "
                f"group, so that no {kind} is on both sides of a split (R30)."
            )
    paired = {i for pair in pairs for i in pair}
    if _one_frame_each(used, known):
        if pairs:
            yield (
                f"GROUPED BY LOOKS: every frame has a patient of its own by its name, but {len(paired)} of {frames} "
                f"frames are near-duplicates of others, as in a film, so there are {len(set(after))} groups. Frames of one "
                f"patient that differ more are NOT found: {NAMES} (R30)."
            )
        return
    nameless = levels.count(BY_FRAME)
    if nameless:
        looks = sum(levels[i] == BY_FRAME for i in paired)
        yield (
            f"NO PATIENT, STUDY OR SERIES is known for {nameless} of {frames} frames: each counts as its own patient, "
            f"except {looks} near-duplicates. Frames of one patient that differ more are on both sides of the folds: "
            f"{NAMES} (R30)."
        )
    for kind in ("study", "series"):
        if kind in levels:
            yield (
                f"GROUPED BY {kind.upper()}: no patient is known for {levels.count(kind)} of {frames} frames; a patient "
                f"with two {PLURALS[kind]} may be on both sides of the folds: {NAMES} (R30)."
            )
    merged = _merged(levels, before, after)
    if merged:
        yield (
            f"NEAR-DUPLICATES ACROSS PATIENTS: frames of {sum(merged)} groups that have their own patient, study or series "
            f"look almost the same, so these count as {len(merged)}; is a patient there under two names (R30)?"
        )


def _merged(levels: Sequence[str], before: Sequence[int], after: Sequence[int]) -> list[int]:
    """For each group that looks made of several known ones, how many these were."""
    parts: dict[int, set[int]] = defaultdict(set)
    for level, old, new in zip(levels, before, after, strict=True):
        if level != BY_FRAME:
            parts[new].add(old)
    return [len(olds) for olds in parts.values() if len(olds) > 1]


def _of_several_patients(used: Sequence[FrameRecord], kind: str) -> int:
    """How many studies or series hold frames of several patients."""
    patients: dict[str, set[str]] = defaultdict(set)
    for record in used:
        key = getattr(record, kind)
        if key and record.patient:
            patients[key].add(record.patient)
    return sum(len(found) > 1 for found in patients.values())
