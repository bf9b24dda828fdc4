"""Prediction against nnU-Net's own command: the same weights, frames and mirroring on both sides, start-up included.

Quick runs: ``ERCPSEG_BENCH_FRAMES=30 python -m tests.benchmarks inference``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.machine import run, script

FRAMES = int(os.environ.get("ERCPSEG_BENCH_FRAMES", "300"))
FEW = max(4, FRAMES // 25)
"""Frames for nnU-Net's default network, which takes seconds per frame on a CPU."""
SIZE = 512
ROUNDS = int(os.environ.get("ERCPSEG_BENCH_ROUNDS", "3"))
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LABELS = {"background": 0, "dark": 1, "bright": 2}
Seen = NDArray[np.float64]
LIGHT = (16, 16, 32, 64, 64, 128)
DEFAULT = (32, 64, 128, 256, 512, 512, 512, 512)

TRAINER = '''
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

class LightTrainer(nnUNetTrainer):
    """Builds the light network instead of the planned one; nothing else differs."""

    @staticmethod
    def build_network_architecture(plans_manager, configuration_manager, num_input_channels, num_output_channels,
                                   enable_deep_supervision=True):
        from tests.benchmarks.inference import light_network
        return light_network(num_output_channels)
'''


def light_network(heads: int) -> torch.nn.Module:
    """The light network at 512² as plans of ours have it."""
    from ercpseg.documents.plan import NetworkValues
    from ercpseg.networks import build_network

    return build_network(NetworkValues(name="light", features=LIGHT, deep_supervision=0), heads)


def light_pair(folder: Path) -> tuple[Path, Path]:
    """One light network as a model folder of ours, and as results that nnU-Net's command opens by a trainer of one method."""
    import hashlib

    from ercpseg.documents.plan import NetworkValues, PostprocessValues
    from ercpseg.documents.run import FoldWeights, ModelCard
    from ercpseg.documents.serving import Serving, StockPreparation
    from ercpseg.networks.weights import weights_of
    from ercpseg.storage.arrays import encode_arrays
    from ercpseg.storage.models import write_model
    from tests.contract.stock_models import teach, write_stock

    stock = write_stock(folder / "stock", labels=LABELS, patch=(SIZE, SIZE), steps=0)
    torch.manual_seed(0)
    network = light_network(len(LABELS))
    teach(_Heads(network), (128, 128), "ZScoreNormalization", False, 40)
    network.eval()
    path = stock / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    torch.save({**checkpoint, "network_weights": network.state_dict(), "trainer_name": "LightTrainer"}, path)
    (folder / "trainers").mkdir()
    (folder / "trainers" / "light_trainer.py").write_text(TRAINER)
    names = ("dark", "bright")
    serving = Serving.new(
        name="light",
        structures=names,
        heads=("background", *names),
        activation="softmax",
        preparation=StockPreparation(normalisation="zscore"),
        tile_px=(SIZE, SIZE),
        mirror_axes=(0, 1),
        network=NetworkValues(name="light", features=LIGHT, deep_supervision=0),
        postprocess=PostprocessValues(threshold=dict.fromkeys(names, 0.5), steps=dict.fromkeys(names, ())),
    )
    data = encode_arrays(weights_of(network), {})
    sha256 = hashlib.sha256(data).hexdigest()
    entry = FoldWeights(fold="0", file="fold_0.safetensors", sha256=sha256, epochs=None, iterations=None, seed=None)
    card = ModelCard.new(
        name="light", structures=names, ercpseg_version="0", plan_sha256=serving.sha256, frames=None, patients=None,
        folds=(entry,), training_data="forty steps on noise",
    )  # fmt: skip
    write_model(folder / "light", serving, card, {entry.file: data})
    return folder / "light", stock


class _Heads(torch.nn.Module):
    """A network that gives a list, as :func:`teach` expects."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.network(x)]


def frames(folder: Path, count: int) -> Path:
    """``count`` PNG frames with nnU-Net's file names."""
    made = folder / "synth"
    if not made.exists():
        number = str(min(count, 60))
        run([script("ercpseg"), "synth", str(made), "--frames", number, "--patients", "10", "--size", str(SIZE)])
    target = folder / f"frames{count}"
    target.mkdir()
    images = sorted((made / "images").iterdir())
    for number in range(count):
        (target / f"f{number:04d}_0000.png").hardlink_to(images[number % len(images)])
    return target


def theirs(stock: Path, source: Path, output: Path, *, tta: bool, sequential: bool, trainers: Path | None) -> float:
    command = [script("nnUNetv2_predict"), "-i", str(source), "-o", str(output), "-d", stock.parent.name, "-c", "2d"]
    command += ["-f", "0", "-device", DEVICE, *([] if tta else ["--disable_tta"])]
    command += ["-npp", "0", "-nps", "0"] if sequential else []
    root = str(Path(__file__).parents[2])
    environment = {
        "nnUNet_raw": str(output),
        "nnUNet_preprocessed": str(output),
        "nnUNet_results": str(stock.parents[1]),
    }
    environment["PYTHONPATH"] = root
    if trainers is not None:
        environment["nnUNet_extTrainer"] = str(trainers)
    return run(command, environment=environment)


def ours(model: Path, source: Path, output: Path, *, tta: bool, runtime: str, overlays: bool = False) -> float:
    command = [script("ercpseg"), "predict", str(source), str(output), "--model", str(model), "--device", DEVICE]
    command += ["--runtime", runtime, "--tta" if tta else "--no-tta", "--overlays" if overlays else "--no-overlays"]
    return run(command)


def agreement(theirs_in: Path, ours_in: Path) -> float:
    """Share of pixels with the same label; their label image against our bitmask (labels exclude each other)."""
    from ercpseg.storage.images import read_png

    same = total = 0
    for path in sorted(theirs_in.glob("*.png")):
        expected = read_png(path)
        label = read_png(ours_in / "labels" / f"{path.stem}_0000.png")
        same += int(((label == 2).astype(np.uint8) * 2 + (label == 1) == expected).sum())
        total += expected.size
    return same / total


def _rows(name: str, pair: tuple[Path, Path], source: Path, count: int, root: Path, trainers: Path | None) -> list[str]:
    model, stock = pair
    rows = []
    for tta in (False, True):
        label = f"{name}, {count} frames, {'4 mirrorings' if tta else 'no mirroring'}"
        base = root / f"{name.split()[0]}-{tta}"
        runs: dict[str, float] = {}
        runs["nnU-Net, defaults"] = theirs(stock, source, base / "t1", tta=tta, sequential=False, trainers=trainers)
        (base / "t2").mkdir(parents=True)
        runs["nnU-Net, sequential"] = theirs(stock, source, base / "t2", tta=tta, sequential=True, trainers=trainers)
        for runtime in ("torch", "auto"):
            runs[f"ercpseg, {runtime}"] = ours(model, source, base / runtime, tta=tta, runtime=runtime)
        if not tta:
            runs["ercpseg, auto, with overlays"] = ours(
                model, source, base / "o", tta=tta, runtime="auto", overlays=True
            )
        same = min(agreement(base / "t2", base / runtime) for runtime in ("torch", "auto"))
        for what, seconds in runs.items():
            ratio = f"{runs['nnU-Net, defaults'] / seconds:.1f} | {runs['nnU-Net, sequential'] / seconds:.1f}"
            equal = f"{100 * same:.3f} %" if what.startswith("ercpseg") else ""
            rows.append(f"| {label} | {what} | {seconds:.1f} | {count / seconds:.1f} | {ratio} | {equal} |")
        for folder in base.iterdir():
            shutil.rmtree(folder)
    return rows


def run_benchmark() -> str:
    """Seconds of whole commands, both sides on the same files."""
    from tests.contract.stock_models import write_stock

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        pair = light_pair(root)
        rows = _rows("light network", pair, frames(root, FRAMES), FRAMES, root, root / "trainers")
        default = write_stock(
            root / "default", labels=LABELS, features=DEFAULT, patch=(SIZE, SIZE), steps=6, train_patch=(256, 256)
        )
        rows += _rows("nnU-Net's default network", (default, default), frames(root, FEW), FEW, root, None)
    load = os.getloadavg()[0]
    return (
        "## Prediction of a folder against nnU-Net\n\n"
        f"PNG frames of {SIZE}² on {DEVICE}, masks written, start-up of the commands included; the same weights, "
        "preparation and mirroring on both sides (a light network through a trainer of one method; nnU-Net's default "
        "network of 8 stages). "
        "nnU-Net writes one label image per frame; ercpseg writes a mask per structure and the bitmask. "
        f'"Equal": share of pixels with nnU-Net\'s label. Load of the machine at the end: {load:.1f}.\n\n'
        "| what | command | seconds | frames/s | × nnU-Net's defaults | × its sequential mode | equal |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(rows)
    )


# -- the same masks --------------------------------------------------------------------------------------------------

SIZES = ((128, 128), (200, 160), (256, 192))
CASES = {
    "labels, a frame is one tile or several": {"labels": {"background": 0, "dark": 1, "bright": 2}},
    "regions, residual encoder": {
        "labels": {"background": 0, "whole": [1, 2], "core": [2, 3]},
        "network": "ResidualEncoderUNet",
    },
}


def run_agreement() -> str:
    """Masks against nnU-Net's predictor on 200 frames of three sizes."""
    import warnings

    from ercpseg.inference.predictor import Predictor
    from tests.contract.stock_models import painted, picture, stock_masks, stock_predictor, write_stock

    warnings.simplefilter("ignore")
    rows = []
    for name, options in CASES.items():
        for tta in (False, True):
            with tempfile.TemporaryDirectory() as scratch:
                given: dict[str, Any] = dict(options)
                folder = write_stock(Path(scratch), patch=(128, 128), **given)
                oracle = stock_predictor(folder, tta=tta)
                predictor = Predictor.load(folder, device="cpu", tta=tta)
                same = total = 0
                worst = 1.0
                for number in range(200):
                    pixels = picture(number, SIZES[number % 3], 11 if number % 5 == 0 else 0)
                    expected = stock_masks(oracle, pixels)
                    equal = int((expected == painted(predictor.predict(pixels).bitmask, (1, 2))).sum())
                    same, total, worst = same + equal, total + pixels.size, min(worst, equal / pixels.size)
            said = "4 mirrorings" if tta else "no mirroring"
            rows.append(f"| {name}, {said} | {100 * same / total:.4f} % | {100 * worst:.3f} % |")
    sizes = ", ".join(f"{y}×{x}" for y, x in SIZES)
    return (
        "## The same masks as nnU-Net's predictor\n\n"
        f"200 frames of {sizes} with tiles of 128², every fifth with a black border that nnU-Net cuts off; small networks "
        "after forty steps of training.\n\n| model | equal pixels | worst frame |\n|---|---|---|\n" + "\n".join(rows)
    )


# -- latency and memory ----------------------------------------------------------------------------------------------


def run_latency() -> str:
    """``ercpseg bench`` of the light and the real-time network; ``ERCPSEG_BENCH_MODELS`` names others (folders, by commas)."""
    import json

    from tests.benchmarks.networks import random_model

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        named = os.environ.get("ERCPSEG_BENCH_MODELS")
        models = {Path(m).name: Path(m) for m in named.split(",")} if named else {}
        for network in () if named else ("light", "realtime"):
            models[network] = random_model(root / network, network, SIZE)
        for name, model in models.items():
            for runtime in ("torch", "onnxruntime"):
                out = root / f"{name}-{runtime}"
                command = [script("ercpseg"), "bench", str(model), "--size", str(SIZE), "--calls", "200"]
                run([*command, "--runtime", runtime, "--device", DEVICE, "--output", str(out)])
                found = json.loads((out / "bench.json").read_text())
                steps = found["milliseconds"]
                each = " | ".join(
                    f"{steps[s]['p50']:.1f}" for s in ("decode", "prepare", "forward", "post-process", "encode")
                )
                total = steps["total"]
                mib = f"{found['memory_mib']:.0f}"
                rows.append(
                    f"| {name} | {runtime} | {each} | {total['p50']:.1f} | {total['p95']:.1f} | {total['p99']:.1f} | {mib} |"
                )
    return (
        f"## One frame at a time\n\nFrom DICOM bytes of a {SIZE}² frame to encoded masks, batch 1, on {DEVICE}; random "
        f"weights. Medians in ms, then percentiles of the whole. Load of the machine at the end: {os.getloadavg()[0]:.1f}.\n\n"
        "| network | runtime | decode | prepare | forward | post-process | encode | p50 | p95 | p99 | MiB |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|\n" + "\n".join(rows)
    )


_MEMORY = """
import array, json, sys, time
from pathlib import Path
import psutil
from ercpseg.pipeline.apply import PredictOptions, predict

class Watching:
    def __init__(self): self.seen, self.process = array.array("d"), psutil.Process()  # 32 bytes per frame
    def task(self, *_): return self
    def say(self, text): ...
    def retotal(self, total): ...
    def __enter__(self): return self
    def __exit__(self, *_): ...
    def advance(self, n=1, note=None):
        if note is not None:
            memory = self.process.memory_info()
            self.seen.extend((time.perf_counter(), time.process_time(), memory.rss, memory.shared))

watching = Watching()
options = PredictOptions(device="cpu", overlays=False, runtime="torch")
predict(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], options=options, progress=watching)
print(json.dumps(list(watching.seen)))
"""


def memory_of(source: Path, output: Path, model: Path) -> Seen:
    """(frames, 4) after every frame of one prediction: moment, CPU seconds, resident bytes, of them those of files."""
    import json

    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-c", _MEMORY, str(source), str(output), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return np.array(json.loads(done.stdout.splitlines()[-1])).reshape(-1, 4)


def growth(seen: Seen, after: int) -> dict[str, float]:
    """KiB per frame after the first ``after`` frames (least squares), and the rates at the end over those around ``after``.

    Resident memory counts pages of libraries' files when they are first touched; without them it is what the run holds.
    """
    moments, cpu, resident, of_files = seen.T

    def slope(memory: NDArray[np.float64]) -> float:
        return float(np.polyfit(np.arange(after, len(seen)), memory[after:] / 1024, 1)[0])

    def rate(clock: NDArray[np.float64]) -> float:
        return float((clock[after] - clock[after // 2]) / (clock[-1] - clock[-1 - after // 2]))

    return {
        "resident": slope(resident),
        "held": slope(resident - of_files),
        "mib": float(resident[-1]) / 2**20,
        "speed": rate(moments),
        "cpu": rate(cpu),
    }


def run_memory() -> str:
    """5,000 PNG frames, and one cine of 2,000 frames, of 64² with a small network; medians of several rounds, in turn."""
    from ercpseg.storage.atomic import write_bytes
    from ercpseg.storage.images import encode_png
    from ercpseg.synthesis.dicom import Header, encode
    from ercpseg.synthesis.phantom.frame import Studio
    from tests.benchmarks.networks import random_model

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        model = random_model(root / "model", "light", 64)
        pictures = [Studio.of(0, n).frame(0, 64).pixels for n in range(10)]
        for number in range(5000):
            write_bytes(root / "png" / f"f{number:05d}.png", encode_png(pictures[number % 10]), durable=False)
        bits = max(8, int(max(p.max() for p in pictures)).bit_length())
        cine = encode([pictures[n % 10].astype(np.uint16) for n in range(2000)], Header("memory", bits, False, None))
        write_bytes(root / "cine" / "c.dcm", cine)
        found: dict[str, list[dict[str, float]]] = {"png": [], "cine": []}
        for number in range(ROUNDS):
            for name, rounds in found.items():
                rounds.append(growth(memory_of(root / name, root / f"out-{name}-{number}", model), 500))
    rows = []
    for name, said in (("png", "5,000 PNG"), ("cine", "one cine of 2,000 frames")):
        each = {key: [one[key] for one in found[name]] for key in found[name][0]}
        middle = {key: float(np.median(values)) for key, values in each.items()}
        speeds = ", ".join(f"{value:.2f}" for value in each["speed"])
        rows.append(
            f"| {said} | {middle['resident']:.2f} | {middle['held']:.2f} | {middle['mib']:.0f} "
            f"| {middle['speed']:.2f} ({speeds}) | {middle['cpu']:.2f} |"
        )
    return (
        "## Memory of long runs\n\nFrames of 64², batch of a folder on this machine, all masks written. "
        "Growth by least squares after the first 500 frames; without files: without the pages of libraries' files, "
        f"which count when they are first touched. Medians of {ROUNDS} rounds. Speed: frames in a second at the end, over "
        "that at frame 500; by CPU time: frames in a second of the program's CPU time, which other work on the machine "
        f"moves less. Load at the end: {os.getloadavg()[0]:.1f}.\n\n"
        "| frames | KiB per frame | without files | MiB at the end | speed at the end / at frame 500 (each round) "
        "| by CPU time |\n|---|---|---|---|---|---|\n" + "\n".join(rows)
    )
