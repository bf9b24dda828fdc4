"""What an annotator can see of ducts and stones."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ercpseg.synthesis import compositing, studio
from ercpseg.synthesis.backgrounds import Background
from ercpseg.synthesis.curves import arc_length
from ercpseg.synthesis.physics.materials import IODINE_PER_MM, WATER_PER_MM, transmitted
from ercpseg.synthesis.scene.canvas import Canvas
from ercpseg.synthesis.scene.contrast import draw_contrast
from ercpseg.synthesis.scene.facts import facts
from ercpseg.synthesis.scene.moment import moment
from ercpseg.synthesis.scene.patient import Patient
from ercpseg.synthesis.scene.render import draw_moment
from ercpseg.synthesis.scene.stones import Stone
from ercpseg.synthesis.scene.visible import Sight, from_to, marked_stones, sampled
from tests.unit.synthesis.conftest import HEIGHT, changed
from tests.unit.synthesis.scene.test_ducts import FULL, NO_FACETS, tree

MANY = 1e9
"""Quanta per mm²: no noise."""


def sight(canvas, quanta=MANY):
    return Sight(canvas, np.ones(canvas.view.shape, np.float32), quanta, np.ones(canvas.view.shape, np.bool_))


def stripes(view, axis, period):
    at = np.arange(view.shape[axis]) // (period // 2) % 2
    return np.broadcast_to(at[:, None] if axis == 0 else at[None, :], view.shape).astype(np.float32)


def test_what_is_alone_explains_the_picture(view):
    canvas = Canvas.empty(view)
    canvas.iodine[...] = 50 * stripes(view, 1, 8)
    found = sight(canvas).likeness(canvas.iodine.copy(), np.ones(view.shape, np.bool_), 8)
    np.testing.assert_allclose(found, 1, atol=1e-3)


def test_two_that_have_nothing_to_do_with_each_other_share_the_picture(view):
    """Stripes across stripes of the same contrast: half of the variance each, a correlation of √½."""
    canvas = Canvas.empty(view)
    own = 5 * stripes(view, 1, 8)
    canvas.iodine[...] = own
    canvas.water[...] = 5 * stripes(view, 0, 8) * np.float32(IODINE_PER_MM[1] / WATER_PER_MM[1])
    found = sight(canvas).likeness(own, np.ones(view.shape, np.bool_), 10)
    assert np.median(found[20:-20, 20:-20]) == pytest.approx(np.sqrt(0.5), abs=0.04)


def test_noise_hides_as_its_variance_says(view):
    """Relative variance of n quanta is 1/n; as much as the stripes' own variance leaves √½ of the correlation."""
    canvas = Canvas.empty(view)
    own = 5 * stripes(view, 1, 8)
    canvas.iodine[...] = own
    contrast = float(5 * IODINE_PER_MM.mean())
    quanta = 1 / (contrast**2 / 4) / 0.25  # per mm², of pixels of 0.25 mm²
    found = sight(canvas, quanta).likeness(own, np.ones(view.shape, np.bool_), 10)
    assert np.median(found[20:-20, 20:-20]) == pytest.approx(np.sqrt(0.5), abs=0.06)


@pytest.mark.parametrize("grey", [1.0, 0.25])
def test_the_noise_of_a_frame_that_is_the_light_counts_once(view, grey):
    """What a frame shows holds its noise; stripes that take 1 − T of the quanta add 1/T − 1 of its variance, no more."""
    canvas = Canvas.empty(view)
    own = 300 * stripes(view, 1, 8)
    canvas.iodine[...] = own
    contrast = -float(np.log(transmitted(canvas).min()))
    assert contrast > 0.2
    quanta = 1 / (contrast**2 / 4) / 0.25  # as above: a variance of its own as large as that of the stripes
    frame = replace(sight(canvas, quanta), light=np.full(view.shape, grey, np.float32), noisy=True)
    # Half of the pixels add e^c − 1 of that variance, the others nothing; a quarter of the light has a quarter of the quanta.
    expected = 1 / np.sqrt(1 + np.expm1(contrast) / 2 / grey)
    found = frame.likeness(own, np.ones(view.shape, np.bool_), 10)
    assert np.median(found[20:-20, 20:-20]) == pytest.approx(expected, abs=0.02)


def test_what_is_hidden_counts_for_nothing(view):
    """An endoscope over half of the picture takes its own shadow out of the comparison."""
    canvas = Canvas.empty(view)
    own = 50 * stripes(view, 1, 8)
    canvas.iodine[...] = own
    canvas.water[:, 40:] += 100 * stripes(view, 0, 6)[:, 40:]
    bare = np.ones(view.shape, np.bool_)
    bare[:, 40:] = False
    looked = replace(sight(canvas), bare=bare)
    np.testing.assert_allclose(looked.likeness(own, bare, 8)[:, :34], 1, atol=1e-3)
    assert sight(canvas).likeness(own, bare, 8)[:, 34:40].mean() < 0.8
    assert not replace(looked, bare=~bare & bare).likeness(own, bare, 8).any()


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([0.9, 0.9, 0.9, 0.9], (0, 3)),
        ([0.1, 0.9, 0.2, 0.9], (1, 3)),  # a gap is bridged
        ([np.nan, 0.9, 0.9, np.nan], (1, 2)),
        ([np.nan, 0.1, 0.9, 0.1], None),  # one place of three
        ([np.nan] * 4, None),
    ],
)
def test_from_the_first_to_the_last_that_shows(seen, expected):
    assert from_to(np.array(seen, np.float32), 0.5, 0.5) == expected


def test_places_outside_of_the_picture_have_no_value():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = sampled(values, np.array([[0.4, 1.6], [-0.6, 0], [1, 3]]))
    np.testing.assert_array_equal(found, [2, np.nan, np.nan])


@pytest.fixture(scope="module")
def filled(busy):
    """Draws a patient's frame with numbers of one's own."""

    def taken(number=0, **sections):
        return draw_moment(moment(Patient.sample(changed(busy, **sections), 3, number, HEIGHT), 0))

    return taken


def test_clear_contrast_is_marked_whole_and_faint_contrast_mostly_not(filled):
    """5 mg/ml in 8 mm take 3 % of the beam away: seen where nothing else is."""
    faint = [filled(number, duct={"iodine_mg_per_ml": [5], "partial": 0.0}) for number in range(8)]
    shown = [drawn for drawn in faint if drawn.marks.duct_mm is not None]
    assert len(shown) <= 3
    for drawn in faint:
        assert drawn.column.mask.any()
        assert drawn.masks["cbd"].any() == (drawn.marks.duct_mm is not None)
        assert drawn.masks["cbd"].any() or not drawn.masks["stone"].any()
    for number in range(8):
        clear = filled(number, duct={"iodine_mg_per_ml": [300], "partial": 0.0})
        whole = clear.column.mask & clear.field
        assert clear.masks["cbd"].sum() > 0.9 * whole.sum()


def test_an_annotator_who_sees_everything_marks_everything(filled):
    faint = filled(duct={"iodine_mg_per_ml": [5], "partial": 0.0}, annotator={"sees_duct": 0.0, "sees_stone": 0.0})
    np.testing.assert_array_equal(faint.masks["cbd"], faint.column.mask & faint.field)
    stones = np.logical_or.reduce([defect.mask for defect in faint.column.stones])
    np.testing.assert_array_equal(faint.masks["stone"], stones & faint.field & ~faint.masks["endoscope"])


def test_more_contrast_never_shows_less(filled):
    areas = [
        filled(2, duct={"iodine_mg_per_ml": [amount], "partial": 0.0}).masks["cbd"].sum()
        for amount in (5, 15, 40, 120, 300)
    ]
    assert areas == sorted(areas)
    assert areas[0] < areas[-1]


def test_masks_are_parts_of_what_holds_contrast_and_the_document_says_which(busy):
    cut = 0
    for number in range(24):
        now = moment(Patient.sample(changed(busy, duct={"iodine_mg_per_ml": [12, 60]}), 8, number, HEIGHT), 0)
        drawn = draw_moment(now)
        duct = facts(drawn, now).duct
        assert not (drawn.masks["cbd"] & ~drawn.column.mask).any()
        assert not (drawn.masks["stone"] & ~drawn.masks["cbd"]).any()
        assert drawn.masks["cbd"].any() == (duct.marked_mm is not None)
        if duct.marked_mm is not None:
            assert duct.filled_mm[0] <= duct.marked_mm[0] < duct.marked_mm[1] <= duct.filled_mm[1]
            whole = drawn.column.mask & drawn.field
            assert (duct.marked_mm == duct.filled_mm) == bool((drawn.masks["cbd"] == whole).all())
            cut += duct.marked_mm != duct.filled_mm
    assert cut >= 3


def test_a_row_of_stones_shows_as_a_row_and_one_without_contrast_around_does_not(view):
    """Three that touch take the very contrast away that one of them needs to stand out."""
    stones = tuple(Stone(at, 0.0, 6.0, 1.0, 0.0, 0.0, 2.0, NO_FACETS, False) for at in (9.0, 15.0, 21.0))
    canvas = Canvas.empty(view)
    column = draw_contrast(canvas, tree(), FULL, stones, (), 0.0)
    middle, all_ = column.stones[1], sum(defect.displaced for defect in column.stones)
    looked, scale = sight(canvas), 2.0
    together = np.median(looked.likeness(-all_, middle.mask, 6 * scale, among=column.mask)[middle.mask])
    alone = np.median(looked.likeness(-middle.displaced, middle.mask, 6 * scale, among=column.mask)[middle.mask])
    assert together > alone
    assert together > 0.5


def test_in_a_series_a_stone_that_was_marked_does_not_flicker(busy):
    """The first frames of a patient in which two stones do without memory: marked, not marked, marked again."""
    faint = changed(busy, duct={"iodine_mg_per_ml": [20, 60]}, wire={"second": 0.06})
    changes = {}
    for remembered in (False, True):
        who, before, marked = Patient.sample(faint, 3, 38, 192), None, []
        for number in range(4):
            before = draw_moment(moment(who, number, series=True), before if remembered else None).marks
            marked.append(before.stones)
        assert marked[0] == frozenset()
        assert marked[1] == marked[3] == {0, 2}
        changes[remembered] = sum(len(a ^ b) for a, b in pairwise(marked))
    assert changes == {False: 6, True: 2}  # both come to show after the first frame


@pytest.mark.parametrize("made", ["scene", "background"])
def test_the_series_of_a_studio_remembers(busy, monkeypatch, made):
    given, marked = [], []

    def spied(now, before=None):
        given.append(before)
        drawn = draw_moment(now, before)
        marked.append(drawn.marks)
        return drawn

    monkeypatch.setattr(studio, "draw_moment", spied)
    monkeypatch.setattr(compositing, "draw_moment", spied)
    plain = Background(np.full((96, 96), 0.6, np.float32), np.ones((96, 96), np.bool_), 8)
    one = (
        studio.SceneStudio(Patient.sample(busy, 3, 7, 96))
        if made == "scene"
        else compositing.BackgroundStudio.of(busy, 3, 7, plain)
    )
    list(one.series(3))
    assert given[0] is None
    assert given[1] is marked[0]
    assert given[2] is marked[1]


def test_a_stone_on_the_cut_is_held_too(view):
    """Half of it is needed to be marked, four tenths to stay so."""
    stones = (Stone(15.0, 0.0, 6.0, 1.0, 0.0, 0.0, 2.0, NO_FACETS, False),)
    canvas = Canvas.empty(view)
    column = draw_contrast(canvas, tree(), FULL, stones, (), 0.0)
    (defect,) = column.stones
    duct, inside = column.mask.copy(), np.flatnonzero(defect.mask)
    duct.reshape(-1)[: inside[round(0.55 * len(inside))]] = False  # the marked duct ends within the stone
    assert 0.4 < (defect.mask & duct).sum() / defect.mask.sum() < 0.5
    looked = sight(canvas)
    assert marked_stones(looked, column, duct, 2.0, 0.3, frozenset()) == frozenset()
    assert marked_stones(looked, column, duct, 2.0, 0.3, frozenset({0})) == {0}


def test_the_document_lists_the_stones_that_are_marked_and_no_others(busy):
    dropped = 0
    for number in range(24):
        domain = changed(busy, duct={"iodine_mg_per_ml": [12, 60]}, stone={"packed": 0.5, "opacity": [0, 0.6]})
        now = moment(Patient.sample(domain, 8, number, HEIGHT), 0)
        drawn = draw_moment(now)
        listed = [stone.centre_px for stone in facts(drawn, now).stones]
        for defect in drawn.column.stones:
            shown = defect.number in drawn.marks.stones and (defect.mask & drawn.masks["stone"]).any()
            assert (tuple(np.round(defect.centre, 2)) in listed) == shown
            dropped += not shown
        # None is cut across by the end of the marked duct.
        for defect in drawn.column.stones:
            if defect.number in drawn.marks.stones:
                assert 2 * (defect.mask & drawn.marks.duct).sum() >= defect.mask.sum()
    assert dropped >= 3


@pytest.mark.parametrize("aspect", [1.0, 1.6])
def test_a_duct_is_cut_where_the_document_says_whatever_the_pixels(busy, aspect):
    domain = changed(
        busy,
        duct={"iodine_mg_per_ml": [20], "partial": 0.0},
        frame={"pixel_aspect": [aspect]},
        stone={"present": 0.0},
    )
    cuts = []
    for number in range(60):
        now = moment(Patient.sample(domain, 5, number, 192), 0)
        drawn = draw_moment(now)
        ends = drawn.marks.duct_mm
        if ends is None or ends[1] == now.filling.last_mm:
            continue
        cbd = now.patient.tree.ducts[0]
        places = drawn.organs_view.pixels(cbd.points, now.patient.duct_z_mm)
        inside = np.flatnonzero(sampled(drawn.marks.duct.astype(np.float32), places) == 1)
        cuts.append(abs(arc_length(cbd.points)[inside[-1]] - ends[1]))
    assert len(cuts) >= 8
    assert max(cuts) <= 1.01  # places are 1 mm apart
