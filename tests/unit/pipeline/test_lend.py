"""What a dataset lends to ``synth --from-dataset``: the same whatever its layout, and nothing that nobody has looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ercpseg.errors import DataError, UsageError
from ercpseg.frames.field import find_field
from ercpseg.pipeline.bring import import_folder
from ercpseg.pipeline.lend import lend
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.images import encode_png, read_png
from ercpseg.storage.workspace import Workspace
from ercpseg.synthesis import backgrounds as limits
from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.dataset import Options, synthesise_domain
from tests.unit.cli.command import Command, snapshot

SIDE = 96
NAMES = ("a_0", "a_1", "b_0", "b_1")
SHOWING = {"a_1": 1, "b_1": 3}
"""Bits: cbd 1, guidewire 2. The others show nothing."""


def frame(name: str) -> NDArray[np.uint8]:
    y, x = np.indices((SIDE, SIDE))
    grey = np.random.default_rng(NAMES.index(name)).normal(120, 20, (SIDE, SIDE))
    return np.where(np.hypot(y - 47.5, x - 47.5) < 46, np.clip(grey, 1, 255), 0).astype(np.uint8)


def box(bit: int) -> tuple[int, int, int, int]:
    return (30, 30, 60, 50) if bit == 1 else (20, 44, 80, 48)


def mask(name: str, bit: int) -> NDArray[np.bool_]:
    found = np.zeros((SIDE, SIDE), np.bool_)
    if SHOWING.get(name, 0) & bit:
        top, left, bottom, right = box(bit)
        found[top:bottom, left:right] = True
    return found


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def as_masks(folder: Path) -> None:
    for name in NAMES:
        put(folder / "images" / f"{name}.png", encode_png(frame(name)))
        for structure, bit in (("cbd", 1), ("guidewire", 2)):
            put(folder / "masks" / structure / f"{name}.png", encode_png(mask(name, bit)))


def as_labelme(folder: Path) -> None:
    for name in NAMES:
        put(folder / f"{name}.png", encode_png(frame(name)))
        shapes = []
        for structure, bit in (("cbd", 1), ("guidewire", 2)):
            if mask(name, bit).any():
                top, left, bottom, right = box(bit)
                points = [[left, top], [right, bottom]]
                shapes.append({"label": structure, "points": points, "shape_type": "rectangle"})
        told = {"shapes": shapes, "imageHeight": SIDE, "imageWidth": SIDE, "imagePath": f"{name}.png"}
        put(folder / f"{name}.json", json.dumps(told).encode())


def as_nnunet(folder: Path) -> None:
    told = {"labels": {"background": 0, "cbd": 1, "guidewire": 2}, "channel_names": {"0": "x"}, "file_ending": ".png"}
    put(folder / "dataset.json", json.dumps(told).encode())
    for name in NAMES:
        put(folder / "imagesTr" / f"{name}_0000.png", encode_png(frame(name)))
        label = np.where(mask(name, 2), 2, mask(name, 1)).astype(np.uint8)
        put(folder / "labelsTr" / f"{name}.png", encode_png(label))


DESCRIPTOR = """\
schema: ercpseg.descriptor/1
name: mine
title: Mine
source: made by a test
licence: CC0
access: none
labels: {cbd: [cbd], guidewire: [guidewire]}
frames: {folder: images}
annotations: [{format: masks, path: masks}]
"""


def listening() -> tuple[Progress, list[str]]:
    said: list[str] = []
    told = type(SILENT)()
    told.say = said.append  # type: ignore[method-assign]
    return told, said


LAYOUTS: dict[str, Callable[[Path], None]] = {"masks": as_masks, "labelme": as_labelme, "nnunet": as_nnunet}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_lends_the_same(layout: str, tmp_path: Path) -> None:
    """Two frames show nothing, one a duct, one both; as one label per pixel the wire hides the duct below it."""
    LAYOUTS[layout](tmp_path / "mine")
    before = snapshot(tmp_path / "mine")
    lent = lend(2, tmp_path / "mine", workspace=tmp_path / "w")
    assert snapshot(tmp_path / "mine") == before
    assert not (tmp_path / "w").exists()
    for name, ground in zip(("a_0", "b_0"), lent.backgrounds, strict=True):
        assert np.allclose(ground.grey * 255, frame(name), atol=0.01)
    duct, both = (one.masks for one in lent.annotated)
    assert set(duct) == {"cbd"} and set(both) == {"cbd", "guidewire"}
    edge = 1 if layout == "labelme" else 0  # labelme's rectangle takes its last row and column in
    assert int(duct["cbd"].sum()) == (30 + edge) * (20 + edge)
    assert bool((both["cbd"] & both["guidewire"]).any()) == (layout != "nnunet")


def test_a_dataset_of_the_workspace_and_a_descriptor_do_too(tmp_path: Path) -> None:
    as_masks(tmp_path / "data" / "mine")
    space = Workspace(tmp_path / "w")
    import_folder(tmp_path / "data" / "mine", workspace=space)
    (tmp_path / "mine.yaml").write_text(DESCRIPTOR)
    before = snapshot(space.root)
    stored = lend(1, "mine", workspace=space)
    described = lend(1, tmp_path / "mine.yaml", root=tmp_path / "data" / "mine", workspace=space)
    assert snapshot(space.root) == before
    for lent in (stored, described):
        assert len(lent.backgrounds) == 1
        assert np.allclose(lent.backgrounds[0].grey * 255, frame("a_0"), atol=0.01)
        assert [sorted(one.masks) for one in lent.annotated] == [["cbd"], ["cbd", "guidewire"]]


def test_the_command_takes_a_name_of_the_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_labelme(tmp_path / "data" / "mine")
    space, command = Workspace(tmp_path / "w"), Command(capsys)
    import_folder(tmp_path / "data" / "mine", workspace=space)
    words = ["--frames", "2", "--patients", "2", "--domain", "round-field", "--from-dataset"]
    said = command.succeeds("synth", tmp_path / "out", *words, "mine", workspace=space)
    assert "wrote 2 frames of 2 patients" in said
    assert sorted(p.name for p in (tmp_path / "out" / "masks").iterdir()) == ["cbd", "endoscope", "guidewire", "stone"]
    assert "there is no dataset 'nope'" in command.fails(2, "synth", tmp_path / "no", *words, "nope", workspace=space)
    assert "--from-dataset as well" in command.fails(2, "synth", tmp_path / "no", "--root", tmp_path)
    assert not (tmp_path / "no").exists()


def test_nobody_guesses_what_is_not_annotated(tmp_path: Path) -> None:
    """A frame without masks and one with a mask of one structure only are no backgrounds; both are counted."""
    as_masks(tmp_path / "mine")
    (tmp_path / "mine" / "masks" / "guidewire" / "a_0.png").unlink()
    put(tmp_path / "mine" / "images" / "c_0.png", encode_png(frame("b_0")))
    told, said = listening()
    lent = lend(1, tmp_path / "mine", progress=told)
    assert np.allclose(lent.backgrounds[0].grey * 255, frame("b_0"), atol=0.01)
    expected = "1 of which nothing says what they show; 1 without the mask of some structure"
    assert f"frames that lend nothing: {expected}" in said
    with pytest.raises(UsageError, match="2 patients before 1 backgrounds"):
        lend(2, tmp_path / "mine")
    for structure in ("cbd", "guidewire"):
        (tmp_path / "mine" / "masks" / structure / "b_0.png").unlink()
    with pytest.raises(DataError, match="no frame is known to show nothing: 2 show something; 2 of which nothing says"):
        lend(1, tmp_path / "mine")


def test_the_import_says_which_masks_are_missing(tmp_path: Path) -> None:
    from ercpseg.pipeline.known import load_records

    as_masks(tmp_path / "mine")
    (tmp_path / "mine" / "masks" / "guidewire" / "a_0.png").unlink()
    space = Workspace(tmp_path / "w")
    made = import_folder(tmp_path / "mine", workspace=space).dataset
    assert made.notes == ("1 frames have no mask file of some structures, which count as absent there.",)
    assert {r.frame: r.unmasked for r in load_records(space, "mine")} == {
        "a_0": "guidewire", "a_1": None, "b_0": None, "b_1": None,
    }  # fmt: skip
    with pytest.raises(UsageError, match="2 patients before 1 backgrounds"):
        lend(2, "mine", workspace=space)


def test_frames_for_testing_lend_nothing(tmp_path: Path) -> None:
    as_masks(tmp_path / "mine")
    grouping = "grouping:\n  split: {by: stem, pattern: '^(.)_', values: {a: test, b: train}}\n"
    (tmp_path / "mine.yaml").write_text(DESCRIPTOR + grouping)
    told, said = listening()
    lent = lend(1, tmp_path / "mine.yaml", root=tmp_path / "mine", progress=told)
    assert np.allclose(lent.backgrounds[0].grey * 255, frame("b_0"), atol=0.01)
    assert [sorted(one.masks) for one in lent.annotated] == [["cbd", "guidewire"]]
    assert "frames that lend nothing: 2 held out for testing" in said


def test_a_dataset_without_anything_to_paste_is_refused(tmp_path: Path) -> None:
    as_masks(tmp_path / "mine")
    for name in SHOWING:
        for structure in ("cbd", "guidewire"):
            put(tmp_path / "mine" / "masks" / structure / f"{name}.png", encode_png(mask("a_0", 1)))
    with pytest.raises(DataError, match="none of 4 frames shows anything"):
        lend(1, tmp_path / "mine")


def test_what_does_not_fit_the_memory_is_thinned_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_masks(tmp_path / "mine")
    monkeypatch.setattr("ercpseg.pipeline.lend.MOST", 1)
    told, said = listening()
    assert len(lend(1, tmp_path / "mine", progress=told).annotated) == 1
    assert "masks of every 2. annotated frame are taken: 1" in said
    monkeypatch.setattr(limits, "MOST_BYTES", 4 * SIDE * SIDE)
    with pytest.raises(DataError, match="too many backgrounds"):
        lend(2, tmp_path / "mine")


def test_frames_are_made_of_it(tmp_path: Path) -> None:
    """Outside the field a frame is its background; what is pasted stands in the masks."""
    as_labelme(tmp_path / "mine")
    options = Options(find_domain("round-field"), from_dataset=partial(lend, dataset=tmp_path / "mine"))
    made = synthesise_domain(tmp_path / "out", frames=4, patients=2, options=options)
    for path in (made.folder / "images").iterdir():
        name = ("a_0", "b_0")[int(path.stem.split("p")[-1].split("_")[0])]
        outside = ~find_field(frame(name))
        assert np.array_equal(read_png(path)[outside], frame(name)[outside])
    assert any((read_png(path) > 0).any() for path in (made.folder / "masks" / "cbd").iterdir())
    with pytest.raises(UsageError, match="come from the dataset"):
        both = Options(find_domain("round-field"), from_dataset=options.from_dataset, backgrounds=tmp_path / "mine")
        synthesise_domain(tmp_path / "both", frames=1, patients=1, options=both)
