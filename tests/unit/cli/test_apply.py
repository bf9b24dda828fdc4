"""``predict``: its output is the contract's, whatever the frames are called and however they come."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.tables import read_table
from tests.unit.cli.command import leftovers, process, snapshot
from tests.unit.decoding.conftest import dicom_dataset
from tests.unit.inference.conftest import make_model

__all__ = ["make_model"]  # a fixture: random models, whose masks are not empty
STRUCTURES = ("endoscope", "guidewire")


@pytest.fixture(scope="module")
def model(make_model) -> Path:
    return make_model(folds=2)


def picture(seed: int = 0, shape: tuple[int, int] = (50, 70), dtype: Any = np.uint8) -> np.ndarray:
    """Blobs rather than noise, so that masks have an inside."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (smooth * np.iinfo(dtype).max).astype(dtype)


def write_dicom(path: Path, pixels: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom_dataset(pixels, **options).save_as(path, enforce_file_format=True)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def rows(output: Path) -> list[dict[str, str]]:
    return read_table(output / "frames.csv")


def check_output(output: Path, names: dict[str, tuple[int, int]], structures: tuple[str, ...] = STRUCTURES) -> None:
    """The layout of the contract: nothing is missing, nothing is there besides."""
    expected = {"frames.csv", "run.json"}
    for name, shape in names.items():
        expected |= {f"masks/{s}/{name}.png" for s in structures}
        expected |= {f"labels/{name}.png", f"overlays/{name}.png"}
        label = read_png(output / "labels" / f"{name}.png")
        assert (label.dtype, label.shape) == (np.uint8, shape)
        for bit, structure in enumerate(structures):
            mask = read_png(output / "masks" / structure / f"{name}.png")
            assert (mask.dtype, mask.shape) == (np.uint8, shape)
            assert set(np.unique(mask)) <= {0, 255}
            assert np.array_equal(mask > 0, label & (1 << bit) > 0)
        assert read_png(output / "overlays" / f"{name}.png").shape[:2] == shape
    assert files(output) == expected


def test_output_of_a_folder_of_everything(command, model, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path("in")
    write_png(source / "a.png", picture(0, (50, 70)))
    write_png(source / "deep" / "er" / "b.png", picture(1, (64, 40)))
    write_png(source / "deep" / "a.png", picture(2))
    write_png(source / "p 1 (ä) '; rm -rf.png", picture(3))
    write_png(source / "con.png", picture(4))
    write_dicom(source / "cine.dcm", np.stack([picture(i, dtype=np.uint16) for i in range(3)]), frames=3)
    write_dicom(source / "1.2.840.99", picture(5, dtype=np.uint16))
    (source / "notes.txt").write_text("not a frame")
    (source / ".hidden").write_bytes(b"x")
    (source / "broken.png").write_bytes((source / "a.png").read_bytes()[:90])
    (source / "odd.bin").write_bytes(b"what is this")
    ended = command("predict", "in", "out", "--model", model)
    assert ended.code == 3
    assert "13 found = 9 used + 2 refused + 2 ignored" in ended.out
    for name in ("masks", "labels", "overlays", "frames.csv", "run.json"):
        assert f"wrote out/{name}\n" in ended.out
    table = rows(Path("out"))
    assert list(table[0]) == ["frame", "source", "index", "status", "code", "reason", "milliseconds"]
    by_source = {(row["source"], row["index"]): row for row in table}
    assert len(by_source) == len(table) == 13
    used = {key: row["frame"] for key, row in by_source.items() if row["status"] == "used"}
    assert all(float(row["milliseconds"]) > 0 for row in table if row["status"] == "used")
    assert [used["cine.dcm", str(i)] for i in range(3)] == ["cine_f0000", "cine_f0001", "cine_f0002"]
    assert used["a.png", ""] == "a"
    assert used["deep/er/b.png", ""] == "b"
    assert used["deep/a.png", ""].startswith("a-")
    assert len(set(used.values())) == 9
    hostile = used["p 1 (ä) '; rm -rf.png", ""]
    assert hostile.isascii()
    assert set(hostile) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert used["con.png", ""].lower() != "con"
    assert (by_source["broken.png", ""]["status"], by_source["broken.png", ""]["code"]) == ("refused", "truncated")
    assert by_source["odd.bin", ""]["code"] == "unknown-format"
    assert (by_source["notes.txt", ""]["status"], by_source["notes.txt", ""]["code"]) == ("ignored", "sidecar")
    assert by_source[".hidden", ""]["code"] == "hidden"
    assert all(row["reason"] for row in table if row["status"] != "used")
    shapes = dict.fromkeys(used.values(), (50, 70)) | {"b": (64, 40)}
    check_output(Path("out"), shapes)
    assert any(read_png(Path("out/labels") / f"{name}.png").any() for name in shapes)
    run = json.loads(Path("out/run.json").read_text())
    assert run["finished"] is True
    assert run["frames"] == {"found": 13, "used": 9, "refused": 2, "ignored": 2}
    assert run["structures"] == {"endoscope": 1, "guidewire": 2}
    assert run["folds"] == ["0", "1"]
    assert {"model", "model_sha256", "plan_sha256", "inputs_sha256", "versions", "device"} <= set(run)
    assert leftovers(tmp_path) == []


def test_one_file(command, model, tmp_path) -> None:
    write_png(tmp_path / "one.png", picture())
    assert "1 found = 1 used" in command.succeeds("predict", tmp_path / "one.png", tmp_path / "out", "--model", model)
    check_output(tmp_path / "out", {"one": (50, 70)})


def test_frame_seven_of_a_file_is_called_so(command, model, tmp_path) -> None:
    write_dicom(tmp_path / "p1.dcm", np.stack([picture(i) for i in range(8)]), frames=8)
    command.succeeds("predict", tmp_path / "p1.dcm", tmp_path / "out", "--model", model, "--fold", "0", "--no-tta")
    assert (tmp_path / "out" / "masks" / "guidewire" / "p1_f0007.png").is_file()
    assert rows(tmp_path / "out")[7]["frame"] == "p1_f0007"
    assert rows(tmp_path / "out")[7]["index"] == "7"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_and_dicom_of_either_polarity_give_the_same_masks(command, model, tmp_path, dtype: Any) -> None:
    pixels = picture(6, dtype=dtype)
    write_png(tmp_path / "png" / "f.png", pixels)
    write_dicom(tmp_path / "mono2" / "f.dcm", pixels)
    write_dicom(tmp_path / "mono1" / "f.dcm", np.iinfo(dtype).max - pixels, photometric="MONOCHROME1")
    masks = []
    for name in ("png", "mono2", "mono1"):
        command.succeeds("predict", tmp_path / name, tmp_path / "out" / name, "--model", model)
        masks.append(read_png(tmp_path / "out" / name / "labels" / "f.png"))
    assert masks[0].any()
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[0], masks[2])


def test_twelve_bits_of_either_polarity_give_the_same_masks(command, model, tmp_path) -> None:
    pixels = picture(7, dtype=np.uint16) >> 4
    write_dicom(tmp_path / "in" / "a.dcm", pixels, stored=12)
    write_dicom(tmp_path / "in" / "b.dcm", 4095 - pixels, stored=12, photometric="MONOCHROME1")
    command.succeeds("predict", tmp_path / "in", tmp_path / "out", "--model", model)
    a, b = (read_png(tmp_path / "out" / "labels" / f"{name}.png") for name in "ab")
    assert a.any()
    assert np.array_equal(a, b)


def test_a_zip_predicts_as_its_folder_does(command, model, tmp_path) -> None:
    write_png(tmp_path / "in" / "f.png", picture())
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", model)
    nested = shutil.make_archive(str(tmp_path / "nested"), "zip", model.parent, model.name)
    for i, given in enumerate((model, archive, nested)):
        command.succeeds("predict", tmp_path / "in", tmp_path / f"out{i}", "--model", given)
    read = [snapshot(tmp_path / f"out{i}") for i in range(3)]
    for name, (_, digest) in read[0].items():
        if name not in ("run.json", "frames.csv"):
            assert read[1][name][1] == read[2][name][1] == digest
    runs = [json.loads((tmp_path / f"out{i}" / "run.json").read_text()) for i in range(3)]
    assert len({run["model_sha256"] for run in runs}) == 1
    assert len({run["inputs_sha256"] for run in runs}) == 1


def test_a_dataset_name_is_a_model_even_beside_the_folder_of_that_name(
    command, trained, tiny_folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ERCPSEG_WORKSPACE", str(trained.root))
    frame = min((tiny_folder / "images").iterdir())
    (tmp_path / "tiny" / "images").mkdir(parents=True)
    command.succeeds("predict", frame, "out", "--model", "tiny")
    check_output(Path("out"), {frame.stem: (96, 96)}, ("endoscope", "guidewire", "cbd", "stone"))
    assert json.loads(Path("out/run.json").read_text())["model"] == "tiny"
    command.succeeds("predict", frame, "out2", "--model", trained.model_folder("tiny"))


def test_a_dataset_folder_is_read_from_its_images_only(command, predicted, tiny_folder) -> None:
    names = {path.stem: (96, 96) for path in (tiny_folder / "images").iterdir()}
    check_output(predicted, names, ("endoscope", "guidewire", "cbd", "stone"))
    table = rows(predicted)
    assert len([row for row in table if row["status"] == "used"]) == 18
    others = [row for row in table if row["status"] != "used"]
    assert len(others) == 4 * 18
    assert {(row["status"], row["code"], row["source"].split("/")[0]) for row in others} == {
        ("ignored", "outside-layout", "masks")
    }


def test_no_pictures_where_none_are_wanted(command, model, tmp_path) -> None:
    write_png(tmp_path / "f.png", picture())
    out = command.succeeds("predict", tmp_path / "f.png", tmp_path / "out", "--model", model, "--no-overlays")
    assert "overlays" not in out
    assert not (tmp_path / "out" / "overlays").exists()


def test_again_into_its_own_output_and_below_its_input(command, model, tmp_path) -> None:
    """The output of the first run is no input of the second, and nothing of the first run stays."""
    write_png(tmp_path / "a.png", picture(0))
    write_png(tmp_path / "b.png", picture(1))
    command.succeeds("predict", tmp_path, tmp_path / "out", "--model", model)
    check_output(tmp_path / "out", {"a": (50, 70), "b": (50, 70)})
    (tmp_path / "b.png").unlink()
    out = command.succeeds("predict", tmp_path, tmp_path / "out", "--model", model)
    assert "1 used + 0 refused + 1 ignored" in out
    assert [row["code"] for row in rows(tmp_path / "out")] == ["", "output"]
    check_output(tmp_path / "out", {"a": (50, 70)})


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--fold", "7"], "the model has no fold 7 (at --fold); expected of 0, 1"),
        (["--fold", "abc"], "the model has no fold abc"),
        (["--fold", "0,9"], "no fold 9"),
        (["--fold", ""], "--fold"),
        (["--fold", "0,"], "--fold"),
        (["--device", "tpu"], "unknown device 'tpu' (at --device)"),
        (
            ["--format", "nrrd"],
            "unknown format 'nrrd' (at --format); expected png, seg-nrrd, nifti, npz, contact-sheet",
        ),
        (["--format", "gif", "--no-overlays"], "gif is made from overlays (at --format)"),
    ],
)
def test_options_that_make_no_sense(command, model, tmp_path, words: list[str], text: str) -> None:
    write_png(tmp_path / "f.png", picture())
    assert text in command.fails(2, "predict", tmp_path / "f.png", tmp_path / "out", "--model", model, *words)
    assert not (tmp_path / "out").exists()


def test_formats_are_combined_and_what_cannot_be_written_is_refused(command, model, tmp_path) -> None:
    write_png(tmp_path / "in" / "a.png", picture(0))
    write_dicom(tmp_path / "in" / "c.dcm", np.stack([picture(i) for i in range(3)]), frames=3)
    words = ["predict", tmp_path / "in", tmp_path / "out", "--model", model, "--format", "npz,dicom-seg,seg-nrrd"]
    ended = command(*words)
    assert ended.code == 3
    assert "4 used + 0 refused" in ended.out
    assert "dicom-seg: 1 written, 1 refused (see exports.csv)" in ended.out
    output = tmp_path / "out"
    told = {Path(line.removeprefix("wrote ")) for line in ended.out.splitlines() if line.startswith("wrote ")}
    assert told == set(output.iterdir()), "whatever is in the folder is told"
    assert {f"{folder}/{name}" for folder, name in ((p.parent.name, p.name) for p in output.glob("*/*"))} >= {
        "dicom-seg/c.dcm",
        *(f"probabilities/{name}.npz" for name in ("a", "c_f0000", "c_f0001", "c_f0002")),
        *(f"seg-nrrd/{name}.seg.nrrd" for name in ("a", "c_f0000", "c_f0001", "c_f0002")),
    }
    (refused,) = [row for row in read_table(output / "exports.csv") if row["status"] == "refused"]
    assert (refused["name"], refused["code"]) == ("a", "not-dicom")
    label = read_png(output / "labels" / "a.png")
    with np.load(output / "probabilities" / "a.npz") as archive:
        for bit, name in enumerate(STRUCTURES):
            probabilities = archive[name].astype(float)
            sure = np.abs(probabilities - 0.5) > 0.01
            assert np.array_equal((probabilities > 0.5)[sure], (label >> bit & 1 > 0)[sure])
    assert json.loads((output / "run.json").read_text())["exports"] == {"dicom-seg": {"written": 1, "refused": 1}}
    # again: what was refused is refused again, nothing else is done, and another format is added without predicting
    before = snapshot(output)
    assert command(*words[:-1], words[-1] + ",gif").code == 3
    changed = {name for name, seen in snapshot(output).items() if before.get(name) != seen}
    assert changed == {"gif/a.gif", "gif/c.gif", "exports.csv", "frames.csv", "run.json"} - {
        name for name in ("frames.csv",) if before[name] == snapshot(output)[name]
    }


def test_the_help_names_every_format(command) -> None:
    from ercpseg.export.formats import FORMATS

    text = command.succeeds("predict", "--help")
    assert all(name in text for name in FORMATS)


@pytest.mark.slow
def test_a_prediction_that_is_killed_again_and_again_ends_as_one_that_was_not(command, model, tmp_path) -> None:
    """Killed at random moments of reading, predicting and writing; what is under a final name is always whole."""
    for i in range(40):
        write_png(tmp_path / "in" / f"p{i // 8}_{i:03d}.png", picture(i, (150, 170)))
    for name in ("c0", "c1"):
        write_dicom(tmp_path / "in" / f"{name}.dcm", np.stack([picture(i, (90, 80)) for i in range(9)]), frames=9)
    words = ["--model", model, "--format", "npz,seg-nrrd,nifti,contact-sheet,gif,dicom-seg,dicom-sc", "--device", "cpu"]
    start = time.perf_counter()
    done = process("predict", tmp_path / "in", tmp_path / "whole", *words)
    done.communicate(timeout=120)
    assert done.returncode == 3  # the PNG have no DICOM results
    took = time.perf_counter() - start
    output, rng = tmp_path / "out", np.random.default_rng(0)
    killed = 0
    for _ in range(6):
        child = process("predict", tmp_path / "in", output, *words)
        try:
            child.communicate(timeout=took * rng.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            killed += 1
        for path in output.rglob("*.*"):
            if not path.name.startswith(".tmp-"):
                check_whole(path)
    assert killed >= 2
    assert command("predict", tmp_path / "in", output, *words).code == 3
    assert leftovers(output) == []
    one, other = comparable(tmp_path / "whole"), comparable(output)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def check_whole(path: Path) -> None:
    if path.suffix == ".png":
        read_png(path)
    elif path.suffix == ".dcm":
        assert pydicom.dcmread(path).pixel_array.size
    elif path.suffix == ".gz":
        assert gzip.decompress(path.read_bytes())
    elif path.suffix == ".npz":
        assert zipfile.ZipFile(path).testzip() is None
    elif path.suffix == ".json":
        json.loads(path.read_text())


def comparable(folder: Path) -> dict[str, Any]:
    """The bytes of every file but times: of DICOM the pixels and the UID, of tables the rows without milliseconds."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".dcm":
            data = pydicom.dcmread(path)
            found[name] = (data.SOPInstanceUID, data.PixelData)
        elif path.suffix == ".csv":
            found[name] = [{k: v for k, v in row.items() if k != "milliseconds"} for row in read_table(path)]
        elif path.is_file() and name != "run.json":
            found[name] = path.read_bytes()
    return found


def test_without_a_model_it_says_which_it_takes(command, tmp_path) -> None:
    write_png(tmp_path / "in" / "a.png", picture(0, (64, 64)))
    told = command.succeeds("predict", tmp_path / "in", tmp_path / "out", workspace=tmp_path / "none")
    assert "no --model, so light: it comes with the program and was trained on synthetic frames only" in told
    assert json.loads((tmp_path / "out" / "run.json").read_text())["model"] == "light"
    told = command.succeeds(
        "predict", tmp_path / "in", tmp_path / "named", "--model", "light", workspace=tmp_path / "none"
    )
    assert "no --model" not in told
