"""What a rule is: a pure function with a docstring in one fixed form, from which the documentation is generated.

The form: a first line ``R6: working size.`` (rule number of the reference, subject), then the four parts *Decides*,
*From*, *Because*, *Source*. The source ends with the evidence in brackets: E1 direct fluoroscopy evidence, E2 evidence
from another domain or a fact of code, E3 derived geometry or statistics, J judgement.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.planner.budget import Budget, Meter
from ercpseg.planner.families import Traits, traits_of

PARTS = ("Decides", "From", "Because", "Source")
_FIRST = re.compile(r"(R\d+): (.+)\.")
_EVIDENCE = re.compile(r"\[((?:E[123]|J)(?:/(?:E[123]|J))*)\]\.?$")


@dataclass(frozen=True)
class Context:
    """All that a rule may look at: the fingerprint, the budget, pins, and what was decided before it."""

    fingerprint: Fingerprint
    budget: Budget
    meter: Meter
    pins: Mapping[str, Any]
    decided: Mapping[str, Any]
    dataset_structures: tuple[str, ...] = ()
    """All of the dataset, where a person left only some to be learnt; the fingerprint then tells of these alone."""
    whole: Fingerprint | None = None
    """The fingerprint of all of them; None: the same."""

    def __getitem__(self, key: str) -> Any:
        """An earlier decision's value."""
        return self.decided[key]

    def pinned(self, key: str, otherwise: Any) -> Any:
        """What a person decided for ``key``, or ``otherwise``: for rules that decide several values at once."""
        return self.pins.get(key, otherwise)

    @property
    def few_shot(self) -> str | None:
        """The shipped weights that the plan is made for; None where it is not few-shot (R12)."""
        made_for: str | None = self.decided["transfer.made_for"]
        return made_for

    @property
    def scale(self) -> float:
        """Working / reference length."""
        return float(self["preparation.working_long_side_px"]) / self.fingerprint.reference_long_side_px

    @property
    def traits(self) -> dict[str, Traits]:
        """Families and sizes of every structure that is learnt, at working size."""
        return traits_of(self.fingerprint, self.scale)

    @property
    def data(self) -> Fingerprint:
        """All that was annotated, learnt or not: what the frames show does not change with what is learnt of them."""
        return self.fingerprint if self.whole is None else self.whole


@dataclass(frozen=True)
class Choice:
    """A value, the reason in one sentence with the numbers that decided, and these numbers.

    ``alternatives`` are the values that were considered and not taken, each with why not.
    """

    value: Any
    because: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    alternatives: Sequence[tuple[Any, str]] = ()


@dataclass(frozen=True)
class Advice:
    """What a rule returns: a choice per key, and what people should be warned of."""

    choices: Mapping[str, Choice] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleText:
    """A rule's docstring, taken apart."""

    number: str
    subject: str
    decides: str
    from_: str
    because: str
    source: str
    evidence: str


@dataclass(frozen=True)
class Rule:
    """A row of the rule table: the keys that the function decides, and the function."""

    keys: tuple[str, ...]
    decide: Callable[[Context], Advice]

    @property
    def text(self) -> RuleText:
        """The docstring of the function, taken apart."""
        return parse_text(inspect.getdoc(self.decide) or "")


def parse_text(docstring: str) -> RuleText:
    """Take a rule's docstring apart.

    Raises
    ------
    ValueError
        when it does not have the form that this module describes.
    """
    first, _, rest = docstring.partition("\n")
    head = _FIRST.fullmatch(first)
    pieces = re.split(rf"^({'|'.join(PARTS)}): ", rest, flags=re.MULTILINE)
    if head is None or tuple(pieces[1::2]) != PARTS or pieces[0].strip():
        raise ValueError(f"{first!r}: expected 'R<number>: <subject>.' and the parts {', '.join(PARTS)}")
    decides, from_, because, source = (" ".join(piece.split()) for piece in pieces[2::2])
    evidence = _EVIDENCE.search(source)
    if evidence is None:
        raise ValueError(f"{first!r}: the source ends without evidence such as [E2/J]")
    source = source[: evidence.start()].rstrip(" .;")
    return RuleText(head[1], head[2], decides, from_, because, source, evidence[1])


def percent(share: float, digits: int = 0) -> str:
    """A share as text for people.

    >>> percent(0.0047, 2)
    '0.47 %'
    """
    return f"{100 * share:.{digits}f} %"
