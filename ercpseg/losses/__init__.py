"""Losses: formulas as functions, and the module that adds them up as the plan says. ``LOSSES`` maps a name to a builder.

A term is called with logits (n, h, y, x) and the target alike and gives one loss per head (h,). Numbers that a plan may
set are listed in :mod:`ercpseg.losses.options`, formulas with their sources in the documentation's table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ercpseg.losses.options import TERMS, Term, check_term, weights_of

if TYPE_CHECKING:
    from torch import nn


def _build(name: str, *, heads: Sequence[str], weight: float | Mapping[str, float] = 1.0, **params: Any) -> nn.Module:
    """The term for the heads at which its weight is not 0, its numbers checked.

    Raises
    ------
    DocumentError
        when a number is unknown, missing or out of range.
    """
    from ercpseg.losses.terms import build_term

    term = Term(name, weight, params)
    numbers = check_term(term, heads)
    return build_term(name, [head for head, factor in weights_of(term, heads).items() if factor], numbers)


LOSSES: dict[str, Callable[..., nn.Module]] = {name: partial(_build, name) for name in TERMS}
"""Every term; a builder takes ``heads``, optionally ``weight`` (0 leaves a head out), and the numbers of its entry in
:data:`ercpseg.losses.options.TERMS`, each for all heads or by head's name."""
