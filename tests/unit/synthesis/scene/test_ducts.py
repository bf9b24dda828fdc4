"""The biliary tree and what contrast fills of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ercpseg.synthesis.curves import arc_length
from ercpseg.synthesis.patients import DuctSettings
from ercpseg.synthesis.scene.canvas import Canvas
from ercpseg.synthesis.scene.contrast import Filling, draw_contrast
from ercpseg.synthesis.scene.ducts import Duct, Tree, turn_deg
from ercpseg.synthesis.scene.patient import Patient
from ercpseg.synthesis.scene.stones import Stone
from tests.unit.synthesis.conftest import changed

STRAIGHT = Duct(np.stack([np.arange(15.0, -16.0, -1.0), np.zeros(31)], axis=1), np.full(31, 4.0))
ASIDE = Duct(STRAIGHT.points + np.array([0, 200.0]), np.full(31, 1.0))
FULL = Filling(True, 0.0, 30.0, 2.0, 0, 100.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
NO_FACETS = np.zeros((0, 2))


def tree(*branches):
    return Tree((STRAIGHT, *branches), ASIDE, (np.array([0.0, 200.0]), np.array([20.0, 10.0]), 0.0), ASIDE, 0, 10, None)


def test_a_filled_duct_holds_iodine_times_its_chord(view):
    canvas = Canvas.empty(view)
    column = draw_contrast(canvas, tree(), FULL, (), (), 0.0)
    # 8 mm of 100 mg/ml on the axis; 16 px wide. The axis lies between pixels, 0.25 mm off: 2·√(16 − 1/16) = 7.98 mm.
    assert canvas.iodine[50, 39:41] == pytest.approx(798, rel=0.01)
    assert abs(int(column.mask[50].sum()) - 16) <= 1
    assert canvas.iodine[50, ~column.mask[50]].max() < 200  # the rim of the round section only
    assert not canvas.steel.any()


def test_iodine_does_not_depend_on_the_height(view):
    low, high = Canvas.empty(view), Canvas.empty(view)
    draw_contrast(low, tree(), FULL, (), (), 0.0)
    draw_contrast(high, tree(), FULL, (), (), 160.0)
    assert high.iodine.max() == pytest.approx(low.iodine.max(), rel=0.01)


def test_a_partial_column_ends_where_it_says(view):
    column = draw_contrast(Canvas.empty(view), tree(), Filling(**{**vars(FULL), "last_mm": 15.0}), (), (), 0.0)
    rows = np.flatnonzero(column.mask[:, 39])
    # The papilla lies at +15 mm, row 79.5; 15 mm further up is row 49.5. Ends are round (4 mm) and fade over 2 mm.
    assert rows.max() == pytest.approx(79.5 + 8, abs=1.5)
    assert rows.min() == pytest.approx(49.5, abs=4)


def test_a_gap_parts_the_column_and_not_the_mask(view):
    whole, parted = Canvas.empty(view), Canvas.empty(view)
    stone = Stone(15.0, 0.0, 6.0, 1.0, 0.0, 0.0, 2.0, NO_FACETS, False)
    mask = draw_contrast(whole, tree(), FULL, (), (), 0.0).mask
    gap = Filling(**{**vars(FULL), "gap": (15.0, 8.0, 0.25)})
    np.testing.assert_array_equal(draw_contrast(parted, tree(), gap, (), (), 0.0).mask, mask)
    share = parted.iodine[:, 39] / np.maximum(whole.iodine[:, 39], 1e-6)
    # The middle lies on row 49.5: a quarter is left; 4 mm (8 px) away half of what was taken; at 12 mm 1/730 of it.
    assert share[49:51] == pytest.approx(0.25, abs=0.001)
    assert [share[41:43].mean(), share[57:59].mean()] == pytest.approx([1 - 0.75 / 2] * 2, abs=0.01)
    assert share[25] == pytest.approx(1, abs=0.002)
    # A stone in the gap takes the place of its share of thin contrast: 6 of 8 mm, of a quarter of it.
    (without,), (within,) = (
        draw_contrast(Canvas.empty(view), tree(), f, (stone,), (), 0.0).stones for f in (FULL, gap)
    )
    np.testing.assert_allclose(within.displaced[49:51], 0.25 * without.displaced[49:51], rtol=1e-3)
    stone_there = Canvas.empty(view)
    draw_contrast(stone_there, tree(), gap, (stone,), (), 0.0)
    assert stone_there.iodine[49:51, 39:41] == pytest.approx(0.25 * 2 * 100, rel=0.06)


def test_a_gap_leaves_other_ducts_alone(view):
    across = Duct(np.stack([np.zeros(60), np.arange(-30.0, 30.0)], axis=1), np.full(60, 1.0))
    gap = Filling(**{**vars(FULL), "gap": (15.0, 8.0, 0.05), "cystic": 1.0})
    canvas, crossed = Canvas.empty(view), replace(tree(), cystic=across)
    draw_contrast(canvas, crossed, gap, (), (), 0.0)
    # 2 mm of 100 mg/ml all along, over the duct (8 mm of 5 mg/ml are less) and beside it.
    assert canvas.iodine[49:51, 8:72].max(axis=0) == pytest.approx(np.full(64, 194), rel=0.04)


def test_nothing_is_left_beyond_the_end_of_a_column(view):
    """Wide ducts with a short end had a cap of full contrast beyond it, which no mask held."""
    for ends in ({"last_mm": 15.0}, {"first_mm": 15.0}):
        canvas = Canvas.empty(view)
        column = draw_contrast(canvas, tree(), Filling(**{**vars(FULL), "fade_mm": 1.0, **ends}), (), (), 0.0)
        rows = np.flatnonzero(canvas.iodine[:, 39] > 1)
        assert np.ptp(rows) == len(rows) - 1
        marked = np.flatnonzero(column.mask[:, 39])
        assert max(marked.min() - rows.min(), rows.max() - marked.max()) <= 2  # 1 mm is 2 px, and 0.35 of it are marked


def test_gaps_come_as_often_as_asked_and_lie_in_the_filled_part():
    spec = DuctSettings(present=1.0, partial=1.0, gap=0.5, gap_mm=(3, 14))
    drawn = [Filling.sample(np.random.default_rng(seed), spec, 80.0, 9.0) for seed in range(400)]
    gaps = [(f, f.gap) for f in drawn if f.gap is not None]
    assert len(gaps) == pytest.approx(200, abs=45)  # 4.5 standard deviations of a binomial of 400 at a half
    assert all(f.first_mm < gap[0] < f.last_mm and 3 <= gap[1] <= 14 and 0.05 <= gap[2] <= 0.6 for f, gap in gaps)
    never = DuctSettings(present=1.0, gap=0.0)
    assert all(Filling.sample(np.random.default_rng(seed), never, 80.0, 9.0).gap is None for seed in range(50))


def test_branches_are_drawn_and_not_labelled(view):
    branch = Duct(np.stack([np.full(20, -15.0), np.arange(20.0)], axis=1), np.full(20, 1.5), 0)
    without, filled = Canvas.empty(view), Canvas.empty(view)
    empty = draw_contrast(without, tree(branch), FULL, (), (), 0.0)
    more = draw_contrast(filled, tree(branch), Filling(**{**vars(FULL), "levels": 1}), (), (), 0.0)
    np.testing.assert_array_equal(more.mask, empty.mask)
    assert filled.iodine[19:21, 65].max() > 100
    assert without.iodine[19:21, 65].max() == 0


def test_a_stone_takes_contrast_away_and_keeps_its_size(view):
    stone = Stone(15.0, 0.0, 6.0, 1.0, 0.0, 0.0, 2.0, NO_FACETS, False)
    plain, canvas = Canvas.empty(view), Canvas.empty(view)
    draw_contrast(plain, tree(), FULL, (), (), 0.0)
    column = draw_contrast(canvas, tree(), FULL, (stone,), (), 0.0)
    (defect,) = column.stones
    mask = defect.mask
    np.testing.assert_allclose(defect.centre, [49.5, 39.5])
    assert mask.sum() == pytest.approx(np.pi / 4 * 12**2, rel=0.04)  # 6 mm are 12 px
    # A ball of 6 mm in a tube of 8 mm leaves 2 mm of contrast in the middle.
    assert canvas.iodine[49:51, 39:41] == pytest.approx(2 * 100, rel=0.06)
    assert (canvas.iodine <= plain.iodine).all()
    assert (column.mask == draw_contrast(Canvas.empty(view), tree(), FULL, (), (), 0.0).mask).all()
    assert not (mask & ~column.mask).any()


def test_an_opaque_stone_shows_less(view):
    stones = [Stone(15.0, 0.0, 6.0, 1.0, 0.0, opacity, 2.0, NO_FACETS, False) for opacity in (0.0, 0.5)]
    depths = []
    for stone in stones:
        canvas = Canvas.empty(view)
        draw_contrast(canvas, tree(), FULL, (stone,), (), 0.0)
        depths.append(float(canvas.iodine[50, 40]))
    assert depths[1] - depths[0] == pytest.approx(0.5 * 600, rel=0.05)


def test_bubbles_are_drawn_and_not_labelled(view):
    bubble = Stone(15.0, 0.0, 5.0, 1.0, 0.0, 0.0, 2.0, NO_FACETS, True)
    canvas = Canvas.empty(view)
    column = draw_contrast(canvas, tree(), FULL, (), (bubble,), 0.0)
    assert column.stones == ()
    assert canvas.iodine[50, 40] < 400


def test_without_contrast_nothing_is_drawn_or_labelled(view):
    canvas = Canvas.empty(view)
    stone = Stone(15.0, 0.0, 6.0, 1.0, 0.0, 0.0, 2.0, NO_FACETS, False)
    column = draw_contrast(canvas, tree(), Filling(**{**vars(FULL), "present": False}), (stone,), (), 0.0)
    assert not canvas.iodine.any()
    assert not column.mask.any()
    assert column.stones == ()


def test_a_straight_course_does_not_turn_and_a_corner_does():
    assert turn_deg(STRAIGHT.points, 10.0) == pytest.approx(0, abs=1e-9)
    corner = np.array([[0.0, 0.0], [-10.0, 0.0], [-20.0, 10.0]])
    assert turn_deg(corner, 10.0) == pytest.approx(45)
    assert turn_deg(corner * [1, -1], 10.0) == pytest.approx(45)  # whichever side


def test_trees_keep_to_their_domain(round_field):
    for number in range(12):
        who = Patient.sample(round_field, 1, number, 64, bare=True)
        trunk = who.tree.ducts[0]
        assert 62 - 1 <= trunk.length_mm <= 95
        assert 2 * trunk.radius.min() >= 0.9
        assert 2 * trunk.radius.max() <= 18 * 1.1 * 1.06 * 1.35  # waves and dilation above a stricture
        for duct in who.tree.ducts[1:]:
            parent = who.tree.ducts[duct.parent]
            gap = np.hypot(*(parent.points - duct.points[0]).T)
            assert gap.min() < 1e-6  # it leaves its parent, at the end or on the way
            assert duct.side or gap[-1] < 1e-6
            assert duct.radius[0] < parent.radius.max()


def test_contrast_runs_in_from_the_papilla():
    spec = DuctSettings(present=1.0, partial=0.0)
    filling = Filling.sample(np.random.default_rng(1), spec, 80.0, 8.0)
    lengths = [filling.grown(share, 80.0).last_mm for share in (0.1, 0.5, 1.0, 2.0)]
    assert lengths == sorted(lengths)
    assert lengths[0] == pytest.approx(8.0)
    assert lengths[-1] == filling.last_mm == 80.0
    assert filling.grown(0.5, 80.0).levels == 0


def test_arc_lengths_of_the_trunk_are_millimetres():
    assert arc_length(STRAIGHT.points)[-1] == pytest.approx(STRAIGHT.length_mm) == pytest.approx(30)


def test_packed_stones_fill_the_lumen_and_lie_one_against_another(busy):
    """Steps of the course are 1 mm, so is what chance adds to the gap between two, at most."""
    rows = 0
    for number in range(12):
        who = Patient.sample(changed(busy, stone={"packed": 1.0, "impacted": 0.0}), 6, number, 64, bare=True)
        cbd = who.tree.ducts[0]
        s = arc_length(cbd.points)
        stones = sorted(who.stones, key=lambda stone: stone.place_mm)
        for stone in stones:
            room = 2 * float(np.interp(stone.place_mm, s, cbd.radius))
            assert 0.85 * room <= max(stone.diameter_mm, 2.0) <= max(0.98 * room, 2.0)
            assert not stone.floating
        if len(stones) < 2:
            continue
        gaps = [b.place_mm - a.place_mm for a, b in pairwise(stones)]
        longest = max(stone.diameter_mm * stone.elongation for stone in stones)
        assert min(gaps) > 0.5 * min(stone.diameter_mm for stone in stones)
        rows += max(gaps) <= longest + 2
    assert rows >= 6
