"""What must hold for any data: names do not matter, order does not matter, empty frames change presence only."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint, Percentiles
from ercpseg.documents.plan import Plan
from ercpseg.fingerprint.collect import fingerprint_dataset
from ercpseg.networks import divisor
from ercpseg.planner.budget import Budget
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.planner.sizes import parse_shapes
from ercpseg.storage.images import write_png
from tests.golden.planner.generate import fingerprint, spread, steady, structure

structures = st.builds(
    lambda p, width, taper, ratio, area, q, components: structure(
        p, spread(width, width * taper), width * ratio, area, q=q, components=components
    ),
    p=st.floats(1e-5, 0.5),
    width=st.floats(1, 200),
    taper=st.floats(0.3, 1),
    ratio=st.floats(0, 100),
    area=st.floats(1, 50000),
    q=st.floats(0.02, 1),
    components=st.floats(1, 8),
)
sizes = st.tuples(st.integers(32, 3000), st.integers(32, 3000))


@st.composite
def fingerprints(draw: st.DrawFn, names: tuple[str, ...] = ("aa", "bb", "cc", "dd")) -> Fingerprint:
    shapes = draw(st.lists(sizes, min_size=1, max_size=4, unique=True))
    chosen = names[: draw(st.integers(1, len(names)))]
    return fingerprint(
        {name: draw(structures) for name in chosen},
        shapes={f"{h} x {w}": 10 for h, w in shapes},
        reference_long_side_px=round(float(np.median([max(s) for s in shapes]))),
        aspect=spread(float(np.median([w / h for h, w in shapes]))),
        frames=draw(st.integers(1, 500)),
        patients=draw(st.integers(1, 100)),
        field_frac=spread(draw(st.floats(0.2, 1))),
    )


budgets = st.builds(
    Budget,
    device=st.sampled_from(["cpu", "cuda", "mps"]),
    memory_gb=st.floats(2, 80),
    time_budget_s=st.none() | st.floats(5, 1e6),
    threads=st.integers(1, 64),
)


def plan_for(f: Fingerprint, budget: Budget) -> Plan:
    return make_plan(f, load_recipe("auto"), budget, steady)


@settings(max_examples=60, deadline=None)
@given(fingerprints(), budgets)
def test_any_data_give_a_plan_that_fits_together(f: Fingerprint, budget: Budget) -> None:
    values = plan_for(f, budget).values
    side = values.preparation.working_long_side_px
    patch, tile = values.patch.size_px, values.patch.tile_px
    fitting = [round(n * side / max(s)) <= t for s in parse_shapes(f.shapes) for n, t in zip(s, tile, strict=True)]
    assert values.patch.whole_frame == all(fitting)
    assert values.patch.whole_frame or budget.device != "cpu" or side > 1024
    assert all(p <= t for p, t in zip(patch, tile, strict=True))
    assert patch == tile or (budget.device == "cpu" and values.patch.batch_size >= 4)
    assert all(n % divisor(values.network.name, values.network.features) == 0 for n in (*patch, *tile))
    assert all(1 <= a <= 10 for a in values.loss.focal_alpha.values())
    assert values.loss.level_weights[0] == 1
    assert abs(sum(values.sampling.structure_share.values()) - 1) < 1e-5
    assert values.patch.batch_size >= 2


@settings(max_examples=60, deadline=None)
@given(fingerprints(), budgets, st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_a_patch_never_reaches_beyond_its_tile(f: Fingerprint, budget: Budget, y: int, x: int, pin_tile: bool) -> None:
    free = plan_for(f, budget).values
    step = divisor(free.network.name, free.network.features)
    size = [y * step, x * step]
    pins = {"patch.tile_px" if pin_tile else "patch.size_px": size}
    patch = make_plan(f, load_recipe("auto"), budget, steady, pins).values.patch
    assert patch.tile_px == tuple(size)
    assert all(p <= t for p, t in zip(patch.size_px, patch.tile_px, strict=True))
    if not pin_tile:
        assert patch.size_px == patch.tile_px


def without_names(plan: Plan, names: dict[str, str]) -> Any:
    """Values as text, names replaced."""
    text = json.dumps([(d.key, d.value) for d in plan.decisions if d.key != "augmentation.mirror_axes"])
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    return json.loads(text)


@settings(max_examples=40, deadline=None)
@given(fingerprints(), budgets)
def test_renaming_structures_changes_no_number(f: Fingerprint, budget: Budget) -> None:
    # The words that name an endoscope, a parent's member or a side do mean something; these do not.
    names = dict(zip(f.structures, ("ww", "xx", "yy", "zz"), strict=False))
    renamed = f.model_copy(
        update={
            "structures": {names[n]: s for n, s in f.structures.items()},
            "overlap": {names[a]: {names[b]: v for b, v in row.items()} for a, row in f.overlap.items()},
        }
    )
    assert without_names(plan_for(f, budget), names) == without_names(plan_for(renamed, budget), {})


def times(p: Percentiles | None, factor: float) -> Percentiles | None:
    if p is None:
        return None
    return p.model_copy(update={k: factor * getattr(p, k) for k in ("p05", "p10", "p50", "p90", "p95")})


def doubled(f: Fingerprint) -> Fingerprint:
    """The same data with every pixel split into four."""
    shapes = {" x ".join(str(2 * int(n)) for n in shape.split(" x ")): count for shape, count in f.shapes.items()}
    structures = {
        name: s.model_copy(
            update={
                "width_px": times(s.width_px, 2),
                "length_px": times(s.length_px, 2),
                "component_area_px": times(s.component_area_px, 4),
                "gap99_px": s.gap99_px and 2 * s.gap99_px,
            }
        )
        for name, s in f.structures.items()
    }
    side = 2 * f.reference_long_side_px
    return f.model_copy(update={"shapes": shapes, "structures": structures, "reference_long_side_px": side})


@settings(max_examples=40, deadline=None)
@given(fingerprints(("endoscope", "guidewire", "cbd", "stone")), budgets)
def test_pixels_half_as_large_change_no_length_at_working_size(f: Fingerprint, budget: Budget) -> None:
    # Where frames are shrunk anyway, twice as many pixels are shrunk twice as much, and every kernel, gap, window and
    # component size in working pixels stays. (Where they are not, the working size itself is what changes.)
    once, twice = plan_for(f, budget).values, plan_for(doubled(f), budget).values
    assume(once.preparation.working_long_side_px < f.reference_long_side_px)
    assert once.model_dump() == twice.model_dump()


def write_frame(folder: Path, number: int, shapes: list[tuple[int, int, int, int]]) -> FrameRecord:
    """A frame of 48 × 40 with a rectangle per structure."""
    bitmask = np.zeros((48, 40), np.uint8)
    for bit, (top, left, height, width) in enumerate(shapes):
        bitmask[top : top + height, left : left + width] |= 1 << bit
    pixels = np.random.default_rng(number).integers(90, 160, bitmask.shape).astype(np.uint8)
    name = f"p{number // 2}_{number:02d}"
    write_png(folder / "imagesTr" / f"{name}_0000.png", pixels)
    write_png(folder / "labelsTr" / f"{name}.png", bitmask)
    return FrameRecord(frame=name, source=name, status="used", patient=name.split("_")[0], bits=8)


rectangles = st.tuples(st.integers(0, 40), st.integers(0, 32), st.integers(0, 30), st.integers(0, 30))
frames = st.lists(st.lists(rectangles, max_size=3), min_size=1, max_size=5)


def measure(folder: Path, records: list[FrameRecord]) -> Fingerprint:
    dataset = Dataset.new(
        name="p",
        nnunet_id=1,
        structures=("aa", "bb", "cc"),
        layout="folder",
        found=len(records),
        used=len(records),
        refused=0,
        ignored=0,
        frames_sha256="0",
    )
    return fingerprint_dataset(dataset, folder, records)


@settings(max_examples=15, deadline=None)
@given(frames, st.randoms(use_true_random=False))
def test_shuffled_records_give_the_identical_fingerprint(drawn: Any, random: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        records = [write_frame(Path(name), number, shapes) for number, shapes in enumerate(drawn)]
        shuffled = random.sample(records, len(records))
        assert measure(Path(name), shuffled).to_json() == measure(Path(name), records).to_json()


@settings(max_examples=15, deadline=None)
@given(frames, st.integers(1, 3))
def test_empty_frames_change_presence_only(drawn: Any, extra: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        records = [write_frame(Path(name), number, shapes) for number, shapes in enumerate(drawn)]
        before = measure(Path(name), records)
        empty = [write_frame(Path(name), len(records) + number, []) for number in range(extra)]
        after = measure(Path(name), records + empty)
        assert after.overlap == before.overlap
        for structure_before, structure_after in zip(
            before.structures.values(), after.structures.values(), strict=True
        ):
            same = structure_after.model_copy(update={"presence_frac": structure_before.presence_frac})
            # Contrast is in units of each frame's own spread, so it stays as well.
            assert same == structure_before
            assert abs(structure_after.presence_frac - structure_after.frames / after.frames) < 1e-5
