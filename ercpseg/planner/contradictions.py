"""Where what a person pinned contradicts the data, or another decision: found and explained, never silently resolved.

A pin is taken as it is; what speaks against it becomes a warning of the plan. Each check is a function that yields the keys
it looked at and a sentence; it counts only where at least one of the keys was pinned, since rules know the data. What
cannot work at all is refused by :func:`ercpseg.planner.plan.check_values` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from ercpseg.planner import checks_frames, checks_learning
from ercpseg.planner.checks import Case, Found

CHECKS: tuple[Callable[[Case], Found], ...] = (
    checks_frames.working_size,
    checks_frames.filters,
    checks_frames.polarity,
    checks_frames.field,
    checks_frames.normalisation,
    checks_frames.input_frames,
    checks_frames.dilation,
    checks_frames.mirroring,
    checks_frames.copies,
    checks_frames.elastic,
    checks_frames.blur,
    checks_learning.levels,
    checks_learning.silent_heads,
    checks_learning.skeletons,
    checks_learning.sampling,
    checks_learning.postprocess,
    checks_learning.folds,
    checks_learning.budgets,
    checks_learning.pretraining,
)
"""In the order in which they are told."""


def contradictions(case: Case, pinned: Set[str]) -> tuple[str, ...]:
    """One sentence for each, in a fixed order."""
    found = (item for check in CHECKS for item in check(case))
    return tuple(
        f"Contradiction ({', '.join(k for k in keys if k in pinned)} pinned): {said}"
        for keys, said in found
        if pinned & set(keys)
    )
