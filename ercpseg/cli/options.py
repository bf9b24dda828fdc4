"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ercpseg.errors import UsageError

MAX_SECONDS = 366 * 24 * 3600
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}


def parse_duration(text: str | None) -> float | None:
    """``45s``, ``30m``, ``1h30m`` → seconds.

    >>> parse_duration("1h30m"), parse_duration("45s")
    (5400.0, 45.0)
    """
    if text is None:
        return None
    parts = re.findall(r"(\d{1,9}(?:\.\d+)?)(min|[smh])", text)
    seconds = float(sum(float(number) * _UNITS[unit] for number, unit in parts))
    if "".join(n + u for n, u in parts) != text.replace(" ", "") or not 0 < seconds <= MAX_SECONDS:
        raise UsageError(
            f"{text[:32]!r} is no duration", where="--time-budget", expected="for example 45s, 30m or 1h30m"
        )
    return seconds


def parse_milliseconds(text: str | None) -> float | None:
    """``33ms``, ``0.1s`` → milliseconds.

    >>> parse_milliseconds("33ms"), parse_milliseconds("0.1s")
    (33.0, 100.0)
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*(ms|s)", text.strip())
    value = float(match[1]) * (1000 if match[2] == "s" else 1) if match else 0.0
    if value <= 0:
        raise UsageError(f"{text[:32]!r} is no time", where="--latency-budget", expected="for example 33ms or 0.1s")
    return value


WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        help="Folder for everything between the stages. Default: $ERCPSEG_WORKSPACE, else ./ercpseg-workspace.",
        show_default=False,
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
TimeBudgetOption = Annotated[
    str | None,
    typer.Option("--time-budget", help="Time for training one fold, for example 45s, 30m, 1h30m.", show_default=False),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        help="Folder that holds the data of a descriptor. Default: the folder of the descriptor file.",
        show_default=False,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option("--name", help="Name of the dataset. Default: the folder's, or the descriptor's.", show_default=False),
]
StructuresOption = Annotated[
    str | None,
    typer.Option(
        "--structures",
        help="Take these only, for example endoscope,guidewire; other labels are refused. Default: all that are found.",
        show_default=False,
    ),
]
LineWidthOption = Annotated[
    float, typer.Option("--line-width", help="Width in pixels that labelme lines are drawn with.")
]
KeepNamesOption = Annotated[
    bool,
    typer.Option(
        "--keep-names",
        help="Call frames of DICOM files by their file's name. Default: ids that tell nothing about a person.",
    ),
]
RuntimeOption = Annotated[
    str,
    typer.Option(
        "--runtime",
        help="auto (the fastest, by a short measurement), torch, onnxruntime (extra onnx), compile.",
    ),
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="auto (half on CUDA, else single), fp32, bf16, fp16.")
]
BatchOption = Annotated[
    int | None,
    typer.Option(
        "--batch",
        help="Frames per call. Default: one per thread on a CPU, 8 on CUDA.",
        min=1,
        max=256,
        show_default=False,
    ),
]
HoldOutOption = Annotated[
    str | None,
    typer.Option(
        "--hold-out",
        metavar="DAY",
        help="Keep patients seen on this day (YYYY-MM-DD) or later for testing; nothing is learnt or planned from them.",
        show_default=False,
    ),
]
