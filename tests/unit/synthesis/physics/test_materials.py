"""Beer–Lambert through slabs that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.synthesis.physics.materials import BONE_PER_MM, IODINE_PER_MM, STEEL_PER_MM, WATER_PER_MM, transmitted
from ercpseg.synthesis.scene.canvas import Canvas


def through(view, **amounts):
    canvas = Canvas.empty(view)
    for material, amount in amounts.items():
        getattr(canvas, material)[...] = amount
    passed = transmitted(canvas)
    assert passed.std() < 1e-6
    return float(passed.mean())


def test_attenuation_of_water_by_hand():
    # Log-log between the tabulated values of NIST SRD 126 (cm²/g at 40, 50, 60, 80 keV), density 1, per mm:
    # 45 keV: 0.2683·(0.2269/0.2683)^(ln(45/40)/ln(50/40)) = 0.24559; 57 keV: 0.21160; 70 keV: 0.19369.
    np.testing.assert_allclose(WATER_PER_MM, [0.024559, 0.021160, 0.019369], rtol=1e-4)


def test_ten_millimetres_of_water():
    # 0.25·e^−0.24559 + 0.45·e^−0.21160 + 0.3·e^−0.19369 = 0.80691
    total = 0.25 * np.exp(-0.24559) + 0.45 * np.exp(-0.21160) + 0.3 * np.exp(-0.19369)
    assert total == pytest.approx(0.80691, abs=1e-5)


def test_a_slab_of_water_passes_that(view):
    assert through(view, water=10.0) == pytest.approx(0.80691, abs=1e-4)
    assert through(view) == pytest.approx(1.0)


def test_gas_is_missing_water(view):
    # 1 / T would hold for one energy; three differ by a few per mille.
    assert through(view, water=-10.0) == pytest.approx(1 / 0.80691, rel=0.005)


def test_iodine_lies_between_its_tabulated_energies(view):
    # 10 mm of 50 mg/ml are 0.05 g/cm²: optical depth 0.05·22.1 = 1.105 at 40 keV, 0.1755 at 80 keV, 0.379 at 60 keV.
    depth = -np.log(through(view, iodine=500.0))
    assert 0.1755 < depth < 1.105
    assert depth == pytest.approx(0.4, abs=0.1)


def test_dense_things_harden_the_beam(view):
    one, two = (-np.log(through(view, steel=mm)) for mm in (1.0, 2.0))
    assert two < 2 * one
    assert two > 1.5 * one


def test_a_thin_slab_attenuates_by_the_mean_coefficient(view):
    weights = np.array([0.25, 0.45, 0.3])
    for material, per_mm in (("water", WATER_PER_MM), ("bone", BONE_PER_MM), ("steel", STEEL_PER_MM)):
        assert 1 - through(view, **{material: 0.02}) == pytest.approx(0.02 * float(weights @ per_mm), rel=0.02)


def test_materials_stand_in_the_right_order():
    assert (STEEL_PER_MM > 10 * BONE_PER_MM).all()
    assert (BONE_PER_MM > WATER_PER_MM).all()
    assert (np.diff(IODINE_PER_MM) < 0).all()  # above the K edge (33 keV) it falls
