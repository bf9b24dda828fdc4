"""What is known of frames: every rule by hand-made frames, and that nothing is ever guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.documents.descriptor import GroupingSpec
from ercpseg.errors import DataError, InputRefused
from ercpseg.frames.about import About
from ercpseg.importers import knowledge
from ercpseg.importers.knowledge import MAX_CHARACTERS, Facts, Knowledge, load_column

NOTHING = About()
HEADER = About(patient="PAT-7", study="1.2", series="1.2.1", instance="1.2.1.5", date="2024-03-01", order=(2, 5))


@pytest.fixture
def known(tmp_path: Path) -> Callable[..., Facts]:
    """The facts of one frame by some rules; tables lie in ``tmp_path``."""

    def get(grouping: dict[str, Any], stem: str = "p1_r2_003", path: str = "", about: About = NOTHING) -> Facts:
        rules = Knowledge(GroupingSpec.model_validate(grouping), tmp_path)
        return rules.facts(stem, path or f"images/{stem}.png", about)

    return get


@pytest.fixture
def why(known: Callable[..., Facts]) -> Callable[..., str]:
    """The detail of the refusal of one frame."""

    def get(*given: Any, **named: Any) -> str:
        with pytest.raises(InputRefused) as caught:
            known(*given, **named)
        assert caught.value.code == knowledge.CODE
        return caught.value.detail

    return get


def test_without_rules_the_file_says_it(known) -> None:
    assert known({}) == Facts("p1", None, None, None, None, None)
    assert known({}, stem="frame12") == Facts("frame12", None, None, None, None, None)
    assert known({}, about=HEADER) == Facts("PAT-7", "1.2", "1.2.1", None, "2024-03-01", None)


def test_a_rule_replaces_what_the_file_says(known) -> None:
    rules = {
        "patient": {"by": "stem", "pattern": "^(p[0-9]+)_"},
        "series": {"by": "path", "pattern": "/(run[0-9])/"},
        "order": {"by": "stem", "pattern": "_([0-9]+)$"},
        "date": {"by": "path", "pattern": "([0-9]{8})"},
    }
    facts = known(rules, path="20240229/run2/p1_r2_003.png", about=HEADER)
    assert facts == Facts("p1", "1.2", "run2", 3, "2024-02-29", None)


def test_unknown_is_none_and_no_default(known) -> None:
    rules = {name: {"by": "unknown"} for name in ("patient", "study", "series", "order", "date", "split")}
    assert known(rules, about=HEADER) == Facts(None, None, None, None, None, None)


def test_by_header(known, why) -> None:
    rules = {name: {"by": "dicom"} for name in ("patient", "study", "series", "order", "date")}
    assert known(rules, about=HEADER) == Facts("PAT-7", "1.2", "1.2.1", None, "2024-03-01", None)
    for name in rules:
        assert why({name: {"by": "dicom"}}) == f"{name}: the header does not say it"
        assert getattr(known({name: {"by": "dicom", "missing": "unknown"}}), name) is None


@pytest.mark.parametrize(("stem", "split"), [("training_1", "train"), ("testing_1", "test")])
def test_words_and_what_they_mean(stem: str, split: str, known, why) -> None:
    rule = {"by": "stem", "pattern": "^([a-z]+)_", "values": {"training": "train", "testing": "test"}}
    assert known({"split": rule}, stem=stem).split == split
    assert why({"split": rule}, stem="validation_1") == "split: what was found is none of the rule's values"
    # What is there but means nothing is an error even where nothing may be there.
    assert why({"split": {**rule, "missing": "unknown"}}, stem="validation_1").endswith("none of the rule's values")
    assert known({"split": {**rule, "missing": "unknown"}}, stem="1").split is None


@pytest.mark.parametrize("word", ["train", "val", "test"])
def test_a_split_needs_no_table_of_words(word: str, known) -> None:
    assert known({"split": {"by": "path", "pattern": "^([a-z]+)/"}}, path=f"{word}/a.png").split == word


@pytest.mark.parametrize("word", ["Train", "training", "valid", "none"])
def test_a_split_is_never_guessed(word: str, why) -> None:
    said = why({"split": {"by": "path", "pattern": "^([a-zA-Z]+)/"}}, path=f"{word}/a.png")
    assert said.startswith("split: what was found is none of train, val and test")


@pytest.mark.parametrize("rule", [{"by": "stem", "pattern": "^(p[0-9]+)_"}, {"by": "stem", "pattern": "^(p[0-9]+)?"}])
def test_what_a_pattern_does_not_find_is_refused(rule: dict[str, Any], why) -> None:
    assert why({"patient": rule}, stem="x_1") == "patient: the pattern does not fit the stem"


def test_the_first_group_counts_wherever_it_is(known) -> None:
    rule = {"by": "path", "pattern": "(?:images|frames)/([^/]+)/(.)"}
    assert known({"patient": rule}, path="a/frames/Müller 7/x.png").patient == "Müller 7"


def test_long_names_are_not_matched(known, why) -> None:
    rule = {"patient": {"by": "stem", "pattern": "(.)"}}
    assert known(rule, stem="x" * MAX_CHARACTERS).patient == "x"
    assert why(rule, stem="x" * (MAX_CHARACTERS + 1)) == "patient: the stem has 513 characters, limit 512"
    assert why({"patient": {**rule["patient"], "missing": "unknown"}}, stem="x" * 600)


@pytest.mark.timeout(20)
def test_a_slow_pattern_ends_on_the_longest_name(why) -> None:
    assert why({"patient": {"by": "stem", "pattern": "(.*)_(.*)_x"}}, stem="_" * MAX_CHARACTERS)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-02-29", "2024-02-29"),
        ("20240229", "2024-02-29"),
        ("2023-02-29", None),
        ("20241301", None),
        ("29.02.2024", None),
        ("2024-2-9", None),
        ("240229", None),
        ("2024-02-29T10", None),
        ("٢٠٢٤٠٢٢٩", None),
        ("00000101", None),
    ],
)
def test_days(text: str, day: str | None, known, why) -> None:
    rule = {"date": {"by": "path", "pattern": "^(.+)/"}}
    if day is None:
        assert why(rule, path=f"{text}/a.png") == "date: what was found is no day, YYYY-MM-DD or YYYYMMDD"
    else:
        assert known(rule, path=f"{text}/a.png").date == day


@pytest.mark.parametrize(
    ("text", "place"), [("0", 0), ("007", 7), ("1.5", None), ("-1", None), ("٣", None), ("9" * 16, None)]
)
def test_places(text: str, place: int | None, known, why) -> None:
    rule = {"order": {"by": "path", "pattern": "^(.+)/"}}
    if place is None:
        assert why(rule, path=f"{text}/a.png") == "order: what was found is no whole number"
    else:
        assert known(rule, path=f"{text}/a.png").order == place


def test_a_refusal_never_quotes_the_frame(why) -> None:
    secret = "MUSTERMANN"
    for rule in ({"pattern": "^(x)"}, {"pattern": "(.+)", "values": {"a": "train"}}, {"pattern": "(.+)"}):
        assert secret not in why({"split": {"by": "stem", **rule}}, stem=secret)
    assert secret not in why({"date": {"by": "stem", "pattern": "(.+)"}}, stem=secret)


TABLE = {"by": "table", "table": "t/facts.csv", "key": "file", "column": "who"}


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "t" / "facts.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", ["p1_r2_003", "p1_r2_003.png", "images/p1_r2_003.png", ".\\images\\P1_R2_003.PNG"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_names_frames_by_stem_file_or_path(name: str, separator: str, known, tmp_path: Path) -> None:
    rows = [
        "note,file,who".replace(",", separator),
        separator.join(("x", name, " Anna ")),
        separator.join(("y", "other", "Ben")),
    ]
    write(tmp_path, "\ufeff" + "\r\n".join(rows) + "\r\n\r\n")
    assert known({"patient": TABLE}).patient == "Anna"


def test_a_table_without_the_frame_or_with_an_empty_cell(known, why, tmp_path: Path) -> None:
    write(tmp_path, "file,who\nother,Ben\n")
    assert why({"patient": TABLE}) == "patient: the table has no row for it"
    assert known({"patient": {**TABLE, "missing": "unknown"}}).patient is None
    write(tmp_path, "file,who\np1_r2_003,\n")
    assert why({"patient": TABLE}) == "patient: the table's cell is empty"
    assert known({"patient": {**TABLE, "missing": "unknown"}}).patient is None


@pytest.mark.parametrize("second", ["p1_r2_003", "p1_r2_003.png", "images/p1_r2_003.png"])
def test_rows_that_differ_are_a_doubt(second: str, known, why, tmp_path: Path) -> None:
    write(tmp_path, f"file,who\np1_r2_003,Anna\n{second},Anna\n")
    assert known({"patient": TABLE}).patient == "Anna"
    for other in ("Ben", ""):
        write(tmp_path, f"file,who\np1_r2_003,Anna\n{second},{other}\n")
        assert why({"patient": {**TABLE, "missing": "unknown"}}) == "patient: the table has rows for it that differ"


def test_a_third_row_does_not_settle_a_doubt(why, tmp_path: Path) -> None:
    write(tmp_path, "file,who\n" + "".join(f"p1_r2_003,{who}\n" for who in ("Anna", "Ben", "Anna")))
    assert why({"patient": TABLE}) == "patient: the table has rows for it that differ"


BAD_TABLES: dict[str, tuple[str | bytes, str]] = {
    "no such column": ("file,name\na,b\n", "does not name the columns"),
    "a column twice": ("file,who,who\na,b,c\n", "does not name the columns"),
    "empty": ("", "does not name the columns"),
    "short row": ("file,who\na,b\nc\n", "a row has 1 cells"),
    "long row": ("file,who\na,b,c\n", "a row has 3 cells"),
    "not UTF-8": (b"file,who\na,\xfc\n", "no UTF-8"),
    "UTF-16": ("file,who\na,b\n".encode("utf-16"), "no UTF-8"),
    "open quote": ('file,who\na,"b\n', "damaged"),
}


@pytest.mark.parametrize(("content", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_tables(content: str | bytes, message: str, tmp_path: Path) -> None:
    write(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        load_column(tmp_path, "t/facts.csv", "file", "who")
    assert (caught.value.where or "").startswith("t/facts.csv")


def test_the_line_of_a_bad_row_is_named(tmp_path: Path) -> None:
    write(tmp_path, 'file,who\na,"two\nlines"\n\nb\n')
    with pytest.raises(DataError) as caught:
        load_column(tmp_path, "t/facts.csv", "file", "who")
    assert caught.value.where == "t/facts.csv, line 5"


def test_a_table_stays_inside_the_root_and_below_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    secret = tmp_path / "secret.csv"
    secret.write_text("file,who\na,b\n")
    (root / "link.csv").symlink_to(secret)
    (root / "out").symlink_to(tmp_path)
    for table in ("link.csv", "out/secret.csv"):
        with pytest.raises(DataError, match="out of the root"):
            load_column(root, table, "file", "who")
    with pytest.raises(DataError, match="no such table"):
        load_column(root, "missing.csv", "file", "who")
    (root / "inside.csv").write_text(secret.read_text())
    (root / "fine.csv").symlink_to(root / "inside.csv")
    assert load_column(root, "fine.csv", "file", "who") == {"a": "b"}
    monkeypatch.setattr(knowledge, "MAX_TABLE_BYTES", 10)
    with pytest.raises(DataError, match="too large"):
        load_column(root, "inside.csv", "file", "who")


def test_a_missing_table_is_told_before_any_frame(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such table"):
        Knowledge(GroupingSpec.model_validate({"study": TABLE}), tmp_path)


def test_one_table_serves_several_rules(tmp_path: Path, known) -> None:
    write(tmp_path, "file,who,part,seen\np1_r2_003,Anna,A,20240301\n")
    rules = {
        "patient": TABLE,
        "split": {**TABLE, "column": "part", "values": {"A": "train", "B": "test"}},
        "date": {**TABLE, "column": "seen"},
    }
    assert known(rules) == Facts("Anna", None, None, None, "2024-03-01", "train")


@settings(max_examples=200, deadline=None)
@given(stem=st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=40))
def test_a_pattern_gives_its_group_or_a_refusal(stem: str, tmp_path_factory) -> None:
    """An oracle of one line: digits between the first p and an underscore."""
    rules = Knowledge(GroupingSpec.model_validate({"patient": {"by": "stem", "pattern": "^p([0-9]+)_"}}), Path())
    digits = stem[1:].partition("_")[0] if stem.startswith("p") and "_" in stem else ""
    if digits and all(c in "0123456789" for c in digits):
        assert rules.facts(stem, "x", NOTHING).patient == digits
    else:
        with pytest.raises(InputRefused):
            rules.facts(stem, "x", NOTHING)


def test_the_sentence_of_the_module_holds(known, why) -> None:
    """A rule that fails never falls back to the default, which would know a patient here."""
    rule = {"patient": {"by": "stem", "pattern": "^(q[0-9]+)_"}}
    assert known({}).patient == "p1"
    assert re.match("patient: ", why(rule, about=HEADER))
