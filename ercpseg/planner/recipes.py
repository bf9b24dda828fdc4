"""Recipes by name or file, with their parents folded in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ercpseg.documents.recipe import Recipe, merged
from ercpseg.errors import DocumentError, UsageError
from ercpseg.planner.pins import check_pins
from ercpseg.storage import documents
from ercpseg.storage.resources import find_resource

EVERY = "*"
MAX_DEPTH = 2
"""A recipe may extend one that extends another; deeper chains nobody can read."""


def load_recipe(name_or_file: str | Path) -> Recipe:
    """The recipe called so in ``plans/``, or in this file, with the values of those that it extends.

    ``name:variant`` is a recipe with the values of one of its variants. A child's ``set`` wins over its parent's, and ``auto``
    takes a parent's pin back. Citations, deviations and unknowns add up; claims and variants are the child's own.

    Raises
    ------
    UsageError
        when there is no such recipe, a key is unknown, or text stands where a number belongs.
    DocumentError
        when a file is no recipe, there is no such variant, or recipes extend each other in a circle or too deeply.
    """
    name, variant = split_variant(str(name_or_file))
    path = find_resource("plans", name)
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
    whole = chain[-1]
    for child in reversed(chain[:-1]):
        whole = _extend(whole, child)
    return whole if variant is None else whole.variant(variant)


def split_variant(text: str) -> tuple[str, str | None]:
    """Recipe and variant of ``recipe:variant``; a recipe alone has none.

    >>> split_variant("fra-net:ghm-c"), split_variant("mine.yaml")
    (('fra-net', 'ghm-c'), ('mine.yaml', None))
    """
    name, colon, variant = text.rpartition(":")
    return (name, variant) if colon and name else (text, None)


def expand(names: Iterable[str]) -> list[str]:
    """Every ``recipe:*`` as all variants of that recipe, in their order; ``recipe:layers-*`` as those that begin so.

    Raises
    ------
    UsageError
        as :func:`load_recipe`, or when a recipe has no such variants.
    """
    result: list[str] = []
    for name in names:
        base, variant = split_variant(name)
        if variant is None or not variant.endswith(EVERY):
            result.append(name)
            continue
        variants = load_recipe(base).variants
        if not variants:
            raise UsageError(f"recipe {base[:64]} has no variants", where=name[:80], todo="leave :* out")
        found = [one for one in variants if one.startswith(variant.removesuffix(EVERY))]
        if not found:
            raise UsageError(
                f"no variant of {base[:64]} begins with {variant[:-1][:40]!r}",
                where=name[:80],
                expected=", ".join(variants),
            )
        result += [f"{base}:{one}" for one in found]
    return result


def _load(path: Path) -> Recipe:
    recipe = documents.load(path, Recipe)
    for pins in (recipe.set, *recipe.variants.values()):
        check_pins({key: value for key, value in pins.items() if value != "auto"}, where=path)
    return recipe


def _find_parent(name: str, child: Path) -> Path:
    """A file beside the child comes first, then the names that are shipped."""
    beside = child.parent / f"{name}.yaml"
    # Only a plain name may point beside the child: a recipe must not reach into other folders.
    return beside if Path(name).name == name and beside.is_file() else find_resource("plans", name)


def _extend(parent: Recipe, child: Recipe) -> Recipe:
    return child.model_copy(
        update={
            "set": merged(parent.set, child.set),
            "cites": tuple(dict.fromkeys((*parent.cites, *child.cites))),
            "deviations": (*parent.deviations, *child.deviations),
            "unknown": (*parent.unknown, *child.unknown),
        }
    )
