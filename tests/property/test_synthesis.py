"""What must hold for every synthetic frame, whatever the key and the size."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ercpseg.synthesis.curves import chord
from ercpseg.synthesis.phantom.frame import STRUCTURES, Studio


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**40),
    number=st.integers(0, 9999),
    k=st.integers(0, 9999),
    size=st.sampled_from([64, 97, 128]),
)
def test_every_frame_is_sound(seed, number, k, size):
    frame = Studio.of(seed, number).frame(k, size)
    assert frame.pixels.shape == frame.field.shape == (size, size)
    assert frame.pixels.max() <= 4095
    inside = frame.pixels[frame.field]
    assert inside.std() > 100  # not flat: 2.4 % of the range
    assert (inside == 0).mean() < 0.05
    assert (inside == 4095).mean() < 0.1
    for name in STRUCTURES:
        assert not (frame.masks[name] & ~frame.field).any()
    assert frame.masks["endoscope"].any()
    assert frame.masks["guidewire"].any() or frame.masks["cbd"].any()
    assert not (frame.masks["stone"] & ~frame.masks["cbd"]).any()


@given(distance=st.floats(-1e3, 1e3, width=32), radius=st.floats(0, 1e3, width=32))
def test_a_chord_is_never_longer_than_the_diameter(distance, radius):
    length = float(chord(distance, radius))
    assert 0 <= length <= 2 * radius * (1 + 1e-6)
    assert (length == 0) or abs(distance) < radius
    assert np.isfinite(length)
