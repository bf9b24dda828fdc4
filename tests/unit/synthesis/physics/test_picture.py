"""The vendor's curve, the field and what is burned in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.physics.field import Field
from ercpseg.synthesis.physics.grey import Curve
from ercpseg.synthesis.physics.marks import burn
from ercpseg.synthesis.scene.view import View

VIEW = View((200, 200), (1.0, 1.0), 0.0, False, (0.0, 0.0), 1.4, 800.0)
PLAIN = Field("round", (0.0, 0.0), 0.4, (1.0, 1.0), (), (), 2.0, None, 10.0, 0.0, False, False, 0)
ALL = np.ones((200, 200), np.bool_)


@pytest.fixture
def curve(round_field):
    return replace(Curve.sample(np.random.default_rng(0), round_field), compression=0.0, sharpen=0.0)


def ramp(low=0.05, high=3.0):
    return np.broadcast_to(np.geomspace(low, high, 200, dtype=np.float32), (200, 200)).copy()


def test_more_signal_is_never_darker(curve):
    grey = curve.grey(ramp(), ALL, VIEW)
    assert grey.min() >= 0
    assert grey.max() <= 1
    assert (np.diff(grey[100]) >= 0).all()


def test_the_window_follows_the_frame(curve):
    follows = replace(curve, automatic=1.0, bright_share=0.05)
    for low, high in ((0.2, 2.5), (0.05, 4.0)):
        grey = follows.grey(ramp(low, high), ALL, VIEW)
        assert np.percentile(grey, 95) == pytest.approx(curve.bright, abs=0.06)
        assert np.percentile(grey, 1.5) == pytest.approx(curve.dark, abs=0.06)


def test_a_fixed_curve_gives_its_middle_grey(curve):
    fixed = replace(curve, automatic=0.0, floor=0.0, gamma=0.5, middle=0.4, shoulder=0.9)
    grey = fixed.grey(np.full(VIEW.shape, 0.25, np.float32), ALL, VIEW)
    assert grey == pytest.approx(0.4 * 0.25**0.5)


def test_sharpening_overshoots_at_edges(curve):
    step = np.full(VIEW.shape, 0.5, np.float32)
    step[:, 100:] = 1.0
    soft, sharp = (
        replace(curve, automatic=0.0, floor=0.0, gamma=1.0, middle=0.4, shoulder=1.0, sharpen=s, sharpen_mm=2.0).grey(
            step, ALL, VIEW
        )
        for s in (0.0, 0.5)
    )
    assert sharp[100, 100] > soft[100, 100] + 0.02
    assert sharp[100, 99] < soft[100, 99] - 0.02
    assert sharp[100, 20] == pytest.approx(soft[100, 20], abs=1e-4)


def test_compression_takes_out_coarse_contrast_only(curve):
    wide = np.full(VIEW.shape, 0.5, np.float32)
    wide[:, 100:] = 2.0
    wide[100, 20], wide[100, 180] = 0.25, 1.0
    one, other = (
        replace(curve, automatic=0.0, floor=0.0, gamma=1.0, middle=0.2, shoulder=1.0, compression=c).grey(
            wide, ALL, VIEW
        )
        for c in (0.0, 0.6)
    )
    assert one[50, 180] / one[50, 20] == pytest.approx(4)
    assert other[50, 180] / other[50, 20] < 2.5
    assert other[100, 180] / other[50, 180] == pytest.approx(0.5, abs=0.02)


def test_a_round_field_has_its_area():
    assert PLAIN.hard(VIEW).mean() == pytest.approx(np.pi * 0.4**2, rel=0.005)
    anisotropic = View((200, 400), (1.0, 0.5), 0.0, False, (0.0, 0.0), 1.4, 800.0)
    mask = PLAIN.hard(anisotropic)
    assert mask.mean() == pytest.approx(np.pi * 0.4**2, rel=0.005)  # still round in mm, twice as wide in px
    assert mask.any(axis=0).sum() == pytest.approx(2 * mask.any(axis=1).sum(), abs=2)


def test_a_rectangle_has_its_box():
    mask = replace(PLAIN, shape="rectangle", box=(0.5, 0.8)).hard(VIEW)
    assert (mask.any(axis=1).sum(), mask.any(axis=0).sum()) == (100, 160)


def test_a_cut_takes_a_side_away():
    mask = replace(PLAIN, shape="full", cuts=((180.0, 0.25),)).hard(VIEW)  # downwards, a quarter of the height
    rows = np.flatnonzero(mask.any(axis=1))
    assert (rows.min(), rows.max()) == (0, 149)


def test_a_blade_throws_a_soft_shadow_inside_of_the_field():
    light = replace(PLAIN, shape="full", blades=((90.0, 0.2),), blade_mm=10.0).light(VIEW)
    profile = light[100]
    assert profile[50] == 1
    assert profile[139:141].mean() == pytest.approx(0.5, abs=0.02)  # at 0.2 of 200 px from the middle
    assert (np.abs(np.diff(profile)) <= 0.1 + 1e-6).all()  # over 10 mm, 10 px
    assert profile[-1] == pytest.approx(0.02)


def test_marks_lie_at_the_border_and_are_the_same_each_time():
    grey = np.full(VIEW.shape, 0.5, np.float32)
    marked = replace(PLAIN, marker=True, text=True, seed=4)
    one, other = burn(grey, marked, VIEW), burn(grey, marked, VIEW)
    np.testing.assert_array_equal(one, other)
    assert 0 < (one != grey).mean() < 0.1
    assert (one[60:140, 70:130] == 0.5).all()
    assert (grey == 0.5).all()  # the frame that was given is left alone
    np.testing.assert_array_equal(burn(grey, PLAIN, VIEW), grey)


@pytest.mark.parametrize(("domain", "low", "high"), [("round-field", 0.74, 0.79), ("portrait-spot", 0.58, 0.84)])
def test_fields_are_as_large_as_real_ones(domain, low, high):
    chosen = find_domain(domain)
    rng = np.random.default_rng(0)
    view = View((256, round(256 * chosen.frame.aspect)), (1.0, 1.0), 0.0, False, (0.0, 0.0), 1.4, 800.0)
    shares = [Field.sample(rng, chosen).hard(view).mean() for _ in range(40)]
    assert low < min(shares)
    assert max(shares) < high


def test_a_domain_of_any_room_shows_every_shape_of_field():
    chosen, rng = find_domain("any-room"), np.random.default_rng(0)
    shapes = [Field.sample(rng, chosen).shape for _ in range(60)]
    assert set(shapes) == {"round", "rectangle", "full"}
    assert 0.35 < np.mean([shape == "round" for shape in shapes]) < 0.75  # 55 % are meant
