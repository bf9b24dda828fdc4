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

MAIN = """
import sys
sys.modules["ercpseg"] = None  # whoever imports it now fails
{example}
import numpy as np
masks = segment(np.load("frame.npy"), "exported")
np.save("masks.npy", np.stack(list(masks.values())))
"""


@pytest.mark.parametrize(
    ("size", "thresholds", "field", "equal"),
    [(64, (0.3, 0.6), False, 0.9995), (100, (0.5, 0.5), False, 0.9995), (256, (0.5, 0.5), True, 0.98)],
)
def test_the_example_needs_no_ercpseg(
    make_model, size: int, thresholds: tuple[float, float], field: bool, equal: float, tmp_path: Path
) -> None:
    """With a field mask the border may lie a pixel off, and a network of random weights minds every pixel."""
    pytest.importorskip("onnxruntime")
    page = (ROOT / "docs" / "how-to" / "predict-fast.md").read_text()
    (example,) = [block.text for block in blocks(page) if "def segment(" in block.text]
    assert len(example.splitlines()) <= 50
    model = make_model(
        preparation__field_mask=field,
        postprocess__threshold=dict(zip(("endoscope", "guidewire"), thresholds, strict=True)),
    )
    export_to(model, tmp_path / "exported", "onnx")
    pixels = Studio.of(0, 1).frame(0, size).pixels
    np.save(tmp_path / "frame.npy", pixels)
    code = MAIN.format(example=example)
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    masks = np.load(tmp_path / "masks.npy")
    expected = np.stack(list(Predictor.load(model, device="cpu", tta=False).predict(pixels).masks.values()))
    assert expected.any()
    assert (masks == expected).mean() > equal
