"""What all documents share: frozen, versioned by a schema tag, unknown keys refused, every problem reported."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ercpseg.errors import DocumentError


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("Input should be a finite number")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        _finite(item)
    return value


Plain = Annotated[Any, AfterValidator(_finite)]
"""Any plain value; the numbers in it are finite (pydantic does not look into ``Any``, and would write NaN as null)."""


class Part(BaseModel):
    """A piece of a document: frozen, unknown keys refused, only finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Document(Part):
    """A file-sized piece of knowledge. Subclasses set ``SCHEMA``, for example ``ercpseg.plan/1``."""

    SCHEMA: ClassVar[str]
    schema_: str = Field(alias="schema")

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @classmethod
    def new(cls, **values: Any) -> Self:
        """Build the document with its current schema tag."""
        return cls.model_validate({"schema": cls.SCHEMA, **values})

    @classmethod
    def parse(cls, data: Any, *, where: object = None) -> Self:
        """Validate plain data.

        Raises
        ------
        DocumentError
            with every problem and the key it sits at, not only the first.
        """
        if not isinstance(data, dict):
            raise DocumentError(f"holds {type(data).__name__}", where=where, expected="a mapping of keys to values")
        tag = data.get("schema")
        if tag != cls.SCHEMA:
            raise DocumentError(
                f"schema is {str(tag)[:64]!r}",
                where=where,
                expected=repr(cls.SCHEMA),
                todo="a newer ercpseg may have written it, or it is another kind of document",
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            problems = [f"{'.'.join(str(p) for p in e['loc']) or '(top)'}: {e['msg']}" for e in error.errors()]
            raise DocumentError(f"{len(problems)} problem(s): " + "; ".join(problems), where=where) from error

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, one trailing newline; equal documents give equal text."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True, indent=1, allow_nan=False) + "\n"

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
