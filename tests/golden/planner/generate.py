"""Fingerprints made by hand, and the plans that the rules make of them.

Run ``python -m tests.golden.planner.generate`` after a rule was changed on purpose, and read the differences.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ercpseg.documents.fingerprint import Fingerprint, IntensityFingerprint, Percentiles, StructureFingerprint
from ercpseg.documents.plan import NetworkValues, Plan, Size
from ercpseg.planner.budget import Budget, StepCost
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.storage.resources import resource_names

FOLDER = Path(__file__).parent
RECIPES = FOLDER / "recipes" / "values.json"


def spread(p50: float, p10: float | None = None, p05: float | None = None, n: int = 100) -> Percentiles:
    """Percentiles around a median; symmetric above it."""
    low = p50 if p10 is None else p10
    lowest = low if p05 is None else p05
    return Percentiles(n=n, p05=lowest, p10=low, p50=p50, p90=2 * p50 - low, p95=2 * p50 - lowest)


def structure(
    p: float, width: Percentiles, length: float, area05: float, *, q: float = 1.0, frames: int = 100, **other: Any
) -> StructureFingerprint:
    """One structure: foreground share, widths, median length (5th percentile half of it), smallest components."""
    values: dict[str, Any] = {
        "frames": round(q * frames),
        "presence_frac": q,
        "foreground_frac": spread(p),
        "width_px": width,
        "length_px": spread(length, 0.6 * length, 0.5 * length),
        "components": 1.0,
        "component_area_px": spread(2 * area05, 1.2 * area05, area05),
        "contrast": spread(-1.0),
    }
    return StructureFingerprint(**values | other)


def fingerprint(structures: dict[str, StructureFingerprint], **other: Any) -> Fingerprint:
    """100 round-field frames of 1024 × 1024 from 40 patients, unless told otherwise."""
    values: dict[str, Any] = {
        "dataset": "golden",
        "frames_sha256": "0" * 64,
        "frames": 100,
        "patients": 40,
        "grouped_by": "patient",
        "studies": 40,
        "series": 80,
        "shapes": {"1024 x 1024": 100},
        "reference_long_side_px": 1024,
        "long_side_spread": 0.0,
        "aspect": spread(1.0),
        "bits": {"8": 100},
        "spacing_known_frac": 0.0,
        "field_frac": spread(0.78),
        "intensity": IntensityFingerprint(
            mean=spread(0.4), sd=spread(0.15), noise_sd=spread(0.05), mean_cv=0.2, sd_cv=0.15
        ),
        "structures": structures,
        "overlap": {a: {b: 0.0 for b in structures if b != a} for a in structures},
    }
    return Fingerprint.new(**values | other)


def martin_like() -> Fingerprint:
    """The first worked example of the science reference: 1024², scope 50 px, wire w₁₀ = 6 px, p = 0.47 %."""
    scope = structure(0.043, spread(50.0, 44.0), 800.0, 15000.0, device=True)
    wire = structure(0.0047, spread(6.8, 6.0), 560.0, 1500.0, q=0.8, device=True)
    return fingerprint({"endoscope": scope, "guidewire": wire})


def franet_like() -> Fingerprint:
    """The second worked example: 512², wires of 2 to 3 px, p = 0.1 %."""
    wire = structure(0.001, spread(2.8, 2.2), 200.0, 300.0, device=True)
    shapes = {"512 x 512": 100}
    return fingerprint({"guidewire": wire}, shapes=shapes, reference_long_side_px=512, field_frac=spread(1.0))


def ercp_like() -> Fingerprint:
    """Four structures, portrait and landscape frames, few patients, rare stones."""
    structures = {
        "endoscope": structure(0.05, spread(28.0, 24.0), 520.0, 9000.0, device=True),
        "guidewire": structure(0.0014, spread(2.8, 2.0), 110.0, 190.0, q=0.7, components=1.2, device=True),
        "cbd": structure(0.027, spread(23.0, 11.0), 230.0, 3800.0, q=0.9),
        "stone": structure(0.004, spread(9.0, 6.0), 8.0, 90.0, q=0.2, components=2.5),
    }
    overlap = {a: {b: 0.0 for b in structures if b != a} for a in structures}
    overlap["stone"]["cbd"] = 0.98
    return fingerprint(
        structures,
        shapes={"512 x 400": 30, "400 x 512": 70},
        reference_long_side_px=512,
        aspect=spread(1.28, 0.78),
        patients=12,
        overlap=overlap,
    )


def chest_like() -> Fingerprint:
    """Other structures, whole frames of mixed size, one never shown."""
    structures = {
        "left_lung": structure(0.2, spread(280.0, 70.0), 1100.0, 180000.0),
        "central_line": structure(0.0044, spread(10.4, 7.2), 670.0, 3600.0, q=0.1, device=True),
        "tubings": structure(0.016, spread(12.5, 8.3), 1600.0, 1900.0, q=0.15, components=1.5, device=True),
        "drain": StructureFingerprint(
            frames=0,
            presence_frac=0.0,
            foreground_frac=None,
            width_px=None,
            length_px=None,
            components=0.0,
            component_area_px=None,
            contrast=None,
        ),
    }
    shapes = {"2048 x 1500": 50, "1300 x 1200": 50}
    return fingerprint(structures, shapes=shapes, reference_long_side_px=1674, field_frac=spread(1.0))


def soft_regions() -> Fingerprint:
    """Large soft regions only: ducts and gallbladder filled with contrast, nothing thin."""
    structures = {
        "cbd": structure(0.06, spread(60.0, 40.0), 420.0, 12000.0),
        "gallbladder": structure(0.09, spread(150.0, 90.0), 180.0, 21000.0, q=0.6),
    }
    return fingerprint(structures, field_shapes={"round": 1.0}, entry_sides={})


def calibrated_cine() -> Fingerprint:
    """Cine runs of one calibrated device, 15 frames a second, the endoscope entering from both sides."""
    like = ercp_like()
    return fingerprint(
        like.structures,
        shapes={"512 x 512": 900},
        frames=900,
        reference_long_side_px=512,
        patients=30,
        series=45,
        bits={"12": 900},
        spacing_known_frac=1.0,
        spacing_sources={"FIDUCIAL": 900},
        spacing_mm=spread(0.22),
        series_length=spread(20.0, 12.0, n=45),
        frame_time_ms=spread(66.7, n=45),
        devices={"device 1": {"frames": 900, "mean": spread(0.4), "sd": spread(0.1)}},
        intensity=IntensityFingerprint(
            mean=spread(0.4), sd=spread(0.1), noise_sd=spread(0.09), mean_cv=0.06, sd_cv=0.05
        ),
        entry_sides={"top": 0.3, "left": 0.5, "right": 0.2},
        scope_axis_sd_deg=7.5,
        scope_width_px=spread(27.0, 24.0),
        overlap=like.overlap,
    )


def three_patients() -> Fingerprint:
    """20 frames of 3 patients, a stone in two of them, devices bright in a third."""
    like = ercp_like()
    few = {
        name: s.model_copy(
            update={"frames": round(20 * s.presence_frac) if name != "stone" else 2, "bright_frac": 0.33}
        )
        for name, s in like.structures.items()
    }
    return fingerprint(
        few,
        frames=20,
        shapes={"576 x 576": 20},
        reference_long_side_px=576,
        patients=3,
        groups=3,
        bright_device_frac=0.33,
        overlap=like.overlap,
    )


def steady(network: NetworkValues, patch: Size, batch: int, heads: int, frames: int = 1) -> StepCost:
    """A machine whose cost grows with the pixels: 0.12 s for the small networks and 1 s for others per 512² sample."""
    samples = batch * patch[0] * patch[1] / 512**2
    return StepCost((0.12 if network.name in ("light", "realtime") else 1.0) * samples, 0.2 * samples)


def forward_steady(network: NetworkValues, tile: Size, heads: int, frames: int = 1) -> float:
    """Milliseconds of a pass on that machine: a third of a step of one sample."""
    return 333 * steady(network, tile, 1, heads).seconds_per_iteration


def plans() -> dict[str, Plan]:
    """Name → plan."""
    auto, cpu, gpu = load_recipe("auto"), Budget("cpu", 8.0, threads=2), Budget("cuda", 8.0)
    return {
        "martin-like-cuda": make_plan(martin_like(), auto, gpu),
        "ercp-like-cpu": make_plan(ercp_like(), auto, cpu, steady),
        "wire-only-cpu": make_plan(franet_like(), auto, cpu, steady),
        "soft-regions-cuda": make_plan(soft_regions(), auto, Budget("cuda", 24.0)),
        "calibrated-cine-real-time": make_plan(
            calibrated_cine(), auto, Budget("cuda", 24.0, latency_ms=33.0), steady, forward=forward_steady
        ),
        "three-patients-cpu": make_plan(three_patients(), auto, cpu, steady),
        "chest-like-cpu-short": make_plan(chest_like(), auto, Budget("cpu", 8.0, 120.0, 2), steady),
    }


def recipe_values() -> dict[str, dict[str, Any]]:
    """Recipe → every value of its plan for ``ercp_like`` on a GPU; reasons are in the plans above."""
    made = {name: make_plan(ercp_like(), load_recipe(name), Budget("cuda", 16.0)) for name in resource_names("plans")}
    return {name: {d.key: d.value for d in plan.decisions} for name, plan in made.items()}


if __name__ == "__main__":
    for name, plan in plans().items():
        (FOLDER / f"{name}.json").write_text(plan.to_json(), encoding="utf-8")
    lines = [
        f" {json.dumps(name)}: {{\n"
        + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in values.items())
        + "\n }"
        for name, values in recipe_values().items()
    ]
    RECIPES.parent.mkdir(exist_ok=True)
    RECIPES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
