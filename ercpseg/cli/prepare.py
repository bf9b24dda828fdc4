"""``plan-and-preprocess``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ercpseg import errors
from ercpseg.cli.bring import counts, split_names
from ercpseg.cli.console import ConsoleProgress, say, table
from ercpseg.cli.options import (
    DeviceOption,
    HoldOutOption,
    KeepNamesOption,
    LineWidthOption,
    NameOption,
    RootOption,
    StructuresOption,
    TimeBudgetOption,
    WorkspaceOption,
    parse_duration,
    parse_milliseconds,
)

if TYPE_CHECKING:
    from ercpseg.pipeline.known import Planned

MAX_MEMORY_GB = 1_000_000


def plan_and_preprocess(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="A folder, a descriptor, or a name the workspace knows.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", help="Name of a recipe (see ercpseg plans) or a YAML file. Default: auto.", show_default=False
        ),
    ] = None,
    from_compare: Annotated[
        bool, typer.Option("--from-compare", help="Take the recipe that won the dataset's last ercpseg compare.")
    ] = False,
    study: Annotated[
        str | None,
        typer.Option("--study", help="With --from-compare: this study instead of the last.", show_default=False),
    ] = None,
    time_budget: TimeBudgetOption = None,
    memory: Annotated[
        float | None,
        typer.Option("--memory", help="Memory in GB to plan for; default: what is free.", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    latency_budget: Annotated[
        str | None,
        typer.Option(
            "--latency-budget",
            help="Time that a frame may take in prediction, for example 33ms; network and size are chosen to keep to it.",
            show_default=False,
        ),
    ] = None,
    name: NameOption = None,
    root: RootOption = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Pin a decision, for example --set patch.batch_size=2.", metavar="KEY=VALUE"),
    ] = None,
    structures: StructuresOption = None,
    line_width: LineWidthOption = 3.0,
    keep_names: KeepNamesOption = False,
    hold_out: HoldOutOption = None,
    workspace: WorkspaceOption = None,
) -> int:
    """Look at a dataset, decide how to train on it, say why, and prepare its frames.

    A folder is understood when it holds images/ and masks/<structure>/<same name>.png (0 = absent), or labelme JSON
    beside the images, or is an nnU-Net raw dataset. Frames may be PNG, TIFF, JPEG, BMP or DICOM. The patient is the DICOM
    PatientID or the text before the first _ of the file name. Running it again continues or does nothing.
    """
    from ercpseg.pipeline.prepare import PlanOptions, plan

    if memory is not None and not 0 < memory < MAX_MEMORY_GB:
        raise errors.UsageError(f"{memory} GB of memory", where="--memory", expected="a number above 0")
    pins = dict(_pin(text) for text in set_ or [])
    if study is not None and not from_compare:
        raise errors.UsageError(
            "a study is nothing to plan by alone", where="--study", expected="--from-compare as well"
        )
    if from_compare:
        recipe, pins = _winner(name or dataset, recipe, pins, workspace, study)
    options = PlanOptions(
        recipe=recipe or "auto",
        time_budget_s=parse_duration(time_budget),
        memory_gb=memory,
        device=device,
        overrides=tuple(pins.items()),
        structures=split_names(structures),
        line_width_px=line_width,
        keep_names=keep_names,
        hold_out_from=hold_out,
        latency_budget_ms=parse_milliseconds(latency_budget),
    )
    planned = plan(dataset, name=name, root=root, workspace=workspace, options=options, progress=ConsoleProgress())
    data = planned.dataset
    if not planned.fresh:
        say(f"{data.name} is planned and prepared already; nothing to do. The plan: {planned.folder / 'plan.md'}")
        _counts(planned)
        return errors.EXIT_DONE
    return _told(planned)


def _told(planned: Planned) -> int:
    """Show a new plan and what comes next; returns the exit code."""
    from ercpseg.planner.explain import decision_rows, few_shot_command, few_shot_text

    data = planned.dataset
    rows = [[row[key] for key in ("decision", "value", "rule", "because")] for row in decision_rows(planned.plan)]
    table(["decision", "value", "rule", "because"], rows, title=f"Plan of {data.name}")
    for warning in planned.plan.warnings:
        say(f"warning: {warning}")
    code = _counts(planned)
    for file in ("plan.md", "plan.json", "fingerprint.json", "frames.csv"):
        say(f"wrote {planned.folder / file}")
    few_shot = few_shot_text(planned.plan)
    if few_shot is not None:
        say(few_shot)
    say(f"next: {few_shot_command(planned.plan) if few_shot else f'ercpseg train {data.name} 0'}")
    return code


def _winner(
    dataset: str, recipe: str | None, pins: dict[str, object], workspace: Path | None, study: str | None
) -> tuple[str, dict[str, object]]:
    """The recipe that won, and the user's pins with what other recipes won for a family."""
    from ercpseg.pipeline.from_compare import winner
    from ercpseg.storage.workspace import Workspace

    if recipe is not None:
        raise errors.UsageError("--recipe and --from-compare contradict each other", todo="give one of them")
    found = winner(dataset, Workspace.default(workspace), study)
    for line in found.said:
        say(line)
    won = {key: value for key, value in found.pins if key.rpartition(".")[0] not in pins}
    return found.given, won | pins


def _counts(planned: Planned) -> int:
    """Say what became of everything that was found; returns the exit code."""
    code = counts(planned.dataset, planned.folder)
    say(f"{planned.fingerprint.patients} patients (grouped by {planned.fingerprint.grouped_by})")
    return code


def _pin(text: str) -> tuple[str, object]:
    import json

    import yaml

    key, separator, value = text.partition("=")
    if not separator:
        raise errors.UsageError(f"{text[:64]!r} is no pin", where="--set", expected="section.key=value")
    try:
        parsed = yaml.safe_load(value)
        json.dumps(parsed, allow_nan=False)  # no dates, no infinities: a plan holds what JSON can hold
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise errors.UsageError(
            f"{value[:64]!r} is no value", where=f"--set {key[:64]}", expected="a number, a word or a YAML list"
        ) from error
    return key.strip(), parsed
