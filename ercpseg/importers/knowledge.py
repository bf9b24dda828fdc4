"""What is known of a frame beside its pixels: patient, study, series, order, date, split, by the rules of a descriptor.

Without a rule the file itself says it (DICOM), and for files that cannot, the stem up to the first ``_`` is the patient.
A rule that gives nothing for a frame is a refusal, never a fall-back: a wrong patient would tear a patient apart.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ercpseg.documents.descriptor import SPLITS, GroupingSpec, Known, Split
from ercpseg.errors import DataError, InputRefused
from ercpseg.frames.about import About
from ercpseg.importers.naming import name_key, patient_of
from ercpseg.storage.atomic import read_bytes

MAX_CHARACTERS = 512
"""Characters of a stem or path that a pattern is tried on. Names are foreign, and matching may take the cube of that."""
MAX_TABLE_BYTES = 64 * 1024 * 1024
SEPARATORS = (",", ";", "\t")
CODE = "ungrouped"
"""Refusal of a frame for which a rule gives nothing."""


@dataclass(frozen=True)
class Facts:
    """What is known of one frame; None is "nobody knows". Text stays in the private table and is never printed.

    ``date`` is ``YYYY-MM-DD``. ``order`` is the place in the series as a rule of the descriptor gives it; None where the
    file's own order holds (:attr:`About.order`).
    """

    patient: str | None
    study: str | None
    series: str | None
    order: int | None
    date: str | None
    split: Split | None


class Knowledge:
    """The rules of a descriptor, with their tables loaded. May be used from any thread.

    ``root`` is the folder that the descriptor's paths start from.

    Raises
    ------
    DataError
        when a table is missing, outside the root (also through a link), too large, or lacks a column.
    """

    def __init__(self, grouping: GroupingSpec, root: Path):
        self._grouping = grouping
        tables: dict[tuple[str, str, str], Mapping[str, str | None]] = {}
        for rule in (getattr(grouping, name) for name in GroupingSpec.model_fields if name != "hold_out_from"):
            if isinstance(rule, Known) and rule.by == "table":
                where = (rule.table or "", rule.key, rule.column or "")
                if where not in tables:
                    tables[where] = load_column(root, *where)
        self._tables = tables

    def facts(self, stem: str, path: str, about: About) -> Facts:
        """What is known of the frames of one file.

        ``stem`` is what annotations call it, ``path`` its path below the root with ``/``, ``about`` what it says itself.

        Raises
        ------
        InputRefused
            ``ungrouped`` when a rule gives nothing, or something that is no date, split or number.
        """
        rules, frame = self._grouping, _Frame(stem, path, about)
        return Facts(
            patient=(about.patient or patient_of(stem)) if rules.patient is None else self._ask("patient", frame),
            study=about.study if rules.study is None else self._ask("study", frame),
            series=about.series if rules.series is None else self._ask("series", frame),
            order=None if rules.order is None else _order(self._ask("order", frame)),
            date=about.date if rules.date is None else _date(self._ask("date", frame)),
            split=None if rules.split is None else _split(self._ask("split", frame)),
        )

    def _ask(self, fact: str, frame: _Frame) -> str | None:
        """What the rule for a fact says of a frame."""
        rule: Known = getattr(self._grouping, fact)
        if rule.by == "unknown" or (fact == "order" and rule.by == "dicom" and frame.about.order):
            return None
        said, why = self._said(fact, rule, frame)
        if not said:
            if rule.missing == "unknown":
                return None
            raise InputRefused(CODE, f"{fact}: {why}")
        if rule.values is None:
            return said
        if said not in rule.values:
            raise InputRefused(CODE, f"{fact}: what was found is none of the rule's values")
        return rule.values[said]

    def _said(self, fact: str, rule: Known, frame: _Frame) -> tuple[str | None, str]:
        """The text that the rule finds, and why there is none if so."""
        if rule.by == "dicom":
            return getattr(frame.about, fact) or None, "the header does not say it"
        if rule.by == "table":
            return self._look_up(fact, rule, frame)
        text = frame.stem if rule.by == "stem" else frame.path
        if len(text) > MAX_CHARACTERS:
            raise InputRefused(CODE, f"{fact}: the {rule.by} has {len(text)} characters, limit {MAX_CHARACTERS}")
        match = re.search(rule.pattern or "", text)
        return (match[1] or "").strip() if match else None, f"the pattern does not fit the {rule.by}"

    def _look_up(self, fact: str, rule: Known, frame: _Frame) -> tuple[str | None, str]:
        column = self._tables[rule.table or "", rule.key, rule.column or ""]
        names = {name_key(name) for name in (frame.path, PurePosixPath(frame.path).name, frame.stem)}
        found = {column[name] for name in names if name in column}
        if len(found) > 1 or None in found:
            raise InputRefused(CODE, f"{fact}: the table has rows for it that differ")
        return (found.pop(), "the table's cell is empty") if found else (None, "the table has no row for it")


@dataclass(frozen=True)
class _Frame:
    stem: str
    path: str
    about: About


def _order(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise InputRefused(CODE, "order: what was found is no whole number")
    return int(text)


def _split(text: str | None) -> Split | None:
    if text is None:
        return None
    for split in SPLITS:
        if text == split:
            return split
    raise InputRefused(CODE, "split: what was found is none of train, val and test; give the rule values")


def _date(text: str | None) -> str | None:
    """A day as ``YYYY-MM-DD``. Other ways to write it are refused: 03-04-2024 may be in March or in April."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", text) or re.fullmatch(
        r"([0-9]{4})([0-9]{2})([0-9]{2})", text
    )
    try:
        return datetime.date(*map(int, match.groups())).isoformat() if match else _no_date()
    except ValueError:
        return _no_date()


def _no_date() -> str:
    raise InputRefused(CODE, "date: what was found is no day, YYYY-MM-DD or YYYYMMDD")


def load_column(root: Path, table: str, key: str, column: str) -> dict[str, str | None]:
    """One column of a CSV file below ``root``: key cell as :func:`name_key` → text; None where rows differ.

    A key may be the path of a frame below the root, a file name or a stem. The columns are separated by the one of comma,
    semicolon and tab with which the first row holds both names.

    Raises
    ------
    DataError
        when the table cannot be used.
    StorageError
        when it cannot be read.
    """
    path = root / table
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise DataError("the table is a link that leads out of the root", where=table, todo="copy the file there")
    if not path.is_file():
        raise DataError("there is no such table", where=table, expected="a CSV file below the root")
    data = read_bytes(path, MAX_TABLE_BYTES + 1)
    if len(data) > MAX_TABLE_BYTES:
        raise DataError("the table is too large", where=table, expected=f"at most {MAX_TABLE_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the table is no UTF-8 text", where=table, todo="save it as CSV in UTF-8") from error
    result: dict[str, str | None] = {}
    for name, cell in _cells(text, table, key, column):
        known = name_key(name.replace("\\", "/").removeprefix("./"))
        result[known] = cell if result.get(known, cell) == cell else None
    return result


def _cells(text: str, table: str, key: str, column: str) -> Iterator[tuple[str, str]]:
    """The cells of two columns, row by row; empty rows are left out."""
    first = text.partition("\n")[0].rstrip("\r")
    for separator in SEPARATORS:
        head = [cell.strip() for cell in next(csv.reader([first], delimiter=separator), [])]
        if head.count(key) == 1 and head.count(column) == 1:
            break
    else:
        raise DataError(
            "the first row does not name the columns",
            where=table,
            expected=f"{key[:64]!r} and {column[:64]!r}, once each",
            todo="separate columns by comma, semicolon or tab",
        )
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        next(rows)
        for row in rows:
            if any(cell.strip() for cell in row):
                if len(row) != len(head):
                    raise DataError(
                        f"a row has {len(row)} cells", where=f"{table}, line {rows.line_num}", expected=f"{len(head)}"
                    )
                yield row[head.index(key)].strip(), row[head.index(column)].strip()
    except csv.Error as error:
        raise DataError("the table is damaged", where=f"{table}, line {rows.line_num}") from error
