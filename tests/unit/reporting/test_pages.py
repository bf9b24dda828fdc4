"""The report: complete, self-contained, and safe whatever the data are called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ercpseg.reporting.content import Illustration, ReportContent, Timing
from ercpseg.reporting.pages import render_report
from ercpseg.reporting.run import write_report
from ercpseg.storage.images import encode_png

PNG = encode_png(np.zeros((4, 4), np.uint8))
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
VOID = {"meta", "img", "col", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects what matters, and fails on tags that are not closed in order."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def full(samples, name: str = "demo", **changes: object) -> ReportContent:
    values: dict[str, object] = {
        "title": name,
        "structures": samples.STRUCTURES,
        "generated": ((name, "0.1.0"), ("machine", name)),
        "dataset": (("Frames", name),),
        "fingerprint": samples.fingerprint(),
        "plan": samples.plan(because=name),
        "scores": samples.scores(),
        "curves": (Illustration(name, PNG),),
        "score_figures": (Illustration(name, PNG),),
        "overlays": {"cbd": (Illustration(name, PNG),), "stone": (Illustration(name, PNG),)},
        "timings": (Timing(name, 95.0, name), Timing("predict", 0.25)),
        "provenance": (("plan", "a" * 64), (name, name)),
        "notes": (name,),
    }
    return ReportContent(**(values | changes))


def test_every_part_is_on_the_page(samples) -> None:
    page = Page(render_report(full(samples)))
    headings = ("Scores", "Best, median and worst frame", "Training", "Dataset", "Plan", "Timings", "Provenance")
    positions = [
        page.text.index(heading, page.text.index("All metrics") if i else 0) for i, heading in enumerate(headings)
    ]
    assert positions == sorted(positions)
    for expected in (
        "0.804",
        "95 % interval 0.748 to 0.852",
        "24 frames, 4 patients",
        "missed 1 of 20, invented 2",
        "0.748 to 0.852 · n 24 / 4",
        "14 right, 3 false, 6 missed",
        "working long side px",
        "guidewire is about 2 px wide: thin",
        "1 min 35 s",
        "250 ms",
        "a" * 64,
        "Research only. Not a medical device",
    ):
        assert expected in page.text, expected
    assert sum(tag == "img" for tag, _ in page.tags) == 4


def test_parts_that_are_not_there_leave_no_heading() -> None:
    page = Page(render_report(ReportContent(title="empty", structures=("cbd",))))
    for heading in ("Scores", "Training", "Dataset", "Plan", "Timings", "Provenance", "Synthetic"):
        assert heading not in page.text.split("empty", 2)[2]
    assert "Research only" in page.text


def test_hostile_names_stay_text(samples) -> None:
    page = render_report(full(samples, HOSTILE))
    assert "<script" not in page
    assert "<img src=x" not in page
    parsed = Page(page)
    assert HOSTILE in "".join(parsed.words)
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert {tag for tag, _ in parsed.tags}.isdisjoint({"script", "iframe", "object", "form", "link", "base"})


def test_the_page_needs_nothing_else_and_forbids_scripts(samples) -> None:
    page = render_report(full(samples))
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page.replace("data:image/png;base64", ""))
    parsed = Page(page)
    policy = next(a["content"] for t, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    for tag, attributes in parsed.tags:
        if tag == "img":
            assert str(attributes["src"]).startswith("data:image/png;base64,iVBOR")
            assert attributes["alt"]
        if tag == "a":
            assert str(attributes["href"]).startswith("#")
    anchors = {a["href"] for t, a in parsed.tags if t == "a"}
    assert anchors <= {f"#{a['id']}" for _, a in parsed.tags if a.get("id")}


def test_synthetic_results_are_called_synthetic(samples) -> None:
    assert "Synthetic results." in render_report(full(samples, synthetic=True))
    assert "ynthetic" not in Page(render_report(full(samples))).text


def test_a_persons_decision_is_marked_and_long_values_are_folded(samples) -> None:
    page = render_report(full(samples))
    assert '<span class="tag user">user</span>' in page
    assert '<span class="tag rule">' not in page
    assert re.search(r"<details><summary>endoscope: 1, [^<]*…</summary>endoscope: 1, guidewire: 1,", page)


def test_undefined_scores_are_dashes_and_unknown_structures_do_not_fail(samples) -> None:
    scores = samples.scores(("cbd",))
    mean = scores.structures["cbd"].metrics["dice"].model_copy(update={"mean": None, "low": None, "high": None})
    cbd = scores.structures["cbd"].model_copy(
        update={"metrics": {"dice": mean}, "pooled_dice": None, "specificity": None}
    )
    scores = scores.model_copy(update={"structures": {"cbd": cbd}, "missing": ("x", "y")})
    page = Page(render_report(ReportContent(title="t", structures=("cbd", "airway"), scores=scores)))
    assert "nan" not in page.text.lower().replace("median", "")
    assert "without prediction, so not scored: 2 reference frames" in page.text
    assert "None" not in page.text


def test_only_png_pictures_are_taken() -> None:
    with pytest.raises(ValueError, match="no PNG"):
        Illustration("x", b"<svg onload=alert(1)>")


def test_the_report_is_written_as_a_file(samples, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    write_report(path, full(samples))
    assert path.read_text(encoding="utf-8") == render_report(full(samples))
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_decisions_tell_inputs_evidence_and_what_was_not_taken_escaped(samples) -> None:
    from ercpseg.documents.plan import Alternative
    from ercpseg.reporting.pages import render_plan

    plan = samples.plan()
    decision = plan.decisions[0].model_copy(
        update={
            "inputs": {"<b>width</b>": 2.5},
            "source": "FRA-Net 2020 [E1/J]",
            "alternatives": (Alternative(value=[256, 256], why="<i>Too small</i> for a wire."),),
        }
    )
    page = render_plan(plan.model_copy(update={"decisions": (decision, *plan.decisions[1:])}))
    for text in (
        "&lt;b&gt;width&lt;/b&gt; = 2.5",
        "256, 256",
        "&lt;i&gt;Too small&lt;/i&gt; for a wire.",
        "FRA-Net 2020",
    ):
        assert text in page
    assert '<span class="tag">E1/J</span>' in page
    assert "[E1/J]" not in page
    assert "<i>" not in page
    assert page.count('<details class="section" open>') == len({d.key.partition(".")[0] for d in plan.decisions})
