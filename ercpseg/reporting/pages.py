"""The report as one HTML page that needs nothing else: no script, no network, pictures inside.

Everything that comes from the data (names, captions, reasons) passes autoescape; the page's own policy forbids scripts
and any address, so that even a fault there would run nothing.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ercpseg.documents.plan import Plan
from ercpseg.documents.scores import METRICS, Scores
from ercpseg.reporting import text
from ercpseg.reporting.content import ReportContent
from ercpseg.reporting.figures import structure_colours
from ercpseg.reporting.tables import fingerprint_table, score_table

if TYPE_CHECKING:
    from jinja2 import Template

LONG_VALUE = 60
"""Longer values of decisions are folded."""


def render_report(content: ReportContent) -> str:
    """The whole page."""
    colours = structure_colours(content.structures)
    return _template().render(
        content=content,
        colours=colours,
        cards=[] if content.scores is None else score_cards(content.scores, content.structures),
        scores=None if content.scores is None else score_table(content.scores, content.structures),
        fingerprint=(
            None if content.fingerprint is None else fingerprint_table(content.fingerprint, content.structures)
        ),
        sections={} if content.plan is None else plan_sections(content.plan),
        warnings=_warnings(content),
        total_seconds=sum(timing.seconds for timing in content.timings),
    )


def render_plan(plan: Plan) -> str:
    """A page of one plan alone: its warnings, and its decisions with inputs, evidence and what was not taken."""
    pairs = (("recipe", plan.recipe), ("fingerprint SHA-256", plan.fingerprint_sha256), ("plan SHA-256", plan.sha256))
    return render_report(
        ReportContent(title=f"Plan of {plan.dataset}", structures=(), plan=plan, provenance=pairs, open_plan=True)
    )


def score_cards(scores: Scores, structures: tuple[str, ...]) -> list[dict[str, str]]:
    """Per scored structure: Dice with its interval, clDice, the counts behind them, what was missed and invented."""
    cards = []
    for name in structures:
        score = scores.structures.get(name)
        if score is None:
            continue
        dice, cldice = score.metrics.get("dice"), score.metrics.get("cldice")
        cards.append(
            {
                "name": name,
                "dice": text.number(None if dice is None else dice.mean),
                "interval": "" if dice is None else text.interval(dice.low, dice.high),
                "cldice": text.number(None if cldice is None else cldice.mean),
                "n": "" if dice is None else text.frames_and_patients(dice.frames, dice.patients),
                "found": f"missed {score.missed} of {score.present}, invented {score.invented}",
            }
        )
    return cards


def plan_sections(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """The decisions by section of the plan, in the order in which they were made."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for decision in plan.decisions:
        section, _, key = decision.key.partition(".")
        value = text.plain(decision.value)
        sections.setdefault(section, []).append(
            {
                "key": key.replace("_", " "),
                "value": value,
                "long": len(value) > LONG_VALUE,
                "rule": decision.rule,
                "by": decision.by,
                "because": decision.because,
                "inputs": [(name, text.plain(item)) for name, item in decision.inputs.items()],
                "alternatives": [(text.plain(other.value), other.why) for other in decision.alternatives],
                "source": decision.source.removesuffix(f"[{decision.evidence}]").rstrip(),
                "evidence": decision.evidence,
            }
        )
    return sections


def data_uri(png: bytes) -> str:
    """A PNG as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _warnings(content: ReportContent) -> list[str]:
    found = [] if content.fingerprint is None else list(content.fingerprint.warnings)
    found += [] if content.plan is None else list(content.plan.warnings)
    found += [] if content.scores is None else list(content.scores.warnings)
    if content.scores is not None and content.scores.missing:
        missing = text.counted(len(content.scores.missing), "reference frame")
        found.append(f"without prediction, so not scored: {missing}")
    return list(dict.fromkeys(found))


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(data_uri=data_uri, duration=text.duration, metric_label=text.metric_label)
    environment.globals["METRICS"] = METRICS
    return environment.get_template("report.html")
