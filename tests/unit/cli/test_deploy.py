"""``bench``, ``export`` and ``predict -``: what they print, write and refuse."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ercpseg.inference.predictor import Predictor
from ercpseg.storage.images import read_png, write_png
from tests.contract.stock_models import write_stock
from tests.unit.cli.command import process
from tests.unit.cli.test_apply import picture, write_dicom
from tests.unit.inference.conftest import make_model
from tests.unit.inference.test_service import request, spoken

__all__ = ["make_model"]


@pytest.fixture(scope="module")
def model(make_model) -> Path:
    return make_model(folds=2, augmentation__mirror_axes=[1])


@pytest.mark.parametrize("kind", ["dicom", "png"])
def test_bench_tells_every_step_and_draws_it(command, model, tmp_path, kind: str) -> None:
    out = command.succeeds("bench", model, "--size", 96, "--calls", 6, "--format", kind, "--output", tmp_path / "b")
    for word in ("decode", "prepare", "forward", "post-process", "encode", "total", "p95", "frames/s", "MiB"):
        assert word in out
    record = json.loads((tmp_path / "b" / "bench.json").read_text())
    steps = record["milliseconds"]
    assert list(steps) == sorted(["decode", "prepare", "forward", "post-process", "encode", "total"])
    for row in steps.values():
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]
    assert steps["total"]["p50"] >= steps["forward"]["p50"]
    assert record["frames_per_s"] == pytest.approx(1000 / steps["total"]["p50"], rel=2)
    assert record["memory_mib"] > 50
    image = read_png(tmp_path / "b" / "bench.png")
    assert image.std() > 5, "something is drawn"


def test_bench_refuses_what_it_cannot_decode(command, model, tmp_path) -> None:
    assert "dicom or png" in command.fails(2, "bench", model, "--format", "gif", "--output", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_export_to_onnx_is_a_graph_and_all_that_a_frame_needs(command, model, tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    out = command.succeeds("export", model, tmp_path / "o", "--format", "onnx")
    assert "of torch" in out
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["model.json", "model.onnx"]
    told = json.loads((tmp_path / "o" / "model.json").read_text())
    assert told["heads"][:2] == told["structures"] == ["endoscope", "guidewire"]
    assert told["tile_px"] == [64, 64]
    session = onnxruntime.InferenceSession(tmp_path / "o" / "model.onnx")
    predictor = Predictor.load(model, device="cpu", tta=False)
    frame = picture(0, (64, 64))
    logits, _ = predictor.logits(frame)
    from ercpseg.frames.prepare import prepare

    image, _ = prepare(frame, predictor.serving.preparation)
    found = session.run(None, {"frames": np.stack([image, image])})[0]
    assert found.shape == (2, 3, 64, 64)
    assert np.allclose(found[0], logits, atol=1e-4)
    assert "there already" in command.fails(2, "export", model, tmp_path / "o")
    assert "expected onnx, nnunet, ercpseg" in command.fails(2, "export", model, tmp_path / "p", "--format", "tflite")


def test_export_makes_a_stock_model_one_of_ours(command, tmp_path) -> None:
    """Both predict the same, through the command line, as folder and as nnU-Net's results."""
    stock = write_stock(tmp_path / "s", steps=5)
    command.succeeds("export", stock, tmp_path / "ours", "--format", "ercpseg")
    names = sorted(p.name for p in (tmp_path / "ours").iterdir())
    assert names == ["SHA256SUMS", "fold_0.safetensors", "model.json", "serving.json"]
    write_png(tmp_path / "in" / "f.png", picture(3, (80, 70)))
    for number, given in enumerate((stock, tmp_path / "ours")):
        command.succeeds("predict", tmp_path / "in", tmp_path / f"out{number}", "--model", given)
    a, b = (read_png(tmp_path / f"out{n}" / "labels" / "f.png") for n in (0, 1))
    assert a.any()
    assert np.array_equal(a, b)
    assert (tmp_path / "out0" / "masks" / "guide_wire" / "f.png").exists()
    (tmp_path / "ours" / "serving.json").write_text((tmp_path / "ours" / "serving.json").read_text() + " ")
    assert "damaged" in command.fails(74, "predict", tmp_path / "in", tmp_path / "x", "--model", tmp_path / "ours")


def test_the_same_pictures_as_png_as_dicom_and_as_one_cine(command, model, tmp_path) -> None:
    pictures = [picture(i, (50, 70)) for i in range(4)]
    for i, pixels in enumerate(pictures):
        write_png(tmp_path / "png" / f"s_f{i:04d}.png", pixels)
        write_dicom(tmp_path / "dicom" / f"s_f{i:04d}.dcm", pixels)
    write_dicom(tmp_path / "cine" / "s.dcm", np.stack(pictures), frames=4)
    for kind, batch in (("png", 1), ("dicom", 3), ("cine", 8)):
        out = tmp_path / "out" / kind
        command.succeeds("predict", tmp_path / kind, out, "--model", model, "--batch", batch)
    for i in range(4):
        masks = [read_png(tmp_path / "out" / kind / "labels" / f"s_f{i:04d}.png") for kind in ("png", "dicom", "cine")]
        assert masks[0].any()
        assert all(np.array_equal(masks[0], mask) for mask in masks[1:])


def test_the_service_speaks_on_standard_input_and_output(model) -> None:
    frames = [picture(i, (50, 70)) for i in range(2)]
    data = b"".join(request(frame, f"n{i}") for i, frame in enumerate(frames))
    running = process("predict", "-", "--model", model, "--runtime", "torch", stdin=subprocess.PIPE, text=False)
    out, err = running.communicate(data, timeout=120)
    assert (running.returncode, err) == (0, b"")
    answers = spoken(out)
    predictor = Predictor.load(model, device="cpu")
    assert [header.get("name") for header, _ in answers[1:]] == ["n0", "n1"]
    for (_, mask), frame in zip(answers[1:], frames, strict=True):
        assert np.array_equal(mask, predictor.predict(frame).bitmask)


def test_without_an_output_there_must_be_a_stream(command, model, tmp_path) -> None:
    write_png(tmp_path / "f.png", picture())
    assert "OUTPUT is missing" in command.fails(2, "predict", tmp_path / "f.png", "--model", model)


@pytest.mark.parametrize("option", [("--format", "npz"), ("--no-overlays",)])
def test_a_stream_refuses_options_of_files(command, option) -> None:
    assert "writes no files" in command.fails(2, "predict", "-", *option)
