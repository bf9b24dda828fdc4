"""Scenes that several tests look at, drawn once."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.scene.moment import Moment, moment
from ercpseg.synthesis.scene.patient import Patient
from ercpseg.synthesis.scene.render import Drawn, draw_moment
from ercpseg.synthesis.scene.view import View

HEIGHT = 320


def changed(domain: Domain, **sections: dict[str, object]) -> Domain:
    """A domain with other numbers, checked like a file."""
    data = domain.model_dump(by_alias=True)
    for section, numbers in sections.items():
        data[section].update(numbers)
    return Domain.model_validate(data)


@pytest.fixture(scope="session")
def round_field() -> Domain:
    return find_domain("round-field")


@pytest.fixture(scope="session")
def busy(round_field) -> Domain:
    """Contrast, stones and a bare wire in every frame."""
    return changed(
        round_field,
        duct={"present": 1.0, "partial": 0.3},
        stone={"present": 1.0},
        wire={"present": 1.0, "second": 0.2},
        scope={"absent": 0.0},
    )


@pytest.fixture(scope="session")
def scenes(busy) -> list[tuple[Moment, Drawn]]:
    """A moment of each of twenty patients, without anatomy."""
    found = []
    for number in range(20):
        now = moment(Patient.sample(busy, 3, number, HEIGHT, bare=True), 0)
        found.append((now, draw_moment(now)))
    return found


@pytest.fixture
def view() -> View:
    """100 × 80 px of 0.5 mm, straight, 800 mm from the focus."""
    return View((100, 80), (0.5, 0.5), 0.0, False, (0.0, 0.0), 1.4, 800.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
