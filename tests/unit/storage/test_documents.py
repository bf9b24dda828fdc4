"""JSON and YAML from outside: what is ambiguous or hostile is refused with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ercpseg.documents.recipe import Recipe
from ercpseg.errors import DocumentError, StorageError
from ercpseg.storage import documents


def put(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_document_comes_back(tmp_path: Path) -> None:
    recipe = Recipe.new(name="a", title="Ärztin", set={"patch.batch_size": 2})
    documents.save(tmp_path / "a.json", recipe)
    assert documents.load(tmp_path / "a.json", Recipe) == recipe


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_yaml_by_suffix(suffix: str, tmp_path: Path) -> None:
    path = put(tmp_path, f"a.{suffix}", "schema: ercpseg.recipe/1\nname: a\ntitle: b\n")
    assert documents.load(path, Recipe) == Recipe.new(name="a", title="b")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 1}}',
        '{"a": NaN}',
        "[Infinity]",
        "[-Infinity]",
        "[" * 100_000,
        '{"a":' * 100_000,
        "",
        "{",
        "{'a': 1}",
        '{"a": 1} x',
        b"\xff\xfe\x00",
        "9" * 5000,
    ],
)
def test_json_that_is_refused(text: str | bytes, tmp_path: Path) -> None:
    path = put(tmp_path, "a.json", text)
    with pytest.raises(DocumentError) as caught:
        documents.load_json(path)
    assert str(path) in caught.value.message


def test_the_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="line 3"):
        documents.load_json(put(tmp_path, "a.json", '{\n"a": 1,\nb\n}'))
    with pytest.raises(DocumentError, match="line 2"):
        documents.load_yaml(put(tmp_path, "a.yaml", "a: 1\nb: ]\n"))
    with pytest.raises(DocumentError, match="line 3"):
        documents.load_yaml(put(tmp_path, "a.yaml", "a: 1\nb: 2\na: 3\n"))


def test_oversized_json_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_BYTES", 10)
    assert documents.load_json(put(tmp_path, "a.json", '{"a":   1}')) == {"a": 1}
    with pytest.raises(DocumentError, match="11 bytes"):
        documents.load_json(put(tmp_path, "a.json", '{"a":    1}'))


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",  # one of the two would be dropped silently
        "set: {network.name: unet, network.name: light}",
        "a: [1",
        "a: b: c",
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "a: 2020-13-45",  # looks like a date; the library raises ValueError
        "a: 0b_",
        "!!timestamp soon",
        "!!bool perhaps",
        "!!int ''",
        "a: " + "9" * 5000,
        "[" * 3000,
        b"\xff\x00\x80",
        "? [a]\n: 1",
    ],
)
def test_yaml_that_is_refused(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no valid YAML"):
        documents.load_yaml(put(tmp_path, "a.yaml", text))


def test_yaml_keys_may_repeat_in_different_mappings_and_merge(tmp_path: Path) -> None:
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}\n"
    loaded: Any = documents.load_yaml(put(tmp_path, "a.yaml", text))
    assert loaded == {"x": {"a": 1, "b": 2}, "y": {"a": 3, "b": 2}}


def test_yaml_is_data_only(tmp_path: Path) -> None:
    loaded = documents.load_yaml(put(tmp_path, "a.yaml", "a: [1, 2.5, yes, ~, text]"))
    assert loaded == {"a": [1, 2.5, True, None, "text"]}


def test_a_missing_file_is_an_io_error(tmp_path: Path) -> None:
    for name in ("a.json", "a.yaml"):
        with pytest.raises(StorageError) as caught:
            documents.load(tmp_path / name, Recipe)
        assert caught.value.exit_code == 74
