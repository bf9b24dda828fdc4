"""Rules that hold for every source file, checked on its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "ercpseg").rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 80

WRITES = {  # calls of these names write a file unless their target is a buffer
    "save", "savez", "savez_compressed", "savetxt", "tofile", "dump", "safe_dump", "imsave", "imwrite", "savefig",
    "print_png", "save_as", "dcmwrite", "save_file", "WriteImage", "to_csv", "to_json", "to_parquet", "write_text",
    "write_bytes", "copy2", "copyfile", "copytree", "symlink_to", "hardlink_to",
}  # fmt: skip
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"read_pickle", "to_pickle", "eval", "exec"}
MAY_WRITE: dict[str, str] = {}
"""Files outside ``storage`` that may write, each with the reason."""


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room(name: str) -> str:
    return name.split("/")[1]


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str, str]]:
    """Every call with the name that is called and what stands before the last dot ('' for a plain name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node, node.func.id, ""
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, node.func.attr, ast.unparse(node.func.value)


def imported_from(tree: ast.Module, package: str) -> set[str]:
    """Local names that come from ``package`` (modules and functions)."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{package}.")
        for alias in node.names
    }


def buffers(tree: ast.Module) -> set[str]:
    """Names that are assigned a ``BytesIO`` or ``StringIO`` somewhere in the file."""
    found: set[str] = set()
    for node in ast.walk(tree):
        value, targets = None, []
        if isinstance(node, ast.Assign):
            value, targets = node.value, node.targets
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            value, targets = node.context_expr, [node.optional_vars]
        if isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in {"BytesIO", "StringIO"}:
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def writes(tree: ast.Module) -> list[str]:
    """The calls that write a file by themselves instead of through ``ercpseg.storage``."""
    storage, memory = imported_from(tree, "ercpseg.storage"), buffers(tree)
    found = []
    for call, name, owner in calls(tree):
        if name == "open":
            mode = call.args[1] if not owner and len(call.args) > 1 else call.args[0] if owner and call.args else None
            mode = next((k.value for k in call.keywords if k.arg == "mode"), mode)
            text = mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else ""
            if len(text) <= 4 and set(text) & set("wax+"):
                found.append(f"line {call.lineno}: {ast.unparse(call)}")
        elif name in WRITES and (call.args or call.keywords):  # without a target it returns what it would write
            if owner.split(".")[0] in storage or (not owner and name in storage):
                continue
            into = [a.id for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Name)]
            if not memory & set(into):
                found.append(f"line {call.lineno}: {ast.unparse(call)}")
    return found


TREES = {ids(path): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def imports(tree: ast.Module) -> list[str]:
    """Every module that is imported, anywhere in the file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module)
    return found


def unsafe(tree: ast.Module) -> list[str]:
    """Imports and calls through which data could run code."""
    found = [name for name in imports(tree) if name.split(".")[0] in UNSAFE_MODULES]
    for call, name, owner in calls(tree):
        given = {k.arg: ast.unparse(k.value) for k in call.keywords}
        unsafe_load = name == "load" and owner == "torch" and given.get("weights_only") != "True"
        evaluates = name in UNSAFE_CALLS and (not owner or name.endswith("pickle"))
        if unsafe_load or evaluates or given.get("allow_pickle") == "True" or given.get("shell") == "True":
            found.append(f"line {call.lineno}: {ast.unparse(call)}")
    return found


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_files_stay_short() -> None:
    lengths = {ids(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_functions_stay_short() -> None:
    lengths = {
        f"{name}: {node.name}": node.end_lineno - node.lineno + 1
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def test_nothing_is_printed() -> None:
    printing = {
        name: [f"line {call.lineno}" for call, called, owner in calls(tree) if called == "print" and not owner]
        for name, tree in TREES.items()
    }
    assert {name: lines for name, lines in printing.items() if lines} == {}


def test_only_storage_writes_files() -> None:
    free = {name for name in TREES if room(name) == "storage"} | set(MAY_WRITE)
    writing = {name: writes(tree) for name, tree in TREES.items() if name not in free}
    assert {name: lines for name, lines in writing.items() if lines} == {}


def test_nnunet_is_imported_in_the_seam_only() -> None:
    outside = [
        name
        for name, tree in TREES.items()
        if room(name) != "nnunet" and any(module.split(".")[0] == "nnunetv2" for module in imports(tree))
    ]
    assert outside == []


def test_nothing_is_unpickled_or_evaluated() -> None:
    found = {name: unsafe(tree) for name, tree in TREES.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_exceptions_exist() -> None:
    assert all((ROOT / name).is_file() and reason for name, reason in MAY_WRITE.items())


@pytest.mark.parametrize(
    "code",
    [
        "open('x', 'w')",
        "open('x', mode='ab')",
        "path.open('wb')",
        "path.write_text('x')",
        "np.save(path, a)",
        "torch.save(state, path)",
        "json.dump(data, handle)",
        "image.save(path)",
        "import io\nb = io.BytesIO()\nimage.save(path)",
    ],
)
def test_the_write_rule_sees_writes(code: str) -> None:
    assert len(writes(ast.parse(code))) == 1


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from joblib import load", "torch.load(p)", "np.load(p, allow_pickle=True)", "eval(text)"],
)
def test_the_unsafe_rule_sees_unpickling(code: str) -> None:
    assert len(unsafe(ast.parse(code))) == 1


@pytest.mark.parametrize("code", ["torch.load(p, weights_only=True)", "model.eval()", "np.load(p, allow_pickle=False)"])
def test_the_unsafe_rule_lets_safe_calls_pass(code: str) -> None:
    assert unsafe(ast.parse(code)) == []


@pytest.mark.parametrize(
    "code",
    [
        "open('x')",
        "plan.to_json()",
        "path.open('rb')",
        "Image.open('wax.png')",
        "import io\nb = io.BytesIO()\nimage.save(b)\nfigure.savefig(b, format='png')",
        "from io import BytesIO\nwith BytesIO() as b:\n    data.save_as(b)",
        "from ercpseg.storage import documents\ndocuments.save(path, plan)",
        "from ercpseg.storage.atomic import write_text\nwrite_text(path, 'x')",
    ],
)
def test_the_write_rule_lets_reading_and_buffers_pass(code: str) -> None:
    assert writes(ast.parse(code)) == []


def test_the_list_of_sources_is_not_empty() -> None:
    assert len(SOURCES) > 20
