"""The output folder of predict: the contract, replacing an earlier run, and failures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import StorageError, UsageError
from ercpseg.export import png as module
from ercpseg.export.folder import COLUMNS, PredictionWriter
from ercpseg.export.previous import is_prediction
from ercpseg.frames.frame import Frame
from ercpseg.storage.images import read_png
from ercpseg.storage.tables import read_table
from ercpseg.structures import StructureSet

STRUCTURES = StructureSet(("endoscope", "guidewire", "cbd", "stone"))


def frame(name: str = "a_1", source: str = "a_1.png", shape: tuple[int, int] = (20, 30)) -> Frame:
    rng = np.random.default_rng(len(name))
    return Frame(name, rng.integers(0, 255, shape, np.uint8), 8, source=source)


def bitmask(shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    bits = np.zeros(shape, np.uint8)
    bits[2:10, 2:20] = 1 | 4
    bits[5, 2:20] |= 2
    return bits


def refused(name: str, status: str = "refused", code: str = "truncated") -> FrameRecord:
    return FrameRecord(frame=name, source=f"{name}.dcm", index=None, status=status, code=code, reason="too short")


def files(output: Path) -> set[str]:
    return {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}


def predict(output: Path, names: list[str], **options: bool) -> None:
    with PredictionWriter(output, STRUCTURES, **options) as writer:
        for name in names:
            writer.write(frame(name), bitmask(), 1.5)
        writer.finish({"model": "demo"})


def test_everything_the_contract_names_is_written(tmp_path: Path) -> None:
    output = tmp_path / "out"
    bits = bitmask()
    with PredictionWriter(output, STRUCTURES) as writer:
        writer.write(frame(), bits, 12.3456)
        summary = writer.finish({"model": "demo", "plan_sha256": "00"})
    expected = {f"masks/{name}/a_1.png" for name in STRUCTURES}
    assert files(output) == expected | {"labels/a_1.png", "overlays/a_1.png", "frames.csv", "run.json"}
    assert np.array_equal(read_png(output / "labels/a_1.png"), bits)
    for name in STRUCTURES:
        mask = read_png(output / "masks" / name / "a_1.png")
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, np.where(bits & STRUCTURES.value(name), 255, 0))
    assert read_png(output / "overlays/a_1.png").shape == (20, 30, 3)
    run = json.loads((output / "run.json").read_text())
    assert run["finished"] is True
    assert run["model"] == "demo"
    assert run["structures"] == {"endoscope": 1, "guidewire": 2, "cbd": 4, "stone": 8}
    assert run["frames"] == summary.counts == {"found": 1, "used": 1, "refused": 0, "ignored": 0}
    assert summary.median_ms == 12.346


def test_every_file_found_is_a_row_in_order_of_arrival(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path / "out", STRUCTURES) as writer:
        writer.refuse(refused("z"))
        writer.write(Frame("cine_f0007", frame().pixels, 8, source="cine.dcm", index=7), bitmask(), 2.0)
        writer.refuse(refused("notes", status="ignored", code="not-a-picture"))
        writer.write(frame("b"), bitmask(), 1.0)
        summary = writer.finish({})
    rows = read_table(tmp_path / "out/frames.csv")
    assert [row["frame"] for row in rows] == ["z", "cine_f0007", "notes", "b"]
    assert [row["status"] for row in rows] == ["refused", "used", "ignored", "used"]
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["code"] == "truncated"
    assert rows[0]["reason"] == "too short"
    assert rows[0]["milliseconds"] == rows[0]["index"] == ""
    assert (rows[1]["source"], rows[1]["index"], rows[1]["milliseconds"]) == ("cine.dcm", "7", "2")
    assert summary.counts == {"found": 4, "used": 2, "refused": 1, "ignored": 1}


def test_a_source_that_looks_like_a_formula_is_escaped(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path / "out", STRUCTURES) as writer:
        writer.write(frame("safe", source="=HYPERLINK(1).png"), bitmask(), 1.0)
        writer.finish({})
    assert "'=HYPERLINK(1).png" in (tmp_path / "out/frames.csv").read_text()


def test_a_second_run_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict(output, ["a", "b"])
    (output / "masks/lesion").mkdir()
    (output / "masks/lesion/a.png").write_bytes(b"of a model with another structure")
    predict(output, ["b"], overlays=False)
    expected = {f"masks/{name}/b.png" for name in STRUCTURES}
    assert files(output) == expected | {"labels/b.png", "frames.csv", "run.json"}
    assert not (output / "masks/lesion").exists()


def test_a_second_run_touches_only_its_own_places(tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict(output, ["a"])
    (output / "scores.json").write_text("of the masks that are replaced")
    for name in ("mine.txt", "masks/cbd/mine.txt", "labels/deep/a.png"):
        (output / name).parent.mkdir(exist_ok=True)
        (output / name).write_text("mine")
    predict(output, ["b"])
    assert {"mine.txt", "masks/cbd/mine.txt", "labels/deep/a.png"} <= files(output)
    assert not {"labels/a.png", "scores.json"} & files(output)


def test_nothing_is_removed_before_the_first_row(tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict(output, ["a"])
    before = files(output)
    with pytest.raises(RuntimeError, match="model"), PredictionWriter(output, STRUCTURES):
        raise RuntimeError("the model does not load")
    assert files(output) == before
    assert json.loads((output / "run.json").read_text())["finished"] is True


@pytest.mark.parametrize(
    "content", [{"notes.txt": "x"}, {"run.json": "{}"}, {"run.json": "not json"}, {"masks/a.png": ""}]
)
def test_a_foreign_folder_is_left_alone(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="choose an empty folder"):
        PredictionWriter(tmp_path, STRUCTURES)
    assert files(tmp_path) == set(content)


def test_what_a_run_that_was_killed_at_once_left_is_not_foreign(tmp_path: Path) -> None:
    for name in (".lock", ".lock-owner.json", ".tmp-ercpseg-77"):
        (tmp_path / name).write_text("")
    predict(tmp_path, ["a"])
    assert "labels/a.png" in files(tmp_path)


def test_a_file_as_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        PredictionWriter(tmp_path / "out", STRUCTURES)


def test_a_link_in_the_output_is_not_followed(tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict(output, ["a"])
    elsewhere = tmp_path / "elsewhere"
    (output / "labels").rename(elsewhere)
    (output / "labels").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="link"):
        PredictionWriter(output, STRUCTURES)
    assert files(elsewhere) == {"a.png"}


def test_a_stopped_run_is_listed_and_called_unfinished_and_the_next_one_may_go_on(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), PredictionWriter(output, STRUCTURES) as writer:
        writer.write(frame("a"), bitmask(), 1.0)
        writer.refuse(refused("z"))
        raise KeyboardInterrupt
    assert is_prediction(output)
    assert json.loads((output / "run.json").read_text())["finished"] is False
    assert [row["frame"] for row in read_table(output / "frames.csv")] == ["a", "z"]
    assert "labels/a.png" in files(output)
    predict(output, ["a", "b"])
    assert json.loads((output / "run.json").read_text())["finished"] is True


def test_an_empty_run_is_still_a_run(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path / "out", STRUCTURES) as writer:
        summary = writer.finish({})
    assert summary.found == 0
    assert summary.median_ms is None
    assert all((tmp_path / "out/masks" / name).is_dir() for name in STRUCTURES)


def test_an_error_of_the_writing_threads_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.write_png

    def full(path: Path, array: np.ndarray, text: object = None, **_: object) -> None:
        if Path(path).name == "b.png":
            raise StorageError("writing failed: No space left on device", where=path)
        real(path, array)

    monkeypatch.setattr(module, "write_png", full)
    output = tmp_path / "out"
    with pytest.raises(StorageError, match="No space left"), PredictionWriter(output, STRUCTURES) as writer:
        writer.write(frame("a"), bitmask(), 1.0)
        writer.write(frame("b"), bitmask(), 1.0)
        writer.finish({})
    assert json.loads((output / "run.json").read_text())["finished"] is False
    assert [row["frame"] for row in read_table(output / "frames.csv")] == ["a"]


def test_a_forgotten_finish_does_not_hide_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, array: np.ndarray, text: object = None, **_: object) -> None:
        raise StorageError("writing failed: No space left on device", where=path)

    monkeypatch.setattr(module, "write_png", full)
    with pytest.raises(StorageError, match="No space left"), PredictionWriter(tmp_path / "out", STRUCTURES) as writer:
        writer.write(frame("a"), bitmask(), 1.0)


def test_many_frames_pass_through_the_bounded_queue(tmp_path: Path) -> None:
    names = [f"f{i:03d}" for i in range(40)]
    predict(tmp_path / "out", names, overlays=False)
    assert [row["frame"] for row in read_table(tmp_path / "out/frames.csv")] == names
    assert len(list((tmp_path / "out/labels").iterdir())) == 40


@pytest.mark.parametrize("name", ["../escape", "a/b", "a\\b", "", ".hidden", "a\0b", "a\nb"])
def test_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    writer = PredictionWriter(tmp_path / "out", STRUCTURES)
    with writer, pytest.raises(ValueError, match="safe file name"):
        writer.write(frame(name), bitmask(), 1.0)
    assert not (tmp_path / "out").exists()


def test_two_frames_cannot_share_a_name(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path / "out", STRUCTURES, overlays=False) as writer:
        writer.write(frame("a"), bitmask(), 1.0)
        with pytest.raises(ValueError, match="two frames"):
            writer.write(frame("A"), bitmask(), 1.0)
        writer.finish({})


def test_sizes_must_agree(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path / "out", STRUCTURES) as writer, pytest.raises(ValueError, match="expected uint8"):
        writer.write(frame(), bitmask((30, 20)), 1.0)


def test_a_used_record_is_no_refusal(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path / "out", STRUCTURES) as writer, pytest.raises(ValueError, match="write"):
        writer.refuse(refused("a", status="used"))


def test_a_run_that_predicts_nothing_leaves_the_earlier_one(tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict(output, ["a"])
    before = {name: (output / name).read_bytes() for name in files(output)}
    writer = PredictionWriter(output, STRUCTURES)
    writer.refuse(FrameRecord(frame="", source="x.txt", status="refused", code="unknown-format", reason="no image"))
    assert writer.finish({}).used == 0
    assert writer.reasons == ["unknown-format (no image)"]
    assert {name: (output / name).read_bytes() for name in files(output)} == before


MADE_BY = {"model": "m", "folds": ["0"]}


def go_on(output: Path, names: list[str], made_by: dict = MADE_BY, **options: bool) -> list[str]:
    """As predict does it; returns the frames that were not known."""
    predicted = []
    with PredictionWriter(output, STRUCTURES, made_by=made_by, **options) as writer:
        for name in names:
            known = writer.known(frame(name))
            predicted += [name] if known is None else []
            writer.write(frame(name), bitmask() if known is None else known, 2.5 if known is None else None)
        writer.finish({"model": "demo"})
    return predicted


def stamps(output: Path) -> dict[str, int]:
    return {name: (output / name).stat().st_mtime_ns for name in files(output)}


def test_the_same_run_again_predicts_nothing_and_rewrites_no_picture(tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert go_on(output, ["a", "b"]) == ["a", "b"]
    before = stamps(output)
    table = (output / "frames.csv").read_text()
    assert go_on(output, ["a", "b"]) == []
    after = stamps(output)
    assert {name for name in before if before[name] != after[name]} == {"frames.csv", "run.json"}
    assert (output / "frames.csv").read_text() == table  # with the milliseconds of the run that predicted


def test_a_run_goes_on_where_one_was_killed(tmp_path: Path) -> None:
    """Killed after frame b's masks, before its label image; c was never begun; another file has gone since."""
    output = tmp_path / "out"
    go_on(output, ["gone", "a", "b"])
    (output / "labels/b.png").unlink()
    (output / "frames.csv").unlink()
    (output / "masks/cbd/.tmp-ercpseg-77").write_bytes(b"half")
    assert go_on(output, ["a", "b", "c"]) == ["b", "c"]
    names = [f"masks/{s}/{n}.png" for s in STRUCTURES for n in "abc"]
    names += [f"{folder}/{n}.png" for folder in ("labels", "overlays") for n in "abc"]
    assert files(output) == {*names, "frames.csv", "run.json"}


def test_a_known_frame_gets_what_it_lacks(tmp_path: Path) -> None:
    output = tmp_path / "out"
    go_on(output, ["a"], overlays=False)
    (output / "masks/stone/a.png").unlink()
    assert go_on(output, ["a"]) == []
    assert {"masks/stone/a.png", "overlays/a.png"} <= files(output)
    assert go_on(output, ["a"], overlays=False) == []
    assert "overlays/a.png" not in files(output)


@pytest.mark.parametrize("what", ["pixels", "model", "structure", "damage"])
def test_what_was_made_from_something_else_is_made_again(tmp_path: Path, monkeypatch, what: str) -> None:
    output = tmp_path / "out"
    go_on(output, ["a"])
    made_by = MADE_BY
    if what == "pixels":
        brighter = frame("a").pixels + np.uint8(1)
        monkeypatch.setitem(globals(), "frame", lambda name: Frame(name, brighter, 8, source="a_1.png"))
    elif what == "model":
        made_by = {**MADE_BY, "model": "n"}
    elif what == "structure":
        (output / "masks/lesion").mkdir()
        (output / "masks/lesion/a.png").write_bytes(b"of another model")
        made_by = {**MADE_BY, "model": "n"}
    else:
        (output / "labels/a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert go_on(output, ["a"], made_by) == ["a"]
    assert not (output / "masks/lesion").exists()


def test_another_model_s_masks_are_gone_before_the_first_is_written(tmp_path: Path) -> None:
    output = tmp_path / "out"
    go_on(output, ["a", "b"])
    with pytest.raises(KeyboardInterrupt), PredictionWriter(output, STRUCTURES, made_by={"model": "n"}) as writer:
        assert writer.known(frame("a")) is None
        writer.write(frame("a"), bitmask(), 1.0)
        raise KeyboardInterrupt
    assert not [name for name in files(output) if name.endswith("b.png")]


def test_label_images_say_what_they_are_made_from_and_nothing_else(tmp_path: Path) -> None:
    go_on(tmp_path / "out", ["a"])
    with Image.open(tmp_path / "out/labels/a.png") as image:
        texts = image.text
    assert list(texts) == ["ercpseg-made-from"]
    assert re.fullmatch("[0-9a-f]{64}", texts["ercpseg-made-from"])
    assert np.array_equal(read_png(tmp_path / "out/labels/a.png"), bitmask())
