"""The generated pages are the committed ones, and say something about everything there is."""

from __future__ import annotations

import re

import pytest
import typer.main

from ercpseg.cli.app import COMMANDS, app
from ercpseg.documents.base import Document
from ercpseg.documents.plan import PlanValues
from tests.docs.generate import FOLDER, cli_markdown, pages, parameters
from tests.docs.markdown import anchor
from tests.docs.schemas import description, documents, meaning, parts
from tests.docs.words import FILES, WORDS

PAGES = pages()
MODELS = list(dict.fromkeys(m for document in documents() for m in (document, *parts(document))))


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_the_committed_one(name: str) -> None:
    path = FOLDER / name
    assert path.is_file(), "run `make docs-reference`"
    # Line by line, so that a failure shows what changed.
    assert path.read_text(encoding="utf-8").splitlines() == PAGES[name].splitlines(), "run `make docs-reference`"


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    anchors = {
        page: {anchor(line.lstrip("# ")) for line in text.splitlines() if line.startswith("#")}
        for page, text in PAGES.items()
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        page, _, heading = target.partition("#")
        assert heading in anchors[page or name], target


@pytest.mark.parametrize("name", PAGES)
def test_tables_are_whole(name: str) -> None:
    before = ""
    for line in PAGES[name].splitlines():
        columns = len(re.findall(r"(?<!\\)\|", line))
        if line.startswith("|") and before.startswith("|"):
            assert columns == len(re.findall(r"(?<!\\)\|", before)), line
        before = line


def test_every_field_has_a_meaning() -> None:
    silent = [
        f"{m.__name__}.{name}" for m in MODELS for name, info in m.model_fields.items() if not meaning(m, name, info)
    ]
    assert silent == [], "describe the field in ercpseg/documents"


def test_no_word_is_left_over() -> None:
    undescribed = {(m.__name__, name) for m in MODELS for name, info in m.model_fields.items() if not description(info)}
    used = {f"{model}.{name}" if f"{model}.{name}" in WORDS else name for model, name in undescribed}
    assert set(WORDS) - used == set()
    assert set(FILES) == {document.SCHEMA for document in documents()}


def test_every_model_is_described_once() -> None:
    lines = PAGES["schemas.md"].splitlines()
    headings = [line.lstrip("# ").partition(":")[0] for line in lines if line.startswith(("## ", "### "))]
    assert sorted(headings) == sorted([*(m.__name__ for m in MODELS), "Refusal codes"])
    assert PlanValues in MODELS
    assert all(issubclass(document, Document) for document in documents())


def test_every_command_and_option_is_described() -> None:
    group = typer.main.get_command(app)
    commands = dict(group.commands)  # type: ignore[attr-defined]
    assert set(commands) == set(COMMANDS)
    assert re.findall(r"^## (.+)$", cli_markdown(), re.MULTILINE) == [*COMMANDS, "Exit codes"]
    for name, function in COMMANDS.items():
        arguments, options = parameters(function)
        told = {part for text, *_ in options for part in re.split("[/,]", text)}
        known = {
            option
            for parameter in commands[name].params
            if parameter.param_type_name == "option"
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        assert told == known - {"--help"}
        assert len(arguments) == sum(p.param_type_name == "argument" for p in commands[name].params)
        assert all(info.help for _, _, info, _ in [*arguments, *options])
