"""Training throughput of one network and batch: ours against nnU-Net's own trainer, on the same frames, on the CPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.machine import run, script

FRAMES, PATCH, BATCH, FEATURES = 40, 256, 4, (32, 64, 128, 256, 512)
ITERATIONS, ROUNDS = 12, 2
THEIRS = "torch's"
STOCK = """
import json, sys, time
from pathlib import Path
import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

folder, patch, batch, features, iterations = Path(sys.argv[1]), *map(json.loads, sys.argv[2:6])
plans, dataset = load_json(str(folder / "nnUNetPlans.json")), load_json(str(folder / "dataset.json"))
plans["continue_training"] = False
values = plans["configurations"]["2d"]
n = len(features)
values.update(batch_size=batch, patch_size=[patch, patch])
values["architecture"]["arch_kwargs"].update(
    n_stages=n, features_per_stage=features, kernel_sizes=[[3, 3]] * n, strides=[[1, 1]] + [[2, 2]] * (n - 1),
    n_conv_per_stage=[2] * n, n_conv_per_stage_decoder=[2] * (n - 1),
)

class Timed(nnUNetTrainer):
    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        self.began = time.perf_counter()

    def on_validation_epoch_end(self, outputs):
        super().on_validation_epoch_end(outputs)
        self.taken = time.perf_counter() - self.began

if __name__ == "__main__":
    trainer = Timed(plans, "2d", 0, dataset, device=torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 2, iterations, 1
    trainer.perform_actual_validation = lambda *_, **__: None
    trainer.run_training()
    print("TAKEN", trainer.taken / iterations)
"""
"""nnU-Net's loop, its second epoch timed with its one validation batch; batches come from its worker processes."""


def profile() -> dict[str, float]:
    """Seconds of a step's parts with the network of both sides: as torch stores and normalises, and as ours does."""
    import torch

    from ercpseg.documents.plan import NetworkValues
    from ercpseg.networks import build_network

    def seconds(network: torch.nn.Module, batch: torch.Tensor) -> tuple[float, float]:
        times = []
        for _ in range(4):
            start = time.perf_counter()
            outputs = network(batch)
            middle = time.perf_counter()
            sum(output.square().mean() for output in outputs).backward()
            times.append((middle - start, time.perf_counter() - middle))
            network.zero_grad()
        return min(t[0] for t in times), min(t[1] for t in times)

    torch.manual_seed(0)
    batch = torch.randn(BATCH, 1, PATCH, PATCH)
    values = NetworkValues(name="unet", features=FEATURES, deep_supervision=3)
    found = {}
    for name, theirs in ((THEIRS, True), ("ours", False)):
        network = build_network(values, 1).train()
        if theirs:
            for module in network.modules():
                if isinstance(module, torch.nn.InstanceNorm2d):
                    module.__class__ = torch.nn.InstanceNorm2d
        else:
            network.to(memory_format=torch.channels_last)
        found[f"forward, {name}"], found[f"backward, {name}"] = seconds(network, batch)
    return found


def _stock(folder: Path, theirs: Path) -> float:
    environment = {f"nnUNet_{kind}": str(theirs / kind) for kind in ("raw", "preprocessed", "results")}
    program = theirs / "stock.py"
    program.write_text(STOCK)
    words = [json.dumps(PATCH), json.dumps(BATCH), json.dumps(FEATURES), json.dumps(ITERATIONS)]
    done = subprocess.run(
        [sys.executable, str(program), str(folder), *words],
        env={**os.environ, **environment, "nnUNet_n_proc_DA": "2", "nnUNet_compile": "f"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return float(next(line for line in done.stdout.splitlines() if line.startswith("TAKEN")).split()[1])


def run_benchmark() -> str:
    """One structure, so that both networks have the same layers but for the last (one sigmoid, two of softmax)."""
    ercpseg = script("ercpseg")
    ours, stock = [], []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        run([ercpseg, "synth", str(root / "one"), "--frames", str(FRAMES), "--patients", str(FRAMES)])
        for folder in (root / "one" / "masks").iterdir():
            if folder.name != "endoscope":
                shutil.rmtree(folder)
        place = ["--workspace", str(root / "workspace")]
        pins = [f"patch.size_px=[{PATCH},{PATCH}]", "patch.tile_px=[512,512]", f"patch.batch_size={BATCH}",
                f"network.features={list(FEATURES)}", "network.deep_supervision=3", "schedule.epochs=2",
                "schedule.time_budget_s=null", f"schedule.iterations_per_epoch={ITERATIONS}",
                "schedule.validation_iterations=1", "preparation.working_long_side_px=512"]  # fmt: skip
        words = [word for pin in pins for word in ("--set", pin)]
        run([ercpseg, "plan-and-preprocess", str(root / "one"), "--recipe", "unet", "--device", "cpu", *words, *place])
        raw = next((root / "workspace" / "nnunet" / "raw").iterdir())
        theirs = root / "nnunet"
        (theirs / "raw").mkdir(parents=True)
        (theirs / "raw" / raw.name).symlink_to(raw)
        environment = {f"nnUNet_{kind}": str(theirs / kind) for kind in ("raw", "preprocessed", "results")}
        run([script("nnUNetv2_plan_and_preprocess"), "-d", "1", "-c", "2d", "-np", "2", "-npfp", "2"],
            environment=environment)  # fmt: skip
        for _ in range(ROUNDS):
            run([ercpseg, "train", "one", "0", "--restart", *place])
            log = next((root / "workspace").rglob("fold_0/log.jsonl")).read_text().splitlines()
            ours.append(json.loads(log[1])["seconds"] / ITERATIONS)
            stock.append(_stock(theirs / "preprocessed" / raw.name, theirs))
    first, other, parts = min(ours), min(stock), profile()
    return (
        "## Training throughput of the same network and batch\n\n"
        f"nnU-Net's plain U-Net with {list(FEATURES)} channels, {BATCH} × {PATCH}² a batch, three auxiliary outputs, CPU; the "
        f"faster of {ROUNDS} rounds of {ITERATIONS} iterations each, taken in turn. Both in their second "
        "epoch, with its one validation batch and without saving.\n\n"
        "| trainer | s / iteration | frames / s |\n|---|---|---|\n"
        f"| `ercpseg train` | {first:.3f} | {BATCH / first:.1f} |\n"
        f"| `nnUNetTrainer` | {other:.3f} | {BATCH / other:.1f} |\n"
        f"| ratio | {other / first:.2f} | |\n\n"
        "Where it comes from: the same network and batch alone, in seconds; torch's way stores maps channel by channel and "
        "copies for its instance norm, ours stores channels last and does not copy (ercpseg/networks/norms.py).\n\n"
        "| | torch's | ours |\n|---|---|---|\n"
        + "\n".join(
            f"| {part} | {parts[f'{part}, {THEIRS}']:.3f} | {parts[f'{part}, ours']:.3f} |"
            for part in ("forward", "backward")
        )
    )
