"""Domains: what there is, and what is refused with its name and range."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from ercpseg.errors import DocumentError, UsageError
from ercpseg.synthesis.catalogue import FOLDER, domain_names, find_domain
from ercpseg.synthesis.domain import Domain
from ercpseg.synthesis.parameters import Section, bounds, draw, happens

HEAD = "schema: ercpseg.domain/1\nname: mine\ntitle: Mine\n"


def refused(tmp_path, text, head=HEAD):
    path = tmp_path / "mine.yaml"
    path.write_text(head + text)
    with pytest.raises((DocumentError, UsageError)) as caught:
        find_domain(str(path))
    return str(caught.value)


def test_these_come_with_the_package():
    assert domain_names() == ["any-room", "phantom-simple", "portrait-spot", "round-field", "saint-antoine", "shiraz"]
    for name in domain_names():
        domain = find_domain(name)
        assert domain.name == name
        assert domain.title


def test_a_file_of_ones_own_is_a_domain(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + "beam: {quanta_per_mm2: [900]}\n")
    domain = find_domain(str(path))
    assert domain.beam.quanta_per_mm2 == (900.0,)
    assert domain.duct == find_domain("round-field").duct


def test_an_unknown_name_lists_the_names():
    with pytest.raises(UsageError, match="phantom-simple, portrait-spot, round-field"):
        find_domain("rond-field")


@pytest.mark.parametrize(
    ("text", "parameter", "allowed"),
    [
        ("beam: {quanta_per_mm2: [-100]}", "quanta_per_mm2", "50 to"),
        ("beam: {scatter: [0.1, 1.5]}", "scatter", "0 to 0.9"),
        ("duct: {cbd_mm: [60]}", "cbd_mm", "1 to 40"),
        ("duct: {present: 1.5}", "present", "0 to 1"),
        ("frame: {height_px: 16}", "height_px", "64 to 4096"),
        ("frame: {bits: 16}", "bits", "8 to 12"),
        ("wire: {tip_mm: [50, 20]}", "tip_mm", "ascending"),
        ("wire: {tip_mm: [10, 20, 30, 40]}", "tip_mm", "one, two or three"),
        ("wire: {diameters_mm: [9.0]}", "diameters_mm", "0.2 to 2"),
        ("wire: {diameters_mm: []}", "diameters_mm", "0.2 to 2"),
        ("view: {height_mm: [80]}\nduct: {cbd_mm: [30]}", "duct.cbd_mm", "at most 20 mm, in a field of 80 mm"),
        ("view: {height_mm: [70]}\nduct: {cbd_mm: [8], length_mm: [62, 95]}", "duct.length_mm", "at most 70 mm"),
        ("stone: {diameter_mm: [39]}\nduct: {cbd_mm: [8]}", "stone.diameter_mm", "at most 16 mm, twice"),
        ("duct: {length_mm: [40, 50], gap_mm: [3, 45]}", "duct.gap_mm", "at most 40 mm, the shortest duct"),
        ("beam: {dose: 3}", "dose", ""),
    ],
)
def test_impossible_parameters_are_refused_by_name_and_range(tmp_path, text, parameter, allowed):
    message = refused(tmp_path, text)
    assert parameter in message
    assert allowed in message


def test_a_name_is_no_path(tmp_path):
    # It becomes part of file names.
    assert "name" in refused(tmp_path, "", HEAD.replace("name: mine", "name: ../evil"))


def test_every_parameter_has_a_source_and_keeps_its_own_bounds():
    for section in Domain.model_fields.values():
        kind = section.annotation
        if not (isinstance(kind, type) and issubclass(kind, Section)):
            continue
        for name, field in kind.model_fields.items():
            if bounds(field) is None:
                continue
            low, high = bounds(field)
            assert low < high
            assert field.description, f"{kind.__name__}.{name}"
            value = field.default if isinstance(field.default, tuple) else (field.default,)
            assert all(low <= v <= high for v in value)


def test_domain_files_say_only_what_differs():
    for path in FOLDER.glob("*.yaml"):
        data = yaml.safe_load(path.read_text())
        for section, numbers in data.items():
            if not isinstance(numbers, dict):
                continue
            default = getattr(Domain.model_fields[section].default, "model_dump", dict)()
            for name, value in numbers.items():
                given = tuple(value) if isinstance(value, list) else value
                assert given != default.get(name), f"{path.name}: {section}.{name}"


def test_spreads_keep_their_shape(rng):
    assert draw(rng, (3.0,)) == 3.0
    flat = np.array([draw(rng, (2.0, 6.0)) for _ in range(4000)])
    assert flat.min() >= 2
    assert flat.max() <= 6
    assert flat.mean() == pytest.approx(4, abs=0.1)
    peaked = np.array([draw(rng, (0.0, 1.0, 5.0)) for _ in range(4000)])
    assert peaked.mean() == pytest.approx((0 + 1 + 5) / 3, abs=0.1)  # of a triangle
    assert (peaked < 1).mean() == pytest.approx(1 / 5, abs=0.03)


def test_a_fixed_number_shifts_no_other_draw():
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    draw(one, (1.0,))
    draw(other, (0.0, 0.5, 9.0))
    assert one.random() == other.random()


def test_chances_are_shares(rng):
    assert not any(happens(rng, 0.0) for _ in range(100))
    assert all(happens(rng, 1.0) for _ in range(100))
    assert np.mean([happens(rng, 0.3) for _ in range(4000)]) == pytest.approx(0.3, abs=0.03)
