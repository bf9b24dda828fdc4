"""Import against nnU-Net's reader: 2,000 frames of 512², and memory from 1,000 to 100,000 frames."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.machine import run, script

FRAMES, PATIENTS, SIZE, DISTINCT = 2_000, 100, 512, 200
SCALE, SMALL = (1_000, 10_000, 100_000), 64

_READ = """
import sys, time
from pathlib import Path
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
raw, reader, start = Path(sys.argv[1]), NaturalImage2DIO(), time.perf_counter()
for path in sorted((raw / "imagesTr").iterdir()):
    reader.read_images([str(path)])
    reader.read_seg(str(raw / "labelsTr" / (path.name.removesuffix("_0000.png") + ".png")))
print(time.perf_counter() - start)
"""
_FINGERPRINT = """
import sys, time
from ercpseg.documents.dataset import Dataset
from ercpseg.fingerprint.collect import fingerprint_dataset
from ercpseg.pipeline.known import load_records
from ercpseg.storage import documents
from ercpseg.storage.workspace import Workspace
space = Workspace(sys.argv[1])
dataset = documents.load(space.dataset_folder("bench") / "dataset.json", Dataset)
start = time.perf_counter()
fingerprint_dataset(dataset, space.raw_folder("bench"), [r for r in load_records(space, "bench") if r.status == "used"])
print(time.perf_counter() - start)
"""
_IMPORT = """
import resource, sys
from pathlib import Path
from ercpseg.importers.dataset import import_dataset
from ercpseg.storage.workspace import Workspace
import_dataset(Path(sys.argv[1]), Workspace(sys.argv[2]), "bench")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def _python(code: str, *arguments: str) -> float:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def many_frames(folder: Path, frames: int, size: int, distinct: int) -> None:
    """``frames`` frames and masks, of which ``distinct`` differ: links to the same files, read and written each for itself."""
    made = folder.parent / f"made-{size}"
    if not made.exists():
        run([script("ercpseg"), "synth", str(made), "--frames", str(distinct), "--patients", "20", "--size", str(size)])
    images = sorted((made / "images").iterdir())
    for number in range(frames):
        source = images[number % len(images)]
        stem = f"p{number % PATIENTS:03d}_{number:06d}"
        for path in (
            source,
            *(m / source.name for m in sorted((made / "masks").iterdir()) if (m / source.name).exists()),
        ):
            target = folder / path.relative_to(made).parent / f"{stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)


def run_benchmark() -> str:
    """Seconds and frames per second, both sides on the same files."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        many_frames(root / "data", FRAMES, SIZE, DISTINCT)
        workspace = root / "workspace"
        command = [script("ercpseg"), "import", str(root / "data"), "--name", "bench", "--workspace", str(workspace)]
        ours = run(command)
        again = run(command)
        statistics = _python(_FINGERPRINT, str(workspace))
        theirs = _python(_READ, str(next((workspace / "nnunet" / "raw").iterdir())))
        rows = [
            ("`ercpseg import`: scan, read in the limited children, check, draw, write canonically", ours),
            ("the same again, nothing changed", again),
            ("fingerprint of the imported frames", statistics),
            ("import and fingerprint", ours + statistics),
            ("nnU-Net's `NaturalImage2DIO`: read frames and label images, nothing else, one process", theirs),
        ]
        table = "\n".join(f"| {name} | {seconds:.1f} | {FRAMES / seconds:.0f} |" for name, seconds in rows)
        memory = []
        for frames in SCALE:
            many_frames(root / f"n{frames}", frames, SMALL, DISTINCT)
            memory.append((frames, _python(_IMPORT, str(root / f"n{frames}"), str(root / f"w{frames}"))))
    scale = "\n".join(f"| {frames:,} | {mib:.0f} |" for frames, mib in memory)
    return (
        "## Import\n\n"
        f"{FRAMES} PNG frames of {SIZE}² with four masks each where present ({DISTINCT} distinct ones).\n\n"
        f"| what | seconds | frames/s |\n|---|---|---|\n{table}\n\n"
        f"nnU-Net's reader alone takes {theirs / ours:.2f} of the time of our whole import.\n\n"
        f"Peak memory of the importing process, frames of {SMALL}²:\n\n| frames | MiB |\n|---|---|\n{scale}"
    )
