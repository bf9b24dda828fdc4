"""Errors of an annotator, measured on discs and lines."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ercpseg.synthesis.annotator import annotate
from ercpseg.synthesis.rooms import AnnotatorSettings

SHAPE = (200, 200)
FIELD = np.ones(SHAPE, np.bool_)
KEY = (1, 2, 3)


def disc(radius, centre=(100, 100)):
    y, x = np.indices(SHAPE)
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def masks():
    wire = np.zeros(SHAPE, np.bool_)
    wire[10:190, 99:101] = True
    stones = disc(6, (40, 40)) | disc(6, (40, 90)) | disc(6, (40, 140)) | disc(6, (90, 40)) | disc(6, (160, 160))
    return {"endoscope": disc(60), "guidewire": wire, "cbd": disc(30), "stone": stones}


def test_an_annotator_without_errors_changes_nothing():
    truth = masks()
    assert annotate(truth, FIELD, AnnotatorSettings(), KEY) is truth


@pytest.mark.parametrize("pixels", [3.0, -3.0])
def test_outlines_are_drawn_outside_or_inside(pixels):
    seen = annotate(masks(), FIELD, AnnotatorSettings(dilate_px=(pixels,)), KEY)
    assert seen["cbd"].sum() == pytest.approx(np.pi * (30 + pixels) ** 2, rel=0.04)


def test_a_hand_wobbles_by_its_standard_deviation():
    depth, areas = np.abs(np.hypot(*(np.indices(SHAPE) - 100)) - 60), []
    for number in range(12):
        seen = annotate(masks(), FIELD, AnnotatorSettings(jitter_px=(2.0,)), (number,))
        wrong = seen["endoscope"] ^ disc(60)
        assert depth[wrong].max() < 10
        areas.append(wrong.sum())
    # A border of 2π·60 px that moves by |N(0, 2)|, 1.6 px on average.
    assert np.mean(areas) == pytest.approx(2 * np.pi * 60 * 1.6, rel=0.15)


def test_stones_and_pieces_of_wire_are_missed_and_nothing_else():
    truth = masks()
    seen = annotate(truth, FIELD, AnnotatorSettings(missed=0.5), KEY)
    np.testing.assert_array_equal(seen["endoscope"], truth["endoscope"])
    np.testing.assert_array_equal(seen["cbd"], truth["cbd"])
    assert 0 < seen["guidewire"].sum() < truth["guidewire"].sum()
    assert not (seen["guidewire"] & ~truth["guidewire"]).any()
    parts, count = ndimage.label(truth["stone"])
    kept = [bool(seen["stone"][parts == k].all()) for k in range(1, count + 1)]
    gone = [not seen["stone"][parts == k].any() for k in range(1, count + 1)]
    assert all(k or g for k, g in zip(kept, gone, strict=True))  # a stone is missed as a whole
    all_missed = annotate(truth, FIELD, AnnotatorSettings(missed=1.0), KEY)
    assert not all_missed["stone"].any()
    assert not all_missed["guidewire"].any()


def test_the_same_key_makes_the_same_errors():
    spec = AnnotatorSettings(jitter_px=(1.0, 3.0), missed=0.3)
    one, same, other = (annotate(masks(), FIELD, spec, key) for key in (KEY, KEY, (1, 2, 4)))
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
    assert not np.array_equal(one["endoscope"], other["endoscope"])


def test_errors_stay_in_the_field_and_absent_structures_absent():
    field = disc(62)
    truth = masks() | {"stone": np.zeros(SHAPE, np.bool_)}
    seen = annotate(truth, field, AnnotatorSettings(jitter_px=(3.0,), dilate_px=(6.0,)), KEY)
    assert not seen["stone"].any()
    assert all(not (mask & ~field).any() for mask in seen.values())
