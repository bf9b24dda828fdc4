"""``synth`` and ``demo``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ercpseg import errors
from ercpseg.cli.console import ConsoleProgress, duration, say, table
from ercpseg.cli.options import RootOption, TimeBudgetOption, WorkspaceOption, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from ercpseg.synthesis.jobs import Materials


def synth(
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="A new folder; of scenes also one that the same command began."),
    ],
    frames: Annotated[int, typer.Option("--frames", help="Frames in all.")] = 60,
    patients: Annotated[
        int | None,
        typer.Option("--patients", help="Patients that they are spread over. Default: a third of the frames."),
    ] = None,
    domain: Annotated[
        str,
        typer.Option(
            "--domain",
            help="Kind of room and patients: a name (see below) or a YAML file. Several, with commas: patients take turns.",
        ),
    ] = "phantom-simple",
    size: Annotated[
        int | None, typer.Option("--size", help="Height of the frames in pixels. Default: the domain's.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same frames.")] = 0,
    series: Annotated[
        bool, typer.Option("--series", help="Each patient's frames are one series: breathing, table, wire, contrast.")
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", help="png, or dicom (one multi-frame RF object per patient).")
    ] = "png",
    backgrounds: Annotated[
        Path | None,
        typer.Option("--backgrounds", help="Folder of your own frames to draw on, one patient each."),
    ] = None,
    paste: Annotated[
        Path | None,
        typer.Option("--paste", help="Dataset folder whose masks are pasted on the backgrounds instead of a scene."),
    ] = None,
    from_dataset: Annotated[
        str | None,
        typer.Option(
            "--from-dataset",
            help="A folder, a descriptor, or a name the workspace knows: its masks on those of its frames of which it is known "
            "that they show nothing.",
            show_default=False,
        ),
    ] = None,
    root: RootOption = None,
    workspace: WorkspaceOption = None,
    workers: Annotated[
        int, typer.Option("--workers", help="Processes; 0: as many as are worth it. The files do not depend on it.")
    ] = 0,
) -> None:
    """Synthesise ERCP fluoroscopy with overlapping truth masks, as a dataset folder that every command takes.

    Domains that come with the program: any-room, phantom-simple, portrait-spot, round-field, saint-antoine, shiraz. All but
    phantom-simple write truth/ too (courses, sizes in mm, calibration). The same command again goes on where it was stopped.
    """
    from ercpseg.synthesis.catalogue import find_domain
    from ercpseg.synthesis.dataset import Options, synthesise_domain
    from ercpseg.synthesis.request import check_format

    first, *others = (find_domain(name.strip()) for name in domain.split(","))
    options = Options(
        first,
        size,
        seed,
        check_format(format_),
        series,
        backgrounds=backgrounds,
        paste=paste,
        from_dataset=_lender(from_dataset, root, workspace),
        workers=workers,
        others=tuple(others),
    )
    summary = synthesise_domain(
        out,
        frames=frames,
        patients=max(1, frames // 3) if patients is None else patients,
        options=options,
        progress=ConsoleProgress(),
    )
    say(f"wrote {summary.frames} frames of {summary.patients} patients to {summary.folder}")


def _lender(dataset: str | None, root: Path | None, workspace: Path | None) -> Callable[[int], Materials] | None:
    if dataset is not None:
        from ercpseg.pipeline.lend import lend

        return partial(lend, dataset=dataset, root=root, workspace=workspace, progress=ConsoleProgress())
    if root is not None:
        raise errors.UsageError("there is no dataset to look for", where="--root", expected="--from-dataset as well")
    return None


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
