"""Two folders of masks, from files to scores."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ercpseg.documents.scores import METRICS, Scores
from ercpseg.errors import DataError, StorageError
from ercpseg.evaluation.folders import read_mask
from ercpseg.evaluation.run import COLUMNS, evaluate
from ercpseg.evaluation.table import HEADINGS, NOTHING, summary_notes, summary_rows
from ercpseg.storage.documents import load
from ercpseg.storage.images import write_png
from ercpseg.storage.tables import write_table

SIZE = (24, 32)


def block(top: int = 4, left: int = 4, height: int = 8, width: int = 8) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def put(folder: Path, frame: str, **masks: np.ndarray) -> None:
    for structure, mask in masks.items():
        write_png(folder / "masks" / structure / f"{frame}.png", mask)


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and reference with frames p1_a, p1_b, p2_a; the duct is half found in p2_a."""
    reference, predictions = tmp_path / "reference", tmp_path / "predictions"
    for frame in ("p1_a", "p1_b", "p2_a"):
        put(reference, frame, cbd=block(), stone=block(5, 5, 3, 3))
        put(predictions, frame, cbd=block(), stone=block(5, 5, 3, 3))
    put(predictions, "p2_a", cbd=block(width=4))
    return predictions, reference


class Listener:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done = 0

    def task(self, description: str, total: int | None = None) -> Listener:
        return self

    def say(self, text: str) -> None:
        self.said.append(text)

    def advance(self, n: int = 1, note: str | None = None) -> None:
        self.done += n

    def retotal(self, total: int) -> None: ...

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exc: object) -> None: ...


# -- what comes out --------------------------------------------------------------------------------------------------


def test_scores_and_files(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    listener = Listener()
    scores = evaluate(predictions, reference, progress=listener)
    assert (scores.frames, scores.patients, scores.missing, scores.warnings) == (3, 2, (), ())
    assert (scores.prediction, scores.reference) == ("predictions", "reference")
    # p1: 1; p2: 2·32 / (64 + 32) = 2/3; the mean of patients is 5/6 (of frames it would be 8/9).
    assert scores.structures["cbd"].metrics["dice"].mean == pytest.approx(5 / 6)
    assert scores.per_patient["p2"]["cbd"]["dice"] == pytest.approx(2 / 3)
    assert list(scores.structures) == ["cbd", "stone"]
    assert scores.structures["stone"].objects is not None
    assert scores.structures["stone"].objects.f1 == 1
    assert listener.done == 3
    assert listener.said == []
    assert load(predictions / "scores.json", Scores) == scores
    with (predictions / "scores.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert tuple(rows[0]) == COLUMNS
    assert [(r["frame"], r["structure"]) for r in rows] == [
        (frame, structure) for frame in ("p1_a", "p1_b", "p2_a") for structure in ("cbd", "stone")
    ]
    assert rows[4]["dice"] == "0.666667"


def test_the_output_folder_and_repeatability(sides: tuple[Path, Path], tmp_path: Path) -> None:
    evaluate(*sides, output=tmp_path / "one")
    evaluate(*sides, output=tmp_path / "two")
    for name in ("scores.json", "scores.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert not (sides[0] / "scores.json").exists()
    evaluate(*sides, output=tmp_path / "three", bootstrap_seed=4)
    assert json.loads((tmp_path / "three" / "scores.json").read_text())["bootstrap_seed"] == 4


def test_patients_may_be_given(sides: tuple[Path, Path]) -> None:
    scores = evaluate(*sides, patients={"p1_a": "x", "p1_b": "y"})
    assert list(scores.per_patient) == ["p2", "x", "y"]


def test_table(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    put(reference, "p3_a", cbd=block(), stone=np.zeros(SIZE, bool))
    put(predictions, "p3_a", cbd=np.zeros(SIZE, bool), stone=np.zeros(SIZE, bool))
    put(reference, "p9_z", cbd=block())
    scores = evaluate(predictions, reference)
    cbd, stone = summary_rows(scores)
    assert tuple(cbd) == tuple(stone) == tuple(HEADINGS)
    # Patients 1, 2/3 and 0: mean 0.556; a redraw of three is all 1 or all 0 in 1 of 27 cases, more than 2.5 %.
    assert cbd["dice"] == "0.556 [0.000, 1.000]"
    assert (cbd["frames"], cbd["n"], cbd["patients"], cbd["present"], cbd["missed"]) == ("4", "4", "3", "4", "1")
    # HD95 of 0 (p1), of 4 (p2) and the diagonal of 24 × 32 = 40 (p3): mean 14.7 px.
    assert cbd["hd95_px"] == "14.7"
    assert cbd["objects_f1"] == NOTHING
    assert (stone["n"], stone["objects_f1"]) == ("3", "1.000 [1.000, 1.000]")
    notes = summary_notes(scores)
    assert "4 frames of 3 patients" in notes[0]
    assert "p9_z" in notes[1]


def test_table_without_a_number(tmp_path: Path) -> None:
    put(tmp_path / "r", "p1_a", cbd=np.zeros(SIZE, bool))
    put(tmp_path / "p", "p1_a", cbd=np.zeros(SIZE, bool))
    (row,) = summary_rows(evaluate(tmp_path / "p", tmp_path / "r"))
    assert {row[k] for k in ("dice", "iou", "precision", "recall", "hd95_px", "cldice", "pooled_dice")} == {NOTHING}
    assert (row["n"], row["frames"]) == ("0", "1")


# -- what is compared ------------------------------------------------------------------------------------------------


def test_missing_and_unmatched_frames_are_named(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    put(reference, "p3_a", cbd=block())
    put(predictions, "p4_a", cbd=block())
    listener = Listener()
    scores = evaluate(predictions, reference, progress=listener)
    assert (scores.missing, scores.unmatched, scores.frames) == (("p3_a",), ("p4_a",), 3)
    assert not listener.said  # the caller prints the warnings with the table
    assert scores.warnings
    assert "1 of 4 reference frames have no prediction and are not scored: p3_a" in scores.warnings[0]


def test_refused_frames_are_missing_even_if_an_old_mask_lies_there(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    rows = [
        {"frame": "p1_a", "source": "p1_a.png", "status": "used"},
        {"frame": "p1_b", "source": "p1_b.png", "status": "used"},
        {"frame": "p2_a", "source": "p2_a.png", "status": "refused", "code": "constant"},
    ]
    write_table(predictions / "frames.csv", ("frame", "source", "status", "code"), rows)
    scores = evaluate(predictions, reference)
    assert scores.missing == ("p2_a",)
    assert "predict refused some: constant" in scores.warnings[0]


def test_a_frame_that_predict_renamed_is_found_by_its_source(tmp_path: Path) -> None:
    put(tmp_path / "r", "p1 (ä)", cbd=block())
    put(tmp_path / "r", "x", cbd=block())
    put(tmp_path / "p", "p1_a-1", cbd=block())
    put(tmp_path / "p", "x-1", cbd=block())
    put(tmp_path / "p", "x-2", cbd=block())
    rows = [
        {"frame": "p1_a-1", "source": "in/p1 (ä).png", "status": "used"},
        {"frame": "x-1", "source": "in/1/x.png", "status": "used"},  # two files called x: nobody knows which
        {"frame": "x-2", "source": "in/2/x.png", "status": "used"},
    ]
    write_table(tmp_path / "p" / "frames.csv", ("frame", "source", "status"), rows)
    scores = evaluate(tmp_path / "p", tmp_path / "r")
    assert scores.frames == 1
    assert scores.structures["cbd"].metrics["dice"].mean == 1
    assert (scores.missing, scores.unmatched) == (("x",), ("x-1", "x-2"))


def test_structures_on_one_side_are_named(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    put(reference, "p1_a", guidewire=block())
    put(predictions, "p1_a", endoscope=block())
    scores = evaluate(predictions, reference)
    assert list(scores.structures) == ["cbd", "stone"]
    assert (scores.reference_only, scores.prediction_only) == (("guidewire",), ("endoscope",))
    assert len(scores.warnings) == 2


def test_a_missing_mask_of_one_structure_is_absence(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    (reference / "masks" / "stone" / "p1_a.png").unlink()  # predicted: invented
    (predictions / "masks" / "stone" / "p1_b.png").unlink()  # not predicted: missed
    stone = evaluate(predictions, reference).structures["stone"]
    assert (stone.frames, stone.present, stone.invented, stone.missed) == (3, 2, 1, 1)


def test_an_image_without_masks_shows_nothing_and_is_said(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    write_png(reference / "images" / "p5_a.png", np.zeros(SIZE, np.uint8))
    put(predictions, "p5_a", cbd=block())
    scores = evaluate(predictions, reference)
    assert scores.structures["cbd"].invented == 1
    assert "1 reference frames have an image but no mask and count as showing no structure: p5_a" in scores.warnings[0]


def test_the_file_of_a_series_is_no_frame(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    (reference / "images").mkdir()
    (reference / "images" / "p7_cine.dcm").touch()
    (reference / "images" / "notes.txt").touch()
    put(reference, "p7_cine_f0003", cbd=block())
    put(predictions, "p7_cine_f0003", cbd=block())
    scores = evaluate(predictions, reference)
    assert (scores.frames, scores.missing) == (4, ())


def test_a_lost_mask_of_a_predict_output_is_said(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    write_table(predictions / "frames.csv", ("frame", "status"), [{"frame": "p1_a", "status": "used"}])
    (predictions / "masks" / "stone" / "p1_b.png").unlink()
    assert any("1 masks of stone are gone" in w for w in evaluate(predictions, reference).warnings)


def test_foreign_files_and_folders_are_said(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    (reference / "masks" / "cbd" / "p1_a.tif").touch()
    (reference / "masks" / "cbd" / ".DS_Store").touch()
    (reference / "masks" / "My Structure").mkdir()
    (reference / "masks" / "duct").mkdir()  # a parent's name
    (reference / "masks" / ".cache").mkdir()
    assert len(evaluate(predictions, reference).warnings) == 3


def test_the_masks_folder_itself_will_do(sides: tuple[Path, Path], tmp_path: Path) -> None:
    scores = evaluate(sides[0] / "masks", sides[1] / "masks", output=tmp_path / "out")
    assert scores.frames == 3


# -- what is refused -------------------------------------------------------------------------------------------------


def test_nothing_to_compare(sides: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, reference = sides
    with pytest.raises(DataError, match=r"is no folder .*expected .*masks/<structure>/<frame>\.png"):
        evaluate(tmp_path / "nowhere", reference)
    (tmp_path / "empty" / "masks").mkdir(parents=True)
    with pytest.raises(DataError, match="no masks of a structure"):
        evaluate(tmp_path / "empty", reference)
    with pytest.raises(DataError, match="no masks folder"):
        evaluate(tmp_path, reference)
    put(tmp_path / "other", "q1", cbd=block())
    with pytest.raises(DataError, match=r"nothing to compare.*p1_a, p1_b, p2_a.*frames q1"):
        evaluate(tmp_path / "other", reference)
    put(tmp_path / "wire", "p1_a", guidewire=block())
    with pytest.raises(DataError, match=r"nothing to compare.*cbd, stone.*guidewire"):
        evaluate(tmp_path / "wire", reference)
    assert not (predictions / "scores.json").exists()


def test_every_frame_of_another_size_is_named(sides: tuple[Path, Path]) -> None:
    predictions, reference = sides
    put(predictions, "p1_a", cbd=np.ones((32, 24), bool))
    put(predictions, "p2_a", stone=np.ones((12, 16), bool))
    with pytest.raises(DataError) as error:
        evaluate(predictions, reference)
    assert "2 frame(s)" in error.value.message
    assert "p1_a: masks differ in size" in error.value.message
    assert "prediction cbd 32 × 24" in error.value.message
    assert "p2_a" in error.value.message
    assert not (predictions / "scores.json").exists()


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_damaged_mask_is_named(sides: tuple[Path, Path], content: bytes) -> None:
    predictions, reference = sides
    (reference / "masks" / "cbd" / "p1_b.png").write_bytes(content)
    with pytest.raises(DataError, match=r"p1_b\.png"):
        evaluate(predictions, reference)


def test_a_cut_off_mask_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    write_png(path, np.random.default_rng(0).random((64, 64)) < 0.5)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged"):
        read_mask(path)


def test_a_huge_mask_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    write_png(path, block())
    data = bytearray(path.read_bytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="claims 60000 × 60000 pixels"):
        read_mask(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_folder_that_cannot_be_written(sides: tuple[Path, Path]) -> None:
    sides[0].chmod(0o500)
    with pytest.raises(StorageError):
        evaluate(*sides)


def test_an_output_that_is_a_file(sides: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        evaluate(*sides, output=tmp_path / "file")


# -- masks of every kind ---------------------------------------------------------------------------------------------


def palette() -> Image.Image:
    # Index 1 is black, as index 0 is: colours say nothing, indices do.
    indexed = Image.frombytes("P", SIZE[::-1], block().astype(np.uint8).tobytes())
    indexed.putpalette([0, 0, 0, 0, 0, 0] + [9, 9, 9] * 254)
    return indexed


def colour(value: tuple[int, ...], outside: tuple[int, ...]) -> Image.Image:
    array = np.empty((*SIZE, len(value)), np.uint8)
    array[:] = outside
    array[block()] = value
    return Image.fromarray(array)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(block()),  # 1 bit
        Image.fromarray(block().astype(np.uint8)),  # 0 and 1
        Image.fromarray(block().astype(np.uint8) * 255),
        Image.fromarray(block().astype(np.uint16)),  # 16 bit, 1 of 65535
        palette(),
        colour((0, 0, 1), (0, 0, 0)),
        colour((255, 0, 0, 255), (0, 0, 0, 255)),
        colour((255, 0, 0, 255), (255, 255, 255, 0)),  # white but transparent
        colour((1, 255), (0, 255)),
    ],
    ids=["1-bit", "grey-1", "grey-255", "16-bit", "palette", "rgb", "rgba", "rgba-transparent", "grey-alpha"],
)
def test_anything_but_0_is_present(tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), block())


def test_a_16_bit_colour_mask_keeps_its_lowest_bit(tmp_path: Path) -> None:
    import imagecodecs

    array = np.zeros((*SIZE, 3), np.uint16)
    array[block()] = (0, 1, 0)
    (tmp_path / "m.png").write_bytes(imagecodecs.png_encode(array))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), block())


def test_all_metrics_are_in_the_table_of_frames() -> None:
    assert set(METRICS) <= set(COLUMNS)
