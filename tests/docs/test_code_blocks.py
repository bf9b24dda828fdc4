"""The pages hold what they say: Python blocks run, commands and options exist, recipes plan, links lead somewhere.

A page's blocks run in order, in a folder of their own that holds a tiny trained workspace in place of the reader's data. A
line of a shell block ends with ``# not run: <reason>`` where it needs what a test does not have; its options are checked.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from ercpseg import errors
from ercpseg.cli.app import app, run
from ercpseg.cli.options import parse_duration
from ercpseg.cli.prepare import _pin
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.pipeline import prepare
from ercpseg.planner.budget import Budget
from ercpseg.planner.pins import check_pins
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.storage import documents
from ercpseg.storage.workspace import ENVIRONMENT_VARIABLE
from tests.docs.markdown import anchor

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKING = [*PAGES, ROOT / "datasets" / "README.md", ROOT / "plans" / "README.md"]
LANGUAGES = {"python", "sh", "console", "yaml", "text"}
NOT_RUN = "# not run: "
RUN = {"plan-and-preprocess", "train", "tune", "predict", "evaluate", "report", "plans"}
"""Commands that are run; the others take minutes or make data."""
OTHER_PROGRAMS = {"git", "cd", "source", "export", "nnUNetv2_train", "nnUNetv2_predict_from_modelfolder"}
COMMANDS: Any = typer.main.get_command(app)


class Block(NamedTuple):
    language: str
    line: int
    text: str


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page.

    >>> list(blocks('a\\n```sh\\nb\\n```\\n'))
    [Block(language='sh', line=2, text='b\\n')]
    """
    start, language, inside = 0, "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r" {0,3}(```+|~~~+)(.*)", line)
        if fence is None:
            inside.append(line + "\n")
        elif not start:
            start, language, inside = number, fence[2].strip(), []
        else:
            yield Block(language, start, "".join(inside))
            start = 0
    assert not start, f"the block of line {start} is never closed"


def commands(block: Block) -> list[str]:
    """The commands of a shell block; of a console block only what follows a ``$``."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def without_blocks(text: str) -> str:
    return re.sub(r"^(```+).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(page: Path) -> set[str]:
    """Where links into a page may lead."""
    lines = without_blocks(page.read_text()).splitlines()
    return {anchor(line.lstrip("# ")) for line in lines if line.startswith("#")}


@pytest.fixture
def reader(trained, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages suppose: data/my-data (here ``tiny``), held-out and new frames, a planned and trained workspace."""
    shutil.copytree(tiny_folder, tmp_path / "data" / "tiny")
    shutil.copytree(trained.root, tmp_path / "ercpseg-workspace")
    for source in sorted(tiny_folder.rglob("*_f0000.png"))[::2]:
        target = tmp_path / "data" / "held-out" / source.relative_to(tiny_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    shutil.copytree(tmp_path / "data" / "held-out" / "images", tmp_path / "new-frames")
    # Whatever the page asks of the planner was answered before: planning measures for seconds.
    request = (tmp_path / "ercpseg-workspace" / "datasets" / "tiny" / "plan-request.json").read_text()
    monkeypatch.setattr(prepare, "_request", lambda *_, **__: request)
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    unknown = [(b.line, b.language) for b in blocks(page.read_text()) if b.language not in LANGUAGES]
    assert unknown == []


WITH_CODE = [p for p in PAGES if any(b.language != "text" for b in blocks(p.read_text()))]


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_the_blocks_work(page: Path, reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "from onnxruntime import" in page.read_text():
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page.read_text()):
        where = f"{name(page)}:{block.line}"
        text = block.text.replace("my-data", "tiny")
        if block.language == "python":
            exec(compile(text, where, "exec"), namespace)
        elif block.language == "yaml":
            check_recipe(text, reader)
        elif block.language in {"sh", "console"}:
            for line in commands(block._replace(text=text)):
                check_command(line, where, capsys)


def check_recipe(text: str, folder: Path) -> None:
    """Save it under the name in its first line, load it, and plan the tiny dataset by it."""
    first = re.match(r"# (\S+\.yaml)\n", text)
    assert first, "a recipe begins with a comment that names its file"
    (folder / first[1]).write_text(text)
    recipe = load_recipe(folder / first[1])
    fingerprint = documents.load(folder / "ercpseg-workspace" / "datasets" / "tiny" / "fingerprint.json", Fingerprint)
    plan = make_plan(fingerprint, recipe, Budget("cpu", 8.0, 600.0))
    assert {d.key for d in plan.decisions if d.by == "recipe"} == {".".join(k.split(".")[:2]) for k in recipe.pins}


def check_command(line: str, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(line, comments=True)
    if program == "make":
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert set(arguments) <= targets, f"{where}: {line}"
    elif program == "ercpseg":
        check_options(arguments, f"{where}: {line}")
        if arguments[0] in RUN and NOT_RUN not in line:
            code = run(arguments)
            said = capsys.readouterr()
            assert code == errors.EXIT_DONE, f"{where}: {line}\n{said.out}{said.err}"
    else:
        assert program in OTHER_PROGRAMS, f"{where}: {line}"


def check_options(arguments: list[str], where: str) -> None:
    """Parse the command as the command line would, and what is parsed later: durations, pins, recipes."""
    if arguments in (["--help"], ["--version"]):
        return
    command = COMMANDS.commands.get(arguments[0])
    assert command is not None, f"{where}: no such command"
    values = command.make_context(arguments[0], arguments[1:]).params
    parse_duration(values.get("time_budget"))
    check_pins(dict(_pin(text) for text in values.get("set_") or []), where=where)


@pytest.mark.parametrize("page", LINKING, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    text = re.sub(r"`[^`\n]*`", "", without_blocks(page.read_text()))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        path, _, heading = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        there = goal.exists()
        if not there or (heading and heading not in headings(goal)):
            broken.append(target)
    assert broken == []


def test_the_exit_codes_of_the_readme_are_all_there_are() -> None:
    codes = {value for key, value in vars(errors).items() if key.startswith("EXIT_")}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)} == codes


def test_pages_stay_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130
    for page in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        lines = page.read_text().splitlines()
        assert len(lines) <= 40, page
        assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Decision", "## Consequences"], (
            page
        )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ercpseg segment x", "no such command"),
        ("ercpseg train my-data 0 --speed 3", "No such option"),
        ("ercpseg train my-data", "Missing parameter"),
        ("ercpseg train my-data 0 --time-budget soon", "no duration"),
        ("ercpseg plan-and-preprocess x --set patch.size=3", "no decision"),
        ("make tea", "make tea"),
        ("rm -r x", "rm -r x"),
    ],
)
def test_wrong_commands_are_seen(line: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match=problem):
        check_command(f"{line}  {NOT_RUN}it is wrong", "here", capsys)
