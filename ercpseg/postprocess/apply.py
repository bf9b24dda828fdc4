"""Apply the steps that a plan names to the masks of a frame."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ercpseg.documents.plan import PostprocessStep
from ercpseg.errors import DocumentError
from ercpseg.geometry.crop import bounding_box
from ercpseg.postprocess.scene import Levels, Scene
from ercpseg.postprocess.steps import LIMITS, STEPS, Step
from ercpseg.structures import Mask

Chains = Mapping[str, Sequence[PostprocessStep]]
UNKNOWN = 0.5
"""Threshold of a structure that none is given for."""


def apply_steps(
    masks: Mapping[str, Mask],
    steps: Chains,
    *,
    levels: Mapping[str, Levels] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> dict[str, Mask]:
    """Run each structure's steps in order.

    Structures whose steps look at no other one come first, so that the others see finished masks: the endoscope before
    the wire that leaves it, the duct before its stones.

    Parameters
    ----------
    masks
        bool (y, x) by structure; left as they are. A structure that is not named is absent.
    steps
        steps by structure; a structure without steps keeps its mask, steps of a structure that has no mask are
        checked but not run.
    levels, thresholds
        probabilities (:mod:`ercpseg.postprocess.scene`) and thresholds of the structures whose steps look at them.

    Raises
    ------
    DocumentError
        when a step or one of its numbers is unknown, missing or out of range; every problem is named, before anything
        is computed.
    """
    check_steps(steps)
    result = dict(masks)
    for structure in in_order(masks, steps):
        mask = masks[structure]
        for step in steps.get(structure, ()):
            known = STEPS[step.name]
            if known.looks:
                scene = Scene(
                    levels=(levels or {}).get(structure),
                    threshold=(thresholds or {}).get(structure, UNKNOWN),
                    other=None if step.of is None else result.get(step.of),
                )
                mask = known.run(mask, scene, **step.params)
            elif known.within:
                mask = _in_box(known, mask, step.params)
            else:
                mask = known.run(mask, **step.params)
        result[structure] = mask
    return result


def _in_box(step: Step, mask: Mask, numbers: Mapping[str, float]) -> Mask:
    """Run a step on the box around the mask, with a rim of background: most structures fill a small part of a frame."""
    result, box = np.zeros_like(mask), bounding_box(mask, 1)
    if box is not None:
        result[box] = step.run(mask[box], **numbers)
    return result


def in_order(structures: Iterable[str], steps: Chains) -> list[str]:
    """Structures in the order in which their chains run: those that look at no other one first."""
    return sorted(structures, key=lambda name: any(step.of for step in steps.get(name, ())))


def reads_levels(chain: Sequence[PostprocessStep]) -> bool:
    """Whether a step of the chain looks at probabilities."""
    return any(step.name in STEPS and STEPS[step.name].levels for step in chain)


def check_steps(steps: Chains) -> None:
    """Raise DocumentError unless every step can be run; see :func:`apply_steps`."""
    problems = [
        f"{structure}, step {position} {step.name!r}: {problem}"
        for structure, chain in steps.items()
        for position, step in enumerate(chain, start=1)
        for problem in _problems(structure, step)
    ]
    if problems:
        raise DocumentError("; ".join(problems), where="postprocess.steps")


def _problems(structure: str, step: PostprocessStep) -> list[str]:
    if step.name not in STEPS:
        return [f"no such step; choose from {', '.join(sorted(STEPS))}"]
    known = STEPS[step.name]
    numbers = {
        name: parameter
        for name, parameter in inspect.signature(known.run).parameters.items()
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
    if known.other == "must" and step.of is None:
        problems.append("of is missing; expected another structure")
    if step.of is not None and (known.other == "never" or step.of == structure):
        problems.append(f"of is {step.of[:64]!r}; expected {'none' if known.other == 'never' else 'another structure'}")
    return problems
