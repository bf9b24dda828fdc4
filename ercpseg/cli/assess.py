"""``evaluate`` and ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ercpseg.cli.console import ConsoleProgress, say, table
from ercpseg.cli.options import WorkspaceOption
from ercpseg.errors import UsageError


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="A predict output, or a folder with masks/<structure>/.")
    ],
    reference: Annotated[
        Path,
        typer.Argument(metavar="REFERENCE", help="The truth: a dataset folder, or a folder with masks/<structure>/."),
    ],
    output: Annotated[Path | None, typer.Option("--output", help="Where to write; default: PREDICTIONS.")] = None,
) -> None:
    """Score predicted masks against reference masks, per frame, per patient and overall.

    Writes scores.json and scores.csv (a row per frame and structure) and prints the table, with n and intervals.
    """
    from ercpseg.pipeline.assess import evaluate as run

    for folder, name in ((predictions, "PREDICTIONS"), (reference, "REFERENCE")):
        if not folder.is_dir():
            raise UsageError(f"there is no such folder for {name}", where=folder, expected="one that holds masks/")
    scores = run(predictions, reference, output=output, progress=ConsoleProgress())
    print_scores(scores)
    for file in ("scores.json", "scores.csv"):
        say(f"wrote {(output or predictions) / file}")


def report(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of a planned dataset.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The HTML file to write.")] = Path("report.html"),
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="An evaluated predict output, for scores and pictures.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="The dataset folder it was scored against.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write one self-contained page: data, plan with reasons, curves, scores, pictures."""
    from ercpseg.pipeline.report import ReportInput
    from ercpseg.pipeline.report import report as run

    given = ReportInput(predictions=predictions, reference=reference)
    page = run(dataset, output, given, workspace=workspace, progress=ConsoleProgress())
    say(f"wrote {page}")


def print_scores(scores: object) -> None:
    """The table of an evaluation and the notes under it."""
    from ercpseg.documents.scores import Scores
    from ercpseg.evaluation.table import HEADINGS, summary_notes, summary_rows

    assert isinstance(scores, Scores)  # noqa: S101  # typed loosely so that --help need not import documents
    table(list(HEADINGS.values()), [[row[key] for key in HEADINGS] for row in summary_rows(scores)])
    for note in summary_notes(scores):
        say(note)
