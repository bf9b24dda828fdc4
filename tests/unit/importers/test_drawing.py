import numpy as np

from ercpseg.geometry.drawing import draw_polyline, fill_disk, fill_polygon


def test_polygon_is_polygon2mask_and_is_cut_at_the_border():
    from skimage.draw import polygon2mask

    rng = np.random.default_rng(1)
    for _ in range(20):
        points = rng.uniform(-2, 22, (6, 2))
        assert (fill_polygon(points, (20, 18)) == polygon2mask((20, 18), points[:, ::-1])).all()


def test_a_line_of_width_3_is_3_pixels_wide():
    mask = draw_polyline(np.array([[1.0, 4.0], [8.0, 4.0]]), (9, 10), 3)
    assert mask[:, 4].tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert mask[4, 0]  # the round end reaches 1.5 px beyond the point
    assert mask.sum(axis=0)[2:8].tolist() == [3] * 6


def test_a_diagonal_line_has_no_gaps():
    from skimage.measure import label

    mask = draw_polyline(np.array([[0.0, 0.0], [30.0, 11.0], [3.0, 28.0]]), (32, 32), 1.5)
    assert label(mask, connectivity=2).max() == 1


def test_lines_outside_and_single_points():
    assert not draw_polyline(np.array([[50.0, 50.0], [60.0, 50.0]]), (10, 10), 3).any()
    assert draw_polyline(np.array([[4.0, 4.0]]), (9, 9), 1).sum() == 1
    assert draw_polyline(np.array([[4.0, 4.0], [4.0, 4.0]]), (9, 9), 2).sum() == 5


def test_disk_area():
    assert abs(fill_disk(np.array([50.0, 50.0]), 30, (101, 101)).sum() - np.pi * 900) < 30
    assert fill_disk(np.array([0.0, 0.0]), 2, (5, 5)).sum() == 6
