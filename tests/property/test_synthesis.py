"""What must hold for every synthetic frame, whatever the key and the size."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.curves import chord
from ercpseg.synthesis.phantom.frame import STRUCTURES, Studio
from ercpseg.synthesis.studio import open_studio


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


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    domain=st.sampled_from(["round-field", "portrait-spot", "saint-antoine", "shiraz"]),
    seed=st.integers(0, 2**40),
    number=st.integers(0, 9999),
    k=st.integers(0, 9999),
    height=st.sampled_from([96, 131]),
)
def test_every_scene_is_sound(domain, seed, number, k, height):
    chosen = find_domain(domain)
    frame = open_studio(chosen, seed, number, height).frame(k)
    assert frame.pixels.shape == frame.field.shape
    assert frame.pixels.shape[0] == height
    assert frame.pixels.max() < 2**chosen.frame.bits
    assert frame.pixels[frame.field].std() > 0.03 * 2**chosen.frame.bits
    for mask in frame.masks.values():
        assert not (mask & ~frame.field).any()
    assert not (frame.masks["stone"] & ~frame.masks["cbd"]).any()
    assert not (frame.masks["guidewire"] & frame.masks["endoscope"]).any()
    truth = frame.truth
    assert truth is not None
    assert truth.endoscope is not None or not frame.masks["endoscope"].any()
    assert truth.stones or not frame.masks["stone"].any()
    for wire in truth.wires:
        assert len(wire.centreline_px) == len(wire.seen)
    for stone in truth.stones:
        assert stone.short_mm <= stone.long_mm
    numbers = [v for point in truth.duct.centreline_px for v in point]
    assert np.isfinite(numbers).all()


@given(distance=st.floats(-1e3, 1e3, width=32), radius=st.floats(0, 1e3, width=32))
def test_a_chord_is_never_longer_than_the_diameter(distance, radius):
    length = float(chord(distance, radius))
    assert 0 <= length <= 2 * radius * (1 + 1e-6)
    assert (length == 0) or abs(distance) < radius
    assert np.isfinite(length)
