"""Rule R8 on a CPU: training on windows of half a frame's side against whole frames, equal time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.benchmarks.machine import run, script

BUDGET = "60s"
VARIANTS = {
    "windows of 256², as planned": [],
    "whole frames of 512²": ["--set", "patch.size_px=[512,512]"],
}


def run_benchmark() -> str:
    """Both plans on the same 240 synthetic frames, a minute each, judged on the same unseen patients at native size."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        ercpseg = script("ercpseg")
        run([ercpseg, "synth", str(root / "train"), "--frames", "240", "--patients", "80"])
        run([ercpseg, "synth", str(root / "test"), "--frames", "60", "--patients", "20", "--seed", "1"])
        rows = []
        for name, pins in VARIANTS.items():
            workspace = ["--workspace", str(root / f"w{len(rows)}")]
            plan = [ercpseg, "plan-and-preprocess", str(root / "train"), "--name", "b", "--time-budget", BUDGET]
            run([*plan, *pins, *workspace])
            run([ercpseg, "train", "b", "0", *workspace])
            output = root / f"out{len(rows)}"
            run([ercpseg, "predict", str(root / "test" / "images"), str(output), "--model", "b", *workspace])
            run([ercpseg, "evaluate", str(output), str(root / "test")])
            scores = json.loads((output / "scores.json").read_text())["structures"]
            record = json.loads(next((root / f"w{len(rows)}").rglob("fold_0/run.json")).read_text())
            values = [scores["endoscope"], scores["cbd"], scores["stone"]]
            cells = " | ".join(f"{s['metrics']['dice']['mean']:.3f}" for s in values)
            wire = scores["guidewire"]["metrics"]["cldice"]["mean"]
            rows.append(f"| {name} | {record['iterations']} | {cells} | {wire:.3f} |")
    return (
        "## Windows against whole frames in a short CPU training\n\n"
        f"240 synthetic frames of 80 patients, one fold, {BUDGET} each, the same light network; 60 unseen frames of 20 "
        "patients, predicted as whole frames by both. This is what rule R8 rests on.\n\n"
        "| training patch | steps | endoscope Dice | cbd Dice | stone Dice | guidewire clDice |\n|---|---|---|---|---|---|\n"
        + "\n".join(rows)
    )
