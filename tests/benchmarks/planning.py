"""``plan-and-preprocess`` against nnU-Net's own command on the same frames, one after the other."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmarks.importing import many_frames
from tests.benchmarks.machine import run, script

FRAMES, PATIENTS, SIZE = 300, 60, 512
MANY, DISTINCT = 1000, 200
ALONE = """
import sys
from pathlib import Path
from ercpseg.documents.dataset import Dataset
from ercpseg.fingerprint.collect import measure_dataset
from ercpseg.pipeline.known import trainable, used_records
from ercpseg.pipeline.prepare import PlanOptions, decide
from ercpseg.planner.recipes import load_recipe
from ercpseg.storage import documents
from ercpseg.storage.workspace import Workspace

space = Workspace(Path(sys.argv[1]))
dataset = documents.load(space.dataset_folder("many") / "dataset.json", Dataset)
records = trainable(used_records(space, dataset))
if "dataset.json" in sys.argv:  # nnU-Net wants one beside its frames
    from ercpseg.nnunet.planning import write_raw_dataset_json

    write_raw_dataset_json(space, dataset, [record.frame for record in records])
    raise SystemExit
fingerprint, _ = measure_dataset(dataset, space.raw_folder("many"), records)
decide(space, dataset, fingerprint, load_recipe("auto"), PlanOptions(device="cpu"))
"""
"""Our fingerprint and plan, without import, pictures and preparation."""


def _stock(raw: Path, theirs: Path, commands: list[list[str]]) -> float:
    """Seconds of nnU-Net's commands on the raw dataset that our import wrote: the same frames and bitmasks as PNG."""
    (theirs / "raw").mkdir(parents=True)
    (theirs / "raw" / raw.name).symlink_to(raw)
    environment = {f"nnUNet_{kind}": str(theirs / kind) for kind in ("raw", "preprocessed", "results")}
    return sum(run([script(name), *words], environment=environment) for name, *words in commands)


def run_benchmark() -> str:
    """300 synthetic frames of 512² with four overlapping structures, then fingerprint and plan alone of 1,000."""
    ercpseg = script("ercpseg")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        run([ercpseg, "synth", str(root / "data"), "--frames", str(FRAMES), "--patients", str(PATIENTS),
             "--size", str(SIZE)])  # fmt: skip
        workspace = root / "workspace"
        place = ["--workspace", str(workspace)]
        ours = run([ercpseg, "plan-and-preprocess", str(root / "data"), "--name", "bench", *place])
        raw = next((workspace / "nnunet" / "raw").iterdir())
        both = ["nnUNetv2_plan_and_preprocess", "-d", "1", "-c", "2d", "-np", "2", "-npfp", "2"]
        stock = _stock(raw, root / "nnunet", [both])
        many_frames(root / "many", MANY, SIZE, DISTINCT)
        workspace = root / "workspace-many"
        run([ercpseg, "import", str(root / "many"), "--name", "many", "--workspace", str(workspace)])
        ours_alone = run([sys.executable, "-c", ALONE, str(workspace)])
        run([sys.executable, "-c", ALONE, str(workspace), "dataset.json"])
        raw = next((workspace / "nnunet" / "raw").iterdir())
        alone = [
            ["nnUNetv2_extract_fingerprint", "-d", "1", "-np", "2"],
            ["nnUNetv2_plan_experiment", "-d", "1"],
        ]
        stock_alone = _stock(raw, root / "nnunet-many", alone)
    return (
        "## Planning and preprocessing against nnU-Net\n\n"
        f"{FRAMES} synthetic frames of {SIZE}², four overlapping structures, two processes or threads on either side. Ours "
        "includes reading and checking the folder, the planner's timing of training steps, and the explained plan.\n\n"
        "| command | seconds |\n|---|---|\n"
        f"| `ercpseg plan-and-preprocess` | {ours:.1f} |\n"
        f"| `nnUNetv2_plan_and_preprocess -c 2d -np 2` | {stock:.1f} |\n"
        f"| ratio | {stock / ours:.1f} |\n\n"
        f"Fingerprint and plan alone, of {MANY:,} such frames that were imported before:\n\n"
        "| side | seconds |\n|---|---|\n"
        f"| ours: shapes of a sample, intensities, overlaps; all rules; timing of training steps | {ours_alone:.1f} |\n"
        f"| `nnUNetv2_extract_fingerprint -np 2`, `nnUNetv2_plan_experiment` | {stock_alone:.1f} |\n"
        f"| ratio | {stock_alone / ours_alone:.1f} |"
    )
