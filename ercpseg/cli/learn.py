"""``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ercpseg.cli.console import ConsoleProgress, duration, say, table
from ercpseg.cli.options import TimeBudgetOption, WorkspaceOption, parse_duration
from ercpseg.errors import UsageError


def train(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of a planned dataset.")],
    fold: Annotated[
        str, typer.Argument(metavar="FOLD", help="0 to k-1, or all (train on everything, check on 24 of the same).")
    ],
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Train so many epochs, whatever the time.", min=1)
    ] = None,
    time_budget: TimeBudgetOption = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda or mps; default: as planned.")] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="MODEL",
            help="Begin from this model's weights: a folder, its zip, a dataset's name, or shipped weights.",
            show_default=False,
        ),
    ] = None,
    encoder_weights: Annotated[
        Path | None,
        typer.Option(
            "--encoder-weights",
            metavar="FILE",
            help="FRA-Net: begin with the encoder of this safetensors file from timm; nothing is downloaded.",
            show_default=False,
        ),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget an earlier run of this fold.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Train one fold of a plan; the same command goes on after an interruption.

    Ctrl-C saves and stops within a step. The trained fold is added to the dataset's model, which predict takes by name.

    With --init-from the outputs are matched by the structures' names and new ones begin afresh; which layers go on learning
    and how fast is in the plan (transfer.scheme, transfer.rate; plan with --set to change it).
    """
    from ercpseg.pipeline.learn import train as run
    from ercpseg.training.run import TrainOptions

    if epochs is not None and time_budget is not None:
        raise UsageError("--epochs and --time-budget contradict each other", todo="give one of them")
    options = TrainOptions(epochs, parse_duration(time_budget), device, restart)
    result = run(
        dataset,
        fold,
        init_from=init_from,
        encoder_weights=encoder_weights,
        workspace=workspace,
        options=options,
        progress=ConsoleProgress(),
    )
    record = result.record
    if not result.fresh:
        say(f"fold {record.fold} of {record.dataset} is trained already; --restart would train it anew")
    else:
        expected = record.expected_seconds_per_iteration
        compare = f", {expected:.2f} expected" if expected else ""
        say(
            f"fold {record.fold}: {record.epochs} epochs, {record.iterations} iterations in {duration(record.seconds)} "
            f"({record.seconds_per_iteration:.2f} s each{compare}), {record.parameters:,} parameters"
        )
        if record.transfer is not None:
            say(f"it {record.transfer.text}")
        if record.memory_gb is not None:
            planned = "" if record.expected_memory_gb is None else f", {record.expected_memory_gb:.2f} expected"
            say(f"memory: {record.memory_gb:.2f} GB above the start{planned}")
        rows = [
            [name, "–" if v["dice"] is None else f"{v['dice']:.3f}", str(v["frames"])]
            for name, v in result.validation.items()
        ]
        table(["structure", "validation Dice", "n frames"], rows)
        for file in ("log.jsonl", "curve.png", "validation/summary.json", "run.json"):
            say(f"wrote {result.folder / file}")
    say(f"model: {result.model}")
    say(f"next: ercpseg predict INPUT OUTPUT --model {record.dataset}")
