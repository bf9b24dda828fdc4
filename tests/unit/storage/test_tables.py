"""CSV tables: nothing runs in a spreadsheet, and every text comes back as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ercpseg.errors import DocumentError, StorageError
from ercpseg.storage.tables import read_table, write_table

FORMULAS = ["=1+1", "+1", "-x", "@SUM(A1)", "\t=1", "\r=1", "=", "-"]
AWKWARD = [
    "'=1",
    "''=1",
    "'",
    "''",
    "'a",
    "a'=1",
    'a"b',
    '"=1"',
    "a,b",
    "a\nb",
    "a\rb",
    "a\r\nb",
    "\n",
    " =1",
    "é",
    "\x00",
]


def test_formulas_get_a_quote(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", ["a", "b"], [{"a": text, "b": "x"} for text in FORMULAS])
    raw = (tmp_path / "a.csv").read_bytes().decode()
    cells = [row[0] for row in csv.reader(raw.splitlines(keepends=True)[1:])] if "\r" not in raw else None
    if cells:
        assert all(cell.startswith("'") for cell in cells)
    for text in FORMULAS:
        assert f"'{text}" in raw
        assert f"\n{text}" not in raw


@pytest.mark.parametrize("text", FORMULAS + AWKWARD + ["", "plain"])
def test_text_comes_back(text: str, tmp_path: Path) -> None:
    rows = [{"a": text, "b": "x"}, {"a": "y", "b": text}]
    write_table(tmp_path / "a.csv", ["a", "b"], rows)
    assert read_table(tmp_path / "a.csv") == rows


def test_values_that_are_no_text(tmp_path: Path) -> None:
    # a negative number is a number, not a formula; six significant digits
    write_table(tmp_path / "a.csv", ["a", "b", "c", "d"], [{"a": -1, "b": -0.123456789, "c": None, "unknown": 3}])
    assert (tmp_path / "a.csv").read_text() == "a,b,c,d\n-1,-0.123457,,\n"


def test_a_table_without_rows(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", ["a", "b"], [])
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n"
    assert read_table(tmp_path / "a.csv") == []


@pytest.mark.parametrize(
    "data", [b"", b"a,b\n1\n", b"a,b\n1,2,3\n", b"a,b\n\xff,1\n", b'a,b\n"x,1\n', b"a\n" + b"x" * 200_000]
)
def test_a_damaged_table_is_called_damaged(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DocumentError, match="damaged"):
        read_table(tmp_path / "a.csv")


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        read_table(tmp_path / "a.csv")
