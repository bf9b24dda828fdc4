from __future__ import annotations

from ercpseg.planner.families import traits_of
from tests.golden.planner.generate import chest_like, ercp_like, fingerprint, martin_like, spread, structure


def test_the_default_structures_are_what_their_names_say() -> None:
    traits = traits_of(ercp_like(), 1.0)
    assert traits["endoscope"].families == ("large", "tubular")
    assert traits["guidewire"].families == ("tubular", "thin", "tiny")
    assert traits["cbd"].families == ("large", "tubular")
    assert traits["stone"].families == ("tiny", "multi")


def test_lengths_are_in_working_pixels() -> None:
    wire = traits_of(martin_like(), 0.5)["guidewire"]
    assert (wire.width10_px, wire.width50_px) == (3.0, 3.4)
    assert (wire.length05_px, wire.area05_px) == (140.0, 375.0)


def test_many_round_pieces_are_no_line() -> None:
    # Ten discs whose skeletons add up to 10 widths, each one width long.
    stones = structure(0.01, spread(10.0), 100.0, 80.0, components=10.0)
    assert traits_of(fingerprint({"stone": stones}), 1.0)["stone"].families == ("tiny", "multi")


def test_a_structure_that_is_never_shown_has_no_family() -> None:
    drain = traits_of(chest_like(), 1.0)["drain"]
    assert drain.families == ()
    assert not drain.shown


def test_tiny_depends_on_the_shorter_side() -> None:
    # √a₅₀ = 40 px; 5 % of 1024 is 51 px, of the shorter side of 1024 × 512 only 26 px.
    blob = structure(0.03, spread(30.0), 30.0, 800.0)
    square = traits_of(fingerprint({"blob": blob}), 1.0)["blob"]
    wide = traits_of(fingerprint({"blob": blob}, aspect=spread(2.0)), 1.0)["blob"]
    assert square.is_("tiny")
    assert not wide.is_("tiny")
