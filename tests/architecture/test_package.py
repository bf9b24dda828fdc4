"""What is published: the contents of the wheel, and nothing about the machine that made it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = {".py", ".html", ".yaml", ".typed", ".json", ".safetensors", ""}  # the last: sums of a model folder
# Written in pieces, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w./~}])/(?:" + "|".join(("work", "root", "home", "Users")) + r")/\w")
INDEX_HOST = re.compile("|".join(("py" + r"pi\.org", "python" + r"hosted\.org", r"download\.py" + r"torch\.org")))


def published() -> list[Path]:
    """Files that git tracks or would track; the source tree where there is no git."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    run = subprocess.run(git, cwd=ROOT, capture_output=True, check=False)
    if run.returncode == 0:
        found = [ROOT / name for name in run.stdout.decode().split("\0") if name]
    else:
        found = [
            p for name in ("ercpseg", "plans", "datasets", "models", "tests", "docs") for p in (ROOT / name).rglob("*")
        ]
        found += list(ROOT.glob("*"))
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def wheel_sources() -> list[Path]:
    """What the include patterns of ``pyproject.toml`` choose, read as hatchling reads them (as git does)."""
    import pathspec

    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    spec = pathspec.GitIgnoreSpec.from_lines(target["include"])
    return [path for path in published() if spec.match_file(path.relative_to(ROOT).as_posix())]


def test_the_wheel_patterns_choose_what_the_program_needs() -> None:
    chosen = {path.relative_to(ROOT).as_posix() for path in wheel_sources()}
    needed = {
        path.relative_to(ROOT).as_posix()
        for path in published()
        if path.suffix != ".md" and path.relative_to(ROOT).parts[0] in {"ercpseg", "plans", "datasets", "models"}
    }
    assert chosen == needed
    assert {"ercpseg/py.typed", "ercpseg/reporting/report.html", "ercpseg/__main__.py"} <= chosen
    assert {Path(name).suffix for name in chosen} <= SUFFIXES


@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling is not installed")
def test_the_wheel_itself_holds_the_same(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    moved = {name: f"ercpseg/_{name}" for name in ("plans", "datasets", "models")} | {"ercpseg": "ercpseg"}
    expected = set()
    for path in wheel_sources():
        first, *rest = path.relative_to(ROOT).parts
        expected.add("/".join((moved[first], *rest)))
    assert names == expected
    with zipfile.ZipFile(built) as wheel:
        wheel.extractall(tmp_path / "installed")
    code = "from ercpseg.pipeline.apply import default_model; print(default_model())"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == tmp_path / "installed" / "ercpseg" / "_models" / "light"


def test_no_file_names_a_machine_or_a_package_index() -> None:
    found = []
    for path in published():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line) or INDEX_HOST.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


@pytest.mark.parametrize(
    ("line", "bad"), [("see /{}/x", True), ("'/{}/x'", True), ("a/{}/x", False), ("./{}/x", False)]
)
def test_the_path_rule_sees_paths(line: str, bad: bool) -> None:
    assert bool(MACHINE_PATH.search(line.format("ho" + "me"))) is bad


def test_large_and_clinical_files_are_not_published() -> None:
    for path in published():
        assert path.stat().st_size < 10_000_000, path
        assert path.suffix.lower() not in {".dcm", ".dicom", ".ima", ".pth", ".pt", ".pkl", ".npz"}, path
