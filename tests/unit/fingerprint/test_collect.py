"""The fingerprint of small datasets written to disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.errors import DataError, StorageError
from ercpseg.fingerprint import sample
from ercpseg.fingerprint.collect import fingerprint_dataset, structures_by_frame
from ercpseg.storage.images import write_png

STRUCTURES = ("guidewire", "cbd", "stone")
WIRE, DUCT, STONE = 1, 2, 4


def dataset(frames: int) -> Dataset:
    return Dataset.new(
        name="small",
        nnunet_id=1,
        structures=STRUCTURES,
        layout="folder",
        found=frames,
        used=frames,
        refused=0,
        ignored=0,
        frames_sha256="0" * 64,
    )


def frame(folder: Path, name: str, *, side: int = 96, bright: bool = False, **fields: Any) -> FrameRecord:
    """A frame with a duct 12 px wide and a wire 4 px wide that lies in it, dark unless told otherwise."""
    y, x = np.mgrid[:side, :side]
    duct = (np.abs(x - side // 2 + 0.5) < 6 * side / 96) & (y > side // 8) & (y < side - side // 8)
    wire = (np.abs(x - side // 2 + 0.5) < 2 * side / 96) & duct
    texture = np.random.default_rng(len(name)).normal(0, 3, duct.shape)
    pixels = 150 - 20 * duct + (60 if bright else -60) * wire + texture
    write_png(folder / "imagesTr" / f"{name}_0000.png", pixels.clip(0, 255).astype(np.uint8))
    write_png(folder / "labelsTr" / f"{name}.png", (WIRE * wire + DUCT * duct).astype(np.uint8))
    defaults = {"source": name, "status": "used", "patient": name.split("_")[0], "bits": 8}
    return FrameRecord(frame=name, **defaults | fields)


def fingerprint(folder: Path, records: Sequence[FrameRecord], **options: Any) -> Any:
    return fingerprint_dataset(dataset(len(records)), folder, records, **options)


def test_what_is_measured(tmp_path: Path) -> None:
    f = fingerprint(tmp_path, [frame(tmp_path, f"p{i}_{j}") for i in range(3) for j in range(4)])
    assert (f.frames, f.patients, f.grouped_by) == (12, 3, "patient")
    assert f.shapes == {"96 x 96": 12}
    assert f.bits == {"8": 12}
    wire, duct, stone = (f.structures[name] for name in STRUCTURES)
    assert wire.width_px.p50 == pytest.approx(4, abs=0.5)
    assert duct.width_px.p50 == pytest.approx(12, abs=1)
    assert wire.presence_frac == 1.0
    assert wire.foreground_frac.p50 == pytest.approx(4 * 71 / 96**2, rel=0.02)
    assert wire.contrast.p50 < -1
    assert (wire.device, wire.bright_frac) == (True, 0.0)
    assert f.overlap["guidewire"] == {"cbd": 1.0, "stone": 0.0}
    assert f.overlap["cbd"]["guidewire"] == pytest.approx(1 / 3, rel=0.01)
    assert (stone.frames, stone.width_px) == (0, None)
    assert any("stone is in no frame" in w for w in f.warnings)


def test_frames_of_other_sizes_are_brought_to_one(tmp_path: Path) -> None:
    small = [frame(tmp_path, f"s{i}_0") for i in range(2)]
    large = [frame(tmp_path, f"l{i}_0", side=192) for i in range(3)]
    f = fingerprint(tmp_path, small + large)
    assert f.reference_long_side_px == 192
    assert f.long_side_spread == 0.5
    assert f.structures["cbd"].width_px.p10 == pytest.approx(24, abs=2)
    assert f.structures["cbd"].width_px.p50 == pytest.approx(24, abs=2)
    areas = f.structures["cbd"].component_area_px
    assert areas.p05 == pytest.approx(areas.p95, rel=0.05)


def test_order_and_threads_change_nothing(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_{'x' * i}", side=64 + 16 * (i % 3)) for i in range(7)]
    one = fingerprint(tmp_path, records, threads=1)
    assert fingerprint(tmp_path, records[::-1], threads=4).to_json() == one.to_json()


def test_a_sample_is_measured_and_everything_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [frame(tmp_path, f"p{i}_0", side=48) for i in range(12)]
    for i in range(4):  # the duct is in eight frames, and the stone in four others
        write_png(tmp_path / "labelsTr" / f"p{i}_0.png", np.pad(np.full((4, 4), STONE, np.uint8), ((0, 44), (0, 44))))
    whole = fingerprint(tmp_path, records)
    monkeypatch.setattr(sample, "MAX_FRAMES", 3)
    f = fingerprint(tmp_path, records)
    assert (f.structures["cbd"].frames, f.structures["stone"].frames) == (8, 4)
    assert (f.frames, f.shapes, f.overlap, f.bits) == (whole.frames, whole.shapes, whole.overlap, whole.bits)
    assert f.structures["cbd"].presence_frac == whole.structures["cbd"].presence_frac
    assert (whole.structures["cbd"].width_px.n, f.structures["cbd"].width_px.n) == (8, 3)
    assert (whole.intensity.mean.n, f.intensity.mean.n, f.structures["stone"].contrast.n) == (12, 3, 3)
    assert fingerprint(tmp_path, records[::-1], threads=3).to_json() == f.to_json()
    # Frames that do not show the duct do not change what is measured of it.
    without = fingerprint(tmp_path, records[4:])
    assert without.structures["cbd"].model_copy(update={"presence_frac": 0.666667}) == f.structures["cbd"]


def test_the_sample_follows_names_only() -> None:
    names = [f"p{i}_{j}" for i in range(40) for j in range(5)]
    chosen = sample.choose(names)
    assert len(chosen) == sample.MAX_FRAMES
    assert sample.choose(names[::-1]) == chosen
    assert sample.choose(names[:50]) == set(names[:50])
    # What is gone makes room, and changes nothing else.
    gone = next(iter(chosen))
    assert len(sample.choose(set(names) - {gone}) - chosen) == 1


def test_only_used_frames_are_read(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_0") for i in range(3)]
    refused = FrameRecord(frame="absent", source="x", status="refused", code="unreadable")
    assert fingerprint(tmp_path, [*records, refused]).frames == 3
    with pytest.raises(DataError, match="no frame can be used"):
        fingerprint(tmp_path, [refused])


def test_progress_is_told(tmp_path: Path) -> None:
    class Count:
        done = 0

        def task(self, description: str, total: int | None = None) -> Count:
            assert total == 3
            return self

        def say(self, text: str) -> None: ...

        def advance(self, n: int = 1, note: str | None = None) -> None:
            self.done += n

        def retotal(self, total: int) -> None: ...

        def __enter__(self) -> Count:
            return self

        def __exit__(self, *exc: object) -> None: ...

    count = Count()
    fingerprint(tmp_path, [frame(tmp_path, f"p{i}_0") for i in range(3)], progress=count)
    assert count.done == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"bright": True}, "brighter than their surroundings (guidewire in 100 %"),
        ({"patient": "one"}, "count as one patient"),
        ({"patient": None}, "counts as its own patient"),
    ],
)
def test_warnings(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    f = fingerprint(tmp_path, [frame(tmp_path, f"p{i}_0", **fields) for i in range(4)])
    assert any(words in warning for warning in f.warnings)
    assert any("Only 4 frames" in warning for warning in f.warnings)


def test_mixed_spacing_is_warned_of_and_never_guessed(tmp_path: Path) -> None:
    known = frame(tmp_path, "a_0", spacing_y_mm=0.2, spacing_x_mm=0.2, spacing_source="USER")
    at_the_detector = frame(tmp_path, "b_0", spacing_y_mm=0.2, spacing_x_mm=0.2, spacing_source="DETECTOR")
    f = fingerprint(tmp_path, [known, at_the_detector])
    assert f.spacing_known_frac == 0.5
    assert any("spacing is known for 50 %" in warning for warning in f.warnings)


def test_wide_spread_of_sizes_is_warned_of(tmp_path: Path) -> None:
    f = fingerprint(tmp_path, [frame(tmp_path, "a_0", side=64), frame(tmp_path, "b_0", side=192)])
    assert any("Sizes differ widely" in warning for warning in f.warnings)


def test_a_mask_that_fills_everything_is_warned_of(tmp_path: Path) -> None:
    record = frame(tmp_path, "a_0")
    write_png(tmp_path / "labelsTr" / "a_0.png", np.full((96, 96), DUCT, np.uint8))
    f = fingerprint(tmp_path, [record])
    assert any("is its mask inverted" in warning for warning in f.warnings)
    assert f.structures["cbd"].contrast is None


def test_annotations_outside_the_field_are_noticed(tmp_path: Path) -> None:
    record = frame(tmp_path, "a_0", side=256)
    y, x = np.mgrid[:256, :256]
    disc = np.hypot(y - 128, x - 128) < 100
    write_png(tmp_path / "imagesTr" / "a_0_0000.png", np.where(disc, 100 + (x + y) % 60, 0).astype(np.uint8))
    write_png(tmp_path / "labelsTr" / "a_0.png", np.where((y < 20) & (x < 20), DUCT, 0).astype(np.uint8))
    f = fingerprint(tmp_path, [record])
    assert f.field_frac.p50 == pytest.approx(np.pi * 100**2 / 256**2, rel=0.05)
    assert f.annotated_outside_field_frac == 1.0
    assert any("outside the exposed field" in warning for warning in f.warnings)


def test_damaged_and_mismatched_files_are_named(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_0") for i in range(3)]
    write_png(tmp_path / "labelsTr" / "p1_0.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match=r"p1_0\.png"):
        fingerprint(tmp_path, records)
    (tmp_path / "labelsTr" / "p1_0.png").write_bytes(b"\x89PNG")
    with pytest.raises(StorageError, match=r"p1_0\.png"):
        fingerprint(tmp_path, records)


def test_structures_by_frame(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_0") for i in range(2)]
    write_png(tmp_path / "labelsTr" / "p1_0.png", np.zeros((96, 96), np.uint8))
    shown = structures_by_frame(tmp_path, records, dataset(2).structure_set)
    assert shown == {"p0_0": ("guidewire", "cbd"), "p1_0": ()}
