"""Series: smooth motion, lag, and what a header says of time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ercpseg.synthesis.dataset import Options, synthesise_domain
from ercpseg.synthesis.scene.moment import moment
from ercpseg.synthesis.scene.patient import Patient
from ercpseg.synthesis.scene.render import draw_moment, exposed, stored
from ercpseg.synthesis.studio import SceneStudio
from ercpseg.synthesis.truth import Truth
from tests.unit.synthesis.conftest import changed

SIZE = 128


def test_time_runs_with_the_pulses_and_things_move_little(busy):
    who = Patient.sample(busy, 0, 1, SIZE, bare=True)
    moments = [moment(who, number, series=True) for number in range(8)]
    for number, now in enumerate(moments):
        assert now.time_s == pytest.approx(number * 0.1333)
    # Breathing by 14 mm in 3 s is 14.7 mm/s at most, 2 mm from pulse to pulse.
    shifts = np.array([now.breath_mm for now in moments])
    assert np.abs(np.diff(shifts, axis=0)).max() < 2.1
    tips = [now.wires[0].path[-1] for now in moments]
    assert max(np.hypot(*(b - a)) for a, b in itertools.pairwise(tips)) < 6
    first, last = ([stone.place_mm for stone in now.stones] for now in (moments[0], moments[-1]))
    assert np.abs(np.array(first) - last).max(initial=0) <= 2.4
    assert {len(now.stones) for now in moments} == {len(who.stones)}


def test_independent_frames_are_far_apart(busy):
    who = Patient.sample(busy, 0, 1, SIZE, bare=True)
    times = [moment(who, number).time_s for number in range(4)]
    assert np.diff(times).min() > 0
    assert times[3] >= 3 * 8  # seconds, the least gap


def test_a_frame_keeps_a_share_of_the_one_before(busy):
    who = Patient.sample(changed(busy, beam={"lag": [0.3]}), 0, 1, SIZE)
    taken = list(SceneStudio(who).series(2))
    signals, drawn, moments = [], [], []
    for number in range(2):
        moments.append(moment(who, number, series=True))
        drawn.append(draw_moment(moments[-1]))
        signals.append(exposed(drawn[-1], moments[-1]))
    expected = np.float32(0.7) * signals[1] + np.float32(0.3) * signals[0]
    np.testing.assert_array_equal(taken[0].pixels, stored(signals[0], drawn[0], moments[0]))
    np.testing.assert_array_equal(taken[1].pixels, stored(expected, drawn[1], moments[1]))
    assert taken[1].truth.series
    assert taken[1].truth.time_s == pytest.approx(0.1333, abs=1e-4)


def test_series_are_written_and_the_same_again(busy, tmp_path):
    options = Options(busy, 96, series=True)
    one = synthesise_domain(tmp_path / "one", frames=6, patients=2, options=options)
    again = synthesise_domain(tmp_path / "again", frames=6, patients=2, options=options)
    for path in sorted((one.folder / "images").iterdir()):
        assert path.read_bytes() == (again.folder / "images" / path.name).read_bytes()
    truths = [Truth.model_validate_json(p.read_text()) for p in sorted((one.folder / "truth").glob("*p0000_*"))]
    assert [t.frame for t in truths] == [0, 1, 2]
    assert len({t.calibration for t in truths}) == 1  # one patient in one room
