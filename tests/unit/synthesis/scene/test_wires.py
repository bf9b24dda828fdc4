"""Catheters around wires."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.scene import render
from ercpseg.synthesis.scene.canvas import Canvas
from ercpseg.synthesis.scene.wires import Catheter, draw_catheter
from tests.unit.synthesis.conftest import changed

UP = np.stack([np.arange(40.0, -41.0, -1.0), np.zeros(81)], axis=1)
COLUMNS = np.arange(80) - 39.5


def plain(wall_mm: float, aside_mm: float) -> Catheter:
    return Catheter(4.0, 0.5, (), 0.0, 0.0, 0.0, wall_mm, aside_mm)


@pytest.mark.parametrize("aside_mm", [-1.0, 0.0, 1.0])
def test_the_wire_lies_beside_the_catheters_axis(view, aside_mm):
    canvas = Canvas.empty(view)
    draw_catheter(canvas, plain(2.0, aside_mm), UP, 0.0)
    row = canvas.steel[50]
    # The wire runs up the middle, column 39.5, to the right of the axis, which lies so far to the left.
    assert (row * COLUMNS).sum() / row.sum() == pytest.approx(-2 * aside_mm, abs=0.01)
    assert row.sum() == pytest.approx(np.pi / 4 * 8 * 0.5, rel=1e-3)  # 4 mm are 8 px


def test_a_wire_never_leaves_its_catheter(view):
    canvas = Canvas.empty(view)
    draw_catheter(canvas, plain(2.0, 1.5), UP, 0.0, wire_mm=2.6)
    row = canvas.steel[50]
    # (4 − 2.6) / 2 = 0.7 mm of room on either side.
    assert (row * COLUMNS).sum() / row.sum() == pytest.approx(-1.4, abs=0.01)


def test_a_scene_says_which_wire_runs_in_its_catheter(scenes, monkeypatch):
    given = []
    monkeypatch.setattr(render, "draw_catheter", lambda *args: given.append(args[-1]))
    moments = [now for now, _ in scenes if now.catheter is not None]
    for now in moments:
        render.draw_moment(now)
    assert len(moments) >= 4
    assert given == [now.patient.wires[0].diameter_mm for now in moments]


def test_a_solid_catheter_is_densest_in_the_middle_and_a_hollow_one_at_its_walls(view):
    solid, hollow = Canvas.empty(view), Canvas.empty(view)
    draw_catheter(solid, plain(2.0, 0.0), UP, 0.0)
    draw_catheter(hollow, plain(0.5, 0.0), UP, 0.0)
    assert abs(int(solid.steel[50].argmax()) - 39.5) < 1
    assert abs(int(hollow.steel[50].argmax()) - 39.5) > 2


def test_catheters_are_drawn_within_their_ranges_and_on_both_sides(rng):
    domain = changed(find_domain("round-field"), device={"catheter_wall": (0.2, 0.4), "catheter_lumen": (0.1, 0.3)})
    drawn = [Catheter.sample(rng, domain) for _ in range(60)]
    walls, asides = (
        np.array([getattr(c, name) / c.diameter_mm for c in drawn]) for name in ("wall_mm", "wire_aside_mm")
    )
    assert 0.2 <= walls.min() < walls.max() <= 0.4
    assert 0.1 <= np.abs(asides).min() < np.abs(asides).max() <= 0.3
    assert 10 < (asides > 0).sum() < 50
