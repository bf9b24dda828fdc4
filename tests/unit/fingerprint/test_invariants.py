"""What must not change a fingerprint, and what must change it in proportion: drawn at random by hypothesis."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint, Percentiles, StructureFingerprint
from ercpseg.fingerprint.collect import fingerprint_dataset
from ercpseg.storage.images import read_png, write_png

NAMES = ("endoscope", "guidewire", "cbd", "stone")
SETTINGS = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_folders = itertools.count()
seeds = st.integers(0, 10**6)


def draw(folder: Path, name: str, rng: np.random.Generator, side: int = 128) -> FrameRecord:
    """An endoscope from a side, a broken wire, a duct and a stone, somewhere."""
    y, x = np.mgrid[:side, :side]
    at, tilt = rng.uniform(35, side - 35), rng.uniform(-0.2, 0.2)
    centre = at + tilt * y
    scope = (np.abs(x - centre) < rng.uniform(8, 11)) & (y < rng.uniform(60, 90))
    start = rng.uniform(80, 90)
    wire = (np.abs(x - centre) < 2) & (y > 20) & ~((y > start) & (y < start + rng.integers(6, 14)))
    duct = (np.abs(x - centre) < 6) & (y > 70)
    stone = np.hypot(y - rng.uniform(90, 110), x - at) < rng.uniform(3, 6)
    masks = [np.rot90(mask, int(rng.integers(4))) for mask in (scope, wire, duct, stone)]
    pixels = 170 - 60 * masks[0] - 50 * masks[1] - 20 * masks[2] + 15 * masks[3] + rng.normal(0, 3, y.shape)
    write_png(folder / "imagesTr" / f"{name}_0000.png", pixels.clip(0, 255).astype(np.uint8))
    bits = sum(mask.astype(np.uint8) << bit for bit, mask in enumerate(masks))
    write_png(folder / "labelsTr" / f"{name}.png", np.asarray(bits, np.uint8))
    return FrameRecord(frame=name, source=name, status="used", patient=name, bits=8)


def dataset(names: tuple[str, ...] = NAMES) -> Dataset:
    return Dataset.new(
        name="d", nnunet_id=1, structures=names, layout="folder", found=1, used=1, refused=0, ignored=0,
        frames_sha256="0" * 64,
    )  # fmt: skip


def made(tmp_path: Path, seed: int, frames: int = 4) -> tuple[Path, list[FrameRecord]]:
    folder, rng = tmp_path / str(next(_folders)), np.random.default_rng(seed)
    return folder, [draw(folder, f"p{i}", rng) for i in range(frames)]


def fingerprint(folder: Path, rows: list[FrameRecord], names: tuple[str, ...] = NAMES, **options: Any) -> Fingerprint:
    return fingerprint_dataset(dataset(names), folder, rows, **options)


def close(a: Percentiles | None, b: Percentiles | None, factor: float, relative: float, absolute: float) -> bool:
    if a is None or b is None:
        return a is b
    one, other = (np.array([p.p05, p.p10, p.p50, p.p90, p.p95]) for p in (a, b))
    return a.n == b.n and bool(np.allclose(other, factor * one, rtol=relative, atol=absolute))


@SETTINGS
@given(seeds)
def test_pixels_twice_as_small_make_every_length_twice_as_long(tmp_path: Path, seed: int) -> None:
    folder, rows = made(tmp_path, seed)
    twice = tmp_path / str(next(_folders))
    for row in rows:
        for part in (f"imagesTr/{row.frame}_0000.png", f"labelsTr/{row.frame}.png"):
            write_png(twice / part, read_png(folder / part).repeat(2, axis=0).repeat(2, axis=1))
    one, other = fingerprint(folder, rows), fingerprint(twice, rows)
    assert other.reference_long_side_px == 2 * one.reference_long_side_px
    assert close(one.scope_width_px, other.scope_width_px, 2, 0.02, 1)
    assert (one.entry_sides, one.overlap) == (other.entry_sides, other.overlap)
    assert abs((one.scope_axis_sd_deg or 0) - (other.scope_axis_sd_deg or 0)) < 3
    for name in NAMES:
        a, b = one.structures[name], other.structures[name]
        if name != "stone":  # a disc has no course: its skeleton is a matter of single pixels
            # Ends of skeletons are cut short and narrow; wide structures are looked at on every n-th pixel, so single
            # frames of a short, wide one may differ by a quarter (its length decides nothing but its family).
            wide = name == "endoscope"
            assert close(a.length_px, b.length_px, 2, 0.35 if wide else 0.12, 4), name
            assert a.length_px is not None
            assert b.length_px is not None
            assert abs(b.length_px.p50 - 2 * a.length_px.p50) <= 0.12 * b.length_px.p50 + 4, name
            assert close(a.gap_px, b.gap_px, 2, 0.05, 2), name
            assert close(a.tortuosity, b.tortuosity, 1, 0.05, 0), name
            assert a.width_px is not None
            assert b.width_px is not None
            assert abs(b.width_px.p50 - 2 * a.width_px.p50) <= 0.08 * b.width_px.p50 + 1, name
        assert close(a.component_area_px, b.component_area_px, 4, 1e-5, 0)
        for key in ("frames", "presence_frac", "components"):
            assert getattr(a, key) == getattr(b, key), (name, key)
        assert close(a.foreground_frac, b.foreground_frac, 1, 1e-4, 0)
        assert a.centre_yx is not None
        assert b.centre_yx is not None
        assert np.allclose(a.centre_yx, b.centre_yx, atol=1e-4)


@SETTINGS
@given(seeds)
def test_other_names_change_no_number(tmp_path: Path, seed: int) -> None:
    folder, rows = made(tmp_path, seed)
    names = ("scope", "wire", "duct_main", "calculus")  # what names say of devices is kept
    one, other = fingerprint(folder, rows), fingerprint(folder, rows, names)
    renamed = dict(zip(NAMES, names, strict=True))
    assert {renamed[name]: s for name, s in one.structures.items()} == other.structures
    assert {renamed[a]: {renamed[b]: v for b, v in row.items()} for a, row in one.overlap.items()} == other.overlap
    ranges = {".".join([renamed.get(key.split(".")[0], key.split(".")[0]), *key.split(".")[1:]]): v
              for key, v in one.ranges.items()}  # fmt: skip
    assert ranges == other.ranges
    same = set(Fingerprint.model_fields) - {"structures", "overlap", "ranges", "warnings"}
    assert one.model_dump(include=same) == other.model_dump(include=same)


@SETTINGS
@given(seeds, st.integers(1, 5))
def test_empty_frames_change_presence_only(tmp_path: Path, seed: int, empty: int) -> None:
    folder, rows = made(tmp_path, seed)
    before = fingerprint(folder, rows)
    rng = np.random.default_rng(seed)
    for i in range(empty):
        rows.append(draw(folder, f"e{i}", rng))
        write_png(folder / "labelsTr" / f"e{i}.png", np.zeros((128, 128), np.uint8))
    after = fingerprint(folder, rows)

    def without(s: StructureFingerprint) -> dict[str, Any]:
        return s.model_dump(exclude={"presence_frac"})

    for name, s in before.structures.items():
        assert without(s) == without(after.structures[name])
        assert after.structures[name].presence_frac < s.presence_frac
    assert (before.overlap, before.entry_sides, before.scope_width_px) == (
        after.overlap, after.entry_sides, after.scope_width_px,
    )  # fmt: skip
    grey = {"field_frac", "mean_frac", "sd_frac", "noise_sd"}
    assert {k: v for k, v in before.ranges.items() if k not in grey} == {
        k: v for k, v in after.ranges.items() if k not in grey
    }


@SETTINGS
@given(st.randoms(use_true_random=False), seeds, st.integers(1, 4))
def test_order_threads_and_interruptions_change_nothing(tmp_path: Path, random: Any, seed: int, threads: int) -> None:
    folder, rows = made(tmp_path, seed, frames=5)
    expected, at = fingerprint(folder, rows, threads=1).to_json(), folder / "kept.sqlite"
    shuffled = random.sample(rows, len(rows))
    assert fingerprint(folder, shuffled, threads=threads).to_json() == expected
    fingerprint(folder, shuffled[:2], kept_at=at)
    assert fingerprint(folder, shuffled, kept_at=at, threads=threads).to_json() == expected


def test_the_quota_never_lets_one_too_few_through() -> None:
    from ercpseg.fingerprint.sample import Quota

    rng = np.random.default_rng(0)
    for _ in range(50):
        quota, order = Quota(), rng.permutation(30)
        through = {int(number) for number in order if quota.claim("kind", int(number), 4)}
        assert through >= {0, 1, 2, 3}
    quota = Quota()
    assert [quota.claim("kind", number, 2) for number in range(5)] == [True, True, False, False, False]
    assert quota.claim("other", 9, 2), "kinds are counted by themselves"
