"""Folds the rule table over a fingerprint: recipe and user decide first, rules decide the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Alternative, Decision, Plan, PlanValues
from ercpseg.documents.recipe import Recipe
from ercpseg.errors import DocumentError, UsageError
from ercpseg.planner.budget import Budget, Measure, MeasureForward, Meter
from ercpseg.planner.checks import Case
from ercpseg.planner.contradictions import contradictions
from ercpseg.planner.frequencies import TERM_KEYS, with_frequencies
from ercpseg.planner.pins import apply_pins, check_options, check_pins, check_value
from ercpseg.planner.rule import Choice, Context, RuleText
from ercpseg.planner.rules import KEYS, RULES
from ercpseg.planner.rules_frame import USUAL_FRAMES


def make_plan(
    fingerprint: Fingerprint,
    recipe: Recipe,
    budget: Budget,
    measure: Measure | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    forward: MeasureForward | None = None,
) -> Plan:
    """Decide every value of the plan.

    Parameters
    ----------
    fingerprint
        what the data are.
    recipe
        its pins are taken as they are.
    budget
        device, memory, time of one fold.
    measure
        tells what an iteration costs here; without it the schedule is a default and says so.
    forward
        tells what a forward pass costs here.
    overrides
        what the user sets, ``section.key`` or ``section.key.entry`` → value; stronger than the recipe.

    Raises
    ------
    UsageError
        for an unknown key, or a value that does not fit.
    DocumentError
        when a recipe's values do not fit together.
    """
    user = dict(overrides or {})
    check_pins(recipe.pins, where=f"recipe {recipe.name}")
    check_pins(user, where="--set")
    # A user's value for a whole decision also replaces a recipe's value for one of its entries.
    pins = {k: v for k, v in recipe.pins.items() if k.rsplit(".", 1)[0] not in user} | user

    def source(used: list[str]) -> str:
        return "--set" if any(pin in user for pin in used) else f"recipe {recipe.name}"

    def check(key: str, value: Any, used: list[str]) -> None:
        by_user = any(pin in user for pin in used)
        among = names if key in ("heads.structures", "heads.of") else tuple(learnt.structures)
        check_value(key, value, among, by_user=by_user, where=source(used))

    names = tuple(fingerprint.structures)
    if "heads.structures" in pins:
        check("heads.structures", pins["heads.structures"], ["heads.structures"])
    learnt = fingerprint.of_structures(pins.get("heads.structures", names))
    for key in pins.keys() & set(KEYS) - {"heads.structures"}:
        check(key, pins[key], [key])
    decided, decisions = dict[str, Any](), list[Decision]()
    warnings = list(fingerprint.warnings)
    context = Context(learnt, _asked(budget, pins), _meter(measure, forward, pins), pins, decided, names, fingerprint)
    for rule in RULES:
        advice = rule.decide(context)
        warnings += advice.warnings
        for key in rule.keys:
            choice = advice.choices[key]
            value, used = apply_pins(key, choice.value, pins)
            if used and used != [key]:  # a whole decision alone was checked above
                check(key, value, used)
            if used and key in TERM_KEYS and value is not None:
                value = with_frequencies(
                    value, context.traits, (*decided["heads.structures"], *decided["heads.parents"])
                )
            if used and key == "network.options":
                by_user = any(pin in user for pin in used)
                check_options(decided["network.name"], value, by_user=by_user, where=source(used))
            decided[key] = value
            context = _few_shot(context, key)
            decisions.append(_decision(key, value, choice, rule.text, used, recipe, user))

    plan = _document(fingerprint, recipe, decisions, warnings)
    _check(plan, user, recipe)
    pinned = {decision.key for decision in decisions if decision.by != "rule"}
    against = contradictions(Case(plan.values, learnt, context.budget), pinned)
    return _document(fingerprint, recipe, decisions, [*warnings, *against]) if against else plan


def _asked(budget: Budget, pins: Mapping[str, Any]) -> Budget:
    """The budget with what was pinned of it, so that rules plan for what stands in the plan."""
    limits = {"time_budget_s": "schedule.time_budget_s", "latency_ms": "inference.latency_budget_ms"}
    return replace(budget, **{name: pins[key] for name, key in limits.items() if pins.get(key) is not None})


def _few_shot(context: Context, key: str) -> Context:
    """The context with the time that is usual for few-shot, once that is decided to be so."""
    few = key == "transfer.made_for" and context.few_shot is not None
    return replace(context, budget=replace(context.budget, few_shot=True)) if few else context


def _meter(measure: Measure | None, forward: MeasureForward | None, pins: Mapping[str, Any]) -> Meter:
    """What is measured before R11 decides has to be what stands in the plan: a pin, or what the rule always says."""
    return Meter(measure, forward, frames=pins.get("input.frames", USUAL_FRAMES))


def _document(fingerprint: Fingerprint, recipe: Recipe, decisions: list[Decision], warnings: Sequence[str]) -> Plan:
    return Plan.new(
        dataset=fingerprint.dataset,
        recipe=recipe.name,
        fingerprint_sha256=fingerprint.sha256,
        frames_sha256=fingerprint.frames_sha256,
        decisions=tuple(decisions),
        warnings=tuple(warnings),
    )


def _decision(
    key: str, value: Any, choice: Choice, text: RuleText, used: list[str], recipe: Recipe, user: Mapping[str, Any]
) -> Decision:
    if not used:
        return Decision(
            key=key,
            value=_plain(value),
            rule=text.number,
            by="rule",
            because=choice.because,
            inputs=_plain(dict(choice.inputs)),
            source=f"{text.source} [{text.evidence}]",
            alternatives=_alternatives(value, choice.alternatives),
        )
    by_user = any(pin in user for pin in used)
    by_rule = (choice.value, f"{text.number} would take it; {'the user' if by_user else 'the recipe'} decided.")
    entries = ", ".join(pin[len(key) + 1 :] for pin in used if pin != key)
    what = f"{entries} set" if entries and key not in used else "Set"
    return Decision(
        key=key,
        value=_plain(value),
        rule="pin",
        by="user" if by_user else "recipe",
        because=f"{what} by {'the user' if by_user else f'recipe {recipe.name}'}; "
        f"{text.number} would say {_short(choice.value)}: {choice.because}",
        inputs=_plain(dict(choice.inputs)),
        source="the user" if by_user else "; ".join(recipe.cites) or f"recipe {recipe.name}",
        alternatives=_alternatives(value, (by_rule, *choice.alternatives)),
    )


def _alternatives(taken: Any, considered: Sequence[tuple[Any, str]]) -> tuple[Alternative, ...]:
    """What was considered, without the value that was taken after all."""
    plain = [(_plain(value), why) for value, why in considered]
    return tuple(Alternative(value=value, why=why) for value, why in plain if value != _plain(taken))


def _check(plan: Plan, user: Mapping[str, Any], recipe: Recipe) -> None:
    try:
        check_values(plan.values)
    except DocumentError as error:
        if user:
            where = f"--set: {error.where}" if error.where else "--set"
            todo = "see plan.md for the values there are"
            raise UsageError(error.what, where=where, expected=error.expected, todo=todo) from error
        where = f"recipe {recipe.name}: {error.where}" if error.where else f"recipe {recipe.name}"
        raise DocumentError(error.what, where=where, expected=error.expected, todo=error.todo) from error


def check_values(values: PlanValues) -> None:
    """Check what one section asks of another.

    Raises
    ------
    DocumentError
        with every problem.
    """
    from ercpseg.losses.options import check_term
    from ercpseg.networks import divisor
    from ercpseg.networks.options import check_network
    from ercpseg.postprocess.apply import check_steps

    network = values.network
    check_network(network.name, network.features, network.deep_supervision, network.options, values.input.frames)
    problems = []
    multiple = divisor(values.network.name, values.network.features)
    for key, size in {"patch.size_px": values.patch.size_px, "patch.tile_px": values.patch.tile_px}.items():
        if any(side % multiple for side in size):
            problems.append(f"{key}: {list(size)} are no multiples of {multiple} (network.features)")
    if any(p > t for p, t in zip(values.patch.size_px, values.patch.tile_px, strict=True)):
        problems.append("patch.tile_px: smaller than patch.size_px")
    if len(values.loss.level_weights) > values.network.deep_supervision + 1:
        problems.append("loss.level_weights: more levels than network.deep_supervision gives outputs")
    if not any(w > 0 for w in values.loss.level_weights):
        problems.append("loss.level_weights: no level counts")
    heads = (*values.heads.structures, *values.heads.parents)
    for key, terms in {
        "loss.terms": values.loss.terms,
        "transfer.pretrain_terms": values.transfer.pretrain_terms,
    }.items():
        for term in terms or ():
            check_term(term, heads, key=key)
    for field in ("head_weight", "dice_weight", "focal_weight", "focal_alpha", "focal_gamma"):
        if set(getattr(values.loss, field)) != set(heads):
            problems.append(
                f"loss.{field}: names {', '.join(getattr(values.loss, field))}; expected {', '.join(heads)}"
            )
    for field in ("threshold", "steps"):
        if set(getattr(values.postprocess, field)) != set(values.heads.structures):
            problems.append(f"postprocess.{field}: expected one value for each of {', '.join(values.heads.structures)}")
    try:
        check_steps(values.postprocess.steps)
    except DocumentError as error:
        problems.append(f"{error.where}: {error.what}")
    if problems:
        raise DocumentError("the plan's decisions do not fit together: " + "; ".join(problems))


def _plain(value: Any) -> Any:
    """Tuples to lists, so that a plan equals itself after a trip through JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _short(value: Any) -> str:
    text = str(_plain(value))
    return text if len(text) <= 80 else text[:77] + "..."
