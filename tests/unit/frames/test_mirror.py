"""The mean over mirror images, by hand."""

from __future__ import annotations

import torch

from ercpseg.frames.mirror import flips, mean_of_flips


def test_all_combinations_of_the_axes() -> None:
    assert flips(()) == [()]
    assert flips((1,)) == [(), (3,)]
    assert set(flips((0, 1))) == {(), (2,), (3,), (2, 3)}


def test_what_depends_on_the_place_is_averaged_where_it_belongs() -> None:
    """A network that adds the column's number: mirrored and turned back it adds 2 − x, so the mean adds 1."""
    columns = torch.tensor([0.0, 1.0, 2.0])
    batch = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert torch.equal(mean_of_flips(batch, lambda b: b + columns, flips((1,))), batch + 1)
    assert torch.equal(mean_of_flips(batch, lambda b: b + columns, flips(())), batch + columns)
