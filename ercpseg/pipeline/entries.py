"""What a comparison is asked to compare: recipes, each with or without a model that its trainings begin from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ercpseg.documents.plan import Plan
from ercpseg.documents.recipe import Recipe
from ercpseg.errors import UsageError
from ercpseg.pipeline.apply import locate_model
from ercpseg.storage.models import StoredModel, load_model
from ercpseg.storage.workspace import Workspace, check_name

FROM = "@"
MAX_NAME = 50
"""Characters of a model's name before its hash."""


@dataclass(frozen=True)
class Start:
    """A model to begin from, under the name that it has in tables; ``given`` is what it was called."""

    name: str
    given: str
    model: StoredModel


@dataclass(frozen=True)
class Entry:
    """``given`` is the recipe as it was asked for, by name or file; ``start`` None: random weights."""

    given: str
    recipe: Recipe
    start: Start | None = None

    @property
    def name(self) -> str:
        """The recipe's name, after an @ the model's."""
        return self.recipe.name if self.start is None else f"{self.recipe.name}{FROM}{self.start.name}"


def read_entries(asked: Sequence[str], space: Workspace) -> list[Entry]:
    """``RECIPE`` or ``RECIPE@MODEL``, where ``recipe:*`` stands for all variants and a model is called as by ``--init-from``.

    Raises
    ------
    UsageError
        for fewer than two, one that is asked for twice, an unknown recipe or model.
    """
    from ercpseg.planner.recipes import expand, load_recipe

    found, models = [], dict[str, Start]()
    for text in asked:
        recipes, model = split_start(text)
        if model is not None and model not in models:
            models[model] = _start(model, space)
        start = None if model is None else models[model]
        found += [Entry(given, load_recipe(given), start) for given in expand([recipes])]
    found = [replace(entry, start=_told_apart(entry.start, models.values())) for entry in found]
    names = [entry.name for entry in found]
    if len(names) < 2 or len(set(names)) != len(names):
        what = ", ".join(names) or "no recipe"
        raise UsageError(f"{what[:100]} cannot be compared", where="--recipes", expected="two or more, each once")
    return found


def split_start(text: str) -> tuple[str, str | None]:
    """Recipe and model of ``recipe@model``; the first @ counts, and none in the name of a file that is there.

    >>> split_start("auto@light"), split_start("light-unet:layers-*"), split_start("auto@out/a@b.zip")
    (('auto', 'light'), ('light-unet:layers-*', None), ('auto', 'out/a@b.zip'))
    """
    recipe, at, model = text.partition(FROM)
    return (text, None) if not at or Path(text).is_file() else (recipe, model)


def check_fits(entry: Entry, made: Plan) -> None:
    """Refuse a model that an entry's plan cannot begin from, before anything is trained.

    Raises
    ------
    UsageError
        as ``train --init-from`` does.
    """
    if entry.start is None:
        return
    from ercpseg.nnunet.start import check_start

    try:
        check_start(entry.start.model, made)
    except UsageError as error:
        raise UsageError(
            error.what, where=f"--recipes {entry.name}", expected=error.expected, todo=error.todo
        ) from error


def warnings_about(entry: Entry, made: Plan) -> list[str]:
    """What a reader of the comparison should know of an entry's beginning."""
    if entry.start is None:
        return []
    from ercpseg.nnunet.start import warnings_of

    own = f"{entry.name} begins from a model, whose own training is not in its time."
    return [own, *(f"{entry.name}: {text}." for text in warnings_of(entry.start.model.planned, made))]


def _start(text: str, space: Workspace) -> Start:
    model = load_model(locate_model(text, space, where="--recipes"))
    try:
        return Start(check_name(Path(text).name.removesuffix(".zip")), text, model)
    except UsageError:  # a folder may be called anything
        return Start(f"model-{model.sha256[:8]}", text, model)


def _told_apart(start: Start | None, all_: Iterable[Start]) -> Start | None:
    """With the hash in its name, where another model is called the same."""
    if start is None or all(o.name != start.name or o.model.sha256 == start.model.sha256 for o in all_):
        return start
    return replace(start, name=f"{start.name[:MAX_NAME]}-{start.model.sha256[:8]}")
