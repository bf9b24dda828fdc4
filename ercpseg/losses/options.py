"""What a plan may say about each term of a loss, without torch, so that a mistake is refused at plan time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ercpseg.errors import DocumentError


@dataclass(frozen=True)
class Number:
    """A number of a term. ``default`` None: the plan must say it. ``per_head``: it may differ from head to head."""

    default: float | int | bool | None
    about: str
    low: float = 0.0
    high: float = 1e6
    per_head: bool = True

    def check(self, value: object, *, where: str) -> float | int | bool:
        """The value in the type of the default (a fraction where there is none).

        Raises
        ------
        DocumentError
            when its type is another, or it is out of range.
        """
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise DocumentError("not true or false", where=where, expected="true or false")
            return value
        whole = isinstance(self.default, int)
        said = f"{'a whole number' if whole else 'a number'} from {self.low:g} to {self.high:g}"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise DocumentError("not a number of the right kind", where=where, expected=said)
        if not self.low <= value <= self.high:
            raise DocumentError(f"{value} is out of range", where=where, expected=said)
        return int(value) if whole else float(value)


@dataclass(frozen=True)
class TermSpec:
    """Numbers of a term; ``full_only``: full resolution only; ``extra``: channel of the target that it reads."""

    numbers: Mapping[str, Number] = field(default_factory=dict)
    full_only: bool = False
    extra: str | None = None


SMOOTH = Number(1.0, "added above and below the fraction", 0.0, 1e4)
PER_IMAGE = Number(False, "one fraction per image instead of one over the batch", per_head=False)
FREQUENCY = Number(None, "share of the structure's pixels in the training frames", 1e-6, 0.999999)
GAMMA = Number(2.0, "focal power", 0.0, 8.0)
AREA = {"smooth": SMOOTH, "per_image": PER_IMAGE}
ITERATIONS = Number(5, "erosions; at least half the structure's width in px", 1, 64, per_head=False)
WEIGHT = Number(10.0, "weight of the structure against its complement", 1e-3, 1e4)
FN = Number(0.7, "weight of what is missed against what is extra", 0.0, 1.0)

TERMS: dict[str, TermSpec] = {
    "dice": TermSpec(AREA),
    "jaccard": TermSpec(AREA),
    "weighted-dice": TermSpec({"positive_weight": WEIGHT, **AREA}),
    "mean-dice": TermSpec({"positive_weight": WEIGHT, **AREA}),
    "pixel-weighted-dice": TermSpec({"positive_weight": WEIGHT, **AREA}),
    "tversky": TermSpec({"fn_weight": FN, **AREA}),
    "focal-tversky": TermSpec({"fn_weight": FN, "exponent": Number(0.75, "power of 1 − index", 0.1, 4.0), **AREA}),
    "cross-entropy": TermSpec(),
    "weighted-cross-entropy": TermSpec(
        {
            "positive_weight": Number(10.0, "weight of the structure's pixels", 1e-3, 1e4),
            "negative_weight": Number(1.0, "weight of the others", 0.0, 1e4),
            "normalise": Number(False, "divide by the mean weight", per_head=False),
        }
    ),
    "inverse-frequency": TermSpec({"frequency": FREQUENCY}),
    "class-balance": TermSpec({"frequency": FREQUENCY}),
    "area-prior": TermSpec({"frequency": FREQUENCY, "per_image": PER_IMAGE}),
    "focal": TermSpec(
        {
            "alpha": Number(100.0, "weight of the structure's pixels", 1e-3, 1e4),
            "gamma": Number(2.5, "focal power", 0.0, 8.0),
            "normalise": Number(True, "divide by the mean weight (R15); FRA-Net does not", per_head=False),
        }
    ),
    "categorical-focal": TermSpec({"alpha": Number(2.0, "weight of all pixels", 1e-3, 1e4), "gamma": GAMMA}),
    "balanced-focal": TermSpec(
        {"alpha": Number(0.25, "weight of the structure, 1 − α of the rest", 0, 1), "gamma": GAMMA}
    ),
    "unified-focal": TermSpec(
        {
            "weight": Number(0.5, "share of the region term", 0.0, 1.0),
            "delta": Number(0.6, "weight of what is missed", 0.0, 1.0),
            "gamma": Number(0.5, "focal power", 0.0, 1.0),
            **AREA,
        }
    ),
    "ghm-c": TermSpec(
        {
            "bins": Number(30, "parts of the gradient norm", 1, 256, per_head=False),
            "momentum": Number(0.75, "of the running counts; 0 = this batch alone", 0.0, 0.999, per_head=False),
        }
    ),
    "cldice": TermSpec({"iterations": ITERATIONS, **AREA}, full_only=True),
    "skeleton-recall": TermSpec(AREA, full_only=True, extra="tube"),
    "cc-dice": TermSpec({"smooth": Number(0.0, "added above and below the fraction", 0.0, 1e4)}, True, "regions"),
}
"""One entry per name in ``LOSSES``. Formulas and sources stand at the functions and in the documentation's table."""


class TermValues(Protocol):
    """How a plan names a term: ``weight`` and every number of ``params`` for all heads, or by head's name."""

    @property
    def name(self) -> str:
        """In ``LOSSES``."""

    @property
    def weight(self) -> float | Mapping[str, float]:
        """Factor; a head that is not named has 0."""

    @property
    def params(self) -> Mapping[str, Any]:
        """Numbers of :data:`TERMS`."""


@dataclass(frozen=True)
class Term:
    """A term by itself. ``begin``, ``full``: shares of the training between which its weight rises from 0 to full."""

    name: str
    weight: float | Mapping[str, float] = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)
    begin: float = 0.0
    full: float = 0.0


def by_head(value: object, heads: Sequence[str], number: Number, *, where: str) -> dict[str, float]:
    """A number for all heads, or one by head, as one per head.

    Raises
    ------
    DocumentError
        when a head is unknown or has none and there is no default, or a number is out of range.
    """
    if not isinstance(value, Mapping):
        return dict.fromkeys(heads, float(number.check(value, where=where)))
    for head in value:
        if head not in heads:
            raise DocumentError(f"no head called {str(head)[:64]!r}", where=where, expected=", ".join(heads))
    result = {}
    for head in heads:
        given = value.get(head, number.default)
        if given is None:
            raise DocumentError(f"no number for {head}", where=where, expected=f"one for each of {', '.join(heads)}")
        result[head] = float(number.check(given, where=f"{where}.{head}"))
    return result


def weights_of(term: TermValues, heads: Sequence[str]) -> dict[str, float]:
    """The factor of a term at every head.

    Raises
    ------
    DocumentError
        when a head is unknown, or a factor is no number from 0 to 1000.
    """
    return by_head(term.weight, heads, Number(0.0, "factor", 0.0, 1e3), where=f"loss.terms.{term.name[:64]}.weight")


def check_term(term: TermValues, heads: Sequence[str], *, key: str = "loss.terms") -> dict[str, Any]:
    """Every number of a term, those per head as a mapping from the heads at which its weight is not 0.

    ``key``: the decision that errors name.

    Raises
    ------
    DocumentError
        with the key and the choices, when something is unknown, missing or out of range.
    """
    if term.name not in TERMS:
        raise DocumentError(f"no loss called {term.name[:64]!r}", where=key, expected=f"one of {', '.join(TERMS)}")
    where, numbers = f"{key}.{term.name}", TERMS[term.name].numbers
    used = [head for head, weight in weights_of(term, heads).items() if weight]
    begin, full = getattr(term, "begin", 0.0), getattr(term, "full", 0.0)
    if not 0 <= begin <= 1 or not 0 <= full <= 1:
        raise DocumentError(f"{begin} to {full} are no shares of the training", where=where, expected="0 to 1")
    for name in term.params:
        if name not in numbers:
            raise DocumentError(
                f"{term.name} has no number {str(name)[:64]!r}", where=where, expected=", ".join(numbers) or "none"
            )
    result: dict[str, Any] = {}
    for name, number in numbers.items():
        value = term.params.get(name, number.default)
        if value is None:
            raise DocumentError(f"{term.name} needs {name}", where=f"{where}.{name}", expected=number.about)
        if number.per_head:
            if isinstance(value, Mapping):  # heads that the term does not see may be named too
                by_head(value, heads, Number(number.low, "", number.low, number.high), where=f"{where}.{name}")
                value = {head: v for head, v in value.items() if head in used}
            result[name] = by_head(value, used, number, where=f"{where}.{name}")
        else:
            result[name] = number.check(value, where=f"{where}.{name}")
    return result


def extra_channels(terms: Iterable[TermValues], heads: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Heads whose tubed skeletons, and heads whose component regions, the loader should put behind the target's heads."""
    wanted: dict[str, set[str]] = {"tube": set(), "regions": set()}
    for term in terms:
        extra = TERMS[term.name].extra if term.name in TERMS else None
        if extra:
            wanted[extra] |= {head for head, weight in weights_of(term, heads).items() if weight}
    return tuple(h for h in heads if h in wanted["tube"]), tuple(h for h in heads if h in wanted["regions"])
