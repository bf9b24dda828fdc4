"""The perceptual hash on frames made by hand and on real films, and the search against comparing all pairs."""

from __future__ import annotations

import io
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.frames import likeness
from ercpseg.frames.likeness import ALIKE_BITS, distance, find_alike, look

ROOT = Path(os.environ.get("ERCPSEG_TEST_DATA", "/nonexistent"))
real = pytest.mark.skipif(not ROOT.is_dir(), reason="ERCPSEG_TEST_DATA is not set")
Array = np.ndarray
N = 256
Y, X = np.mgrid[:N, :N].astype(float)


def scene(seed: int, size: float = 1.0) -> Array:
    """Soft blobs, as anatomy is, in grey values 40 to 220."""
    rng = np.random.default_rng(seed)
    total = np.zeros((N, N))
    for y, x, width, height in rng.uniform((0, 0, 12 * size, -1), (N, N, 40 * size, 1), (round(60 / size**2), 4)):
        total += height * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * width**2))
    return (40 + 180 * (total - total.min()) / np.ptp(total)).astype(np.uint8)


def disc(pixels: Array) -> Array:
    """A round field on black."""
    return np.where((Y - 127.5) ** 2 + (X - 127.5) ** 2 < 126**2, pixels, 0).astype(pixels.dtype)


def jpeg(pixels: Array, quality: int) -> Array:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def halves(pixels: Array) -> Array:
    return pixels.reshape(N // 2, 2, N // 2, 2).mean((1, 3)).round().astype(np.uint8)


def text(pixels: Array) -> Array:
    """Burned-in text in the corner, outside the round field."""
    changed = pixels.copy()
    changed[4:18, 2:40:3] = 255
    return changed


def test_ramps_answer_as_derived_by_hand() -> None:
    # Brighter to the right: 8 rows of 16 steps say yes, 8 columns see no step. A band holds one answer of each line.
    ramp = np.tile(np.arange(128, dtype=np.uint8), (128, 1))
    assert look(ramp) == "ff00" * 16
    assert look(ramp.T.copy()) == "00ff" * 16
    assert look(ramp[:, ::-1].copy()) == "0" * 64
    assert look(ramp + ramp.T) == "f" * 64


@pytest.mark.parametrize("pixels", [np.full((64, 64), 7, np.uint8), np.pad(np.full((4, 4), 9, np.uint8), 100)])
def test_a_flat_frame_is_like_nothing(pixels: Array) -> None:
    assert look(pixels) == ""


@pytest.mark.parametrize(
    ("change", "bits"),
    [
        (lambda a: a.astype(np.uint16) * 257, 0),
        (lambda a: a.astype(np.uint16) * 16 + 3, 0),
        (lambda a: a.repeat(2, axis=0).repeat(2, axis=1), 0),
        (lambda a: a.repeat(8, axis=0).repeat(8, axis=1), 0),
        (text, 0),
        (halves, 6),
        (lambda a: (a * 0.7).astype(np.uint8), 6),
        (lambda a: np.where(a > 0, a + 20, 0).astype(np.uint8), 6),
        (lambda a: jpeg(a, 75), 6),
        (lambda a: jpeg(a, 30), 12),
        (lambda a: a[2:-2, 2:-2], 16),
        (lambda a: np.roll(a, 2, axis=1), 24),
    ],
    ids=["16-bit", "12-bit", "2 ×", "8 ×", "text", "half", "contrast", "bright", "jpeg75", "jpeg30", "crop", "shift"],
)
def test_what_changes_no_content_changes_few_bits(change: Any, bits: int) -> None:
    for seed in range(10):
        original = disc(scene(seed))
        assert distance(look(original), look(np.ascontiguousarray(change(original)))) <= bits


def test_round_fields_on_black_do_not_look_the_same() -> None:
    looks = [look(disc(scene(seed))) for seed in range(30)]
    assert min(distance(a, b) for i, a in enumerate(looks) for b in looks[:i]) > 2 * ALIKE_BITS


def test_a_small_field_is_looked_at_alone() -> None:
    window = (Y > 90) & (Y < 180) & (X > 60) & (X < 170)
    looks = [look(np.where(window, scene(seed, 0.4), 3).astype(np.uint8)) for seed in range(12)]
    assert min(distance(a, b) for i, a in enumerate(looks) for b in looks[:i]) > 2 * ALIKE_BITS
    again = np.where(window, jpeg(scene(0, 0.4), 75), 3).astype(np.uint8)
    assert distance(looks[0], look(again)) <= 8


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (40, 40), (64, 64), (65, 700), (1100, 2050)])
def test_any_size_has_a_look(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    assert len(look(pixels)) in (0, 64)
    assert min(shape) < 5 or len(look(pixels)) == 64


def test_a_look_takes_less_than_five_milliseconds() -> None:
    pixels = disc(scene(1)).repeat(2, axis=0).repeat(2, axis=1)
    look(pixels)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        look(pixels)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.005  # 0.7 ms on a free core


# -- search --------------------------------------------------------------------------------------------------------


def parts(count: int, pairs: Any) -> list[int]:
    """Smallest member of each one's part."""
    part = list(range(count))
    for i, j in pairs:
        low, high = sorted((part[i], part[j]))
        part = [low if p == high else p for p in part]
    return part


def same_parts(a: list[int], b: list[int]) -> bool:
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))


def flipped(code: int, bits: Any) -> int:
    for bit in bits:
        code ^= 1 << int(bit)
    return code


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 8), st.integers(1, 60))
def test_the_search_finds_what_comparing_all_pairs_finds(seed: int, count: int, origins: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    base = [int.from_bytes(rng.bytes(32), "big") for _ in range(origins)]
    # Up to 20 bits away from an origin, so that distances lie on both sides of the limit.
    looks = [
        f"{flipped(base[rng.integers(origins)], rng.choice(256, rng.integers(0, 21), replace=False)):064x}"
        for _ in range(count)
    ]
    of = rng.integers(0, groups, count).tolist()
    known = [(i, of.index(of[i])) for i in range(count)]
    every = [(i, j) for i in range(count) for j in range(i) if distance(looks[i], looks[j]) <= ALIKE_BITS]
    pairs = find_alike(looks, of)
    assert all(distance(looks[i], looks[j]) <= ALIKE_BITS for i, j in pairs)
    assert same_parts(parts(count, known + pairs), parts(count, known + every))
    # No pair too many: each joins what nothing else joins.
    assert len(pairs) == len(set(of)) - len(set(parts(count, known + every)))


def test_the_limit_is_kept_to_the_bit() -> None:
    rng = np.random.default_rng(5)
    code = int.from_bytes(rng.bytes(32), "big")
    # The hardest case for bands: two bits in each of 15 bands of 16 bits, one in the last.
    spread = [16 * band + bit for band in range(16) for bit in rng.choice(16, 2, replace=False)]
    at, beyond = f"{flipped(code, spread[:31]):064x}", f"{flipped(code, spread):064x}"
    start = f"{code:064x}"
    assert (distance(start, at), distance(start, beyond)) == (31, 32)
    assert find_alike([start, at], [0, 1]) in ([(0, 1)], [(1, 0)])
    assert find_alike([start, beyond], [0, 1]) == []
    # What shares the only band that tells, and nothing else, does not stand in the way.
    between = [f"{code >> 240:04x}" + rng.bytes(30).hex() for _ in range(2)]
    assert [sorted(pair) for pair in find_alike([start, *between, at], range(4))] == [[0, 3]]
    assert [sorted(pair) for pair in find_alike([start, between[0], at], range(3))] == [[0, 2]]


def test_what_has_no_look_is_like_nothing() -> None:
    assert find_alike(["", "", "0" * 64], [0, 1, 2]) == []
    assert find_alike([], []) == []
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        find_alike(["00" * 8], [0])


def films(count: int, length: int, step: int) -> list[str]:
    """Hashes that wander: ``step`` bits from frame to frame."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        code = int.from_bytes(rng.bytes(32), "big")
        for _ in range(length):
            found.append(f"{code:064x}")
            code = flipped(code, rng.choice(256, step, replace=False))
    return found


@pytest.mark.parametrize(("count", "length", "limit"), [(20_000, 1, 0.01), (100, 200, 0.01), (1, 20_000, 0.01)])
def test_many_frames_are_not_compared_in_pairs(
    monkeypatch: pytest.MonkeyPatch, count: int, length: int, limit: float
) -> None:
    compared = 0
    ones = likeness._ones

    def counted(words: Array) -> Array:
        nonlocal compared
        compared += len(words)
        return ones(words)

    monkeypatch.setattr(likeness, "_ones", counted)
    frames = count * length
    pairs = find_alike(films(count, length, 6), range(frames))
    assert len(pairs) == frames - count
    assert compared < limit * frames * (frames - 1) / 2


def test_a_film_that_stands_still_takes_no_time() -> None:
    rng = np.random.default_rng(0)
    code = int.from_bytes(rng.bytes(32), "big")
    looks = [f"{flipped(code, rng.choice(256, 5, replace=False)):064x}" for _ in range(10_000)]
    start = time.perf_counter()
    assert len(find_alike(looks + looks, range(20_000))) == 19_999
    assert time.perf_counter() - start < 10  # 0.3 s on a free core; minutes when all of a bucket is compared


# -- real frames ---------------------------------------------------------------------------------------------------


def nearest(paths: list[Path]) -> list[int]:
    from PIL import Image

    looks = [look(np.asarray(Image.open(path).convert("L"))) for path in paths]
    return sorted(distance(a, b) for i, a in enumerate(looks) for b in looks[:i])


@real
def test_68_patients_are_told_apart() -> None:
    found = nearest(sorted((ROOT / "ercp-frames" / "images").iterdir()))
    assert len(found) == 68 * 67 // 2
    assert found[0] > 2 * ALIKE_BITS


@real
def test_angiograms_and_chest_films_are_told_apart_but_for_two_of_one_chest() -> None:
    assert nearest(sorted((ROOT / "xca-vessels" / "images").iterdir()))[0] > ALIKE_BITS
    # Two chest films are of one person, seconds apart: looked at by eye.
    close = [d for d in nearest(sorted((ROOT / "cxr-lines" / "images").iterdir())) if d <= ALIKE_BITS]
    assert len(close) == 1


@real
def test_a_real_film_hangs_together() -> None:
    import pydicom

    film = pydicom.dcmread(ROOT / "odd-files/dicom/fo-dicom/HasFragmentSequence.dcm").pixel_array
    looks = [look(frame) for frame in film]
    assert len(looks) == 96
    assert max(distance(a, b) for a, b in pairwise(looks)) <= 20
    assert len(find_alike(looks, range(96))) == 95
    for change in (lambda a: jpeg(a, 50), lambda a: a.astype(np.uint16) << 8, lambda a: a[2:-2, 2:-2]):
        assert max(distance(looks[i], look(np.ascontiguousarray(change(film[i])))) for i in range(0, 96, 8)) <= 16
