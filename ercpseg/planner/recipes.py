"""Recipes by name or file, with their parents folded in."""

from __future__ import annotations

from pathlib import Path

from ercpseg.documents.recipe import Recipe
from ercpseg.errors import DocumentError
from ercpseg.planner.pins import check_pins
from ercpseg.storage import documents
from ercpseg.storage.resources import find_resource

MAX_DEPTH = 2
"""A recipe may extend one that extends another; deeper chains nobody can read."""


def load_recipe(name_or_file: str | Path) -> Recipe:
    """The recipe called so in ``plans/``, or in this file, with the values of those that it extends.

    A child's ``set`` wins over its parent's, and ``auto`` takes a parent's pin back. Citations, deviations and unknowns
    add up; claims are the child's own.

    Raises
    ------
    UsageError
        when there is no such recipe, a key is unknown, or text stands where a number belongs.
    DocumentError
        when a file is no recipe, or recipes extend each other in a circle or too deeply.
    """
    path = find_resource("plans", str(name_or_file))
    chain = [_load(path)]
    paths = [path.resolve()]
    while (parent := chain[-1].extends) is not None:
        path = _find_parent(parent, paths[-1])
        if path.resolve() in paths:
            raise DocumentError(
                f"{chain[-1].name!r} extends {parent[:64]!r}, which leads back to itself",
                where=paths[0],
                expected="no circle",
            )
        if len(chain) > MAX_DEPTH:
            raise DocumentError(
                f"more than {MAX_DEPTH} recipes are extended in a row", where=paths[0], expected=f"at most {MAX_DEPTH}"
            )
        chain.append(_load(path))
        paths.append(path.resolve())
    merged = chain[-1]
    for child in reversed(chain[:-1]):
        merged = _extend(merged, child)
    return merged


def _load(path: Path) -> Recipe:
    recipe = documents.load(path, Recipe)
    check_pins(recipe.pins, where=path)
    return recipe


def _find_parent(name: str, child: Path) -> Path:
    """A file beside the child comes first, then the names that are shipped."""
    beside = child.parent / f"{name}.yaml"
    # Only a plain name may point beside the child: a recipe must not reach into other folders.
    return beside if Path(name).name == name and beside.is_file() else find_resource("plans", name)


def _extend(parent: Recipe, child: Recipe) -> Recipe:
    # A child's value for a whole decision replaces what its parent says on single entries.
    kept = {key: value for key, value in parent.set.items() if key.rsplit(".", 1)[0] not in child.set}
    return child.model_copy(
        update={
            "set": kept | child.set,
            "cites": tuple(dict.fromkeys((*parent.cites, *child.cites))),
            "deviations": (*parent.deviations, *child.deviations),
            "unknown": (*parent.unknown, *child.unknown),
        }
    )
