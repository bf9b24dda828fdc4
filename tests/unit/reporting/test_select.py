"""Which frames the report shows."""

from __future__ import annotations

import pytest

from ercpseg.reporting.select import best_median_worst


def rows(samples, values: dict[str, float | None], **counts: int) -> list:
    return [samples.frame_score(name, "cbd", value, **counts) for name, value in values.items()]


def test_best_median_and_worst(samples) -> None:
    found = best_median_worst(rows(samples, {"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.6, "e": 0.3}), "cbd")
    assert found == {"best": "b", "median": "a", "worst": "c"}


def test_an_even_number_takes_the_better_middle(samples) -> None:
    found = best_median_worst(rows(samples, {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}), "cbd")
    assert found["median"] == "c"


def test_distances_are_better_when_small_and_undefined_is_worst(samples) -> None:
    values = {"a": 3.0, "b": 1.0, "c": None, "d": 9.0, "e": 5.0}
    assert best_median_worst(rows(samples, values), "cbd", "hd95_px") == {"best": "b", "median": "e", "worst": "c"}


def test_ties_go_by_name_whatever_the_order(samples) -> None:
    data = rows(samples, dict.fromkeys("dbac", 0.5))
    assert best_median_worst(data, "cbd") == best_median_worst(data[::-1], "cbd")
    assert best_median_worst(data, "cbd") == {"best": "a", "median": "b", "worst": "d"}


def test_only_frames_whose_reference_shows_the_structure(samples) -> None:
    data = rows(samples, {"a": 0.5}) + rows(samples, {"b": 0.0, "c": 1.0}, reference_px=0)
    data += [samples.frame_score("z", "stone", 1.0)]
    assert best_median_worst(data, "cbd") == {"best": "a"}
    assert best_median_worst(data, "guidewire") == {}
    assert best_median_worst(data + rows(samples, {"d": 0.2}), "cbd") == {"best": "a", "worst": "d"}


def test_an_unknown_metric_is_named(samples) -> None:
    with pytest.raises(ValueError, match="beauty"):
        best_median_worst([], "cbd", "beauty")
