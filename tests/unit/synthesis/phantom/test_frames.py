"""Frames and their truth: what must hold for every picture, and physics worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ercpseg.synthesis.fields import at_positions, smooth_noise
from ercpseg.synthesis.phantom.courses import Branch, Stone
from ercpseg.synthesis.phantom.devices import ducts, guidewire, pixels
from ercpseg.synthesis.phantom.endoscope import endoscope
from ercpseg.synthesis.phantom.frame import STRUCTURES, Studio
from ercpseg.synthesis.phantom.physics import Detector, expose, field, to_8_bits
from ercpseg.synthesis.phantom.scene import moment, patient

SIZE = 256
PATIENTS = range(12)


@pytest.fixture(scope="module")
def frames():
    return [Studio.of(5, n).frame(n % 3, SIZE) for n in PATIENTS]


def plain_moment(**changes):
    """A moment with one straight, horizontal duct of radius 10 at row 200 and a wire 4 px wide at row 100."""
    who = replace(patient(0, 0), wire_width_px=4.0, stones=())
    x = np.arange(100.0, 401, 3)
    line = np.stack([np.full_like(x, 200), x], axis=1)
    duct = Branch(line, np.full(len(x), 10.0), None)
    now = replace(
        moment(who, 0),
        patient=replace(who, ducts=(duct,)),
        shift=np.zeros(2),
        ducts=(duct,),
        wire=line - [100, 0],
        stones=(),
        contrast_per_mm=0.1,
        wire_per_mm=1.0,
    )
    return replace(now, **changes)


def test_a_duct_attenuates_along_its_chord():
    column, _ = ducts(plain_moment(), 512)
    # Row 206 is 6 px off the axis: t = 2·sqrt(10² − 6²) = 16 px = 4.8 mm, times 0.1 per mm.
    assert column.depth[200, 250] == pytest.approx(20 * 0.3 * 0.1, rel=1e-4)
    assert column.depth[206, 250] == pytest.approx(0.48, rel=1e-4)
    assert column.depth[211, 250] == 0
    assert column.mask[:, 250].sum() == 19  # |d| < 10
    np.testing.assert_array_equal(column.mask, column.depth > 0)


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_optical_depth_does_not_depend_on_the_size_of_the_picture(size):
    column, _ = ducts(plain_moment(), size)
    assert column.depth.max() == pytest.approx(0.6, rel=2e-3)
    # A rectangle whose ends are half ellipses, 15 px long: each takes (1 − π/4)·15·20 = 64 px² away.
    assert column.mask.mean() == pytest.approx((20 * 300 - 2 * 64) / 512**2, rel=0.06)


def test_a_wire_is_a_dense_tube_and_stays_connected_when_thin():
    # 4 px are 1.2 mm; the area of the section, π·0.6² mm², must come out of a column of pixels at every size.
    for size, pixel_mm in ((128, 1.2), (256, 0.6), (512, 0.3), (1024, 0.15)):
        layer = guidewire(plain_moment(), size)
        assert layer.depth[:, size // 2].sum() * pixel_mm == pytest.approx(np.pi * 0.36, rel=1e-3)
        assert ndimage.label(layer.mask, np.ones((3, 3)))[1] == 1
    assert guidewire(plain_moment(), 1024).mask[:, 500].sum() == 8


def test_a_stone_takes_contrast_away_and_stays_inside_the_duct():
    stone = Stone(150.0, 0.0, 16.0, 1.0, 0.0, np.zeros((0, 2)))
    full, none = ducts(plain_moment(), 512)
    column, stones = ducts(plain_moment(stones=(stone,)), 512)
    assert not none.mask.any()
    # In its middle a 16 px stone leaves 20 − 16 = 4 px of contrast.
    assert column.depth[200, 250] == pytest.approx(4 * 0.3 * 0.1, rel=1e-4)
    np.testing.assert_array_equal(column.mask, full.mask)
    assert stones.mask.sum() == pytest.approx(np.pi * 64, rel=0.05)
    assert not (stones.mask & ~column.mask).any()
    np.testing.assert_array_equal(column.depth[~stones.mask], full.depth[~stones.mask])


def test_pixel_centres_map_from_the_reference_to_any_size():
    # The outer corner (−0.5, −0.5) stays, and so does the far one: 511.5 becomes 255.5.
    np.testing.assert_allclose(pixels(np.array([[-0.5, -0.5], [511.5, 255.5]]), 256), [[-0.5, -0.5], [255.5, 127.5]])


def test_beer_lambert_without_noise():
    quiet = Detector(1e-3, 1e12, 0.0, 1.0, 0.0, 1.0, (255.5, 255.5), 400.0, (180.0, 1e9))
    depth = np.zeros((128, 128), np.float32)
    depth[:, 64:] = np.log(2)
    depth[:4] = -0.5
    depth[-4:] = 3
    frame = expose(depth, quiet, np.random.default_rng(0)).astype(float)
    # Linear grey curve: between the frame's 1st and 98th percentile, grey follows I = exp(−depth).
    light, half, dark, bright = frame[60, 20], frame[60, 100], frame[-2, 5], frame[1, 5]
    assert (light - half) / (bright - dark) == pytest.approx(0.5 / (np.exp(0.5) - np.exp(-3)), rel=1e-3)


def test_the_field_is_round_and_its_outside_black(frames):
    detector = Detector(0.8, 500, 0.1, 0.5, 0.1, 0.9, (255.5, 255.5), 250.0, (180.0, 1e9))
    assert field(detector, 512).sum() == pytest.approx(np.pi * 250**2, rel=1e-3)
    cut = field(replace(detector, blade=(180.0, 200.0)), 512)
    assert cut[455].any()
    assert not cut[456].any()
    for frame in frames:
        assert not frame.pixels[~frame.field].any()
        assert frame.pixels.dtype == np.uint16
        assert frame.pixels.max() <= 4095
        assert not frame.field[0, 0]


def test_masks_stay_in_the_field_and_stones_in_the_duct(frames):
    for frame in frames:
        assert tuple(frame.masks) == STRUCTURES
        for mask in frame.masks.values():
            assert mask.dtype == np.bool_
            assert not (mask & ~frame.field).any()
        assert not (frame.masks["stone"] & ~frame.masks["cbd"]).any()


def test_presence_varies_and_structures_overlap(frames):
    many = [moment(patient(5, n), k) for n in range(30) for k in range(2)]
    wires = [m.wire is not None for m in many]
    contrast = [bool(m.ducts) for m in many]
    stones = [bool(m.stones) for m in many]
    assert 0.6 < np.mean(wires) < 1
    assert 0.7 < np.mean(contrast) < 1
    assert 0.2 < np.mean(stones) < 0.7
    assert all(m.wire is not None or m.ducts for m in many)
    assert sum((f.masks["endoscope"] & f.masks["cbd"]).any() for f in frames) >= 6
    assert sum((f.masks["guidewire"] & f.masks["cbd"]).any() for f in frames) >= 4


def test_what_is_marked_can_be_seen(frames):
    for frame in frames:
        grey = frame.pixels.astype(float)
        around = ndimage.binary_dilation(frame.masks["endoscope"], iterations=6) & frame.field
        around &= ~ndimage.binary_dilation(frame.masks["endoscope"], iterations=2)
        assert grey[frame.masks["endoscope"]].mean() < 0.75 * grey[around].mean()
        wire = frame.masks["guidewire"]
        if wire.any():
            assert (wire & frame.masks["endoscope"]).sum() < 0.45 * wire.sum()
    for number in PATIENTS:
        now = moment(patient(5, number), 0)
        column, stones = ducts(now, SIZE)
        bare, _ = ducts(replace(now, stones=()), SIZE)
        if stones.mask.any():
            assert (bare.depth - column.depth)[stones.mask].mean() > 0.1
        if column.mask.any():
            assert bare.depth[column.mask].mean() > 0.12
        if now.wire is not None:
            wire = guidewire(now, SIZE)
            assert wire.depth[wire.mask].mean() > 0.15


def test_the_scope_enters_at_the_border_and_is_one_tube(frames):
    for number in PATIENTS:
        layer = endoscope(moment(patient(5, number), 0), SIZE)
        border = np.concatenate([layer.mask[0], layer.mask[-1], layer.mask[:, 0], layer.mask[:, -1]])
        assert border.any()
        assert ndimage.label(layer.mask)[1] <= len(patient(5, number).scope)
        assert layer.depth[layer.mask].min() >= 0.25


def test_the_same_key_gives_the_same_frame_in_any_order():
    forwards = Studio.of(7, 2)
    first, second = forwards.frame(0, 128), forwards.frame(1, 128)
    backwards = Studio.of(7, 2)
    for k, expected in ((1, second), (0, first)):
        again = backwards.frame(k, 128)
        np.testing.assert_array_equal(again.pixels, expected.pixels)
        for name in STRUCTURES:
            np.testing.assert_array_equal(again.masks[name], expected.masks[name])
    assert (first.pixels != second.pixels).any()
    assert (Studio.of(8, 2).frame(0, 128).pixels != first.pixels).any()
    assert (Studio.of(7, 3).frame(0, 128).pixels != first.pixels).any()


def test_frames_of_a_patient_show_the_same_anatomy():
    studio, other = Studio.of(7, 2), Studio.of(7, 4)
    first, second = studio.frame(0, 128), studio.frame(1, 128)
    scope = [f.masks["endoscope"] for f in (first, second, other.frame(0, 128))]
    dice = [2 * (scope[0] & m).sum() / (scope[0].sum() + m.sum()) for m in scope[1:]]
    assert dice[0] > 0.7
    assert dice[1] < dice[0]


def test_eight_bits_are_the_upper_bits():
    assert to_8_bits(np.array([[0, 15, 16, 4095]], np.uint16)).tolist() == [[0, 0, 1, 255]]


def test_spline_upsampling_keeps_constants_and_slopes():
    rows = np.linspace(1, 6, 11)
    constant = at_positions(np.full((8, 8), 3, np.float32), rows, rows)
    np.testing.assert_allclose(constant, 3, rtol=1e-6)
    ramp = np.repeat(np.arange(8, dtype=np.float32)[:, None], 8, axis=1)
    np.testing.assert_allclose(at_positions(ramp, rows, rows)[:, 0], rows, rtol=1e-5)


def test_smooth_noise_has_unit_variance():
    noise = smooth_noise(np.random.default_rng(0), (300, 300), 60)
    assert noise.std() == pytest.approx(1, abs=0.08)
    assert np.abs(np.diff(noise, axis=0)).mean() < 0.3
