"""What a parameter of the synthesiser is: a spread with bounds, a unit (in its name) and a source.

A *spread* is how a number varies: one number is fixed, two are the ends of a uniform distribution, three are the low
end, the mode and the high end of a triangular one. A *chance* is a probability.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from ercpseg.documents.base import Part

Spread = tuple[float, ...]
"""One, two or three ascending numbers; see :func:`draw`."""

BY_EYE = "chosen by eye"
MAX_KNOTS = 3


def spread(*numbers: float, low: float, high: float, source: str = BY_EYE) -> Any:
    """A field that takes a :data:`Spread` within ``low`` to ``high``; ``numbers`` are its default."""
    return Field(numbers, description=source, json_schema_extra={"low": low, "high": high})


def number(default: float, *, low: float, high: float, source: str = BY_EYE) -> Any:
    """A field that takes one number within ``low`` to ``high``."""
    return Field(default, description=source, json_schema_extra={"low": low, "high": high})


def chance(default: float, source: str = BY_EYE) -> Any:
    """A field that takes a probability."""
    return number(default, low=0, high=1, source=source)


def bounds(field: FieldInfo) -> tuple[float, float] | None:
    """The range that the numbers of a field must keep to, None where it has none."""
    extra = field.json_schema_extra
    if not isinstance(extra, dict) or "low" not in extra:
        return None
    return float(str(extra["low"])), float(str(extra["high"]))


class Section(Part):
    """A group of parameters; every number must lie within the bounds that its field states."""

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        for name, field in type(self).model_fields.items():
            limits = bounds(field)
            if limits is None:
                continue
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if isinstance(value, tuple) and not 1 <= len(value) <= MAX_KNOTS:
                raise ValueError(f"{name} has {len(value)} numbers; expected one, two or three")
            if any(not limits[0] <= v <= limits[1] for v in numbers):
                raise ValueError(f"{name} is {_text(value)}; expected {limits[0]:g} to {limits[1]:g}")
            if list(numbers) != sorted(numbers):
                raise ValueError(f"{name} is {_text(value)}; expected ascending numbers")
        return self


def _text(value: float | Spread) -> str:
    return f"{value:g}" if not isinstance(value, tuple) else "[" + ", ".join(f"{v:g}" for v in value) + "]"


def draw(rng: np.random.Generator, values: Spread) -> float:
    """A number of a spread. One random number is drawn in every case, so that a fixed value shifts nothing else.

    >>> draw(np.random.default_rng(0), (2.0,))
    2.0
    """
    u = float(rng.random())
    if len(values) == 1:
        return float(values[0])
    low, high = float(values[0]), float(values[-1])
    if len(values) == 2 or high == low:
        return low + u * (high - low)
    mode = float(values[1])
    split = (mode - low) / (high - low)  # the triangular distribution's quantile function
    if u < split:
        return low + float(np.sqrt(u * (high - low) * (mode - low)))
    return high - float(np.sqrt((1 - u) * (high - low) * (high - mode)))


def happens(rng: np.random.Generator, probability: float) -> bool:
    """True with ``probability``."""
    return bool(rng.random() < probability)
