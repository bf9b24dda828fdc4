"""Models that are damaged or foreign, outputs of another model, and a prediction that is killed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.tables import read_table
from tests.unit.cli.command import Command, process, snapshot
from tests.unit.cli.test_apply import picture, write_dicom
from tests.unit.inference.conftest import make_model

__all__ = ["make_model"]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture(scope="module")
def model(make_model) -> Path:
    return make_model()


def torn(folder: Path) -> None:
    path = folder / "fold_0.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def changed(folder: Path) -> None:
    path = folder / "fold_0.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def hashed_again(folder: Path) -> None:
    """Somebody changes the plan and mends the sums: the card still names the plan that it was made with."""
    import hashlib

    plan = json.loads((folder / "plan.json").read_text())
    for decision in plan["decisions"]:
        if decision["key"] == "network.name":
            decision["value"] = "u2net"
    (folder / "plan.json").write_text(json.dumps(plan))
    files = sorted(p for p in folder.iterdir() if p.name != "SHA256SUMS")
    sums = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files)
    (folder / "SHA256SUMS").write_text(sums)


def gone(folder: Path) -> None:
    (folder / "plan.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "code", "text"),
    [(torn, 74, "damaged"), (changed, 74, "damaged"), (hashed_again, 74, "another plan"), (gone, 74, "missing")],
)
def test_a_damaged_model(
    command, model: Path, tmp_path: Path, spoil: Callable[[Path], None], code: int, text: str
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    spoil(folder)
    write_png(tmp_path / "in" / "f.png", picture())
    assert text in command.fails(code, "predict", tmp_path / "in", tmp_path / "out", "--model", folder)
    assert not (tmp_path / "out").exists()


def test_an_unknown_network_is_refused(command, make_model, tmp_path: Path) -> None:
    """A whole model of a program that knows more networks than this one."""
    from ercpseg.documents.plan import Plan
    from ercpseg.storage.models import load_model, write_model
    from tests.unit.core.plans import card_of

    source = make_model()
    text = load_model(source).planned.to_json().replace('"light-full"', '"u2net"')
    plan = Plan.parse(json.loads(text))
    weights = {"fold_0.safetensors": (source / "fold_0.safetensors").read_bytes()}
    write_model(tmp_path / "model", plan, card_of(plan, weights), weights)
    write_png(tmp_path / "in" / "f.png", picture())
    error = command.fails(65, "predict", tmp_path / "in", tmp_path / "out", "--model", tmp_path / "model")
    assert "u2net" in error
    assert not (tmp_path / "out").exists()


def test_frames_of_another_modality_are_told(command, model: Path, tmp_path: Path) -> None:
    """A slice of a CT looks like a frame to everything but its class, which may be wrong: people hear of it."""
    for name, kind in (("ct", "2"), ("mr", "4"), ("xa", "12.1"), ("sc", "7")):
        write_dicom(tmp_path / "in" / f"{name}.dcm", picture(0), SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{kind}")
    out = command.succeeds("predict", tmp_path / "in", tmp_path / "out", "--model", model)
    assert "warning: 2 of 4 frames are of a DICOM class that is no X-ray projection (frames.csv says which)." in out
    notes = {row["frame"]: row["reason"] for row in read_table(tmp_path / "out" / "frames.csv")}
    assert {name for name, note in notes.items() if "no X-ray projection" in note} == {"ct", "mr"}
    assert json.loads((tmp_path / "out" / "run.json").read_text())["shift"]["no_projection"] == 2
    (tmp_path / "in" / "ct.dcm").unlink()
    (tmp_path / "in" / "mr.dcm").unlink()
    assert "X-ray projection" not in command.succeeds("predict", tmp_path / "in", tmp_path / "out", "--model", model)


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (7, 3), (900, 12)])
def test_frames_of_odd_sizes_have_masks_of_their_size(
    command, model: Path, tmp_path: Path, shape: tuple[int, int]
) -> None:
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape) % 251
    write_png(tmp_path / "in" / "f.png", pixels.astype(np.uint8))
    ended = command("predict", tmp_path / "in", tmp_path / "out", "--model", model)
    if shape == (1, 1):  # all pixels are equal
        assert (ended.code, "constant" in ended.err) == (65, True)
        return
    assert ended.code == 0
    assert read_png(tmp_path / "out" / "labels" / "f.png").shape == shape


def test_an_output_inside_the_input_is_no_input_of_the_next_run(command, model: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "f.png", picture())
    for ignored in (0, 1):
        command.succeeds("predict", tmp_path / "in", tmp_path / "in" / "out", "--model", model)
        rows = read_table(tmp_path / "in" / "out" / "frames.csv")
        assert [row["frame"] for row in rows if row["status"] == "used"] == ["f"]
        assert [row["code"] for row in rows if row["status"] == "ignored"] == ["output"] * ignored


def test_a_frame_whose_results_do_not_fit_the_memory(command, model: Path, tmp_path: Path, monkeypatch) -> None:
    from ercpseg.export import png

    def drawn(path: Path | str, *rest, **options) -> None:
        if Path(path).name == "b.png" and Path(path).parent.name == "overlays":
            raise MemoryError
        write_png(path, *rest, **options)

    for number, name in enumerate("abc"):
        write_png(tmp_path / "in" / f"{name}.png", picture(number))
    monkeypatch.setattr(png, "write_png", drawn)
    words = ("predict", tmp_path / "in", tmp_path / "out", "--model", model)
    ended = command(*words)
    assert (ended.code, ended.out.splitlines()[0][:36]) == (3, "3 found = 2 used + 1 refused + 0 ign")
    assert [path.name for path in sorted((tmp_path / "out").rglob("b.png"))] == []
    monkeypatch.undo()
    command.succeeds(*words)
    assert read_png(tmp_path / "out" / "labels" / "b.png").any()


def test_an_output_that_is_the_input(command, model: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "f.png", picture())
    before = snapshot(tmp_path / "in")
    command.fails(2, "predict", tmp_path / "in", tmp_path / "in", "--model", model)
    assert snapshot(tmp_path / "in") == before


@pytest.mark.parametrize("inside", ["", "masks", "overlays", "labels/f.png"])
def test_an_input_inside_the_output_of_an_earlier_run(command, model: Path, tmp_path: Path, inside: str) -> None:
    write_png(tmp_path / "in" / "f.png", picture())
    out = tmp_path / "out"
    command.succeeds("predict", tmp_path / "in", out, "--model", model)
    before = snapshot(out)
    assert "output folder" in command.fails(2, "predict", out / inside, out, "--model", model)
    assert snapshot(out) == before


def test_the_output_of_another_model_is_replaced_as_a_whole(command, model: Path, make_model, tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "f.png", picture(1))
    write_png(tmp_path / "more" / "g.png", picture(2))
    other = make_model(postprocess__threshold={"endoscope": 0.2, "guidewire": 0.2})
    command.succeeds("predict", tmp_path / "more", tmp_path / "out", "--model", model)
    command.succeeds("predict", tmp_path / "in", tmp_path / "out", "--model", other)
    command.succeeds("predict", tmp_path / "in", tmp_path / "alone", "--model", other)
    assert [p.name for p in (tmp_path / "out" / "labels").iterdir()] == ["f.png"]
    a, b = (read_png(tmp_path / name / "labels" / "f.png") for name in ("out", "alone"))
    assert np.array_equal(a, b)


def test_a_killed_prediction_goes_on_and_ends_as_if_nothing_had_been(command, model: Path, tmp_path: Path) -> None:
    for number in range(60):
        write_png(tmp_path / "in" / f"f{number:02d}.png", picture(number, (64, 64)))
    options = ("--model", model, "--runtime", "torch", "--no-overlays")
    running = process("predict", tmp_path / "in", tmp_path / "out", *options)
    labels = tmp_path / "out" / "labels"
    deadline = time.monotonic() + 120
    try:
        while time.monotonic() < deadline and running.poll() is None and len(list(labels.glob("*.png"))) < 5:
            time.sleep(0.005)
        busy = command.fails(73, "predict", tmp_path / "in", tmp_path / "out", *options)
    finally:
        running.kill()
        running.communicate()
    assert f"another run is using this output folder (at process {running.pid} on " in busy
    assert "wait until it is done, stop it, or use another OUTPUT" in busy
    left = {path.name: path.stat().st_mtime_ns for path in labels.glob("f*.png")}
    assert len(left) >= 5
    command.succeeds("predict", tmp_path / "in", tmp_path / "out", *options)
    command.succeeds("predict", tmp_path / "in", tmp_path / "undisturbed", *options)
    first, second = (
        {k: digest for k, (_, digest) in snapshot(tmp_path / name).items() if k.endswith(".png")}
        for name in ("out", "undisturbed")
    )
    assert first == second
    assert len([k for k in first if k.startswith("labels/")]) == 60
    assert [p for pattern in (".tmp-*", ".lock*") for p in (tmp_path / "out").rglob(pattern)] == []
    kept = {name: (labels / name).stat().st_mtime_ns for name in left}
    assert kept == left, "what was there is not made again"
