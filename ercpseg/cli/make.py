"""``synth`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ercpseg.cli.console import ConsoleProgress, duration, say, table
from ercpseg.cli.options import TimeBudgetOption, parse_duration
from ercpseg.errors import UsageError


def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    frames: Annotated[int, typer.Option("--frames", help="Frames in all.", min=1)] = 60,
    patients: Annotated[int, typer.Option("--patients", help="Patients that they are spread over.", min=1)] = 20,
    size: Annotated[int, typer.Option("--size", help="Side of the square frames in pixels.", min=64)] = 512,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same frames.", min=0)] = 0,
    format_: Annotated[
        str, typer.Option("--format", help="png, or dicom (one multi-frame RF object per patient).")
    ] = "png",
) -> None:
    """Synthesise ERCP fluoroscopy with overlapping truth masks, as a dataset folder that every command takes."""
    from ercpseg.synthesis.dataset import synthesise

    if format_ not in ("png", "dicom"):
        raise UsageError(f"unknown format {format_[:16]!r}", where="--format", expected="png or dicom")
    summary = synthesise(
        out,
        frames=frames,
        patients=patients,
        size=size,
        seed=seed,
        file_format="dicom" if format_ == "dicom" else "png",
        progress=ConsoleProgress(),
    )
    say(f"wrote {summary.frames} frames of {summary.patients} patients to {summary.folder}")


def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the demo; made anew each time.")] = Path(
        "ercpseg-demo"
    ),
    time_budget: TimeBudgetOption = "5m",
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same frames.", min=0)] = 0,
) -> None:
    """The whole job on synthetic frames: synthesise, plan, train, predict, evaluate, report. Minutes on two CPU cores."""
    from ercpseg.cli.assess import print_scores
    from ercpseg.pipeline.demo import DemoSize
    from ercpseg.pipeline.demo import demo as run

    size = DemoSize(time_budget_s=parse_duration(time_budget) or DemoSize.time_budget_s)
    result = run(out, size, seed=seed, progress=ConsoleProgress())
    print_scores(result.scores)
    table(["stage", "time"], [[t.stage, duration(t.seconds)] for t in result.timings])
    for name in ("data", "workspace", "predictions", "picture.png"):
        say(f"wrote {out / name}")
    say(f"Synthetic frames throughout. Open {result.report}")
