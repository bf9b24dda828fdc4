"""Post-processing steps by hand, and what a plan may say about them."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ercpseg.documents.plan import PostprocessStep
from ercpseg.errors import DocumentError
from ercpseg.frames.prepare import thicken
from ercpseg.geometry import morphology
from ercpseg.geometry.components import label_components
from ercpseg.postprocess.apply import apply_steps
from ercpseg.postprocess.scene import LEVELS, Scene
from ercpseg.postprocess.steps import LIMITS, STEPS

EXAMPLES: dict[str, dict[str, float]] = {
    "open_close": {"opening_px": 3, "closing_px": 5},
    "thin_back": {"radius_px": 1, "square": 1},
    "redraw": {"width_px": 3},
    "fill_holes": {"max_area_px": 4},
    "keep_largest": {},
    "keep_relative": {"min_frac": 0.5},
    "remove_small": {"min_area_px": 3},
    "remove_short": {"min_length_px": 3},
    "hysteresis": {"low_frac": 0.3},
    "complete_wire": {"max_gap_px": 6, "max_angle_deg": 60, "min_probability": 0.15, "min_inside_frac": 0.6},
    "keep_attached": {"max_gap_px": 4},
    "keep_inside": {"margin_px": 2, "min_inside_frac": 0.5},
}


def run(name: str, mask: np.ndarray, scene: Scene | None = None, **numbers: float) -> np.ndarray:
    """One step; a step that looks at the scene gets one that says half everywhere and shows the other everywhere."""
    known = STEPS[name]
    scene = scene or Scene(levels=np.full(mask.shape, LEVELS // 2, np.uint8), other=np.ones_like(mask))
    return known.run(mask, scene, **numbers) if known.looks else known.run(mask, **numbers)


def step(name: str, of: str | None = None, **params: float) -> PostprocessStep:
    return PostprocessStep(name=name, params=params, of=of)


def test_every_step_has_an_example_and_limits() -> None:
    assert EXAMPLES.keys() == STEPS.keys()
    numbers = {
        name
        for known in STEPS.values()
        for name, p in inspect.signature(known.run).parameters.items()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert numbers == LIMITS.keys()


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=25, deadline=None)
@given(mask=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=16)))
def test_every_step_returns_a_new_mask_of_the_same_size(name: str, mask: np.ndarray) -> None:
    before = mask.copy()
    result = run(name, mask, **EXAMPLES[name])
    assert result.dtype == np.bool_
    assert result.shape == mask.shape
    result[:] = True
    assert (mask == before).all()
    assert not run(name, np.zeros_like(mask), **EXAMPLES[name]).any()


@pytest.mark.parametrize("name", [name for name, known in STEPS.items() if known.within])
@settings(max_examples=60, deadline=None)
@given(mask=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)), space=st.integers(0, 3))
def test_a_step_that_stays_within_gives_the_same_in_its_box(name: str, mask: np.ndarray, space: int) -> None:
    mask = np.pad(mask, ((space, 0), (0, 2 * space)))
    assert STEPS[name].levels is False
    assert STEPS[name].other == "never"
    whole = run(name, mask, **EXAMPLES[name])
    boxed = apply_steps({"wire": mask}, {"wire": [step(name, **EXAMPLES[name])]})["wire"]
    assert np.array_equal(boxed, whole)


def test_thin_back_takes_a_dilation_back_and_breaks_no_line() -> None:
    line = np.zeros((20, 40), bool)
    line[9:12, 5:35] = True
    thick = morphology.dilate(line, 1)
    assert (run("thin_back", thick, radius_px=1) == line).all()
    # A frame at half the size has half the radius: a mask has no thinner rim than a pixel.
    assert (run("thin_back", thick, radius_px=0.5) == line).all()
    assert (run("thin_back", thick, radius_px=0.4) == thick).all()
    narrow = np.zeros((20, 40), bool)
    narrow[9:11, 5:35] = True  # two pixels wide: an erosion alone would leave nothing
    thinned = run("thin_back", narrow, radius_px=1)
    assert label_components(thinned)[1] == 1
    assert thinned.sum() in range(28, 31)


def test_a_slanted_wire_thickened_by_3_x_3_comes_back_as_it_was() -> None:
    """By hand: a line of one pixel at 45° grows to five pixels of every row by the square, to three by the cross of five.

    Erosion by the same square leaves the line itself; by the cross it would leave three pixels of every row.
    """
    line = np.eye(30, dtype=bool)
    line[:5] = line[-5:] = False
    wanted = np.zeros((30, 30), np.uint8)
    wanted[line] = 2
    thick = thicken(wanted, {2: 1}, square=True) == 2
    assert (thick[8:22].sum(1) == 5).all()
    assert ((thicken(wanted, {2: 1}) == 2)[8:22].sum(1) == 3).all()
    assert np.array_equal(run("thin_back", thick, radius_px=1, square=1), line)
    assert (run("thin_back", thick, radius_px=1)[8:22].sum(1) == 3).all()
    # At twice the working size the square is 5 × 5; the centre-line's ends, which are kept too, reach further.
    twice, wide = (np.kron(mask, np.ones((2, 2), bool)) for mask in (thick, line))
    assert np.array_equal(run("thin_back", twice, radius_px=2, square=1)[16:44], wide[16:44])


@given(arrays(np.bool_, (13, 17)), st.integers(1, 3))
def test_what_a_square_thickened_is_thinned_back_to_no_less(mask: np.ndarray, radius: int) -> None:
    """Erosion after dilation by the same kernel is a closing: it never loses a pixel of the mask."""
    thick = morphology.dilate_square(mask, radius)
    thinned = run("thin_back", thick, radius_px=radius, square=1)
    assert not (mask & ~thinned).any()
    assert not (thinned & ~thick).any()


def test_redraw_gives_the_centre_line_the_width_of_training() -> None:
    line = np.zeros((20, 60), bool)
    line[6:13, 5:55] = True  # seven pixels wide
    drawn = run("redraw", line, width_px=3)
    assert (drawn[:, 15:45].sum(0) == 3).all()
    assert not (drawn & ~line).any()


def test_open_close_removes_a_spur_and_fills_a_slit() -> None:
    scope = np.zeros((60, 100), bool)
    scope[20:40, 10:90] = True
    spoilt = scope.copy()
    spoilt[40:55, 50] = True  # a spur one pixel wide
    spoilt[:, 30:34] = False  # a slit of 4 px
    repaired = run("open_close", spoilt, opening_px=5, closing_px=9)
    assert not repaired[45:, :].any()
    # The opening rounds the slit's four corners, so the closing's disk dips a few pixels into its ends.
    assert repaired[25:35, 30:34].all()
    assert (repaired & ~scope).sum() < 10  # the tip of the opening's disk fits into the spur's root
    assert (scope & ~repaired).sum() < 50


def test_fill_holes_leaves_the_inside_of_a_loop() -> None:
    mask = np.ones((20, 20), bool)
    mask[2:4, 2:4] = False  # 4 px
    mask[8:18, 8:18] = False  # 100 px
    assert run("fill_holes", mask).all()
    filled = run("fill_holes", mask, max_area_px=4)
    assert filled[2:4, 2:4].all()
    assert not filled[8:18, 8:18].any()
    assert not run("fill_holes", mask, max_area_px=3)[2:4, 2:4].any()


def test_components_by_area() -> None:
    mask = np.zeros((20, 20), bool)
    mask[0:4, 0:4], mask[6:8, 0:4], mask[12, 12] = True, True, True  # 16, 8 and 1 pixels
    assert run("keep_largest", mask).sum() == 16
    assert run("keep_relative", mask, min_frac=0.5).sum() == 24  # 8 is exactly half
    assert run("keep_relative", mask, min_frac=0.51).sum() == 16
    # From row 3 to row 6 it is 3 px, to the lone pixel at (12, 12) it is hypot(9, 9).
    assert run("keep_relative", mask, min_frac=0.51, reach_px=3).sum() == 24
    assert run("keep_relative", mask, min_frac=0.51, reach_px=2.9).sum() == 16
    assert run("keep_relative", mask, min_frac=0.51, reach_px=12.8).sum() == 25
    assert run("remove_small", mask, min_area_px=8).sum() == 24


def test_remove_short_goes_by_length_not_by_area() -> None:
    mask = np.zeros((40, 60), bool)
    mask[5, 5:35] = True  # a wire of 30 pixels, 29 long
    mask[20:28, 5:13] = True  # a blob of 64 pixels
    left = run("remove_short", mask, min_length_px=20)
    assert left[5, 5:35].all()
    assert not left[20:28].any()
    assert run("remove_short", mask, min_length_px=29)[5].any()
    assert not run("remove_short", mask, min_length_px=29.5).any()


def test_remove_short_tells_interlocked_components_apart() -> None:
    # A piece of 4 lies in the box of a bow of 50 (25 along each side), which must not be lent its length.
    mask = np.zeros((30, 30), bool)
    mask[2, 2:28] = mask[2:28, 2] = True
    mask[10, 10:15] = True
    assert run("remove_short", mask, min_length_px=10).sum() == mask.sum() - 5
    assert not run("remove_short", mask, min_length_px=52).any()


def test_steps_run_in_order_per_structure() -> None:
    speck_and_wire = np.zeros((20, 40), bool)
    speck_and_wire[3, 3:30] = True
    speck_and_wire[10:13, 10:13] = True
    masks = {"guidewire": speck_and_wire, "cbd": speck_and_wire}
    result = apply_steps(masks, {"guidewire": [step("remove_short", min_length_px=10), step("keep_largest")]})
    assert result["guidewire"].sum() == 27
    assert (result["cbd"] == speck_and_wire).all()
    # The other way round an opening deletes the wire before the length is looked at.
    assert not apply_steps(masks, {"cbd": [step("open_close", opening_px=3), step("remove_short", min_length_px=10)]})[
        "cbd"
    ].any()
    assert speck_and_wire.sum() == 27 + 9


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (step("smooth"), "'smooth': no such step; choose from complete_wire, fill_holes, hysteresis, keep_attached"),
        (step("remove_small"), "min_area_px is missing"),
        (step("keep_relative", min_frac=2), "min_frac is 2; expected 0 to 1"),
        (step("open_close", opening_px=-3), "opening_px is -3; expected 1 to 1024"),
        (step("keep_largest", n=2), "no number is called 'n'; expected none"),
        (step("remove_short", length=2), "no number is called 'length'; expected min_length_px"),
        (step("keep_inside", margin_px=2), "of is missing; expected another structure"),
        (step("keep_largest", of="cbd"), "of is 'cbd'; expected none"),
        (step("complete_wire", max_gap_px=2, of="stone"), "of is 'stone'; expected another structure"),
    ],
)
def test_a_step_that_cannot_run_is_refused_before_anything_is_computed(bad: PostprocessStep, says: str) -> None:
    with pytest.raises(DocumentError) as error:
        apply_steps({}, {"cbd": [step("keep_largest")], "stone": [step("keep_largest"), bad]})
    assert says in error.value.message
    assert "stone, step 2" in error.value.message


def test_every_problem_is_named() -> None:
    with pytest.raises(DocumentError) as error:
        apply_steps({}, {"cbd": [step("a"), step("b")]})
    assert "'a'" in error.value.message
    assert "'b'" in error.value.message


def levels(probability: np.ndarray) -> np.ndarray:
    return np.ceil(probability * LEVELS).astype(np.uint8)


def test_hysteresis_grows_into_what_hangs_together_with_a_sure_pixel() -> None:
    probability = np.zeros((5, 20))
    probability[2, 2:6] = 0.8  # sure
    probability[2, 6:10] = 0.2  # faint, hangs on it
    probability[2, 10] = 0.14  # below 0.3 · 0.5
    probability[2, 12:16] = 0.2  # faint and alone
    mask = probability > 0.5
    grown = run("hysteresis", mask, Scene(levels(probability), 0.5), low_frac=0.3)
    assert np.flatnonzero(grown[2]).tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    # 0.15 · 200 is level 30, and 0.3 · 0.5 is not 0.15 to the last bit: exactly 0.15 does not count.
    probability[2, 6:10] = 0.15
    assert run("hysteresis", mask, Scene(levels(probability), 0.5), low_frac=0.3).sum() == 4
    assert (run("hysteresis", mask, Scene(None, 0.5)) == mask).all()


def test_hysteresis_makes_lines_longer_not_fatter() -> None:
    probability = np.zeros((11, 40))
    probability[3:8, 4:34] = 0.2  # a faint halo, 5 px wide and 14 px longer
    probability[4:7, 4:20] = 0.8  # a sure line, 3 px wide
    mask = probability > 0.5
    grown = run("hysteresis", mask, Scene(levels(probability), 0.5), low_frac=0.3)
    assert not (grown & ~mask)[:, 4:19].any()
    assert grown[4:7, 20:30].all()
    assert not grown[[3, 7], 21:30].any()  # at its very end a skeleton may turn into a corner


def test_stones_must_lie_in_the_widened_duct_by_half() -> None:
    duct = np.zeros((20, 40), bool)
    duct[8:12] = True
    stones = np.zeros_like(duct)
    stones[9:11, 2:4] = True  # inside
    stones[10:18, 10:12] = True  # rows 10 to 17: 2 in the duct, 4 within 2 px of it: half
    stones[11:19, 20:22] = True  # rows 11 to 18: 1 in the duct, 3 of 8 within 2 px
    stones[0:2, 30:32] = True  # outside
    left = run("keep_inside", stones, Scene(other=duct), margin_px=2, min_inside_frac=0.5)
    assert [left[:, x].any() for x in (2, 10, 20, 30)] == [True, True, False, False]
    # A frame without a duct says nothing about stones.
    assert (run("keep_inside", stones, Scene(other=np.zeros_like(duct)), margin_px=2) == stones).all()
    assert (run("keep_inside", stones, Scene(), margin_px=2) == stones).all()


def test_steps_that_look_at_another_structure_see_it_finished() -> None:
    duct = np.zeros((20, 40), bool)
    duct[8:12, :30] = True
    duct[8:12, 36:38] = True  # a piece that its own step drops
    stone = np.zeros_like(duct)
    stone[9:11, 36:38] = True
    chains = {"stone": [step("keep_inside", of="cbd", margin_px=1)], "cbd": [step("keep_largest")]}
    for order in (("stone", "cbd"), ("cbd", "stone")):  # not the order of the masks decides
        result = apply_steps({name: {"stone": stone, "cbd": duct}[name] for name in order}, chains)
        assert list(result) == list(order)
        assert not result["cbd"][:, 36:].any()
        assert not result["stone"].any()
    # A duct that the frame does not show is no mask at all.
    assert apply_steps({"stone": stone}, chains)["stone"].any()
