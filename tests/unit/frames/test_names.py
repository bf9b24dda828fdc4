"""A set of names in few bytes behaves as a set."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from ercpseg.frames import names as module
from ercpseg.frames.names import RECENT, Names


@given(st.lists(st.text(max_size=3)), st.lists(st.text(max_size=3)))
def test_it_is_a_set(added: list[str], others: list[str]) -> None:
    names, expected = Names(), set(added)
    for name in added:
        names.add(name)
    assert [name in names for name in added + others] == [name in expected for name in added + others]


def test_names_that_are_sorted_in_are_found_among_many() -> None:
    names = Names()
    for number in range(5 * RECENT + 3):
        assert f"f{number}" not in names
        names.add(f"f{number}")
        names.add(f"f{number}")
    assert all(f"f{number}" in names for number in range(5 * RECENT + 3))
    assert not any(f"g{number}" in names for number in range(1000))


def test_a_hash_that_ends_in_zeros_is_found_again(monkeypatch) -> None:
    digest = {"a": b"a" + bytes(15), "b": b"b" * 16, "c": bytes(16), "d": b"a" + bytes(14) + b"1"}
    monkeypatch.setattr(module, "_digest", digest.__getitem__)
    monkeypatch.setattr(module, "RECENT", 1)
    names = Names()
    for name in "abc":
        assert name not in names
        names.add(name)
    assert [name in names for name in "abcd"] == [True, True, True, False]


def test_bytes_per_name() -> None:
    names = Names()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(40 * RECENT):
        names.add(f"frame_{number}")
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown / (40 * RECENT) < 20
