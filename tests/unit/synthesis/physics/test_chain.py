"""From attenuated beam to noisy signal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ercpseg.synthesis.physics.chain import Chain
from ercpseg.synthesis.scene.view import View

VIEW = View((200, 200), (0.5, 0.5), 0.0, False, (0.0, 0.0), 1.4, 800.0)
FIELD = np.ones((200, 200), np.bool_)


@pytest.fixture
def chain(round_field):
    """No scatter, blur, tilt or vignetting; 1600 quanta per mm², 400 per pixel of 0.5 mm; white noise."""
    return replace(
        Chain.sample(np.random.default_rng(0), round_field, VIEW),
        scatter=0.0, blur_mm=0.0, heel=0.0, vignetting=0.0, quanta_per_mm2=1600.0, electronic=0.0, noise_blur_px=0.0,
        noise_tail=0.0, centre=(0.0, 0.0), metered=(0.0, 0.0, 0.2),
    )  # fmt: skip


def noise(chain, signal, rng):
    flat = np.full(VIEW.shape, signal, np.float32)
    return float((chain.noisy(flat, VIEW, rng) - flat).std())


@pytest.mark.parametrize("signal", [0.25, 1.0, 4.0])
def test_noise_is_that_of_the_quanta(chain, rng, signal):
    # n quanta scatter by √n; of the signal s = n / 400 that is √(s / 400): 0.05 at 1.
    assert noise(chain, signal, rng) == pytest.approx(np.sqrt(signal / 400), rel=0.02)


def test_four_times_the_dose_halves_the_noise(chain, rng):
    dear = replace(chain, quanta_per_mm2=6400.0)
    assert noise(chain, 1.0, rng) / noise(dear, 1.0, rng) == pytest.approx(2, rel=0.03)


def test_smaller_pixels_are_noisier(chain, rng):
    fine = replace(VIEW, mm_per_px=(0.25, 0.25))
    flat = np.ones(VIEW.shape, np.float32)
    assert (chain.noisy(flat, fine, rng) - 1).std() == pytest.approx(1 / np.sqrt(100), rel=0.02)


def test_electronic_noise_does_not_depend_on_the_signal(chain, rng):
    # 100 quanta of electronics on 400·0.25: √200 / 400.
    loud = replace(chain, electronic=100.0)
    assert noise(loud, 0.25, rng) == pytest.approx(np.sqrt(200) / 400, rel=0.02)


def test_noise_is_unbiased_and_signals_stay_positive(chain, rng):
    poor = replace(chain, quanta_per_mm2=40.0)
    noisy = poor.noisy(np.full(VIEW.shape, 0.05, np.float32), VIEW, rng)
    assert noisy.min() > 0
    assert chain.noisy(np.ones(VIEW.shape, np.float32), VIEW, rng).mean() == pytest.approx(1, abs=0.002)


def test_blurred_noise_makes_neighbours_alike(chain, rng):
    flat = np.ones(VIEW.shape, np.float32)
    white = chain.noisy(flat, VIEW, rng) - 1
    soft = replace(chain, noise_blur_px=0.55).noisy(flat, VIEW, rng) - 1

    def alike(picture):
        return float((picture[:, 1:] * picture[:, :-1]).mean() / picture.var())

    assert abs(alike(white)) < 0.02
    assert 0.2 < alike(soft) < 0.4


@pytest.mark.parametrize("reach", [2.5, 6.0])
def test_the_tail_of_the_noise_reaches_as_far_as_asked(chain, rng, reach):
    near_px, tail, lag = 0.8, 4.0, 6
    long = replace(chain, noise_blur_px=near_px, noise_tail=tail, noise_reach=reach)
    flat = np.ones(VIEW.shape, np.float32)
    grains = np.stack([long.noisy(flat, VIEW, rng) - 1 for _ in range(16)])

    def covariance(distance):
        """Of white noise under two Gaussians: each pair of them convolves to one of the sum of their variances."""
        pairs = ((1, 2 * near_px**2), (2 * tail, near_px**2 * (1 + reach**2)), (tail**2, 2 * (reach * near_px) ** 2))
        return sum(weight * np.exp(-(distance**2) / (2 * v)) / (2 * np.pi * v) for weight, v in pairs)

    found = (grains[:, :, lag:] * grains[:, :, :-lag]).mean() / grains.var()
    assert found == pytest.approx(covariance(lag) / covariance(0), abs=0.04)
    assert grains.std() == pytest.approx(np.sqrt(covariance(0) / 400), rel=0.06)


def test_scatter_takes_its_share_of_the_contrast(chain):
    # A wide shadow of one half below a narrow one: scatter fills in the narrow one by its share of the surroundings.
    primary = np.ones(VIEW.shape, np.float32)
    primary[:, 98:102] = 0.0
    light = np.ones(VIEW.shape, np.float32)
    seen = replace(chain, scatter=0.3, scatter_mm=40.0).image(primary, light, FIELD, VIEW)
    assert seen[100, 100] / seen[100, 20] == pytest.approx(0.3, abs=0.03)
    clear = chain.image(primary, light, FIELD, VIEW)
    assert clear[100, 100] == pytest.approx(0, abs=1e-6)


def test_blur_softens_edges_by_its_width_and_keeps_the_mean(chain):
    primary = np.ones(VIEW.shape, np.float32)
    primary[:, :100] = 0.2
    seen = replace(chain, blur_mm=1.0).image(primary, np.ones(VIEW.shape, np.float32), FIELD, VIEW)
    profile = (seen[100] - seen[100, 0]) / (seen[100, -1] - seen[100, 0])
    width = np.interp(0.9, profile, np.arange(200)) - np.interp(0.1, profile, np.arange(200))
    assert width == pytest.approx(2.563 * 2, rel=0.05)  # 10 to 90 % of a Gaussian edge: 2.563 σ; 1 mm are 2 px


def test_exposure_is_controlled_in_the_middle(chain, rng):
    primary = rng.uniform(0.2, 0.4, VIEW.shape).astype(np.float32)
    for dose in (1.0, 7.0):
        seen = chain.image(dose * primary, np.ones(VIEW.shape, np.float32), FIELD, VIEW)
        assert seen[70:130, 70:130].mean() == pytest.approx(1, abs=0.02)


def test_the_beam_falls_off_to_the_border_and_along_the_heel(chain):
    assert chain.profile(VIEW) == pytest.approx(1.0)
    round_ = replace(chain, vignetting=0.4, vignetting_power=2.0).profile(VIEW)
    assert round_[100, 100] == pytest.approx(1, abs=1e-3)
    assert round_[100, 0] == pytest.approx(0.6, abs=0.01)  # at half a height from the middle all of it is lost
    tilted = replace(chain, heel=0.2, heel_deg=90.0).profile(VIEW)
    assert tilted[100, 0] == pytest.approx(1.0, abs=0.01)
    assert tilted[100, -1] == pytest.approx(0.8, abs=0.01)


def test_a_room_is_drawn_from_its_domain(round_field, rng):
    for _ in range(20):
        chain = Chain.sample(rng, round_field, VIEW)
        low, _, high = round_field.beam.quanta_per_mm2
        assert low <= chain.quanta_per_mm2 <= high
        # Focal spots of 0.5 to 1 mm at 1.4: penumbra 0.14 to 0.29 mm, over √12; the detector 0.4 to 0.56 mm over 1.4.
        assert np.hypot(0.14 / 3.47, 0.28) < chain.blur_mm < np.hypot(0.29 / 3.46, 0.41)
