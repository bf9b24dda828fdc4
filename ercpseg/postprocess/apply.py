"""Apply the steps that a plan names to the masks of a frame."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

from ercpseg.documents.plan import PostprocessStep
from ercpseg.errors import DocumentError
from ercpseg.postprocess.steps import LIMITS, STEPS
from ercpseg.structures import Mask


def apply_steps(masks: Mapping[str, Mask], steps: Mapping[str, Sequence[PostprocessStep]]) -> dict[str, Mask]:
    """Run each structure's steps in order.

    Parameters
    ----------
    masks
        bool (y, x) by structure; left as they are.
    steps
        steps by structure; a structure without steps keeps its mask, steps of a structure that has no mask are
        checked but not run.

    Raises
    ------
    DocumentError
        when a step or one of its numbers is unknown, missing or out of range; every problem is named, before anything
        is computed.
    """
    check_steps(steps)
    result = {}
    for structure, mask in masks.items():
        for step in steps.get(structure, ()):
            mask = STEPS[step.name](mask, **step.params)
        result[structure] = mask
    return result


def check_steps(steps: Mapping[str, Sequence[PostprocessStep]]) -> None:
    """Raise DocumentError unless every step can be run; see :func:`apply_steps`."""
    problems = [
        f"{structure}, step {position} {step.name!r}: {problem}"
        for structure, chain in steps.items()
        for position, step in enumerate(chain, start=1)
        for problem in _problems(step)
    ]
    if problems:
        raise DocumentError("; ".join(problems), where="postprocess.steps")


def _problems(step: PostprocessStep) -> list[str]:
    if step.name not in STEPS:
        return [f"no such step; choose from {', '.join(sorted(STEPS))}"]
    numbers = {
        name: parameter
        for name, parameter in inspect.signature(STEPS[step.name]).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    choices = ", ".join(numbers) or "none"
    problems = [f"no number is called {name!r}; expected {choices}" for name in step.params if name not in numbers]
    problems += [
        f"{name} is missing"
        for name, parameter in numbers.items()
        if parameter.default is inspect.Parameter.empty and name not in step.params
    ]
    for name, value in step.params.items():
        low, high = LIMITS.get(name, (float("-inf"), float("inf")))
        if not low <= value <= high:
            problems.append(f"{name} is {value:g}; expected {low:g} to {high:g}")
    return problems
