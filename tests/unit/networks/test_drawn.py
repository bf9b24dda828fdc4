"""Networks drawn without torch give what torch gives, and take no other weights than their own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ercpseg.documents.plan import NetworkValues
from ercpseg.errors import DocumentError, StorageError
from ercpseg.frames.mirror import flips, mean_of_flips
from ercpseg.networks import NETWORKS, build_network
from ercpseg.networks.drawn import DRAWN, draw
from ercpseg.networks.weights import weights_of

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
SHAPE = (1, 1, 64, 96)


def grown(values: NetworkValues, heads: int, channels: int, seed: int) -> nn.Module:
    """A network whose every number is its own: also means, variances, scales and shifts of norms."""
    torch.manual_seed(seed)
    network = build_network(values, heads, input_channels=channels)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 2)
                module.bias.normal_()
    return network.eval()


def answer(graph: bytes, batch: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"frames": batch})[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "values",
    [
        {"name": "light", "features": (4, 6, 8, 8), "deep_supervision": 2},
        {"name": "light", "features": (5, 3), "deep_supervision": 0},
        {"name": "light-full", "features": (4, 6, 8, 8), "deep_supervision": 2},
        {"name": "realtime", "features": (4, 6, 8, 8), "deep_supervision": 2},
        {"name": "realtime", "features": (4, 6, 5), "deep_supervision": 0, "options": {"blocks": 0}},
        {"name": "realtime", "features": (4, 6, 5), "deep_supervision": 0, "options": {"blocks": 2}},
    ],
    ids=lambda v: f"{v['name']}-{len(v['features'])}-{v.get('options', {}).get('blocks', '')}",
)
def test_it_is_torch_s_network(values: dict[str, Any], channels: int) -> None:
    numbers = NetworkValues(**values)
    networks = [grown(numbers, 3, channels, seed) for seed in (0, 1)]
    shape = (1, channels, *SHAPE[2:])
    graph = draw(numbers, 3, [weights_of(network) for network in networks], shape)
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
    batch = torch.randn((2, *shape[1:]), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        expected = ((networks[0](batch) + networks[1](batch)) / 2).numpy()
    assert expected.std() > 0.1
    assert np.abs(answer(graph, batch.numpy()) - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize(("name", "blocks"), [("light", {}), ("light-full", {}), ("realtime", {"blocks": 1})])
def test_mirror_images_are_drawn_as_mirrored_networks(name: str, blocks: dict[str, int], axes: tuple[int, ...]) -> None:
    numbers = NetworkValues(name=name, features=(4, 6, 8), deep_supervision=0, options=blocks)
    networks = [grown(numbers, 3, 2, seed) for seed in (0, 1)]
    shape, wanted = (1, 2, *SHAPE[2:]), flips(axes)
    graph = draw(numbers, 3, [weights_of(network) for network in networks], shape, wanted)
    batch = torch.randn((2, *shape[1:]), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        each = [mean_of_flips(batch, network, wanted) for network in networks]
        expected, plain = ((each[0] + each[1]) / 2).numpy(), networks[0](batch).numpy()
    assert np.abs(expected - plain).max() > 0.1 * np.abs(expected).max()
    assert np.abs(answer(graph, batch.numpy()) - expected).max() < 2e-5 * np.abs(expected).max()


def test_what_is_drawn_is_a_network() -> None:
    assert set(DRAWN) <= set(NETWORKS)


@pytest.mark.parametrize("name", sorted(DRAWN))
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a: a.pop("head.bias"), "head.bias is missing"),
        (lambda a: a.update(more=np.zeros(1, np.float32)), "'more' is not expected"),
        (lambda a: a.update({"head.bias": np.zeros(4, np.float32)}), "head.bias is float32"),
        (lambda a: a.update({"head.bias": np.zeros(3)}), "head.bias is float64"),
        (
            lambda a: a.update({"head.bias": np.full(3, np.nan, np.float32)}),
            "head.bias holds a number that is not finite",
        ),
        (lambda a: a.pop("auxiliary_heads.0.weight"), "auxiliary_heads.0.weight is missing"),
    ],
)
def test_other_weights_are_refused(name: str, change: Any, text: str) -> None:
    numbers = NetworkValues(name=name, features=(4, 6, 8, 8), deep_supervision=1)
    arrays = weights_of(grown(numbers, 3, 1, 0))
    draw(numbers, 3, [arrays], SHAPE)
    change(arrays)
    with pytest.raises(StorageError, match=text):
        draw(numbers, 3, [arrays], SHAPE)


def test_numbers_are_checked_as_torch_s_builder_checks_them() -> None:
    with pytest.raises(DocumentError, match="no option 'depth'"):
        draw(NetworkValues(name="light", features=(4, 6), deep_supervision=0, options={"depth": 2}), 3, [], SHAPE)


def test_drawing_loads_no_torch() -> None:
    code = "import sys, ercpseg.networks.drawn, ercpseg.networks.drawing; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
