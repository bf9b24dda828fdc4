"""A study: one comparison with a name and a folder of its own, told apart from others by what it compares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ercpseg.documents.comparison import Studied, Study
from ercpseg.errors import DocumentError, UsageError
from ercpseg.pipeline.candidates import splits_sha256
from ercpseg.pipeline.entries import Entry
from ercpseg.pipeline.known import Planned
from ercpseg.storage import documents
from ercpseg.storage.atomic import read_bytes, write_bytes
from ercpseg.storage.candidates import comparison_folder, study_folder
from ercpseg.storage.workspace import Workspace, check_name

if TYPE_CHECKING:
    from ercpseg.pipeline.compare import CompareOptions

STUDY, COMPARISON = "study.json", "compare.json"
RESULTS = ("compare.csv", "metrics.csv", "sequences.csv", "report.md", COMPARISON)
"""What comes of a study; ``compare.json`` is written last, so that where it is, all is there."""
MAX_NAME = 40
WORDS = {
    "recipes": "recipes",
    "folds": "--fold",
    "seeds": "--seeds",
    "time_budget_s": "--time-budget",
    "memory_gb": "--memory",
    "device": "--device",
    "threads": "threads",
    "overrides": "--set",
    "fingerprint_sha256": "the frames",
    "splits_sha256": "the folds",
}
"""What two studies may differ in, in the words of the command."""


@dataclass(frozen=True)
class Opened:
    """A study that may be worked on: its name and its folder."""

    name: str
    folder: Path


def open_study(space: Workspace, planned: Planned, entries: Sequence[Entry], options: CompareOptions) -> Opened:
    """Begin a study, or go on with the one that asked for the same; other studies are left alone.

    Without a name (``options.study``) it is called after its recipes and a hash over all that is compared, so that the same
    question always has the same name.

    Raises
    ------
    UsageError
        when the name cannot be one, or is that of a study of something else; says what differs.
    """
    wanted = _study(space, planned, entries, options)
    name = options.study or derived_name(wanted)
    folder = study_folder(space, planned.dataset.name, name)
    path = folder / STUDY
    if not path.exists():
        documents.save(path, wanted)
        return Opened(name, folder)
    known = _known(path)
    if known is None or known != wanted:
        other = [word for key, word in WORDS.items() if known and getattr(known, key) != getattr(wanted, key)]
        raise UsageError(
            f"the study {name} compares something else"
            + (f": {', '.join(other)} differ{'s' if len(other) == 1 else ''}" if other else ""),
            where=path,
            expected="the command that began it",
            todo="name another one with --study, or leave --study out",
        )
    return Opened(name, folder)


def check_study_name(name: str) -> None:
    """Refuse a name that cannot be a folder's.

    Raises
    ------
    UsageError
        otherwise.
    """
    try:
        check_name(name)
    except UsageError as error:
        raise UsageError(f"{name[:64]!r} cannot name a study", where="--study", expected=error.expected) from None


def derived_name(study: Study) -> str:
    """The name of a study that nobody named: its recipe (of variants the one they share, else the first), then a hash."""
    bases = {re.split("[:@]", one.recipe)[0] for one in study.recipes}
    base = study.recipes[0].recipe if len(bases) > 1 else bases.pop()
    text = re.sub("[^A-Za-z0-9_-]", "-", base)[:MAX_NAME].lstrip("_-") or "study"
    return f"{text}-{study.sha256[:8]}"


def publish(space: Workspace, dataset: str, study: Opened) -> Path:
    """Copy a finished study's results to where those of the study that was run last lie; returns that folder."""
    folder = comparison_folder(space, dataset)
    for name in RESULTS:
        write_bytes(folder / name, read_bytes(study.folder / name))
    return folder


def _known(path: Path) -> Study | None:
    try:
        return documents.load(path, Study)
    except DocumentError:  # of another version, or no study at all: not to be overwritten
        return None


def _studied(entry: Entry) -> Studied:
    start = None if entry.start is None else entry.start.model.sha256
    return Studied(given=entry.given, recipe=entry.name, sha256=entry.recipe.sha256, init_from_sha256=start)


def _study(space: Workspace, planned: Planned, entries: Sequence[Entry], options: CompareOptions) -> Study:
    return Study.new(
        dataset=planned.dataset.name,
        recipes=tuple(_studied(entry) for entry in entries),
        folds=tuple(map(int, options.folds)),
        seeds=options.seeds,
        time_budget_s=float(options.time_budget_s),
        memory_gb=None if options.memory_gb is None else float(options.memory_gb),
        device=options.device,
        threads=options.threads,
        overrides=dict(options.overrides),
        fingerprint_sha256=planned.fingerprint.sha256,
        splits_sha256=splits_sha256(space, planned.dataset.name),
    )
