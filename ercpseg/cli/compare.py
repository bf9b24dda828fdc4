"""``compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ercpseg import errors
from ercpseg.cli.console import ConsoleProgress, duration, say, table
from ercpseg.cli.options import DeviceOption, NameOption, WorkspaceOption, parse_duration
from ercpseg.cli.prepare import MAX_MEMORY_GB, _pin

if TYPE_CHECKING:
    from ercpseg.documents.comparison import Comparison, Paired


def compare(
    dataset: Annotated[
        str,
        typer.Argument(metavar="DATASET", help="Name of a planned dataset, or a folder or descriptor to plan first."),
    ],
    recipes: Annotated[
        str | None,
        typer.Option(
            "--recipes",
            help="Names or files of two or more recipes; others are compared with the first. RECIPE@MODEL begins from a "
            "model, as train --init-from does: light,light@light. Default: those of the plan (portfolio.recipes).",
            show_default=False,
        ),
    ] = None,
    fold: Annotated[
        str, typer.Option("--fold", help="Folds whose held-out frames decide, for example 0 or 0,1,2.")
    ] = "0",
    time_budget: Annotated[
        str, typer.Option("--time-budget", help="Time for each training, for example 10m or 1h.")
    ] = "10m",
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings of each recipe and fold.", min=1, max=20)] = 1,
    memory: Annotated[
        float | None,
        typer.Option("--memory", help="Memory in GB to plan for; default: what is free.", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    name: NameOption = None,
    study: Annotated[
        str | None,
        typer.Option("--study", help="Name of the study. Default: made from what is compared.", show_default=False),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Pin a decision of every candidate.", metavar="KEY=VALUE"),
    ] = None,
    workspace: WorkspaceOption = None,
) -> int:
    """Train several recipes for the same time, and tell which one the held-out frames prefer.

    Per structure: the primary metric (clDice of thin structures, F1 of small ones, Dice of large ones) at native size, and
    the paired difference to the first recipe with a 95 % interval by a bootstrap of patients. A recipe wins a family of
    structures, or overall, only if its interval lies above 0; else the first stays. The same command goes on after an
    interruption and trains nothing twice; another one is another study with results of its own, also by sequence.
    plan-and-preprocess --from-compare plans by the winner. With --name a folder is planned as another dataset, for
    example with other folds.
    """
    from ercpseg.pipeline.compare import CompareOptions
    from ercpseg.pipeline.compare import compare as run
    from ercpseg.pipeline.study import RESULTS

    if memory is not None and not 0 < memory < MAX_MEMORY_GB:
        raise errors.UsageError(f"{memory} GB of memory", where="--memory", expected="a number above 0")
    names = None if recipes is None else tuple(name.strip() for name in recipes.split(",") if name.strip())
    options = CompareOptions(
        recipes=names,
        folds=tuple(part.strip() for part in fold.split(",")),
        time_budget_s=parse_duration(time_budget) or 0.0,
        seeds=seeds,
        memory_gb=memory,
        device=device,
        overrides=tuple(_pin(text) for text in set_ or []),
        study=study,
    )
    compared = run(dataset, name=name, workspace=workspace, options=options, progress=ConsoleProgress())
    found = compared.comparison
    if not compared.trained:
        say("every candidate was trained already")
    _print(found)
    for file in RESULTS:
        say(f"wrote {compared.folder / file}")
    say(f"next: ercpseg plan-and-preprocess {found.dataset} --from-compare --study {found.study}")
    return errors.EXIT_DONE


def _print(found: Comparison) -> None:
    recipes = [c.recipe for c in found.candidates]
    told = [
        [
            c.recipe,
            c.network,
            f"{c.runs[0].parameters:,}",
            ", ".join(str(run.iterations) for run in c.runs),
            ", ".join(duration(run.seconds) for run in c.runs),
            f"as {c.same_as}" if c.same_as else "",
        ]
        for c in found.candidates
    ]
    folds = f"fold{'s' if len(found.folds) > 1 else ''} {', '.join(map(str, found.folds))}"
    title = f"{found.dataset}, {folds}: {duration(found.time_budget_s)} for each training"
    table(["recipe", "network", "parameters", "iterations", "trained for", ""], told, title=title)
    cells = {(row.scope, row.name, row.recipe): row for row in found.rows}
    keys = list(dict.fromkeys((row.scope, row.name) for row in found.rows))
    rows = []
    for scope, name in keys:
        first = cells[scope, name, recipes[0]]
        family = found.families.get(name, "") if scope == "structure" else ""
        n = f"{first.frames} / {first.patients}" if scope == "structure" else ""
        label = name if scope != "family" else f"all {name}"
        rows.append(
            [label, family, first.metric, n, *(_cell(cells[scope, name, recipe], recipes[0]) for recipe in recipes)]
        )
    heads = [recipes[0], *(f"{recipe}: difference [95 % interval]" for recipe in recipes[1:])]
    table(["structure", "family", "metric", "n frames / patients", *heads], rows)
    verdicts = [[name, v.recipe, "yes" if v.clear else "no", v.because] for name, v in found.winners.items()]
    table(["family", "take", "clearly better", "because"], verdicts)
    for warning in found.warnings:
        say(f"warning: {warning}")


def _cell(row: Paired, first: str) -> str:
    if row.value is None:
        return "–"
    if row.recipe == first or row.difference is None:
        return f"{row.value:.3f}"
    interval = "" if row.low is None else f" [{row.low:+.3f}, {row.high:+.3f}]"
    return f"{row.value:.3f}: {row.difference:+.3f}{interval}"
