"""Descriptors: what the schema takes and refuses, how problems are told, and that a hostile file does no harm."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.documents.descriptor import AnnotationSpec, Descriptor, GroupingSpec, Known, ManifestSpec
from ercpseg.documents.descriptor_values import MAX_PATTERN
from ercpseg.errors import DocumentError, StorageError, UsageError
from ercpseg.importers.descriptors import MAX_BYTES, MOST, Problem, load_descriptor, read_descriptor
from ercpseg.storage.resources import resource_folder, resource_names

HASH = "0123456789abcdef" * 4
GOOD: dict[str, Any] = {
    "schema": "ercpseg.descriptor/1",
    "name": "my-set",
    "title": "Mine",
    "source": "here",
    "licence": "none",
    "access": "ask",
    "annotations": [{"format": "masks", "path": "masks"}],
    "labels": {"cbd": ["Choledoque"], "stone": []},
    "grouping": {"patient": {"by": "stem", "pattern": "^(p[0-9]+)_"}},
    "files": [{"path": "images/a.png", "sha256": HASH, "bytes": 3}],
    "expected": {"frames": 1, "structures": {"cbd": 1}},
}
TEXT = f"""\
schema: ercpseg.descriptor/1
name: my-set
title: Mine
source: here
licence: none
access: ask
annotations:
  - format: masks
    path: masks
labels:
  cbd: Choledoque
  stone:
grouping:
  patient: {{by: stem, pattern: "^(p[0-9]+)_"}}
files:
  - path: images/a.png
    bytes: 3
    sha256: {HASH}
expected:
  frames: 1
  structures: {{cbd: 1}}
"""


def with_value(place: str, value: Any) -> dict[str, Any]:
    """``GOOD`` with one value changed; the place is keys and numbers with dots."""
    data = copy.deepcopy(GOOD)
    *before, last = place.split(".")
    inside: Any = data
    for key in before:
        inside = inside[int(key)] if isinstance(inside, list) else inside.setdefault(key, {})
    if isinstance(inside, list):
        inside[int(last)] = value
    else:
        inside[last] = value
    return data


@pytest.fixture
def read(tmp_path: Path):
    """What is read from a YAML file with this content: the descriptor, or its problems."""

    def get(content: str | bytes) -> Descriptor | list[Problem]:
        path = tmp_path / "d.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        descriptor, problems = read_descriptor(path)
        assert (descriptor is None) == bool(problems)
        return problems if descriptor is None else descriptor

    return get


def test_yaml_and_plain_data_give_the_same(read) -> None:
    assert read(TEXT) == Descriptor.parse(GOOD)


def test_a_trip_through_json_and_through_yaml(read) -> None:
    descriptor = Descriptor.parse(GOOD)
    assert Descriptor.parse(yaml.safe_load(descriptor.to_json())) == descriptor
    assert read(descriptor.to_json()) == descriptor  # JSON is YAML


@pytest.mark.parametrize(
    ("place", "value", "field", "expected"),
    [
        ("cites", "one paper", "cites", ("one paper",)),
        ("ignore_labels", "text", "ignore_labels", ("text",)),
        ("annotations", {"format": "masks"}, "annotations", (AnnotationSpec(format="masks"),)),
        ("labels", {"cbd": "Gang", "stone": None}, "labels", {"cbd": ("Gang",), "stone": ()}),
    ],
)
def test_one_value_may_stand_for_a_list_of_one(place: str, value: Any, field: str, expected: Any) -> None:
    assert getattr(Descriptor.parse(with_value(place, value)), field) == expected


def test_one_number_or_colour_may_stand_for_a_list_of_one() -> None:
    assert AnnotationSpec.model_validate({"format": "labels", "values": {"cbd": 2, "stone": [3, 4]}}).values == {
        "cbd": (2,),
        "stone": (3, 4),
    }
    spec = AnnotationSpec.model_validate({"format": "colours", "colours": {"cbd": "#00ff00"}, "background": "#ffffff"})
    assert spec.colours == {"cbd": ("#00ff00",)}
    assert spec.background == ("#ffffff",)


@pytest.mark.parametrize(
    ("given", "kept"), [("images", "images"), ("images/", "images"), ("./a//b", "a/b"), (".", ""), ("", "")]
)
def test_paths_are_written_in_one_way(given: str, kept: str) -> None:
    assert Descriptor.parse(with_value("frames.folder", given)).frames.folder == kept


MACHINE = "/" + "data/x"
BAD = [
    ("name", "my set", "name"),
    ("name", "a" * 61, "name"),
    ("name", "../x", "name"),
    ("title", "", "title"),
    ("title", None, "title"),
    ("source", 2024, "source"),
    ("frames.folder", MACHINE, "frames.folder"),
    ("frames.folder", "../x", "frames.folder"),
    ("frames.folder", "a/../../b", "frames.folder"),
    ("frames.folder", "C:/x", "frames.folder"),
    ("frames.folder", "a\\b", "frames.folder"),
    ("frames.folder", "a\0b", "frames.folder"),
    ("frames.pattern", "^p[0-9]+", "frames.pattern"),
    ("frames.polarity", "bright", "frames.polarity"),
    ("frames.spacing_mm", [0.3], "frames.spacing_mm.1"),
    ("frames.spacing_mm", [0.3, 0], "frames.spacing_mm.1"),
    ("frames.spacing_mm", 0.3, "frames.spacing_mm"),
    ("frames.frame_time_ms", -1, "frames.frame_time_ms"),
    ("annotations.0.format", "png", "annotations.0.format"),
    ("annotations.0", {"format": "labels"}, "annotations.0"),
    ("annotations.0", {"format": "colours"}, "annotations.0"),
    ("annotations.0", {"format": "labels", "values": {"cbd": 65536}}, "annotations.0.values.cbd.0"),
    ("annotations.0", {"format": "labels", "values": {"cbd": -1}}, "annotations.0.values.cbd.0"),
    ("annotations.0", {"format": "colours", "colours": {"cbd": None}}, "annotations.0.colours.cbd"),
    ("annotations.0", {"format": "colours", "colours": {"cbd": "red"}}, "annotations.0.colours.cbd.0"),
    ("annotations.0", {"format": "masks", "width_px": 3}, "annotations.0"),
    ("annotations.0", {"format": "masks", "values": {"cbd": 1}}, "annotations.0"),
    ("annotations.0", {"format": "polylines", "width_px": 3, "width_mm": 1}, "annotations.0"),
    ("annotations.0", {"format": "polylines", "width_px": 0}, "annotations.0.width_px"),
    ("labels", {"CBD": []}, "labels.CBD.[key]"),
    ("labels", {"duct": []}, "labels.duct.[key]"),
    ("labels", {f"s{i}": [] for i in range(9)}, "labels"),
    ("labels", {"cbd": ["a"], "stone": ["A"]}, "(top)"),
    ("labels", {"cbd": ["stone"], "stone": []}, "(top)"),
    ("ignore_labels", ["Choledoque"], "(top)"),
    ("grouping.patient", {"by": "name"}, "grouping.patient.by"),
    ("grouping.patient", {"by": "stem"}, "grouping.patient"),
    ("grouping.patient", {"by": "path"}, "grouping.patient"),
    ("grouping.patient", {"by": "table", "table": "a.csv"}, "grouping.patient"),
    ("grouping.patient", {"by": "dicom", "pattern": "(a)"}, "grouping.patient"),
    ("grouping.patient", {"by": "unknown", "values": {"a": "b"}}, "grouping.patient"),
    ("grouping.patient", {"by": "stem", "pattern": "(a)", "key": "file"}, "grouping.patient"),
    ("grouping.patient", {"by": "table", "table": "../a.csv", "column": "x"}, "grouping.patient.table"),
    ("grouping.patient.pattern", "(p", "grouping.patient.pattern"),
    ("grouping.patient.pattern", "(a+)+", "grouping.patient.pattern"),
    ("grouping.patient.pattern", "((?:x[0-9]*)_)*", "grouping.patient.pattern"),
    ("grouping.patient.pattern", "(" + "a" * MAX_PATTERN + ")", "grouping.patient.pattern"),
    ("grouping.patient.values", {"a": ""}, "grouping.patient.values.a"),
    ("grouping.split", {"by": "dicom"}, "grouping.split"),
    ("grouping.split", {"by": "path", "pattern": "(a)", "values": {"a": "training"}}, "grouping.split"),
    ("grouping.hold_out_from", "2024-02-30", "grouping.hold_out_from"),
    ("grouping.hold_out_from", "1.3.2024", "grouping.hold_out_from"),
    ("grouping.hold_out_from", 2024, "grouping.hold_out_from"),
    ("files.0.sha256", HASH[1:], "files.0.sha256"),
    ("files.0.sha256", HASH.upper(), "files.0.sha256"),
    ("files.0.bytes", -1, "files.0.bytes"),
    ("files.0.path", MACHINE, "files.0.path"),
    ("files", [GOOD["files"][0], {"path": "./images/a.png", "sha256": HASH}], "files"),
    ("manifest", {"files": 0, "bytes": 0, "sha256": HASH}, "manifest.files"),
    ("expected.frames", "many", "expected.frames"),
    ("expected.structures", {"cbd": 1.5}, "expected.structures.cbd"),
    ("expected.structures", {"wire": 1}, "(top)"),
    ("expected.splits", {"validation": 3}, "expected.splits.validation.[key]"),
    ("synthetic", {"frames": 3, "patients": 4, "size": 512}, "synthetic"),
    ("synthetic", {"frames": 3, "patients": 1, "size": 63}, "synthetic.size"),
    ("acess", "x", "acess"),
    ("frames.color", "x", "frames.color"),
]


@pytest.mark.parametrize(("place", "value", "key"), BAD)
def test_what_is_refused_and_the_key_that_is_named(place: str, value: Any, key: str) -> None:
    with pytest.raises(DocumentError) as caught:
        Descriptor.parse(with_value(place, value), where="d.yaml")
    assert caught.value.message.startswith(f"1 problem(s): {key}: ")
    assert "(at d.yaml)" in caught.value.message


def test_split_and_hold_out_are_two_answers_to_one_question() -> None:
    split = {"by": "stem", "pattern": "(.)", "values": {"a": "train"}}
    with pytest.raises(DocumentError, match="not both"):
        Descriptor.parse(with_value("grouping", {"split": split, "hold_out_from": "2024-01-01"}))
    unknown = GroupingSpec.model_validate({"split": {"by": "unknown"}, "hold_out_from": "2024-01-01"})
    assert unknown.hold_out_from == "2024-01-01"


def test_every_problem_is_told_with_line_key_expected_and_found(read) -> None:
    text = TEXT.replace("name: my-set", "name: my set").replace("title: Mine\n", "")
    text = text.replace("    path: masks", "    path: ../masks").replace("frames: 1", "frames: many\n  acess: 1")
    assert read(text) == [
        Problem("d.yaml", "title", "this key", "nothing", 1),
        Problem("d.yaml", "name", "text that fits ^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$", "'my set'", 2),
        Problem(
            "d.yaml",
            "annotations.0.path",
            "a path inside the root, relative, with / and without ..",
            "'../masks'",
            8,
        ),
        Problem("d.yaml", "expected.frames", "a whole number", "'many'", 19),
        Problem("d.yaml", "expected.acess", "a key of the schema, perhaps access", "'acess'", 20),
    ]


def test_lines_of_what_stands_for_a_list_of_one(read) -> None:
    (problem,) = read(TEXT.replace("cbd: Choledoque", 'cbd: ""'))
    assert (problem.key, problem.line) == ("labels.cbd.0", 11)


def test_yaml_traps_are_said_as_such(read) -> None:
    (number,) = read(TEXT.replace("licence: none", "licence: 4.0"))
    assert (number.key, number.expected, number.found, number.line) == (
        "licence",
        "text (numbers, yes and no in quotes)",
        "4.0",
        5,
    )
    (yes,) = read(TEXT.replace("access: ask", "access: yes"))
    assert yes.found == "true"
    split = '  split: {by: stem, pattern: "(.)", values: {1: train}}\nfiles:'
    (key,) = read(TEXT.replace("files:", split))
    assert key.key == "grouping.split.values.1"
    assert key.line == 15


def test_an_unquoted_day_is_a_day(read) -> None:
    descriptor = read(TEXT.replace("grouping:", "grouping:\n  hold_out_from: 2024-03-01"))
    assert isinstance(descriptor, Descriptor)
    assert descriptor.grouping.hold_out_from == "2024-03-01"
    (problem,) = read(TEXT.replace("grouping:", "grouping:\n  hold_out_from: 2024-02-30"))
    assert (problem.key, problem.line) == ("grouping.hold_out_from", 14)


def test_another_schema_is_the_only_problem(read) -> None:
    (problem,) = read(TEXT.replace("descriptor/1", "descriptor/2").replace("name:", "nom:"))
    assert (problem.key, problem.expected, problem.found) == (
        "schema",
        "ercpseg.descriptor/1",
        "'ercpseg.descriptor/2'",
    )
    (problem,) = read(TEXT.partition("\n")[2])
    assert (problem.key, problem.found) == ("schema", "nothing")


def test_a_key_twice(read) -> None:
    problems = read(
        TEXT.replace("title: Mine", "title: Mine\ntitle: Yours").replace("    bytes: 3", "    bytes: 3\n" * 2)
    )
    assert [(p.key, p.line) for p in problems] == [("title", 4), ("files.0.bytes", 19)]


def test_the_keys_of_one_line_are_told_apart(read) -> None:
    """Two items that begin on one line are no double; the same key twice on one line is."""
    assert isinstance(read(TEXT.replace("cbd: Choledoque", "cbd: [a, b]")), Descriptor)
    problems = read(TEXT.replace("{cbd: 1}", "{cbd: 1, cbd: 2}"))
    assert isinstance(problems, list)
    assert [(p.key, p.line) for p in problems] == [("expected.structures.cbd", 21)]


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE: dict[str, str | bytes] = {
    "alias bomb": TEXT + BOMB,
    "one alias": TEXT.replace("title: Mine", "title: &x Mine").replace("source: here", "source: *x"),
    "object": TEXT + "x: !!python/object/apply:os.system [ls]\n",
    "tag": TEXT + "x: !unknown 3\n",
    "deep": TEXT + "x: " + "[" * 5000 + "]" * 5000 + "\n",
    "deep mapping": TEXT + "x: " + "{a: " * 3000 + "1" + "}" * 3000 + "\n",
    "large": TEXT + "# " + "x" * MAX_BYTES + "\n",
    "huge number": TEXT + "x: " + "9" * 5000 + "\n",
    "two documents": TEXT + "---\n" + TEXT,
    "not UTF-8": TEXT.encode() + b"x: \xff\xfe\n",
    "control characters": TEXT + "x: \x07\n",
    "no YAML": TEXT + "x: [1\n",
    "tab": TEXT + "x:\n\t- 1\n",
    "list as a key": TEXT + "? [1, 2]\n: 3\n",
    "list": "- 1\n- 2\n",
    "text": "hello",
    "empty": "",
    "a PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.timeout(20)
def test_hostile_files_are_refused(content: str | bytes, read) -> None:
    problems = read(content)
    assert isinstance(problems, list)
    assert all(problem.file == "d.yaml" for problem in problems)


def test_a_large_number_is_not_printed(read) -> None:
    (problem,) = read(TEXT.replace("licence: none", "licence: 0x" + "f" * 100_000))
    assert problem.found == "a huge number"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_files_give_problems_or_a_descriptor(data: st.DataObject, tmp_path_factory) -> None:
    """Whatever happens to the bytes, there is an answer, and every problem has a key or a line or the file is unreadable."""
    content = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 8))
        content[at : at + length] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b": ", b"- ", b"{", b"*", b"&a ", b'"', b"!!"])
        )
    path = tmp_path_factory.mktemp("d") / "d.yaml"
    path.write_bytes(content)
    descriptor, problems = read_descriptor(path)
    assert (descriptor is None) == bool(problems)
    for problem in problems:
        assert problem.expected
        assert problem.found
        assert len(str(problem)) < 2000


def test_loading_by_name_and_by_file(tmp_path: Path) -> None:
    assert load_descriptor("xca-vessels").name == "xca-vessels"
    path = tmp_path / "d.yaml"
    path.write_text(TEXT)
    assert load_descriptor(path).name == "my-set"
    with pytest.raises(UsageError, match="no dataset descriptor called 'nothing'"):
        load_descriptor("nothing")
    path.unlink()
    with pytest.raises(UsageError):
        load_descriptor(path)
    with pytest.raises(StorageError):
        read_descriptor(path)


def test_the_error_names_the_file_and_many_problems_but_not_all(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(TEXT + "".join(f"x{i}: 1\n" for i in range(MOST + 5)))
    with pytest.raises(DocumentError) as caught:
        load_descriptor(path)
    assert caught.value.message.startswith(f"{MOST + 5} problem(s): line 22, x0: expected a key of the schema")
    assert "and 5 more" in caught.value.message
    assert str(path) in caught.value.message


def test_a_rule_for_nothing_needs_nothing() -> None:
    assert Known(by="unknown").pattern is None
    assert ManifestSpec(files=1, bytes=2, sha256=HASH).paths == ("",)


@pytest.mark.parametrize("name", resource_names("datasets"))
def test_shipped_descriptors(name: str) -> None:
    """Each loads, is named as its file, states what people must know, and stays a file that people read."""
    descriptor = load_descriptor(name)
    text = (resource_folder("datasets") / f"{name}.yaml").read_text()
    assert descriptor.name == name
    assert descriptor.expected.frames
    assert len(text.splitlines()) <= 300
    assert re.search(r"not |Make it", descriptor.access), "says what one must not do, or needs no copy"
    assert descriptor.files or descriptor.manifest or descriptor.synthetic
    assert set(descriptor.expected.structures) == set(descriptor.labels)
    assert f"[{name}]({name}.yaml)" in (resource_folder("datasets") / "README.md").read_text()


def test_the_synthetic_set_is_told_as_it_is_made() -> None:
    spec = load_descriptor("synthetic").synthetic
    assert spec is not None
    command = (
        f"ercpseg synth DIR --frames {spec.frames} --patients {spec.patients} --size {spec.size} --seed {spec.seed}"
    )
    assert f"`{command}`" in load_descriptor("synthetic").access
