"""``plans``: the recipes there are, what one pins, why a plan is as it is, and how two plans differ."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ercpseg import errors
from ercpseg.cli.console import say, table
from ercpseg.cli.options import WorkspaceOption

if TYPE_CHECKING:
    from ercpseg.documents.plan import Decision, Plan
    from ercpseg.documents.recipe import Recipe

ACTIONS = {"list": 0, "show": 1, "check": 1, "explain": 1, "diff": 2}
"""What can be done, and how many names it takes."""
FORMATS = {"explain": ("table", "json", "html"), "diff": ("table", "json")}
SHORT_SHA = 12


def plans(
    action: Annotated[
        str, typer.Argument(metavar="list|show|check|explain|diff", help="What to do; a recipe's name shows it.")
    ] = "list",
    first: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="show, check: a recipe's name or YAML file. explain, diff: a dataset of the workspace, a plan.json, a model "
            "folder or its zip.",
            show_default=False,
        ),
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="diff: the other plan.", show_default=False)
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", help="explain: table, json or html. diff: table or json. Default: table.", show_default=False
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", help="explain: one decision (patch.batch_size) or one section (patch).", show_default=False
        ),
    ] = None,
    workspace: WorkspaceOption = None,
) -> int:
    """Recipes and plans: list or show recipes, check a recipe file, explain a plan, or compare two.

    explain tells of each decision its value, the rule that made it and who could overrule it, the inputs with their values,
    the source with its grade of evidence, and what was not taken and why; html is a page that needs nothing else. diff
    tells which decisions of two plans differ, with the reasons on both sides, and which inputs changed; it ends with 0
    whether they differ or not.
    """
    if action not in ACTIONS and first is None:
        action, first = "show", action  # ercpseg plans light
    names = [name for name in (first, second) if name is not None]
    if action not in ACTIONS or len(names) != ACTIONS[action]:
        raise errors.UsageError(
            f"ercpseg plans {' '.join([action, *names])[:100]} cannot be done",
            expected="list, show RECIPE, check FILE, explain DATASET, or diff A B",
        )
    allowed = FORMATS.get(action, ("table",))
    if format_ is not None and format_ not in allowed:
        raise errors.UsageError(f"unknown format {format_[:16]!r}", where="--format", expected=" or ".join(allowed))
    if key is not None and action != "explain":
        raise errors.UsageError(f"{action} takes no --key", where="--key", expected="ercpseg plans explain")
    if action == "list":
        return _list()
    if action == "show":
        return _show(names[0])
    if action == "check":
        return _check(names[0])
    from ercpseg.pipeline.plans import find_plan
    from ercpseg.storage.workspace import Workspace

    space, wheres = Workspace.default(workspace), ("DATASET",) if action == "explain" else ("A", "B")
    found = [find_plan(name, space, where=where) for name, where in zip(names, wheres, strict=True)]
    if action == "explain":
        return _explain(found[0], key, format_ or "table")
    return _diff(names, found, format_ or "table")


def _list() -> int:
    from ercpseg.planner.recipes import load_recipe
    from ercpseg.storage.resources import resource_names

    recipes = [load_recipe(name) for name in resource_names("plans")]
    table(["recipe", "title", "variants"], [[r.name, r.title, str(len(r.variants) or "")] for r in recipes])
    say("more on one: ercpseg plans show RECIPE; on a plan that was made: ercpseg plans explain DATASET")
    return errors.EXIT_DONE


def _show(name: str) -> int:
    from ercpseg.planner.recipes import load_recipe

    recipe = load_recipe(name)
    say(f"{recipe.name}: {recipe.title}")
    for key, value in recipe.set.items():
        say(f"  {key} = {value}")
    for title, texts in (("cites", recipe.cites), ("deviates", recipe.deviations), ("unknown", recipe.unknown)):
        for text in texts:
            say(f"  {title}: {text}")
    for claim in recipe.claims:
        of = f", {recipe.name}:{claim.variant}" if claim.variant else ""
        say(f"  claimed: {claim.metric}: {claim.value} ({claim.dataset}{of})")
    for variant, values in recipe.variants.items():
        say(
            f"  variant {recipe.name}:{variant}: {', '.join(f'{k} = {v}' for k, v in values.items()) or 'nothing else'}"
        )
    return errors.EXIT_DONE


def _check(file: str) -> int:
    from ercpseg.planner.recipe_checks import check_recipe
    from ercpseg.planner.recipes import load_recipe

    recipe = load_recipe(file)
    for made in (recipe, *map(recipe.variant, recipe.variants)):
        check_recipe(made.pins, where=file if made is recipe else f"{file}, {made.name}")
    say(f"{recipe.name} is a recipe: {_pins(recipe)}")
    say(f"plan by it: ercpseg plan-and-preprocess DATASET --recipe {file}")
    return errors.EXIT_DONE


def _pins(recipe: Recipe) -> str:
    pins = len(recipe.pins)
    return f"it pins {pins} value{'' if pins == 1 else 's'} and leaves the others to the rules"


def _explain(plan: Plan, key: str | None, format_: str) -> int:
    from ercpseg.planner.explain import GRADES, decision_row, explanation, find_decisions

    decisions = find_decisions(plan, key)
    if format_ == "json":
        return _json(explanation(plan, decisions))
    if format_ == "html":
        from ercpseg.reporting.pages import render_plan

        _out(render_plan(plan.model_copy(update={"decisions": decisions})))
        return errors.EXIT_DONE
    columns = ["decision", "value", "rule", "because", "inputs", "not taken", "source"]
    title = f"Plan of {plan.dataset}, recipe {plan.recipe}"
    if len(decisions) == 1:
        table(["", decisions[0].key], _one(decisions[0]), title=title)
    else:
        rows = [decision_row(decision) for decision in decisions]
        table(columns, [[row[column] for column in columns] for row in rows], title=title)
    for warning in plan.warnings:
        say(f"warning: {warning}")
    say(GRADES)
    return errors.EXIT_DONE


def _one(decision: Decision) -> list[list[str]]:
    """One decision from top to bottom."""
    from ercpseg.planner.explain import decision_row, value_text

    row = decision_row(decision)
    lines = [["value", row["value"]], ["rule", row["rule"]], ["because", row["because"]]]
    lines += [["input", f"{name} = {value_text(value)}"] for name, value in decision.inputs.items()]
    lines += [["not taken", f"{value_text(a.value)}: {a.why}"] for a in decision.alternatives]
    return [*lines, ["source", row["source"]]]


def _diff(names: list[str], found: list[Plan], format_: str) -> int:
    from ercpseg.planner.diff import diff_json, diff_plans
    from ercpseg.planner.explain import value_text

    diff = diff_plans(*found)
    if format_ == "json":
        return _json({"a": names[0], "b": names[1], **diff_json(diff)})
    for name, pair in diff.head.items():
        say(f"{name.replace('_', ' ')}: {' → '.join(v[:SHORT_SHA] if 'sha256' in name else v for v in pair)}")

    def side(decision: Decision | None) -> list[str]:
        return ["–", "–"] if decision is None else [value_text(decision.value), _reason(decision)]

    if diff.decisions:
        headings = ["decision", f"A: {names[0]}", "because", f"B: {names[1]}", "because"]
        table(headings, [[c.key, *side(c.a), *side(c.b)] for c in diff.decisions], title="Decisions that differ")
    if diff.inputs:
        rows = [[i.name, value_text(i.a), value_text(i.b), ", ".join(i.read_by)] for i in diff.inputs]
        table(["input", "A", "B", "read by"], rows, title="Inputs that changed")
    for letter, only in zip("AB", diff.warnings, strict=True):
        for warning in only:
            say(f"warning of {letter} only: {warning}")
    total = len({decision.key for plan in found for decision in plan.decisions})
    say(f"{len(diff.decisions)} of {total} decisions differ")
    return errors.EXIT_DONE


def _reason(decision: Decision) -> str:
    who = decision.rule if decision.by == "rule" else f"{decision.rule}, by the {decision.by}"
    return f"{decision.because} ({who})"


def _json(content: Any) -> int:
    _out(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return errors.EXIT_DONE


def _out(text: str) -> None:
    """To standard output as it is, without wrapping."""
    sys.stdout.write(text)
