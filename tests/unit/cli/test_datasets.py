"""``datasets``: the list, one descriptor, and the comparison of a copy with its descriptor."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ercpseg import errors
from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.descriptor import Descriptor, ManifestSpec
from ercpseg.errors import DocumentError, UsageError
from ercpseg.importers.dataset import Seen, survey
from ercpseg.importers.descriptors import Problem, load_descriptor
from ercpseg.importers.knowledge import CODE
from ercpseg.importers.sums import files_below, hash_files, manifest_of, read_sums, sums_lines
from ercpseg.pipeline.datasets import check, list_descriptors, root_of, write_sums
from ercpseg.progress import SILENT
from ercpseg.storage.images import write_png
from ercpseg.storage.resources import resource_names
from ercpseg.synthesis.dataset import synthesise


def described(**values: Any) -> Descriptor:
    texts = dict.fromkeys(("title", "source", "licence", "access"), "x")
    return Descriptor.new(name="mine", **texts, **values)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def none_seen(*_: Any) -> list[Seen]:
    return []


def used(source: str, *structures: str, **facts: Any) -> Seen:
    return Seen(FrameRecord(frame=source, source=source, status="used", **facts), frozenset(structures))


def refused(source: str, index: int | None = None) -> Seen:
    return Seen(
        FrameRecord(frame="", source=source, index=index, status="refused", code="truncated", reason="too short")
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two files, a hidden one, and what systems leave behind."""
    folder = tmp_path / "root"
    for name, text in (
        ("images/a.png", "a"),
        ("images/sub/b10.png", "BB"),
        ("images/sub/b2.png", "CCC"),
        ("t.csv", "D"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in (".DS_Store", "images/.hidden", "images/Thumbs.db", "images/.git/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("nothing")
    return folder


# -- hashes ----------------------------------------------------------------------------------------------------------------


def test_files_are_found_in_natural_order_without_leftovers(root: Path, tmp_path: Path) -> None:
    assert files_below(root, [""]) == ["images/a.png", "images/sub/b2.png", "images/sub/b10.png", "t.csv"]
    assert files_below(root, ["t.csv", "images/sub", "images"]) == files_below(root, [""])
    assert files_below(root, ["missing", ".."]) == []
    (tmp_path / "outside.png").write_text("x")
    (root / "images" / "out.png").symlink_to(tmp_path / "outside.png")
    (root / "images" / "in.png").symlink_to(root / "images" / "a.png")
    (root / "images" / "loop").symlink_to(root)
    assert files_below(root, ["images"]) == ["images/a.png", "images/in.png", "images/sub/b2.png", "images/sub/b10.png"]


def test_the_manifest_is_what_the_tools_of_the_shell_say(root: Path) -> None:
    """Worked out here with nothing but SHA-256: lines sorted as bytes, each ended by a newline."""
    contents = {"images/a.png": b"a", "images/sub/b10.png": b"BB", "images/sub/b2.png": b"CCC"}
    lines = sorted(f"{sha256(data)}  {path}\n" for path, data in contents.items())
    manifest = manifest_of(list(hash_files(root, files_below(root, ["images"])).values()), ["images"])
    assert manifest == ManifestSpec(paths=("images",), files=3, bytes=6, sha256=sha256("".join(lines).encode()))


def test_names_that_are_no_text_are_hashed_too(root: Path) -> None:
    odd = os.fsdecode(b"images/\xff.png")
    (root / odd).write_text("odd")
    sums = hash_files(root, files_below(root, [""]))
    assert sums_lines(sums.values()).count(b"\xff") == 1


def test_sums_are_read_back(root: Path, tmp_path: Path) -> None:
    sums = hash_files(root, files_below(root, [""]))
    path = tmp_path / "S"
    path.write_bytes(sums_lines(sums.values()))
    assert {one.path: one.sha256 for one in read_sums(path)} == {one.path: one.sha256 for one in sums.values()}
    path.write_bytes(path.read_bytes().replace(b"  ", b" *").replace(b"\n", b"\r\n"))
    assert len(read_sums(path)) == 4
    for bad in (b"hello\n", sha256(b"").encode() + b"\n", b"\0" * 100):
        path.write_bytes(bad)
        with pytest.raises(DocumentError, match="no list of hashes"):
            read_sums(path)


def test_listed_files_are_compared(root: Path) -> None:
    files = [
        {"path": "images/a.png", "sha256": sha256(b"a"), "bytes": 1},
        {"path": "images/sub/b2.png", "sha256": sha256(b"CCX"), "bytes": 3},
        {"path": "images/sub/b10.png", "sha256": sha256(b"B"), "bytes": 1},
        {"path": "images/c.png", "sha256": sha256(b"")},
        {"path": "images/sub", "sha256": sha256(b"")},
    ]
    assert check(described(files=files), root, survey=none_seen) == [
        Problem("images/sub/b2.png", "files.sha256", sha256(b"CCX"), sha256(b"CCC")),
        Problem("images/sub/b10.png", "files.bytes", "1", "2"),
        Problem("images/c.png", "files", "a file", "nothing"),
        Problem("images/sub", "files", "a file", "nothing"),
    ]


def test_another_root_is_one_problem(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    files = [{"path": f"images/{i}.png", "sha256": sha256(b"")} for i in range(5)]
    manifest = {"files": 3, "bytes": 6, "sha256": sha256(b"")}
    problems = check(described(files=files, manifest=manifest), tmp_path / "empty", survey=none_seen)
    assert [(p.file, p.key, p.found) for p in problems] == [
        ("", "files", "none of them: is this the root?"),
        ("", "manifest", "none of them: is this the root?"),
    ]


@pytest.fixture
def with_manifest(root: Path) -> Callable[[], list[Problem]]:
    """What differs from the manifest of ``root`` as it was at first."""
    sums = hash_files(root, files_below(root, ["images"]))
    (root.parent / "SHA256SUMS").write_bytes(sums_lines(sums.values()))
    descriptor = described(manifest=manifest_of(list(sums.values()), ["images"]).model_dump())
    return lambda: check(descriptor, root, survey=none_seen)


def test_a_manifest_alone_says_that_something_differs(root: Path, with_manifest) -> None:
    assert with_manifest() == []
    (root / "t.csv").write_text("not covered")
    assert with_manifest() == []
    (root / "images" / "a.png").write_text("Z")
    first, second = with_manifest()
    assert first.key == "manifest.sha256"
    assert second == Problem(
        "SHA256SUMS",
        "manifest.sums",
        "the list of hashes of a complete copy",
        "nothing, so which files differ cannot be said",
    )
    (root / "images" / "new.png").write_text("12345")
    assert [(p.key, p.expected, p.found) for p in with_manifest()][:2] == [
        ("manifest.files", "3", "4"),
        ("manifest.bytes", "6", "11"),
    ]


def test_with_the_list_it_says_which_files(root: Path, with_manifest) -> None:
    shutil.copy(root.parent / "SHA256SUMS", root)
    assert with_manifest() == []
    (root / "images" / "a.png").write_text("Z")
    (root / "images" / "new.png").write_text("12345")
    (root / "images" / "sub" / "b2.png").unlink()
    assert with_manifest() == [
        Problem("images/a.png", "manifest.sha256", sha256(b"a"), sha256(b"Z")),
        Problem("images/new.png", "manifest", "no such file", "a file"),
        Problem("images/sub/b2.png", "manifest", "a file", "nothing"),
    ]


@pytest.mark.parametrize(("content", "found"), [(None, "another list"), ("nonsense", "something else")])
def test_a_list_of_another_copy_is_not_believed(content: str | None, found: str, root: Path, with_manifest) -> None:
    (root / "images" / "a.png").write_text("Z")
    changed = sums_lines(hash_files(root, files_below(root, ["images"])).values())
    (root / "SHA256SUMS").write_bytes(changed if content is None else content.encode())
    problems = with_manifest()
    assert [p.key for p in problems] == ["manifest.sha256", "manifest.sums"]
    assert problems[-1].found == found


def test_the_hash_of_the_root_leaves_its_own_list_out(root: Path) -> None:
    descriptor = described(frames={"folder": ""})
    manifest = write_sums(descriptor, root, root / "SHA256SUMS")
    assert manifest.files == 4
    described_now = descriptor.model_copy(update={"manifest": manifest})
    assert check(described_now, root, survey=none_seen) == []
    (root / "t.csv").write_text("E")
    assert [p.file for p in check(described_now, root, survey=none_seen)] == ["t.csv"]


def test_what_is_hashed_is_what_the_descriptor_reads(root: Path, tmp_path: Path) -> None:
    table = {"by": "table", "table": "t.csv", "column": "x"}
    spec = [{"format": "masks", "path": "images/sub"}, {"format": "labelme"}]
    manifest = write_sums(described(annotations=spec, grouping={"study": table}), root, tmp_path / "S")
    assert (manifest.paths, manifest.files) == (("images", "t.csv"), 4)
    assert len((tmp_path / "S").read_text().splitlines()) == 4
    with pytest.raises(errors.DataError, match="no files to hash"):
        write_sums(described(frames={"folder": "missing"}), root, tmp_path / "S")


# -- frames and counts -----------------------------------------------------------------------------------------------------


def test_counts_are_compared_all_of_them(root: Path) -> None:
    seen = [
        used("a", "cbd", "stone", patient="1", split="train"),
        used("b", "cbd", patient="2", split="test"),
        used("c", patient="2"),
        refused("d"),
    ]
    expected = {
        "frames": 4,
        "patients": 3,
        "structures": {"cbd": 2, "stone": 2, "guidewire": 1},
        "splits": {"train": 2, "test": 1},
    }
    problems = check(described(expected=expected), root, survey=lambda *_: seen)
    assert [(p.file, p.key, p.expected, p.found) for p in problems] == [
        ("d", "truncated", "a usable frame or annotation", "too short"),
        ("", "expected.frames", "4 frames", "3"),
        ("", "expected.patients", "3 patients", "2"),
        ("", "expected.structures.guidewire", "1 frames", "0"),
        ("", "expected.structures.stone", "2 frames", "1"),
        ("", "expected.splits.none", "0 frames", "1"),
        ("", "expected.splits.train", "2 frames", "1"),
    ]


def test_a_structure_that_nobody_expects_is_a_problem(root: Path) -> None:
    problems = check(described(expected={"structures": {"cbd": 1}}), root, survey=lambda *_: [used("a", "cbd", "wire")])
    assert [p.key for p in problems] == ["expected.structures.wire"]


def test_what_is_not_expected_is_not_compared(root: Path) -> None:
    assert check(described(), root, survey=lambda *_: [used("a", "cbd", patient="1", split="val")]) == []
    late = described(grouping={"hold_out_from": "2024-01-01"}, expected={"splits": {"test": 3}})
    assert check(late, root, survey=lambda *_: [used("a")]) == []


def test_known_refusals_are_no_problem_but_others_are(root: Path) -> None:
    known = described(expected={"refused": 2})
    assert check(known, root, survey=lambda *_: [refused("a"), refused("b", 3)]) == []
    problems = check(known, root, survey=lambda *_: [refused("a"), refused("b", 3), refused("c")])
    assert [(p.file, p.key) for p in problems] == [
        ("", "expected.refused"),
        ("a", "truncated"),
        ("b, frame 3", "truncated"),
        ("c", "truncated"),
    ]
    assert [p.found for p in check(known, root, survey=none_seen)] == ["0"]


def test_a_patient_in_two_parts_is_told_once_and_not_by_name(root: Path) -> None:
    seen = [
        used("a", patient="MUSTER", split="train"),
        used("b", patient="MUSTER", split="test"),
        used("c", patient="MUSTER", split="val"),
        used("d", patient="X", split="test"),
        used("e", split="train"),
        used("f", split="test"),
    ]
    (problem,) = check(described(), root, survey=lambda *_: seen)
    assert (problem.file, problem.key, problem.found) == ("b", "grouping.split", "test here, train in a")


def test_a_table_that_is_missing_is_a_problem_beside_the_others(root: Path) -> None:
    files = [{"path": "images/a.png", "sha256": sha256(b"")}, {"path": "t.csv", "sha256": sha256(b"D")}]
    grouping = {"study": {"by": "table", "table": "none.csv", "column": "x"}}
    problems = check(described(files=files, grouping=grouping), root)
    assert [(p.file, p.found) for p in problems] == [
        ("images/a.png", sha256(b"a")),
        ("none.csv", "there is no such table"),
    ]


def test_a_root_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        check(described(), tmp_path / "missing")


# -- the dry run -----------------------------------------------------------------------------------------------------------


MASKS = {"annotations": [{"format": "masks", "path": "masks"}]}


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """p1_a shows a duct, p1_b an empty mask, p2_c no mask at all, p2_d a mask of another size; a mask without frame."""
    folder = tmp_path / "set"
    frame = np.arange(30, dtype=np.uint8).reshape(6, 5)
    there, empty = np.ones((6, 5), bool), np.zeros((6, 5), bool)
    for stem, mask in (("p1_a", there), ("p1_b", empty), ("p2_c", None), ("p2_d", there[:3]), ("lost", there)):
        if stem != "lost":
            write_png(folder / "images" / f"{stem}.png", frame)
        if mask is not None:
            write_png(folder / "masks" / "cbd" / f"{stem}.png", mask)
    return folder


def test_the_dry_run_sees_what_the_import_would(masks: Path) -> None:
    grouping = {"split": {"by": "stem", "pattern": "_(a|b|c|d)$", "values": dict.fromkeys("abcd", "train")}}
    seen = {one.record.source: one for one in survey(described(**MASKS, grouping=grouping), masks)}
    assert {source: one.record.code or one.record.status for source, one in seen.items()} == {
        "images/p1_a.png": "used",
        "images/p1_b.png": "used",
        "images/p2_c.png": "no-annotation",
        "images/p2_d.png": "size-mismatch",
        "masks/cbd/lost.png": "no-frame",
    }
    assert seen["images/p1_a.png"].structures == {"cbd"}
    assert seen["images/p1_b.png"].structures == frozenset()
    assert (seen["images/p1_a.png"].record.patient, seen["images/p1_a.png"].record.split) == ("p1", "train")


def test_rules_that_give_nothing_refuse_frames(masks: Path) -> None:
    grouping = {"patient": {"by": "stem", "pattern": "^(p1)_"}}
    codes = [one.record.code for one in survey(described(**MASKS, grouping=grouping), masks)]
    assert sorted(filter(None, codes)) == ["no-frame", CODE, CODE]


def test_frames_without_annotations_are_looked_at_too(masks: Path) -> None:
    (masks / "images" / "p3_e.png").write_bytes((masks / "images" / "p1_a.png").read_bytes()[:60])
    shutil.copytree(masks / "images", masks / "images" / "again")
    seen = list(survey(described(), masks, SILENT))
    assert len(seen) == 10
    assert {one.record.code for one in seen} == {"duplicate"}
    shutil.rmtree(masks / "images" / "again")
    assert [one.record.code for one in survey(described(), masks)].count(None) == 4


# -- the command -----------------------------------------------------------------------------------------------------------


def test_the_list(command) -> None:
    out = command.succeeds("datasets")
    assert command.succeeds("datasets", "list") == out
    for name in resource_names("datasets"):
        assert name in out
    assert "Make it" in out
    assert "1568" in out
    assert [d.name for d in list_descriptors()] == resource_names("datasets")


@pytest.mark.parametrize("name", resource_names("datasets"))
def test_show(name: str, command) -> None:
    out = command.succeeds("datasets", "show", name)
    flat = " ".join(out.split())
    descriptor = load_descriptor(name)
    assert " ".join(descriptor.title.split()) in flat
    for key in ("source", "licence", "access", "notes", "frames.folder", "grouping.patient.by", "expected.frames"):
        assert f" {key} " in flat
    assert f"ercpseg datasets check {name} --root DIR" in out
    assert ("plan-and-preprocess" in out) == bool(descriptor.annotations)


def test_words_that_make_no_sense(command) -> None:
    assert "try ercpseg datasets show xca-vessels" in command.fails(2, "datasets", "xca-vessels")
    assert "expected list, show, check" in command.fails(2, "datasets", "find", "x")
    assert "show what?" in command.fails(2, "datasets", "show")
    assert "check what?" in command.fails(2, "datasets", "check")
    assert "list takes no descriptor" in command.fails(2, "datasets", "list", "xca-vessels")
    assert "xca-vessels" in command.fails(2, "datasets", "show", "nothing")


def test_a_shipped_descriptor_needs_a_root(command, tmp_path: Path) -> None:
    assert "ercpseg datasets show xca-vessels" in command.fails(2, "datasets", "check", "xca-vessels")
    assert "no such folder" in command.fails(2, "datasets", "check", "xca-vessels", "--root", tmp_path / "no")


def test_the_root_of_a_file_is_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text("x")
    assert root_of(path, None) == tmp_path.resolve()
    assert root_of(path, tmp_path / "..") == tmp_path / ".."
    with pytest.raises(UsageError):
        root_of(tmp_path / "e.yaml", None)


def test_what_is_wrong_with_a_descriptor_is_a_table(command, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text("schema: ercpseg.descriptor/1\nname: a b\ntitle: 3\n")
    ended = command("datasets", "check", path)
    assert ended.code == 65
    for text in ("d.yaml, line 2", "d.yaml, line 3", "licence", "source", "access", "5 problems"):
        assert text in ended.out
    assert "Traceback" not in ended.err
    assert "5 problem(s)" in command.fails(65, "datasets", "show", path)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A synthetic set with a descriptor beside its data."""
    synthesise(tmp_path / "set", frames=6, patients=3, size=64, seed=1)
    values = {
        **dict.fromkeys(("title", "source", "licence", "access"), "x"),
        **MASKS,
        "schema": "ercpseg.descriptor/1",
        "name": "small",
        "grouping": {"patient": {"by": "stem", "pattern": r"^(s\d+p\d+)_"}},
        "expected": {"frames": 6, "patients": 3, "structures": {}},
    }
    path = tmp_path / "set" / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_good_copy_and_a_bad_one(command, small: Path) -> None:
    assert "small is what its descriptor says: 6 frames, 3 patients" in command.succeeds("datasets", "check", small)
    moved = small.rename(small.parent.parent / "elsewhere.yaml")
    assert "6 frames" in command.succeeds("datasets", "check", moved, "--root", small.parent)
    image = sorted((small.parent / "images").iterdir())[0]
    image.write_bytes(image.read_bytes()[:100])
    ended = command("datasets", "check", moved, "--root", small.parent)
    assert ended.code == 65
    flat = " ".join(ended.out.split())
    for text in (f"images/{image.name}", "a usable frame", "expected.frames", "6 frames 5", "2 problems"):
        assert text in flat


def test_sums_give_the_manifest_that_belongs_into_the_descriptor(command, small: Path) -> None:
    out = command.succeeds("datasets", "check", small, "--sums", small.parent / "SHA256SUMS")
    block = "manifest:" + out.partition("manifest:")[2].partition("small is")[0]
    small.write_text(small.read_text() + block)
    assert load_descriptor(small).manifest is not None
    assert "30 files by one hash" in command.succeeds("datasets", "check", small)  # 6 frames, 4 structures
    mask = sorted((small.parent / "masks" / "cbd").iterdir())[2]
    write_png(mask, np.ones((64, 64), bool))
    ended = command("datasets", "check", small)
    assert ended.code == 65
    assert f"masks/cbd/{mask.name}" in ended.out
    assert "1 problem\n" in ended.out


@pytest.mark.parametrize("name", ["xca-vessels", "ercp-annotated", pytest.param("cxr-lines", marks=pytest.mark.slow)])
def test_the_development_data_are_what_their_descriptors_say(name: str, real_data: Path) -> None:
    assert check(load_descriptor(name), real_data / name) == []


def test_a_changed_file_of_the_development_data_is_seen(real_data: Path, tmp_path: Path) -> None:
    shutil.copytree(real_data / "ercp-annotated", tmp_path / "copy", copy_function=shutil.copyfile)
    for folder in (p for p in (tmp_path / "copy").rglob("*") if p.is_dir()):
        folder.chmod(0o755)
    (tmp_path / "copy").chmod(0o755)
    stone = tmp_path / "copy" / "masks" / "stone" / "1366_1366_image17270.png"
    write_png(stone, np.zeros((512, 512), bool))
    problems = check(load_descriptor("ercp-annotated"), tmp_path / "copy")
    assert [(p.file, p.key) for p in problems] == [
        ("masks/stone/1366_1366_image17270.png", "files.bytes"),
        ("", "expected.structures.stone"),
    ]


@pytest.mark.slow
def test_the_synthetic_set_is_what_its_descriptor_says(tmp_path: Path) -> None:
    descriptor = load_descriptor("synthetic")
    spec = descriptor.synthetic
    assert spec is not None
    synthesise(tmp_path / "s", frames=spec.frames, patients=spec.patients, size=spec.size, seed=spec.seed)
    assert check(descriptor, tmp_path / "s") == []


def test_the_page_describes_a_set_that_can_be_checked(command, tmp_path: Path) -> None:
    """The example of the how-to page, with the folders that it speaks of; its counts are those of these files."""
    page = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "describe-a-dataset.md"
    example = page.read_text().partition("```text\n# ercp-b.yaml\n")[2].partition("```")[0]
    folder = tmp_path / "ercp-b"
    frame = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)
    there, empty = np.zeros((32, 32), bool), np.zeros((32, 32), bool)
    there[4:9, 4:9] = True
    shapes = {  # stem → part, label of a line, mask of the endoscope
        "p01_r1_f0001": ("dev", "Draht", there),
        "p01_r1_f0002": ("dev", "gw", there),
        "p02_r1_f0001": ("dev", "DHC", empty),
        "p03_r1_f0001": ("final", "Text", there),
    }
    for stem, (part, label, scope) in shapes.items():
        write_png(folder / "frames" / part / f"{stem}.png", frame)
        write_png(folder / "masks" / "Duodenoskop" / f"{stem}_mask.png", scope)
        shape = {"label": label, "points": [[3, 3], [20, 25]], "shape_type": "linestrip"}
        drawing = {"version": "5", "flags": {}, "imagePath": f"{stem}.png", "imageData": None}
        drawing |= {"imageHeight": 32, "imageWidth": 32, "shapes": [shape]}
        (folder / "labelme").mkdir(exist_ok=True)
        (folder / "labelme" / f"{stem}.json").write_text(json.dumps(drawing))
    (folder / "index.csv").write_text(
        "file;day\np01_r1_f0001.png;2024-03-01\np01_r1_f0002.png;20240301\np03_r1_f0001.png;\n"
    )
    (folder / "ercp-b.yaml").write_text(example)
    out = command.succeeds("datasets", "check", folder / "ercp-b.yaml", "--sums", folder / "SHA256SUMS")
    assert "ercp-b is what its descriptor says: 4 frames, 3 patients" in out
    seen = {one.record.frame: one for one in survey(load_descriptor(folder / "ercp-b.yaml"), folder)}
    assert {stem: one.record.date for stem, one in seen.items()} == {
        "p01_r1_f0001": "2024-03-01",
        "p01_r1_f0002": "2024-03-01",
        "p02_r1_f0001": None,
        "p03_r1_f0001": None,
    }
    assert seen["p01_r1_f0002"].structures == {"endoscope", "guidewire"}
    assert seen["p01_r1_f0002"].record.series == "p01_r1"
    assert seen["p03_r1_f0001"].record.split == "test"
