"""What importing and asking for help may cost, and that the library's front door is what it says."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ercpseg

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "torch",
    "nnunetv2",
    "batchgenerators",
    "batchgeneratorsv2",
    "dynamic_network_architectures",
    "matplotlib",
    "pandas",
    "scipy",
    "skimage",
    "SimpleITK",
    "pydicom",
    "imagecodecs",
    "PIL",
    "jinja2",
    "safetensors",
}


def loaded_by(code: str) -> tuple[set[str], str]:
    """Top-level modules in a fresh interpreter after ``code``, and what the code printed."""
    script = f"{code}\nimport json, sys\nprint('\\n@' + json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    printed, _, modules = run.stdout.rpartition("\n@")
    return set(json.loads(modules)), printed


def test_importing_the_package_loads_nothing_heavy() -> None:
    modules, printed = loaded_by("import ercpseg")
    assert modules & (HEAVY | {"numpy", "pydantic", "rich", "typer"}) == set()
    assert printed == ""


def test_help_loads_nothing_heavy_and_names_the_commands() -> None:
    modules, printed = loaded_by(
        "import runpy, sys\nsys.argv = ['ercpseg', '--help']\n"
        "try:\n    runpy.run_module('ercpseg', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    assert modules & HEAVY == set()
    for command in ("demo", "plan-and-preprocess", "train", "predict", "evaluate"):
        assert command in printed


def test_the_front_door_is_what_it_says() -> None:
    tree = ast.parse((ROOT / "ercpseg/__init__.py").read_text())
    typed = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for line in node.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert set(ercpseg.__all__) == typed | {"__version__"}
    assert ercpseg.__all__ == sorted(ercpseg.__all__)


@pytest.mark.parametrize("name", sorted(set(ercpseg.__all__) - {"__version__"}))
def test_every_public_name_can_be_had(name: str) -> None:
    assert callable(getattr(ercpseg, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        _ = ercpseg.segment


def test_the_version_is_written_once_in_effect() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert ercpseg.__version__ == project["version"]
