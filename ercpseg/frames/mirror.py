"""Test-time mirroring: the mean of the logits of a batch and of its mirror images, the same in validation and prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Flip = tuple[int, ...]


def flips(axes: Sequence[int]) -> list[Flip]:
    """All combinations of mirrored image axes (0 = y, 1 = x), as dimensions of (n, c, y, x); the first mirrors nothing.

    >>> flips((0, 1))
    [(), (2,), (3,), (2, 3)]
    """
    result: list[Flip] = [()]
    for axis in axes:
        result += [(*flip, axis + 2) for flip in result]
    return result


def mean_of_flips(
    batch: torch.Tensor, forward: Callable[[torch.Tensor], torch.Tensor], wanted: Sequence[Flip]
) -> torch.Tensor:
    """(n, c, y, x) → mean logits (n, heads, y, x) of ``forward`` over ``wanted`` of :func:`flips`, one pass after the other."""
    if len(wanted) == 1:
        return forward(batch)
    total = forward(batch).clone()  # the first one is no flip
    for flip in wanted[1:]:
        total += forward(batch.flip(flip)).flip(flip)
    return total / len(wanted)
