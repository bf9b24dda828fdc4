"""``plan-and-preprocess`` against nnU-Net's own command on the same frames, one after the other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.machine import run, script

FRAMES, PATIENTS, SIZE = 300, 60, 512


def run_benchmark() -> str:
    """300 synthetic frames of 512² with four overlapping structures; ours includes reading and checking the folder."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        run([script("ercpseg"), "synth", str(root / "data"), "--frames", str(FRAMES), "--patients", str(PATIENTS),
             "--size", str(SIZE)])  # fmt: skip
        workspace = root / "workspace"
        ours = run(
            [
                script("ercpseg"),
                "plan-and-preprocess",
                str(root / "data"),
                "--name",
                "bench",
                "--workspace",
                str(workspace),
            ]
        )
        # nnU-Net gets the raw dataset that our import wrote: the same frames and bitmasks as PNG.
        theirs = root / "nnunet"
        (theirs / "raw").mkdir(parents=True)
        raw = next((workspace / "nnunet" / "raw").iterdir())
        (theirs / "raw" / raw.name).symlink_to(raw)
        environment = {f"nnUNet_{kind}": str(theirs / kind) for kind in ("raw", "preprocessed", "results")}
        stock = run([script("nnUNetv2_plan_and_preprocess"), "-d", "1", "-c", "2d", "-np", "2", "-npfp", "2"],
                    environment=environment)  # fmt: skip
    return (
        "## Planning and preprocessing against nnU-Net\n\n"
        f"{FRAMES} synthetic frames of {SIZE}², four overlapping structures, two processes or threads on either side. Ours "
        "includes reading and checking the folder, the planner's timing of training steps, and the explained plan.\n\n"
        "| command | seconds |\n|---|---|\n"
        f"| `ercpseg plan-and-preprocess` | {ours:.1f} |\n"
        f"| `nnUNetv2_plan_and_preprocess -c 2d -np 2` | {stock:.1f} |\n"
        f"| ratio | {stock / ours:.1f} |"
    )
