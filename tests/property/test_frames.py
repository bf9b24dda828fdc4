"""What must hold for any frame: greys and sizes do not matter, tiles do not show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.documents.plan import PreparationValues
from ercpseg.frames.prepare import prepare, resample_bitmask, working_geometry
from ercpseg.frames.tiles import pad_to, predict_tiled, tile_starts

QUICK = settings(max_examples=50, deadline=None)
sizes = st.tuples(st.integers(16, 48), st.integers(16, 48))
clips = st.sampled_from([(0.0, 100.0), (0.5, 99.5), (1.0, 99.0), (2.0, 90.0), (10.0, 50.0)])
seeds = st.integers(0, 2**32 - 1)


def random_frame(seed: int, size: tuple[int, int], field: bool = False) -> np.ndarray:
    """Smooth enough to have many greys, with outliers; with a black surround of 4 px if ``field``."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(rng.uniform(60, 200), rng.uniform(5, 60), size), 25, 255).round().astype(np.uint8)
    if field:
        pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:] = 0, 0, 0, 0
    return pixels


def values(side: int, clip: tuple[float, float], field: bool = False) -> PreparationValues:
    return PreparationValues(working_long_side_px=side, clip_percentiles=clip, field_mask=field)


@QUICK
@given(seeds, sizes, clips)
def test_percentiles_mean_and_sd_are_exact(seed: int, size: tuple[int, int], clip: tuple[float, float]) -> None:
    """The histogram's short cut against numpy on the pixels themselves."""
    pixels = random_frame(seed, size)
    low, high = np.percentile(pixels, clip, method="inverted_cdf")
    clipped = pixels.astype(np.float64).clip(low, max(high, low + 1))
    expected = (clipped - clipped.mean()) / max(clipped.std(), 1e-3)
    image, _ = prepare(pixels, values(max(size), clip))
    assert np.allclose(image[0], expected, rtol=1e-5, atol=1e-5)


@QUICK
@given(seeds, sizes, clips, st.booleans(), st.integers(16, 64))
def test_eight_bits_as_sixteen(
    seed: int, size: tuple[int, int], clip: tuple[float, float], field: bool, side: int
) -> None:
    pixels = random_frame(seed, size, field)
    eight, a = prepare(pixels, values(side, clip, field))
    sixteen, b = prepare(pixels.astype(np.uint16) * 257, values(side, clip, field))
    assert a == b
    assert np.allclose(eight, sixteen, atol=1e-5)


@QUICK
@given(seeds, sizes, clips, st.booleans(), st.integers(1, 250), st.integers(0, 1000))
def test_gain_and_offset_do_not_matter(
    seed: int, size: tuple[int, int], clip: tuple[float, float], field: bool, gain: int, offset: int
) -> None:
    pixels = random_frame(seed, size, field)
    pixels[5:8, 5:8] = 255  # so that the range is more than one grey
    pixels[9:12, 9:12] = 60
    plain, _ = prepare(pixels, values(max(size), clip, field))
    changed, _ = prepare(pixels.astype(np.uint16) * gain + offset, values(max(size), clip, field))
    assert np.allclose(plain, changed, atol=1e-4)


@QUICK
@given(seeds, sizes, clips)
def test_outside_the_field_is_zero(seed: int, size: tuple[int, int], clip: tuple[float, float]) -> None:
    image, _ = prepare(random_frame(seed, size, field=True), values(max(size), clip, field=True))
    outside = np.ones(size, bool)
    outside[4:-4, 4:-4] = False
    if (size[0] - 8) * (size[1] - 8) / (size[0] * size[1]) > 0.2:
        assert (image[0][outside] == 0).all()


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 4096))
def test_working_sizes(height: int, width: int, side: int) -> None:
    geometry = working_geometry((height, width), side)
    assert max(geometry.working) == side
    assert min(geometry.working) >= 1
    scale = side / max(height, width)
    for native, working in zip(geometry.native, geometry.working, strict=True):
        assert abs(working - native * scale) <= 0.5 + 1e-9 or working == 1


@QUICK
@given(seeds, sizes, st.integers(8, 48))
def test_no_thin_structure_vanishes(seed: int, size: tuple[int, int], side: int) -> None:
    """Every single pixel of a thin structure leaves a trace when the frame shrinks."""
    geometry = working_geometry(size, min(side, max(size) - 1))
    rng = np.random.default_rng(seed)
    y, x = int(rng.integers(size[0])), int(rng.integers(size[1]))
    bitmask = np.zeros(size, np.uint8)
    bitmask[y, x] = 4
    result = resample_bitmask(bitmask, geometry.working, thin_bits=4)
    ys, xs = np.nonzero(result)
    assert len(ys)
    # where it was: the pixel's footprint, and no further
    for at, found, axis in ((y, ys, 0), (x, xs, 1)):
        ratio = geometry.working[axis] / size[axis]
        assert found.min() >= np.floor(at * ratio) - 1
        assert found.max() <= np.ceil((at + 1) * ratio)


@given(st.integers(1, 400), st.integers(1, 200), st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_tiles_cover_everything(length: int, patch: int, step: float) -> None:
    starts = tile_starts(length, patch, step)
    assert starts[0] == 0
    assert starts == sorted(starts)
    if length <= patch:
        assert starts == [0]
    else:
        assert starts[-1] == length - patch
        for a, b in pairwise(starts):
            assert b - a <= min(patch, patch * step + 1), "no gap, and no step too wide but for the rounding"


@given(st.tuples(st.integers(1, 60), st.integers(1, 60)), st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_padding_is_just_enough_and_centred(size: tuple[int, int], patch: tuple[int, int]) -> None:
    for (before, after), n, p in zip(pad_to(size, patch), size, patch, strict=True):
        assert before + n + after == max(n, p)
        assert 0 <= after - before <= 1


@QUICK
@given(st.tuples(st.integers(1, 60), st.integers(1, 60)), st.tuples(st.integers(4, 32), st.integers(4, 32)), seeds)
def test_tiles_do_not_show_where_pixels_do_not_depend_on_each_other(
    size: tuple[int, int], patch: tuple[int, int], seed: int
) -> None:
    image = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, *size)).astype(np.float32))

    def pointwise(batch: torch.Tensor) -> torch.Tensor:
        assert batch.shape[2:] == patch
        return torch.cat([batch.sin(), 2 * batch + 1, batch.square()], 1)

    result = predict_tiled(image, patch, pointwise)
    whole = torch.cat([image.sin(), 2 * image + 1, image.square()])
    assert result.shape == (3, *size)
    assert torch.allclose(result, whole, atol=1e-5)
