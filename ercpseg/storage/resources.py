"""Finds the recipes, descriptors and weights that come with the package, installed or in a checkout."""

from __future__ import annotations

from pathlib import Path

from ercpseg.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent.parent


def resource_folder(kind: str) -> Path:
    """The folder ``plans``, ``datasets`` or ``models``: inside the installed package, else at the top of the checkout."""
    installed = _PACKAGE / f"_{kind}"
    checkout = _PACKAGE.parent / kind
    # Beside an installed package a folder of that name belongs to somebody else.
    return checkout if not installed.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file() else installed


def resource_names(kind: str) -> list[str]:
    """Names of the YAML files of ``kind``, without suffix."""
    return sorted(path.stem for path in resource_folder(kind).glob("*.yaml"))


def shipped_models() -> dict[str, Path]:
    """The model folders that come with the package, by name."""
    return {path.parent.name: path.parent for path in sorted(resource_folder("models").glob("*/model.json"))}


def find_resource(kind: str, name: str) -> Path:
    """The path of the YAML called ``name``, or of the file that ``name`` is.

    Raises
    ------
    UsageError
        when there is neither; lists the names there are.
    """
    if name in resource_names(kind):
        return resource_folder(kind) / f"{name}.yaml"
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    what = {"plans": "recipe", "datasets": "dataset descriptor"}[kind]
    raise UsageError(
        f"no {what} called {name[:64]!r}",
        expected=f"a YAML file or one of {', '.join(resource_names(kind)) or '(none)'}",
    )
