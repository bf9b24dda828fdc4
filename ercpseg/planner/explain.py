"""The plan for people: why every value is what it is. Plain data and Markdown, no judgement of its own."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

from ercpseg.documents.plan import Decision, Plan
from ercpseg.errors import UsageError
from ercpseg.planner.rules import ELSEWHERE, RULES

COLUMNS = ("decision", "value", "rule", "because", "inputs", "not taken", "source")
GRADES = "Evidence in brackets: E1 fluoroscopy, E2 another domain or a fact of code, E3 derived, J judgement."


def decision_rows(plan: Plan) -> list[dict[str, str]]:
    """One row of text per decision, in the order of the rule table; columns :data:`COLUMNS`."""
    return [decision_row(decision) for decision in plan.decisions]


def decision_row(decision: Decision) -> dict[str, str]:
    """One decision as text; columns :data:`COLUMNS`."""
    return {
        "decision": decision.key,
        "value": value_text(decision.value),
        "rule": decision.rule if decision.by == "rule" else f"{decision.rule} ({decision.by})",
        "because": decision.because,
        "inputs": "; ".join(
            f"{key} = {value_text(value)}" for key, value in decision.inputs.items() if value is not None
        ),
        "not taken": "; ".join(f"{value_text(a.value)} ({a.why.removesuffix('.')})" for a in decision.alternatives),
        "source": decision.source,
    }


def find_decisions(plan: Plan, key: str | None) -> tuple[Decision, ...]:
    """The decisions called ``key`` or in the section ``key``; all without a key.

    Raises
    ------
    UsageError
        when there is none; says which names come closest.
    """
    if key is None:
        return plan.decisions
    found = tuple(d for d in plan.decisions if key in (d.key, d.key.partition(".")[0]))
    if not found:
        keys = [d.key for d in plan.decisions]
        sections = list(dict.fromkeys(k.partition(".")[0] for k in keys))
        near = difflib.get_close_matches(key, keys + sections, n=3, cutoff=0.5)
        expected = " or ".join(near) or f"a key of plan.md or a section: {', '.join(sections)}"
        raise UsageError(f"no decision is called {key[:80]!r}", where="--key", expected=expected)
    return found


def explanation(plan: Plan, decisions: Iterable[Decision]) -> dict[str, Any]:
    """What ``plans explain --format json`` prints: the plan's head, and every decision with all that is known of it."""
    return {
        "schema": "ercpseg.explanation/1",
        "dataset": plan.dataset,
        "recipe": plan.recipe,
        "plan_sha256": plan.sha256,
        "fingerprint_sha256": plan.fingerprint_sha256,
        "warnings": list(plan.warnings),
        "decisions": [
            {
                **decision.model_dump(mode="json"),
                "evidence": decision.evidence,
                "alternatives": [alternative.model_dump(mode="json") for alternative in decision.alternatives],
            }
            for decision in decisions
        ],
    }


def to_markdown(plan: Plan) -> str:
    """``plan.md``: warnings first, then the table of decisions."""
    lines = [
        f"# Plan of {plan.dataset}",
        "",
        f"Recipe `{plan.recipe}`. Written by the program; to change a value, pin it in a recipe or with `--set`.",
        "",
    ]
    few_shot = few_shot_text(plan)
    if few_shot is not None:
        said = f"{few_shot[0].upper()}{few_shot[1:]}. Next: `{few_shot_command(plan)}`"
        lines += [_cell(said), ""]
    if plan.warnings:
        lines += ["## Warnings", "", *(f"- {_cell(warning)}" for warning in plan.warnings), ""]
    lines += ["## Decisions", "", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
    for row in decision_rows(plan):
        lines.append(_row([f"`{row['decision']}`", *(row[column] for column in COLUMNS[1:])]))
    lines += ["", GRADES, ""]
    return "\n".join(lines)


def few_shot_text(plan: Plan) -> str | None:
    """One sentence on a plan that is few-shot (R12); None for others."""
    decided = next((d for d in plan.decisions if d.key == "transfer.made_for"), None)
    if decided is None or decided.value is None:
        return None
    told, sampling = decided.inputs, plan.values.sampling
    who = f"{told['frames']} frames of {told['patients']} patients, " if decided.by == "rule" else ""
    mixed = (
        f"{sampling.synthetic_frames} synthetic frames ({sampling.synthetic_domain}) are "
        f"{100 * sampling.synthetic_frac:.3g} % of every batch"
        if sampling.synthetic_frac
        else "no synthetic frames are mixed in"
    )
    return f"few-shot: {who}planned to begin from the shipped weights {decided.value}; {mixed}"


def few_shot_command(plan: Plan) -> str:
    """The command that trains a few-shot plan on all its frames."""
    seconds = plan.values.schedule.time_budget_s
    time = "" if seconds is None else f" --time-budget {_duration(seconds)}"
    return f"ercpseg train {plan.dataset} all --init-from {plan.values.transfer.made_for}{time}"


def _duration(seconds: float) -> str:
    """A time as the command line takes it.

    >>> _duration(300.0), _duration(90.0), _duration(0.5)
    ('5m', '90s', '0.5s')
    """
    return f"{seconds / 60:.0f}m" if seconds % 60 == 0 else f"{seconds:.6g}s"


def rules_markdown() -> str:
    """The reference page of the rules, from their docstrings."""
    lines = [
        "# Rules of the planner",
        "",
        "In the order of the table: a rule sees the fingerprint, the budget, what people",
    ]
    lines += [
        "pinned, and what stands above it. Evidence: E1 fluoroscopy, E2 another domain or a fact of code, E3 derived,"
    ]
    lines += ["J judgement.", ""]
    for rule in RULES:
        text = rule.text
        lines += [f"## {text.number}: {text.subject}", ""]
        if rule.keys:
            lines += [", ".join(f"`{key}`" for key in rule.keys), ""]
        parts = {"Decides": text.decides, "From": text.from_, "Because": text.because}
        lines += [f"- **{name}**: {part}" for name, part in parts.items()]
        lines += [f"- **Source**: {text.source} (evidence {text.evidence})", ""]
    lines += ["## What decides no value", ""]
    lines += [*(f"- **{number}**: {where}" for number, where in ELSEWHERE.items()), ""]
    return "\n".join(lines)


def value_text(value: Any) -> str:
    """Compact text of a plain value: no quotes around names, six significant digits.

    >>> value_text({"endoscope": 1.0, "guidewire": 4.5999999}), value_text([512, 512])
    ('endoscope 1, guidewire 4.6', '512 × 512')
    """
    if isinstance(value, dict) and set(value) == {"name", "params"}:
        return f"{value['name']} ({value_text(value['params'])})" if value["params"] else str(value["name"])
    if isinstance(value, dict) and any(isinstance(inner, dict | list) for inner in value.values()):
        return "; ".join(f"{key}: {value_text(inner)}" for key, inner in value.items())
    if isinstance(value, dict):
        return ", ".join(f"{key} {value_text(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        if len(value) == 2 and all(isinstance(v, int) and v > 9 for v in value):
            return " × ".join(str(v) for v in value)
        return ", ".join(value_text(inner) for inner in value) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not set"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """Text that neither ends a table cell nor becomes markup: names come from people's files."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
