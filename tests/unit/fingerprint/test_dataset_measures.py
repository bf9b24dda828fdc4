"""What the fingerprint says of devices, polarity, entries, series, time, spacing and ranges; and what it warns of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.fingerprint import sample
from ercpseg.fingerprint.collect import fingerprint_dataset
from ercpseg.storage.images import read_png, write_png
from tests.unit.fingerprint.test_collect import DUCT, STONE, fingerprint, frame


def scoped(folder: Path, records: list[FrameRecord]) -> Fingerprint:
    """The same frames, with the wire taken for an endoscope."""
    dataset = Dataset.new(
        name="d", nnunet_id=1, structures=("endoscope", "cbd", "stone"), layout="folder", found=1, used=1, refused=0,
        ignored=0, frames_sha256="0" * 64,
    )  # fmt: skip
    return fingerprint_dataset(dataset, folder, records)


def repaint(folder: Path, name: str, mask: np.ndarray) -> None:
    write_png(folder / "labelsTr" / f"{name}.png", mask.astype(np.uint8))


def add(folder: Path, name: str, amount: int) -> None:
    path = folder / "imagesTr" / f"{name}_0000.png"
    write_png(path, (read_png(path).astype(int) + amount).clip(0, 255).astype(np.uint8))


# -- devices -----------------------------------------------------------------------------------------------------------


def test_devices_are_told_apart_by_the_header_and_named_by_number(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_0", device="abc" if i < 2 else "xyz") for i in range(5)]
    for i in range(2):
        add(tmp_path, f"p{i}_0", -40)
    f = fingerprint(tmp_path, records)
    assert {name: d.frames for name, d in f.devices.items()} == {"device 1": 3, "device 2": 2}
    one, two = f.devices["device 1"], f.devices["device 2"]
    assert one.mean.p50 - two.mean.p50 == pytest.approx(40 / 255, abs=0.002)
    assert one.sd.p50 == pytest.approx(two.sd.p50, rel=0.02)
    assert one.mean.n == 3
    text = f.to_json()
    assert "abc" not in text
    assert "xyz" not in text


def test_without_a_header_depth_and_size_tell_devices_apart(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_0") for i in range(3)]
    records += [frame(tmp_path, "q0_0", side=100), frame(tmp_path, "q1_0", side=200)]
    records += [frame(tmp_path, "r0_0", bits=7)]
    f = fingerprint(tmp_path, records)
    assert sorted(d.frames for d in f.devices.values()) == [1, 1, 4]


def test_a_rare_device_is_measured_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [frame(tmp_path, f"p{i}_0", side=48, device="often") for i in range(10)]
    rare = frame(tmp_path, next(f"q{i}_0" for i in range(99) if _last(f"q{i}_0", records)), side=48, device="rare")
    monkeypatch.setattr(sample, "MAX_FRAMES", 2)
    monkeypatch.setattr(sample, "MAX_DEVICE_FRAMES", 3)
    f = fingerprint(tmp_path, [*records, rare])
    assert f.intensity.mean.n == 2
    assert (f.devices["device 1"].mean.n, f.devices["device 2"].mean.n) == (3, 1)


def _last(name: str, records: list[FrameRecord]) -> bool:
    return all(sample.rank(name) > sample.rank(record.frame) for record in records)


# -- polarity, field, endoscope ----------------------------------------------------------------------------------------


def test_the_clearest_device_of_a_frame_tells_its_polarity(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_0", bright=i < 3) for i in range(12)]
    f = fingerprint(tmp_path, records)
    assert f.bright_device_frac == 0.25
    assert any("polarity is mixed: devices are bright in 25 %" in w for w in f.warnings)
    alone = fingerprint(tmp_path, records[3:])
    assert alone.bright_device_frac == 0
    assert not any("polarity" in w for w in alone.warnings)
    assert not any("polarity is mixed" in w for w in fingerprint(tmp_path, records[:3]).warnings)


def test_contrast_is_told_in_units_of_the_noise_too(tmp_path: Path) -> None:
    f = fingerprint(tmp_path, [frame(tmp_path, f"p{i}_0") for i in range(3)])
    # The wire is 60 grey values darker than the duct around it, the duct 20 darker than what is around it; noise 3.
    assert f.structures["guidewire"].cnr.p50 == pytest.approx(-60 / 3, rel=0.15)
    assert f.structures["cbd"].cnr.p50 == pytest.approx((-20 - 60 / 3) / 3, rel=0.15)
    assert f.structures["guidewire"].elongation.p50 == pytest.approx(70 / 4, rel=0.1)


def test_endoscopes_enter_at_sides(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_0") for i in range(4)]
    for i in range(4):
        y, x = np.mgrid[:96, :96]
        band = (np.abs(x - 47) <= 4) & (y < 70)
        repaint(tmp_path, f"p{i}_0", np.rot90(band, (0, 0, 2, 1)[i]))
    repaint(tmp_path, "p3_0", (np.hypot(y - 47, x - 47) < 20))
    f = scoped(tmp_path, records)
    assert f.entry_sides == {"top": 0.5, "bottom": 0.25, "none": 0.25}
    assert list(f.entry_sides) == ["top", "bottom", "none"]
    assert f.scope_width_px.n == 3, "a disc has no course"
    assert f.scope_width_px.p50 == pytest.approx(9, abs=0.25)
    # Down, down and up: a third of a unit vector is left.
    assert f.scope_axis_sd_deg == pytest.approx(np.degrees(np.sqrt(-2 * np.log(1 / 3))), rel=0.01)
    without = fingerprint(tmp_path, records)
    assert (without.entry_sides, without.scope_axis_sd_deg, without.scope_width_px) == ({}, None, None)


def test_shapes_of_fields_are_shares_of_frames(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_0", side=256) for i in range(4)]
    y, x = np.mgrid[:256, :256]
    path = tmp_path / "imagesTr" / "p0_0_0000.png"
    write_png(path, np.where(np.hypot(y - 128, x - 128) < 120, read_png(path), 0).astype(np.uint8))
    assert fingerprint(tmp_path, records).field_shapes == {"full": 0.75, "round": 0.25}


# -- series, time, spacing ---------------------------------------------------------------------------------------------


def test_series_times_and_spacings(tmp_path: Path) -> None:
    def known(name: str, series: str | None, ms: float | None, mm: float | None, source: str | None) -> FrameRecord:
        where = {"spacing_y_mm": mm, "spacing_x_mm": mm and mm + 0.02, "spacing_source": source}
        return frame(tmp_path, name, series=series, frame_time_ms=ms, **where)

    records = [known(f"a_{i}", "s1", 100.0, 0.19, "ERMF") for i in range(3)]
    records += [known("b_0", "s2", None, 0.3, "DETECTOR"), known("c_0", None, 40.0, None, None)]
    f = fingerprint(tmp_path, records)
    assert (f.series_length.n, f.series_length.p50, f.series_length.p95) == (2, 2, 2.9)
    assert (f.frame_time_ms.n, f.frame_time_ms.p50) == (2, 70)
    assert f.spacing_sources == {"DETECTOR": 1, "ERMF": 3, "none": 1}
    assert (f.spacing_mm.n, f.spacing_mm.p50) == (3, 0.2)
    assert f.spacing_known_frac == 0.6
    without = fingerprint(tmp_path, [frame(tmp_path, "d_0")])
    assert (without.series_length, without.frame_time_ms, without.spacing_mm) == (None, None, None)


def test_ranges_hold_all_but_the_outermost_hundredth(tmp_path: Path) -> None:
    records = [frame(tmp_path, f"p{i}_0", side=64 if i else 128) for i in range(5)]
    f = fingerprint(tmp_path, records)
    shapes = ("foreground_frac", "width_px", "length_px", "contrast")
    assert set(f.ranges) == {
        "field_frac", "mean_frac", "sd_frac", "noise_sd", *(f"{name}.{key}" for name in ("guidewire", "cbd") for key in shapes),
    }  # fmt: skip
    low, high = f.ranges["cbd.width_px"]
    assert low == pytest.approx(8, abs=1)  # 12 of 96 px, at 64
    assert high == pytest.approx(8, abs=1)
    assert all(low <= high for low, high in f.ranges.values())
    assert f.ranges["mean_frac"][0] <= f.intensity.mean.p50 <= f.ranges["mean_frac"][1]


# -- warnings ----------------------------------------------------------------------------------------------------------


def warned(folder: Path, masks: list[Any], side: int = 96) -> tuple[str, ...]:
    records = [frame(folder, f"p{i}_0", side=side) for i in range(len(masks))]
    for record, mask in zip(records, masks, strict=True):
        if mask is not None:
            repaint(folder, record.frame, mask)
    return fingerprint(folder, records).warnings


def has(warnings: tuple[str, ...], text: str) -> bool:
    return any(text in warning for warning in warnings)


Y, X = np.mgrid[:96, :96]


def test_no_annotation_at_all(tmp_path: Path) -> None:
    assert has(warned(tmp_path, [0 * Y] * 3), "No frame shows any structure")


def test_masks_that_are_copies(tmp_path: Path) -> None:
    disc, other = DUCT * (np.hypot(Y - 40, X - 40) < 20), DUCT * (np.hypot(Y - 50, X - 50) < 20)
    assert has(warned(tmp_path / "all", [disc] * 4), "The masks of all 4 annotated frames are the same")
    assert has(warned(tmp_path / "most", [disc] * 3 + [other]), "3 of 4 annotated frames have the same mask")
    assert not has(warned(tmp_path / "half", [disc, disc, other, np.roll(other, 3)]), "same mask")
    assert not has(warned(tmp_path / "empty", [0 * Y, 0 * Y, disc, other]), "to the last pixel")


def test_two_structures_with_the_same_masks(tmp_path: Path) -> None:
    discs = [np.hypot(Y - 40, X - 30 - 5 * i) < 12 for i in range(3)]
    assert has(
        warned(tmp_path / "both", [(DUCT | STONE) * d for d in discs]), "The masks of cbd and stone are the same"
    )
    inside = [DUCT * d + STONE * (np.hypot(Y - 40, X - 30 - 5 * i) < 6) for i, d in enumerate(discs)]
    assert not has(warned(tmp_path / "inside", inside), "are the same")


def test_everything_annotated(tmp_path: Path) -> None:
    assert has(warned(tmp_path, [np.full(Y.shape, DUCT), np.full(Y.shape, STONE)]), "hardly any background")


def test_a_structure_of_one_pixel(tmp_path: Path) -> None:
    dots = [STONE * ((10 + i == Y) & (X == 20)) for i in range(3)]
    assert has(warned(tmp_path / "all", dots), "stone is never more than a single pixel")
    some = [*dots, STONE * (np.hypot(Y - 50, X - 50) < 5)]
    assert has(warned(tmp_path / "some", some), "stone is a single pixel in 3 of the 4 frames")


def test_sizes_from_200_to_3000(tmp_path: Path) -> None:
    records = [frame(tmp_path, "a_0", side=200), frame(tmp_path, "b_0", side=3000), frame(tmp_path, "c_0", side=1000)]
    f = fingerprint(tmp_path, records)
    assert has(f.warnings, "Sizes differ widely: (largest − smallest longer side) / median = 2.80")
    assert f.structures["cbd"].width_px.p50 == pytest.approx(125, rel=0.05)


def test_annotation_flags(tmp_path: Path) -> None:
    disc = np.hypot(Y - 48, X - 48) < 20
    hole = DUCT * (disc & ~((Y == 48) & (X == 48)))
    debris = DUCT * (disc | ((Y == 2) & (X < 2)))
    found = warned(tmp_path, [hole, debris, DUCT * disc])
    assert has(found, "cbd: 1 of 3 frames looked at have holes of a few pixels")
    assert has(found, "cbd: 1 of 3 frames looked at have specks of up to 3 px")
    clean = warned(tmp_path / "clean", [DUCT * disc, DUCT * np.roll(disc, 4)])
    assert not has(clean, "looked at have")


def test_spacings_that_differ(tmp_path: Path) -> None:
    def known(name: str, mm: float) -> FrameRecord:
        return frame(tmp_path, name, spacing_y_mm=mm, spacing_x_mm=mm, spacing_source="USER")

    assert has(
        fingerprint(tmp_path, [known("a_0", 0.2), known("b_0", 0.4)]).warnings, "spacing differs from frame to frame"
    )
    assert not has(fingerprint(tmp_path, [known("a_0", 0.2), known("b_0", 0.21)]).warnings, "differs")
