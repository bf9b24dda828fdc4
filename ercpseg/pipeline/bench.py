"""``bench``: how fast a model answers on this machine, from the bytes of a file to the bytes of masks."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ercpseg.errors import UsageError
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.atomic import write_bytes, write_text
from ercpseg.storage.workspace import Workspace

if TYPE_CHECKING:
    from ercpseg.frames.frame import Frame
    from ercpseg.inference.bench import Bench

DISTINCT = 8
"""Frames that are made; the calls take them in turn."""


@dataclass(frozen=True)
class BenchOptions:
    """What to time."""

    size_px: int = 512
    batch: int = 1
    calls: int = 60
    device: str = "auto"
    runtime: str = "torch"
    precision: str = "auto"
    tta: bool | None = False
    folds: tuple[str, ...] | None = None
    format: str = "dicom"


def bench(
    model: str | Path,
    output: Path | None = None,
    *,
    workspace: Workspace | str | Path | None = None,
    options: BenchOptions = BenchOptions(),
    progress: Progress = SILENT,
) -> Bench:
    """Time each step on synthetic frames; with ``output`` write ``bench.json`` and ``bench.png`` there.

    Files are decoded as ``predict`` does it, in the limited child processes; masks and label image are encoded, not written.
    """
    from ercpseg.decoding.decoders import borrow
    from ercpseg.decoding.source import Source
    from ercpseg.inference.bench import bench as time_calls
    from ercpseg.inference.predictor import Predictor, Speed
    from ercpseg.pipeline.apply import locate_model
    from ercpseg.storage.images import encode_png

    if options.format not in ("dicom", "png"):
        raise UsageError(f"unknown format {options.format[:16]!r}", where="--format", expected="dicom or png")
    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    frames = None if options.runtime != "auto" else 10_000  # a bench looks for the fastest, whatever building it takes
    speed = Speed(options.runtime, options.precision, options.batch, frames)
    predictor = Predictor.load(
        locate_model(model, space), folds=options.folds, device=options.device, tta=options.tta, speed=speed
    )
    with tempfile.TemporaryDirectory(prefix="ercpseg-bench-") as folder, borrow() as decoders:
        kind: Any = options.format
        paths = _write_frames(Path(folder), options)

        def decode(number: int) -> Frame:
            from ercpseg.frames.frame import Frame

            picture = decoders.frame(Source(paths[number % DISTINCT]), kind, 0)
            return Frame(name=f"bench_{number}", pixels=picture.pixels, bits=picture.bits)

        def encode(frame: Frame, bitmask: Any) -> None:
            for mask in predictor.structures.decode(bitmask).values():
                encode_png(mask)
            encode_png(bitmask)

        with progress.task("Timing", 1) as task:
            result = time_calls(predictor, decode, encode, calls=options.calls)
            task.advance()
    if output is not None:
        from ercpseg.reporting.latency import latency_figure

        record = {
            "model": predictor.card.name,
            "model_sha256": predictor.sha256,
            "size_px": options.size_px,
            "batch": result.batch,
            "format": options.format,
            "device": result.device,
            "runtime": result.runtime,
            "milliseconds": result.percentiles(),
            "frames_per_s": result.frames_per_s,
            "memory_mib": result.memory_mib,
            "gpu_memory_mib": result.gpu_memory_mib,
        }
        write_text(output / "bench.json", json.dumps(record, indent=1, sort_keys=True) + "\n")
        title = f"{options.size_px}², batch {result.batch}, {result.frames_per_s:.1f} frames/s"
        write_bytes(output / "bench.png", latency_figure(result.milliseconds, title))
    return result


def _write_frames(folder: Path, options: BenchOptions) -> list[Path]:
    """Synthetic frames as files of the wanted format."""
    from ercpseg.storage.images import encode_png
    from ercpseg.synthesis.dicom import Header, encode
    from ercpseg.synthesis.phantom.frame import Studio

    paths = []
    for number in range(DISTINCT):
        pixels = Studio.of(0, number).frame(0, options.size_px).pixels
        path = folder / f"frame_{number}.{'dcm' if options.format == 'dicom' else 'png'}"
        if options.format == "dicom":
            bits = max(8, int(pixels.max()).bit_length())
            header = Header(f"bench{number}", bits, inverted=False, spacing=None)
            write_bytes(path, encode([pixels.astype(np.uint16)], header))
        else:
            write_bytes(path, encode_png(pixels))
        paths.append(path)
    return paths
