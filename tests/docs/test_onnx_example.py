"""The program of the ONNX page runs where there is no ercpseg, and gives the masks that ercpseg gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ercpseg.inference.predictor import Predictor
from ercpseg.pipeline.export import export_to
from ercpseg.synthesis.phantom.frame import Studio
from tests.docs.test_code_blocks import ROOT, blocks
from tests.unit.inference.conftest import make_model

__all__ = ["make_model"]

LIGHT = ROOT / "models" / "light"
MAIN = """
import sys
sys.modules["ercpseg"] = None  # whoever imports it now fails
{example}
import numpy as np
masks = segment(np.load("frame.npy"), "exported")
np.save("masks.npy", np.stack(list(masks.values())))
"""


def segmented(model: Path, pixels: np.ndarray, folder: Path) -> np.ndarray:
    """Masks (structures, y, x) of the page's program in a process of its own."""
    pytest.importorskip("onnxruntime")
    page = (ROOT / "docs" / "how-to" / "predict-fast.md").read_text()
    (example,) = [block.text for block in blocks(page) if "def segment(" in block.text]
    assert len(example.splitlines()) <= 51
    export_to(model, folder / "exported", "onnx")
    np.save(folder / "frame.npy", pixels)
    code = MAIN.format(example=example)
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return np.asarray(np.load(folder / "masks.npy"))


@pytest.mark.parametrize("shape", [(512, 512), (400, 180)])
def test_the_example_runs_the_shipped_model(shape: tuple[int, int], tmp_path: Path) -> None:
    """A frame of one tile, and one that is padded to it: the masks before any step of post-processing."""
    predictor = Predictor.load(LIGHT, device="cpu")
    assert predictor.serving.tile_px == (512, 512)
    top, left = ((512 - side) // 2 for side in shape)  # the middle, where things are
    pixels = Studio.of(0, 1).frame(0, 512).pixels[top : top + shape[0], left : left + shape[1]]
    masks = segmented(LIGHT, pixels, tmp_path)
    values = predictor.predict(pixels, probabilities=True)
    assert values.probabilities is not None
    thresholds = predictor.serving.postprocess.threshold
    expected = np.stack([p > thresholds[n] for p, n in zip(values.probabilities, predictor.structures, strict=True)])
    assert expected.any()
    for name, mask, ours in zip(predictor.structures, masks, expected, strict=True):
        assert 2 * (mask & ours).sum() >= 0.97 * (mask.sum() + ours.sum()) - 4, name  # a mask of 4 px may differ by one
    assert (masks == expected).mean() > 0.9995


@pytest.mark.parametrize(
    ("size", "thresholds", "field", "equal"),
    [(64, (0.3, 0.6), False, 0.9995), (100, (0.5, 0.5), False, 0.9995), (256, (0.5, 0.5), True, 0.98)],
)
def test_the_example_needs_no_ercpseg(
    make_model, size: int, thresholds: tuple[float, float], field: bool, equal: float, tmp_path: Path
) -> None:
    """With a field mask the border may lie a pixel off, and a network of random weights minds every pixel."""
    model = make_model(
        preparation__field_mask=field,
        postprocess__threshold=dict(zip(("endoscope", "guidewire"), thresholds, strict=True)),
    )
    pixels = Studio.of(0, 1).frame(0, size).pixels
    masks = segmented(model, pixels, tmp_path)
    expected = np.stack(list(Predictor.load(model, device="cpu", tta=False).predict(pixels).masks.values()))
    assert expected.any()
    assert (masks == expected).mean() > equal
