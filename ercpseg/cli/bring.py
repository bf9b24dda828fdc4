"""``import``: bring data into the workspace and say what became of every file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ercpseg import errors
from ercpseg.cli.console import ConsoleProgress, say, table
from ercpseg.cli.options import (
    HoldOutOption,
    KeepNamesOption,
    LineWidthOption,
    NameOption,
    RootOption,
    StructuresOption,
    WorkspaceOption,
)

if TYPE_CHECKING:
    from ercpseg.documents.dataset import Dataset

REASONS = 5


def import_(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="A folder, a descriptor file, or the name of one (see ercpseg datasets)."
        ),
    ],
    root: RootOption = None,
    name: NameOption = None,
    structures: StructuresOption = None,
    line_width: LineWidthOption = 3.0,
    keep_names: KeepNamesOption = False,
    hold_out: HoldOutOption = None,
    check_identity: Annotated[
        bool,
        typer.Option(
            "--check-identity",
            help="Also list what may give a person away: burned-in text, overlays, private tags. Look at what it lists.",
        ),
    ] = False,
    workspace: WorkspaceOption = None,
) -> int:
    """Read every file of a dataset, keep what can be trusted, and say why the rest was refused.

    plan-and-preprocess does this by itself; import alone is for looking at the data first. Frames come out upright, grey,
    devices dark, at their full depth; annotations as masks that may overlap. Nothing is guessed: what is in doubt is
    refused, with a code and what to do about it. The table frames.csv maps frames to files and patients: keep it private.
    """
    from ercpseg.importers.dataset import ImportOptions
    from ercpseg.pipeline.bring import import_folder

    options = ImportOptions(
        structures=split_names(structures),
        line_width_px=line_width,
        keep_names=keep_names,
        hold_out_from=hold_out,
        check_identity=check_identity,
    )
    made = import_folder(
        dataset, name=name, root=root, workspace=workspace, options=options, progress=ConsoleProgress()
    )
    if check_identity:
        _identity(made.folder)
    code = counts(made.dataset, made.folder)
    for note in made.dataset.notes:
        say(f"note: {note}")
    say(f"wrote {made.folder / 'frames.csv'} (private: it maps frames to files and patients)")
    say(f"wrote {made.folder / 'dataset.json'}")
    say(f"next: ercpseg plan-and-preprocess {made.dataset.name}")
    return code


def split_names(text: str | None) -> tuple[str, ...] | None:
    """``a, b`` → names."""
    return None if text is None else tuple(part.strip() for part in text.split(","))


def counts(data: Dataset, folder: Path) -> int:
    """Say what became of everything that was found, with the most frequent reasons; returns the exit code."""
    from ercpseg.pipeline.bring import frequent_reasons

    say(
        f"{data.name}: {data.found} found = {data.used} used + {data.refused} refused + {data.ignored} ignored; "
        f"{data.annotation_files} annotation files"
    )
    if not data.refused:
        return errors.EXIT_DONE
    rows = [[str(count), code, reason] for count, code, reason in frequent_reasons(folder, REASONS)]
    table(["refused", "code", "why, and what to do"], rows)
    say(f"every refused frame and its reason: {folder / 'frames.csv'}")
    return errors.EXIT_SOME_REFUSED


def _identity(folder: Path) -> None:
    from ercpseg.pipeline.bring import identity_summary

    rows, advice = identity_summary(folder)
    table(
        ["frames", "kind", "what was found"],
        [[str(n), *rest] for n, *rest in rows],
        title="What may give a person away",
    )
    for line in advice:
        say(line)
    say(f"wrote {folder / 'identity.csv'}")
