"""``bench`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ercpseg.cli.console import ConsoleProgress, say, table
from ercpseg.cli.options import DeviceOption, PrecisionOption, RuntimeOption, WorkspaceOption

FoldOption = Annotated[
    str | None,
    typer.Option("--fold", help="Folds to take, for example 0,1; default: all trained.", show_default=False),
]
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model folder or zip, a trained dataset's name, or nnU-Net results.")
]


def bench(
    model: ModelArgument,
    size: Annotated[int, typer.Option("--size", help="Side of the frames in pixels.", min=16, max=4096)] = 512,
    batch: Annotated[int, typer.Option("--batch", help="Frames per call.", min=1, max=256)] = 1,
    calls: Annotated[int, typer.Option("--calls", help="Calls to time.", min=5, max=100_000)] = 60,
    fold: FoldOption = None,
    tta: Annotated[bool, typer.Option("--tta/--no-tta", help="Average over mirrored frames.")] = False,
    device: DeviceOption = "auto",
    runtime: RuntimeOption = "torch",
    precision: PrecisionOption = "auto",
    format_: Annotated[str, typer.Option("--format", help="What is decoded: dicom or png.")] = "dicom",
    output: Annotated[Path, typer.Option("--output", help="Folder of bench.json and bench.png.")] = Path(
        "ercpseg-bench"
    ),
    workspace: WorkspaceOption = None,
) -> None:
    """Time a model on this machine, from a file's bytes to encoded masks, one frame after the other.

    Prints what decoding, preparing, the network, post-processing and encoding take (p50, p95, p99), frames per second and
    memory, and writes a picture. Frames are synthetic; their content hardly matters for the time.
    """
    from ercpseg.pipeline.bench import BenchOptions
    from ercpseg.pipeline.bench import bench as run

    options = BenchOptions(size, batch, calls, device, runtime, precision, tta, _folds(fold), format_)
    result = run(model, output, workspace=workspace, options=options, progress=ConsoleProgress())
    rows = [[name, *(f"{value:.2f}" for value in row.values())] for name, row in result.percentiles().items()]
    table(["ms per call", "p50", "p95", "p99"], rows)
    gpu = "" if result.gpu_memory_mib is None else f", {result.gpu_memory_mib:.0f} MiB on the GPU"
    say(f"{result.frames_per_s:.1f} frames/s; {result.memory_mib:.0f} MiB{gpu}; {result.runtime}")
    for name in ("bench.json", "bench.png"):
        say(f"wrote {output / name}")


def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A new folder.")],
    format_: Annotated[
        str, typer.Option("--format", help="onnx, nnunet, or ercpseg (for models of stock nnU-Net).")
    ] = "onnx",
    fold: FoldOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a model for other programs (ONNX, nnU-Net), or turn a stock nnU-Net model into a model folder.

    onnx: model.onnx, the mean of the folds, and model.json, which tells how a frame is prepared and what the outputs are.
    nnunet: a results folder for nnUNetv2_predict_from_modelfolder, which finds the trainer by nnUNet_extTrainer.
    ercpseg: the weights as safetensors, with hashes; MODEL is the results folder of nnU-Net or the zip that it exports.
    """
    from ercpseg.pipeline.export import export_to

    done = export_to(model, output, format_, workspace=workspace, folds=_folds(fold))
    said = "" if done.difference is None else f"; logits within {done.difference:.0e} of torch"
    say(f"wrote {done.folder}{said}")


def _folds(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
