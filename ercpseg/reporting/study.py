"""``report.md`` of a study: what published tables print, as markdown; every number stands in the tables beside it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ercpseg.documents.comparison import Comparison, Paired
from ercpseg.reporting.text import ABSENT, METRIC_LABELS, counted, duration, frames_and_patients, number

MOST_SEQUENCES = 60
"""More than so many are left to the table beside the report."""
Rows = Sequence[Mapping[str, Any]]


def study_markdown(comparison: Comparison, metrics: Rows, sequences: Rows) -> str:
    """The report from the comparison and the rows of ``metrics.csv`` and ``sequences.csv``."""
    recipes = [candidate.recipe for candidate in comparison.candidates]
    folds = f"fold{'s' if len(comparison.folds) > 1 else ''} {', '.join(map(str, comparison.folds))}"
    lines = [
        f"# Study {_cell(comparison.study)}",
        "",
        f"{_cell(comparison.dataset)}, {folds}: {duration(comparison.time_budget_s)} on {comparison.device} for each training, "
        f"{counted(len(comparison.seeds), 'seed')}. {frames_and_patients(comparison.frames, comparison.patients)} held out, "
        "scored at native size. Written by the program.",
        "",
    ]
    lines += [f"- {_cell(warning)}" for warning in comparison.warnings]
    lines += ["", "## Recipes", "", *_candidates(comparison), ""]
    lines += [f"## Beside {_cell(recipes[0])}", "", *_differences(comparison, recipes), ""]
    lines += [
        "## Means over frames",
        "",
        "Mean ± standard deviation over frames in which a metric is defined, over all trainings. Dice is the F1 of pixels.",
        "",
    ]
    for structure in dict.fromkeys(row["structure"] for row in metrics):
        lines += [f"### {_cell(structure)}", "", *_means([r for r in metrics if r["structure"] == structure]), ""]
    lines += ["## By sequence", ""]
    lines += _by_sequence(sequences, recipes)
    return "\n".join(lines).rstrip("\n") + "\n"


def _candidates(comparison: Comparison) -> list[str]:
    rows = [
        (
            c.recipe,
            c.network,
            f"{c.runs[0].parameters:,}" if c.runs else ABSENT,
            ABSENT if c.forward_ms is None else f"{c.forward_ms:.1f}",
            ", ".join(str(run.iterations) for run in c.runs),
            f"as {c.same_as}" if c.same_as else "",
        )
        for c in comparison.candidates
    ]
    return _table(("recipe", "network", "parameters", "ms a forward pass", "steps", ""), rows)


def _differences(comparison: Comparison, recipes: Sequence[str]) -> list[str]:
    found = {(row.scope, row.name, row.recipe): row for row in comparison.rows}
    keys = list(dict.fromkeys((row.scope, row.name, row.metric) for row in comparison.rows))
    heads = ("", "metric", recipes[0], *(f"{recipe}: difference (95 % interval)" for recipe in recipes[1:]))
    rows = []
    for scope, name, metric in keys:
        label = f"all {name}" if scope == "family" else name
        rows.append((label, metric, *(_difference(found.get((scope, name, recipe)), recipes[0]) for recipe in recipes)))
    verdicts = [f"- {_cell(name)}: {_cell(v.recipe)}. {_cell(v.because)}" for name, v in comparison.winners.items()]
    return [*_table(heads, rows), "", *verdicts]


def _difference(row: Paired | None, first: str) -> str:
    if row is None or row.value is None:
        return ABSENT
    if row.recipe == first or row.difference is None:
        return number(row.value)
    interval = "" if row.low is None else f" ({row.low:+.3f} to {row.high:+.3f})"
    return f"{row.value:.3f}: {row.difference:+.3f}{interval}"


def _means(rows: Rows) -> list[str]:
    names = list(dict.fromkeys(row["metric"] for row in rows))
    found = {(row["recipe"], row["metric"]): row for row in rows}
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    heads = ("recipe", *(METRIC_LABELS.get(name, name) for name in names), "n frames / patients")
    table = []
    for recipe in recipes:
        cells = [_mean(found[recipe, name]) for name in names]
        n = found[recipe, names[0]]
        table.append((recipe, *cells, f"{n['frames']} / {n['patients']}"))
    return _table(heads, table)


def _mean(row: Mapping[str, Any]) -> str:
    metric = str(row["metric"])
    return ABSENT if row["mean"] is None else f"{number(row['mean'], metric)} ± {number(row['sd'], metric)}"


def _by_sequence(rows: Rows, recipes: Sequence[str]) -> list[str]:
    """Dice and false positives, one row per sequence and one column per recipe and metric."""
    names = dict.fromkeys(row["sequence"] for row in rows)
    if len(names) > MOST_SEQUENCES:
        return [f"{len(names) - 1} sequences: see `sequences.csv`."]
    lines = [
        "Sequences are series where these are known, else patients; T1 is the one whose frames come first by name. Means over "
        "the frames in which Dice is defined, and their mean over sequences; FP is the share of a frame's pixels that are "
        "marked and should not be. Every metric stands in `sequences.csv`.",
        "",
    ]
    for structure in dict.fromkeys(row["structure"] for row in rows):
        found = {(r["recipe"], r["sequence"], r["metric"]): r for r in rows if r["structure"] == structure}
        mine = [recipe for recipe in recipes if any(key[0] == recipe for key in found)]
        heads = ("sequence", "first frame", "n", *(f"{r}: Dice" for r in mine), *(f"{r}: FP %" for r in mine))
        table = []
        for name in names:
            own = next((row for (_, s, m), row in found.items() if (s, m) == (name, "dice")), None)
            if own is None:
                continue
            dice = [number(_mean_of(found, recipe, name, "dice")) for recipe in mine]
            extra = [_percent(_mean_of(found, recipe, name, "fp_frac")) for recipe in mine]
            table.append((name, own["first_frame"], str(own["frames"]), *dice, *extra))
        lines += [f"### {_cell(structure)} by sequence", "", *_table(heads, table), ""]
    return lines


def _mean_of(found: Mapping[tuple[str, str, str], Mapping[str, Any]], recipe: str, sequence: str, metric: str) -> Any:
    row = found.get((recipe, sequence, metric))
    return None if row is None else row["mean"]


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.2f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(_cell(text) for text in line)} |" for line in lines]


def _cell(text: object) -> str:
    """Text that can neither end a cell nor begin markup."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\|`*_<>[]" else c for c in plain)
