"""``predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ercpseg import errors
from ercpseg.cli.console import ConsoleProgress, say
from ercpseg.cli.options import BatchOption, DeviceOption, PrecisionOption, RuntimeOption, WorkspaceOption

if TYPE_CHECKING:
    from ercpseg.pipeline.apply import PredictOptions


def predict(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A file, a folder (searched in depth), or - (see below).")
    ],
    output: Annotated[
        Path | None,
        typer.Argument(metavar="OUTPUT", help="A new or empty folder, or one predict made.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="A model folder or zip, the name of a trained dataset, a results folder of nnU-Net, or weights that come "
            "with the program: light, realtime. Default: light.",
        ),
    ] = None,
    fold: Annotated[
        str | None, typer.Option("--fold", help="Folds to average, for example 0,1; default: all trained.")
    ] = None,
    tta: Annotated[
        bool | None, typer.Option("--tta/--no-tta", help="Average over mirrored frames, where the plan allows any.")
    ] = None,
    device: DeviceOption = "auto",
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAMES",
            help="Comma-separated: png (always written), seg-nrrd, nifti, npz (probabilities), contact-sheet, gif, mp4, "
            "dicom-seg, dicom-sc.",
        ),
    ] = "png",
    overlays: Annotated[
        bool, typer.Option("--overlays/--no-overlays", help="Write pictures with outlines too.")
    ] = True,
    runtime: RuntimeOption = "auto",
    precision: PrecisionOption = "auto",
    batch: BatchOption = None,
    workspace: WorkspaceOption = None,
) -> int:
    """Segment frames: PNG, TIFF, JPEG, BMP and DICOM, single and multi-frame.

    Writes masks/<structure>/<frame>.png (0 or 255), labels/<frame>.png (bitmask), overlays/<frame>.png, frames.csv with a
    row for everything found, and run.json. Other formats have folders of their own, and exports.csv says what was written.
    The same command again goes on where it was stopped and writes only what is missing. Warns when a quantity of the frames,
    such as their noise or the width of a wire, lies outside what the model was trained on.

    With - as INPUT and no OUTPUT, frames are read from standard input and masks written to standard output, each as a line
    of JSON and raw bytes, for other programs that show live video.
    """
    from ercpseg.export.formats import chosen, folders_of
    from ercpseg.pipeline.apply import DEFAULT_MODEL, PredictOptions
    from ercpseg.pipeline.apply import predict as run

    if output is None and str(source) != "-":
        raise errors.UsageError("OUTPUT is missing", where="ercpseg predict", expected="a folder to write to")
    if output is None and (format_ != "png" or not overlays):
        raise errors.UsageError(
            "a stream answers with masks and writes no files",
            where="--format, --overlays",
            todo="leave the option out or give an OUTPUT",
        )
    options = PredictOptions(
        folds=_folds(fold),
        tta=tta,
        device=device,
        overlays=overlays,
        formats=chosen(format_),
        runtime=runtime,
        precision=precision,
        batch=batch,
    )
    if output is None:
        return _serve(model, options, workspace)
    summary = run(source, output, model, workspace=workspace, options=options, progress=ConsoleProgress())
    if model is None:
        say(f"no --model, so {DEFAULT_MODEL}: it comes with the program and was trained on synthetic frames only")
    return _tell(summary, output, [*(["overlays"] if overlays else []), *folders_of(options.formats)])


def _folds(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    folds = tuple(part.strip() for part in text.split(","))
    if not all(folds):
        raise errors.UsageError(f"{text[:64]!r} names no fold", where="--fold", expected="for example 0 or 0,1")
    return folds


def _tell(summary: Any, output: Path, folders: list[str]) -> int:
    """Print what was found, done and written; the exit code."""
    from ercpseg.pipeline.shift import ADVICE

    counts = summary.counts
    speed = f"; {summary.median_ms:.0f} ms per frame (median)" if summary.median_ms else ""
    say(
        f"{counts['found']} found = {counts['used']} used + {counts['refused']} refused + {counts['ignored']} ignored{speed}"
    )
    for name, files in summary.exports.items():
        lost = f", {files['refused']} refused (see exports.csv)" if files["refused"] else ""
        say(f"{name}: {files['written']} written{lost}")
    for text in summary.shift:
        say(f"warning: {text}")
    if summary.shift:
        say(ADVICE)
    for name in ("masks", "labels", *folders, "frames.csv", *(["exports.csv"] if summary.exports else []), "run.json"):
        say(f"wrote {output / name}")
    refused = counts["refused"] + sum(files["refused"] for files in summary.exports.values())
    return errors.EXIT_SOME_REFUSED if refused else errors.EXIT_DONE


def _serve(model: str | None, options: PredictOptions, workspace: Path | None) -> int:
    """Answer frames of standard input on standard output, which carries nothing else."""
    from ercpseg.pipeline.apply import serve

    served = serve(sys.stdin.buffer, sys.stdout.buffer, model, workspace=workspace, options=options)
    return errors.EXIT_SOME_REFUSED if served.refused else errors.EXIT_DONE
