"""``frequency: auto`` in a term of the loss: the share of pixels that the training frames show, for recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ercpseg.planner.families import Traits
from ercpseg.structures import PARENTS

AUTO, KEY = "auto", "frequency"
TERM_KEYS = ("loss.terms", "transfer.pretrain_terms")
"""Decisions that are terms of a loss."""
LEAST = 1e-6
"""What is never shown has no share to divide by."""


def with_frequencies(terms: Sequence[Any], traits: Mapping[str, Traits], heads: Sequence[str]) -> list[Any]:
    """The terms with every ``frequency: auto`` as one share per head.

    A structure's share is its median foreground share times the share of frames that show it; a parent's is the sum of its
    members', which counts what overlaps twice.
    """
    shares = {name: t.foreground_frac * t.presence_frac for name, t in traits.items()}
    found = {
        head: min(0.999999, max(LEAST, sum(shares.get(member, 0.0) for member in PARENTS.get(head, (head,)))))
        for head in heads
    }
    return [_replaced(term, {head: float(f"{share:.4g}") for head, share in found.items()}) for term in terms]


def without_auto(terms: Any) -> Any:
    """The terms with a number in place of ``auto``, so that the rest of them can be checked."""
    return [_replaced(term, 0.01) for term in terms] if isinstance(terms, list | tuple) else terms


def _replaced(term: Any, value: Any) -> Any:
    params = term.get("params") if isinstance(term, Mapping) else None
    if not isinstance(params, Mapping) or params.get(KEY) != AUTO:
        return term
    return {**term, "params": {**params, KEY: value}}
