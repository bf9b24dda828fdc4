"""What a truth document says is what the masks show."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ercpseg.structures import DEFAULT_STRUCTURES
from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.curves import arc_length
from ercpseg.synthesis.scene.facts import facts
from ercpseg.synthesis.scene.moment import moment
from ercpseg.synthesis.scene.patient import Patient
from ercpseg.synthesis.scene.render import draw_moment
from ercpseg.synthesis.studio import SceneStudio
from ercpseg.synthesis.truth import Truth
from tests.unit.synthesis.conftest import HEIGHT, changed


def at(mask, points):
    """Values of a mask at the pixels nearest to points, False outside."""
    rows, columns = np.rint(np.asarray(points)).astype(int).reshape(-1, 2).T
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    result = np.zeros(len(rows), bool)
    result[inside] = mask[rows[inside], columns[inside]]
    return result


def thickness(mask, points, reach=2):
    """Twice the distance to the outline around points: the width in px there."""
    depth = ndimage.maximum_filter(ndimage.distance_transform_edt(mask), 2 * reach + 1)
    rows, columns = np.rint(points).astype(int).T
    return 2 * depth[rows, columns] - 0.5  # n px of a straight band give n / 2 or (n + 1) / 2


def test_masks_keep_to_the_field_and_stones_to_the_duct(scenes):
    for _, drawn in scenes:
        assert tuple(drawn.masks) == DEFAULT_STRUCTURES
        for mask in drawn.masks.values():
            assert not (mask & ~drawn.field).any()
        assert not (drawn.masks["stone"] & ~drawn.masks["cbd"]).any()


def test_overlaps_are_kept(scenes):
    def together(a, b):
        return sum(bool((drawn.masks[a] & drawn.masks[b]).any()) for _, drawn in scenes)

    assert together("cbd", "endoscope") >= 10  # ducts run on below the endoscope
    assert together("guidewire", "cbd") >= 10
    assert together("stone", "cbd") >= 10
    assert together("guidewire", "endoscope") == 0  # a wire is not seen there, so it is not drawn


def test_a_wire_is_its_centreline_at_its_width(scenes):
    checked = 0
    for now, drawn in scenes:
        truth = facts(drawn, now)
        if len(truth.wires) != 1:
            continue
        (wire,) = truth.wires
        points = np.array(wire.centreline_px)
        bare = np.arange(len(points)) >= wire.bare_from
        seen = np.array(wire.seen)
        visible = at(drawn.field & ~drawn.masks["endoscope"], points)
        # Points are written with two decimals, so one that lies between two pixels may round the other way.
        assert (seen != (bare & visible & at(drawn.masks["guidewire"], points))).sum() <= 1
        missing = ~seen[bare & visible]
        assert missing.sum() <= 1 + 0.02 * len(missing)  # the very first point may round to before the mask's begin
        assert wire.tip_px == wire.centreline_px[-1]
        if seen.sum() < 40:
            continue
        step = arc_length(points)[-1] / (len(points) - 1)
        width_px = drawn.masks["guidewire"].sum() / (seen.sum() * step)
        # As wide as it looks: its own width and the blur's, half a maximum high.
        shown_mm = np.hypot(wire.diameter_mm, 2 * np.sqrt(2 * np.log(2)) * now.patient.chain.blur_mm)
        expected = max(shown_mm / truth.calibration.duct_mm_per_px, 1.5)
        assert width_px == pytest.approx(expected, rel=0.2)
        checked += 1
    assert checked >= 6


def test_wires_begin_where_the_exit_is_seen(scenes):
    for now, drawn in scenes:
        truth = facts(drawn, now)
        exit_px = np.array(truth.endoscope.exit_px)
        tip_px = truth.endoscope.distal_end_mm / truth.calibration.endoscope_mm_per_px
        for wire in truth.wires:
            # The course begins 3 mm inside of the exit, whatever the breathing and the heights of scope and duct.
            gap = np.hypot(*(np.array(wire.centreline_px[0]) - exit_px))
            assert gap == pytest.approx(3 / truth.calibration.duct_mm_per_px, rel=0.05)
            assert gap < 0.6 * tip_px


def test_the_duct_has_its_diameters_where_it_is_filled(scenes):
    ratios, checked = [], 0
    for now, drawn in scenes:
        truth = facts(drawn, now)
        duct = truth.duct
        arc, points = np.array(duct.arc_mm), np.array(duct.centreline_px)
        first, last = duct.filled_mm
        inner = (arc > first + 8) & (arc < last - 8)
        deep = at(ndimage.binary_erosion(drawn.field, iterations=30), points)
        assert at(drawn.masks["cbd"], points[inner & deep]).all()
        beyond = (arc > last + np.array(duct.diameter_mm) / 2 + 6) & deep
        assert at(drawn.masks["cbd"], points[beyond]).mean() < 0.1 if beyond.any() else True
        chosen = inner & deep
        if chosen.sum() < 5:
            continue
        measured = thickness(drawn.masks["cbd"], points[chosen]) * truth.calibration.duct_mm_per_px
        ratios.append(np.median(measured / np.array(duct.diameter_mm)[chosen]))
        checked += 1
        assert duct.widest_mm == pytest.approx(max(duct.diameter_mm), rel=0.05)
    assert checked >= 15
    assert np.median(ratios) == pytest.approx(1.0, abs=0.06)
    assert np.percentile(np.abs(np.array(ratios) - 1), 90) < 0.15


def test_a_parted_column_is_in_the_document(busy):
    parted = changed(busy, duct={"gap": 1.0, "partial": 0.5})
    for number in range(6):
        now = moment(Patient.sample(parted, 3, number, HEIGHT, bare=True), 0)
        duct = facts(draw_moment(now), now).duct
        middle, long, _ = now.filling.gap
        first, last = duct.gap_mm
        assert duct.filled_mm[0] <= first < last <= duct.filled_mm[1]
        whole = duct.filled_mm[0] < first and last < duct.filled_mm[1]
        assert last - first == pytest.approx(long, abs=0.02) if whole else last - first < long
        assert first < middle < last
        assert facts(draw_moment(now), replace(now, filling=replace(now.filling, gap=None))).duct.gap_mm is None


def test_a_column_that_does_not_reach_its_gap_yet_has_none(busy):
    parted = changed(busy, duct={"gap": 1.0, "partial": 0.5})
    said = set()
    for number in range(6):
        for pulse in (0, 8, 30):
            now = moment(Patient.sample(parted, 3, number, HEIGHT, bare=True), pulse, series=True)
            duct = facts(draw_moment(now), now).duct
            said.add(duct.gap_mm is not None)
            if duct.gap_mm is not None:
                assert duct.filled_mm[0] <= duct.gap_mm[0] < duct.gap_mm[1] <= duct.filled_mm[1]
    assert said == {True, False}


def test_stones_have_their_sizes(scenes):
    shares = []
    for now, drawn in scenes:
        truth = facts(drawn, now)
        for stone in truth.stones:
            area_mm2 = stone.area_px * truth.calibration.duct_mm_per_px**2
            shares.append(area_mm2 / (np.pi / 4 * stone.short_mm * stone.long_mm))
            assert 2 <= stone.short_mm <= stone.long_mm
            assert 0 <= stone.hidden_frac < 1
    assert len(shares) >= 20
    assert max(shares) < 1.1  # never more than the ellipse
    assert np.median(shares) > 0.75  # facets and the duct's wall take a little


def test_the_endoscope_is_as_wide_as_it_says(scenes):
    ratios = []
    for now, drawn in scenes:
        truth = facts(drawn, now)
        endoscope = truth.endoscope
        limb = np.array(endoscope.limbs_px[0])
        far = arc_length(limb) * truth.calibration.endoscope_mm_per_px > 85  # beyond rigid end and bending section
        far &= at(ndimage.binary_erosion(drawn.field, iterations=25), limb)
        if far.sum() < 3 or len(endoscope.limbs_px) > 1:
            continue
        width = thickness(drawn.masks["endoscope"], limb[far]) * truth.calibration.endoscope_mm_per_px
        ratios.append(np.median(width) / endoscope.shaft_mm)
        assert at(drawn.masks["endoscope"], limb[far]).all()
        assert 10.8 <= endoscope.shaft_mm <= 11.5
        assert 1.08 <= endoscope.distal_end_mm / endoscope.shaft_mm <= 1.22
    assert len(ratios) >= 10
    assert np.median(ratios) == pytest.approx(1.0, abs=0.04)


def test_calibration_holds_at_each_height(scenes):
    for now, drawn in scenes[:4]:
        truth, view = facts(drawn, now), now.patient.view
        z = now.patient.duct_z_mm
        assert truth.calibration.mm_per_px_y * truth.height_px == pytest.approx(205.5, abs=11.6)
        assert truth.calibration.duct_mm_per_px == pytest.approx(
            truth.calibration.mm_per_px_y * (view.source_mm - z) / view.source_mm, rel=1e-4
        )


def test_a_document_survives_its_file(scenes):
    now, drawn = scenes[0]
    truth = facts(drawn, now)
    assert Truth.model_validate(json.loads(truth.to_bytes())) == truth
    assert truth.to_bytes() == facts(drawn, now).to_bytes()


@pytest.mark.parametrize(
    ("kind", "section", "name"),
    [
        ("clips", "device", "clips"),
        ("leads", "device", "leads"),
        ("foreign_wire", "device", "foreign_wire"),
        ("plastic_stent", "device", "plastic_stent"),
        ("metal_stent", "device", "metal_stent"),
        ("drain", "device", "drain"),
        ("tablets", "device", "tablets"),
        ("gallbladder", "duct", "gallbladder"),
        ("pancreatic_duct", "duct", "pancreatic_duct"),
        ("duodenum", "duct", "duodenum"),
    ],
)
def test_look_alikes_change_the_picture_and_no_mask(busy, kind, section, name):
    """Other contrast may hide a duct from an annotator; it never becomes one."""
    everything = {} if section == "device" else {"annotator": {"sees_duct": 0.0, "sees_stone": 0.0}}

    def taken(number, share):
        domain = changed(busy, **{section: {name: share}}, **everything)
        now = moment(Patient.sample(domain, 5, number, 256, bare=True), 0)
        drawn = draw_moment(now)
        return drawn, facts(drawn, now)

    changes = []
    for number in range(3):
        (without, truth), (with_, more) = taken(number, 0.0), taken(number, 1.0)
        assert kind in more.unlabelled
        assert kind not in truth.unlabelled
        for structure in DEFAULT_STRUCTURES:
            np.testing.assert_array_equal(with_.masks[structure], without.masks[structure])
        change = np.abs(with_.canvas.steel - without.canvas.steel) + np.abs(with_.canvas.iodine - without.canvas.iodine)
        changes.append((change > 0.02).sum())
    assert max(changes) > 20  # it may lie out of one patient's picture


def test_catheters_cover_wires_and_are_not_labelled(busy):
    covered = changed(busy, wire={"in_catheter": 1.0, "second": 0.0}, device={"sphincterotome": 1.0})
    bare = changed(busy, wire={"in_catheter": 0.0, "second": 0.0})
    more = less = 0
    for number in range(6):
        for domain in (covered, bare):
            now = moment(Patient.sample(domain, 2, number, 256, bare=True), 0)
            drawn = draw_moment(now)
            (wire,) = facts(drawn, now).wires
            assert not any(wire.seen[: wire.bare_from])
            if domain is covered:
                assert "sphincterotome" in facts(drawn, now).unlabelled
                assert wire.bare_from > 0
                more += int(drawn.masks["guidewire"].sum())
            else:
                assert wire.bare_from == 0
                less += int(drawn.masks["guidewire"].sum())
    assert more < 0.8 * less


def test_frames_do_not_depend_on_their_order(busy):
    one = SceneStudio(Patient.sample(busy, 9, 4, 128))
    other = SceneStudio(Patient.sample(busy, 9, 4, 128))
    later, _, _ = (other.frame(number) for number in (2, 0, 1))
    frame = one.frame(2)
    np.testing.assert_array_equal(frame.pixels, later.pixels)
    for structure in DEFAULT_STRUCTURES:
        np.testing.assert_array_equal(frame.masks[structure], later.masks[structure])
    assert frame.truth == later.truth
    assert not np.array_equal(frame.pixels, one.frame(1).pixels)


@pytest.mark.parametrize("domain", ["portrait-spot", "saint-antoine", "shiraz"])
def test_every_domain_draws(domain):
    chosen = find_domain(domain)
    frame = SceneStudio(Patient.sample(chosen, 0, 2, 192)).frame(0)
    assert frame.pixels.shape == (192, max(16, round(192 * chosen.frame.aspect)))
    assert frame.pixels.max() < 2**chosen.frame.bits
    assert frame.pixels[frame.field].std() > 0.05 * 2**chosen.frame.bits
    assert frame.masks["endoscope"].any()
    assert frame.truth is not None
    assert frame.truth.domain == domain


def test_a_patient_without_endoscope_has_none(busy):
    domain = changed(busy, scope={"absent": 1.0})
    now = moment(Patient.sample(domain, 0, 0, 128, bare=True), 0)
    drawn = draw_moment(now)
    assert not drawn.masks["endoscope"].any()
    assert facts(drawn, now).endoscope is None
    assert facts(drawn, now).calibration.endoscope_mm_per_px is None
