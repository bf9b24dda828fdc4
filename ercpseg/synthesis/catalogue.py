"""Finds domains: those that come with the package, and YAML files of the user."""

from __future__ import annotations

from pathlib import Path

from ercpseg.errors import UsageError
from ercpseg.storage.documents import load
from ercpseg.synthesis.domain import Domain

FOLDER = Path(__file__).resolve().parent / "domains"
DEFAULT = "phantom-simple"


def domain_names() -> list[str]:
    """Names of the domains that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_domain(name: str) -> Domain:
    """The domain of that name, or the one in the YAML file that ``name`` is.

    Raises
    ------
    UsageError
        when there is neither; lists the names there are.
    DocumentError
        when a parameter is impossible; names it and its range.
    """
    if name in domain_names():
        return load(FOLDER / f"{name}.yaml", Domain)
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return load(path, Domain)
    names = ", ".join(domain_names())
    raise UsageError(f"no domain called {name[:64]!r}", where="domain", expected=f"a YAML file or one of {names}")
