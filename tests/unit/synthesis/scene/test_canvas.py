"""Tubes on the canvas: the right amount of material, wherever they fall between pixels."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.synthesis.scene.canvas import Canvas, Tube, draw_line, draw_tube

DOWN = np.array([[-40.0, 0.0], [40.0, 0.0]])


@pytest.mark.parametrize("aside_mm", [0.0, 0.1, 0.2, 0.37])
def test_a_rod_holds_its_section_wherever_it_lies(view, aside_mm):
    canvas = Canvas.empty(view)
    draw_line(canvas, canvas.steel, DOWN + np.array([0, aside_mm]), 2.0, np.array([0.6, 0.6]))
    # 2 mm are 4 px wide; a round section whose middle is 0.6 mm deep: area π/4 · 4 px · 0.6 mm.
    assert canvas.steel[50].sum() == pytest.approx(np.pi / 4 * 4 * 0.6, rel=1e-3)
    assert canvas.steel[50].max() <= 0.6 + 1e-5


def test_a_rod_near_the_focus_is_wider_not_denser(view):
    canvas = Canvas.empty(view)
    draw_line(canvas, canvas.steel, DOWN, 2.0, np.array([0.6, 0.6]), z_mm=160.0)
    assert canvas.steel[50].sum() == pytest.approx(1.25 * np.pi / 4 * 4 * 0.6, rel=1e-3)


def test_a_hollow_tube_is_densest_at_its_walls(view):
    canvas = Canvas.empty(view)
    draw_tube(canvas, canvas.iodine, DOWN, Tube(10.0, 1.0), 3.0)
    row = canvas.iodine[50]
    middle = row[39:41].mean()
    # Radius 5 and 4 mm: the densest ray crosses 2·√(25 − 16) = 6 mm, the middle one 2 mm, a third of it.
    assert middle == pytest.approx(1.0, rel=0.05)
    assert row.max() > 2.2
    assert abs(int(row.argmax()) - 39.5) == pytest.approx(8, abs=1.5)  # 4 mm are 8 px


def test_amounts_may_change_along_a_line(view):
    canvas = Canvas.empty(view)
    draw_line(canvas, canvas.steel, DOWN, 2.0, np.array([0.0, 1.0]))
    # From row −30.5 to 129.5; a section of π/4 · 4 px per mm of depth.
    for row in (15, 85):
        assert canvas.steel[row].sum() == pytest.approx(np.pi * (row + 30.5) / 160, rel=0.01)


def test_what_lies_outside_of_the_picture_draws_nothing(view):
    canvas = Canvas.empty(view)
    draw_line(canvas, canvas.steel, DOWN + np.array([0, 500.0]), 2.0, np.array([1.0, 1.0]))
    assert not canvas.steel.any()
