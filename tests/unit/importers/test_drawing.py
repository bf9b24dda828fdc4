import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.geometry.drawing import draw_polyline, effort, fill_disk, fill_polygon, paint_polygon, paint_polyline

GRIDS = (1, 2, 10, 7919)
"""Points lie on multiples of 1/n: whole numbers and halves meet pixel centres, the others do not."""


def points(least, most):
    def on_grid(n):
        number = st.integers(-6 * n, 30 * n).map(lambda k: k / n)
        return st.lists(st.tuples(number, number), min_size=least, max_size=most).map(np.array)

    return st.sampled_from(GRIDS).flatmap(on_grid)


sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


def near_line(line, shape, reach, pixel_size=(1.0, 1.0)):
    """Pixels within reach of a line, by the distance of every pixel to every segment."""
    y, x = np.indices(shape, float)
    mask = np.zeros(shape, bool)
    ends = line[1:] if len(line) > 1 else line
    for (x0, y0), (x1, y1) in zip(line[: len(ends)], ends, strict=True):
        px, py = (x - x0) * pixel_size[1], (y - y0) * pixel_size[0]
        dx, dy = (x1 - x0) * pixel_size[1], (y1 - y0) * pixel_size[0]
        length2 = dx**2 + dy**2
        share = np.clip((px * dx + py * dy) / length2, 0, 1) if length2 else 0.0
        mask |= np.hypot(px - share * dx, py - share * dy) <= reach + 1e-10
    return mask


@given(points(1, 9), sizes)
@settings(max_examples=400, deadline=None)
def test_polygon_is_polygon2mask_and_is_cut_at_the_border(outline, shape):
    from skimage.draw import polygon2mask

    assert (fill_polygon(outline, shape) == polygon2mask(shape, outline[:, ::-1])).all()


@given(points(1, 6), sizes, st.sampled_from([0.1, 1, 1.5, 2, 3, 5.3, 20]))
@settings(max_examples=300, deadline=None)
def test_line_is_all_that_lies_near_it(line, shape, width):
    assert (draw_polyline(line, shape, width) == near_line(line, shape, width / 2)).all()


@given(points(1, 4), sizes, st.sampled_from([(0.5, 0.5), (0.25, 0.5), (0.5, 0.125)]))
@settings(max_examples=200, deadline=None)
def test_line_of_a_width_in_mm(line, shape, pixel_size):
    mask = np.zeros(shape, bool)
    count = paint_polyline(mask, line, 1.5, pixel_size)
    assert (mask == near_line(line, shape, 0.75, pixel_size)).all()
    assert count == mask.sum()


def test_an_outline_on_pixel_centres_counts_and_crossing_is_even_odd():
    square = np.array([[1.0, 1.0], [3.0, 1.0], [3.0, 4.0], [1.0, 4.0]])
    expected = np.zeros((6, 6), bool)
    expected[1:5, 1:4] = True
    assert (fill_polygon(square, (6, 6)) == expected).all()
    # the same square twice: everything lies inside two windings, so only what is on the outline counts
    twice = fill_polygon(np.concatenate([square, square]), (6, 6))
    expected[2:4, 2] = False
    assert not twice[2:4, 2].any()
    assert (twice & ~expected).sum() == 0


def test_painting_adds_and_says_how_much():
    mask = np.zeros((5, 5), bool)
    mask[0, 0] = True
    assert paint_polygon(mask, np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 1.5], [0.5, 1.5]])) == 2
    assert mask.sum() == 3
    assert paint_polygon(mask, np.array([[0.1, 3.1], [0.4, 3.1], [0.4, 3.4]])) == 0
    assert paint_polygon(mask, np.array([[50.0, 50.0], [60.0, 50.0], [60.0, 60.0]])) == 0


def test_a_line_of_width_3_is_3_pixels_wide():
    mask = draw_polyline(np.array([[1.0, 4.0], [8.0, 4.0]]), (9, 10), 3)
    assert mask[:, 4].tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert mask[4, 0]  # the round end reaches 1.5 px beyond the point
    assert mask.sum(axis=0)[2:8].tolist() == [3] * 6


def test_a_diagonal_line_has_no_gaps():
    from skimage.measure import label

    for width in (1.0, 1.5):
        mask = draw_polyline(np.array([[0.0, 0.3], [30.0, 11.0], [3.0, 28.0]]), (32, 32), width)
        assert label(mask, connectivity=2).max() == 1


def test_lines_outside_and_single_points():
    assert not draw_polyline(np.array([[50.0, 50.0], [60.0, 50.0]]), (10, 10), 3).any()
    assert draw_polyline(np.array([[4.0, 4.0]]), (9, 9), 1).sum() == 1
    assert draw_polyline(np.array([[4.0, 4.0], [4.0, 4.0]]), (9, 9), 2).sum() == 5


def test_disk_area():
    assert abs(fill_disk(np.array([50.0, 50.0]), 30, (101, 101)).sum() - np.pi * 900) < 30
    assert fill_disk(np.array([0.0, 0.0]), 2, (5, 5)).sum() == 6


def test_effort_is_the_box_and_the_rows_crossed():
    square = np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]])
    assert effort(square, (10, 10)) == 100 + 32 * (2 * 9 + 4)  # two upright edges of nine rows, and four edges
    assert effort(square + 100, (10, 10)) == 32 * 4
    zigzag = np.array([[k % 7, (k % 2) * 9.0] for k in range(1000)], float)
    assert effort(zigzag, (10, 10)) == pytest.approx(32 * 10 * 1000, rel=0.01)


@pytest.mark.timeout(20)
def test_many_points_take_seconds_not_hours():
    angle = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    outline = np.stack([1000 + 900 * np.cos(angle), 1000 + 900 * np.sin(angle)], axis=1)
    assert abs(fill_polygon(outline, (2000, 2000)).sum() - np.pi * 900**2) < 900
    assert draw_polyline(outline, (2000, 2000), 3).sum() > 2 * np.pi * 900 * 2.5
