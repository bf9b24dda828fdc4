"""What a plan expects against what training takes: memory and time of three plans; fingerprint and plan of 1,000 frames."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.benchmarks.importing import many_frames
from tests.benchmarks.machine import run, script

PLANS = {
    "light, windows (auto)": [],
    "light, whole frames": ["--set", "patch.size_px=[512,512]"],
    "light-full, small windows": ["--recipe", "light"],
}
FRAMES, DISTINCT = 1_000, 200


def run_benchmark() -> str:
    """Each plan trains for a minute; then planning alone is timed on 1,000 frames."""
    ercpseg, rows = script("ercpseg"), []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        run([ercpseg, "synth", str(root / "data"), "--frames", "120", "--patients", "40"])
        for number, (name, words) in enumerate(PLANS.items()):
            place = ["--workspace", str(root / f"w{number}")]
            run(
                [
                    ercpseg,
                    "plan-and-preprocess",
                    str(root / "data"),
                    "--time-budget",
                    "60s",
                    "--device",
                    "cpu",
                    *words,
                    *place,
                ]
            )
            run([ercpseg, "train", "data", "0", *place])
            record = json.loads(next((root / f"w{number}").rglob("fold_0/run.json")).read_text())
            step, wanted = record["seconds_per_iteration"], record["expected_seconds_per_iteration"]
            memory, planned = record["memory_gb"], record["expected_memory_gb"]
            rows.append(
                f"| {name} | {wanted:.3f} | {step:.3f} | {100 * (wanted / step - 1):+.0f} % | {planned:.2f} | {memory:.2f} | "
                f"{100 * (planned / memory - 1):+.0f} % |"
            )
        many_frames(root / "many", FRAMES, 512, DISTINCT)
        place = ["--workspace", str(root / "wm")]
        imported = run([ercpseg, "import", str(root / "many"), "--name", "many", *place])
        planned_s = run([ercpseg, "plan-and-preprocess", "many", "--device", "cpu", *place])
    return (
        "## What a plan expects\n\n"
        "120 synthetic frames of 512², a minute of training each. Memory is what training takes above the start.\n\n"
        "| plan | s/iteration expected | measured | error | GB expected | measured | error |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\n{FRAMES:,} frames of 512² with four structures: import {imported:.1f} s; fingerprint, plan and preparation "
        f"{planned_s:.1f} s."
    )
