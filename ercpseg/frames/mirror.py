"""Test-time mirroring: the mean of the logits of a batch and of its mirror images, the same in validation and prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ercpseg.frames.arrays import Array, flipped

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


def mean_of_flips(batch: Array, forward: Callable[[Array], Array], wanted: Sequence[Flip]) -> Array:
    """(n, c, y, x) → mean logits (n, heads, y, x) of ``forward`` over ``wanted`` of :func:`flips`, one pass after the other."""
    total = forward(batch)  # the first one is no flip
    if len(wanted) == 1:
        return total
    for number, flip in enumerate(wanted[1:]):
        turned = flipped(forward(flipped(batch, flip)), flip)
        if number:
            total += turned
        else:
            total = total + turned  # a new array: what forward gave may be the batch itself
    total /= len(wanted)
    return total
