"""Our instance norm against torch's: values, gradients, names of the parameters, and what an exported graph holds."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.documents.plan import NetworkValues
from ercpseg.networks import build_network
from ercpseg.networks.norms import InstanceNorm2d


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(2, 9), st.integers(1, 9), st.booleans(), st.booleans())
def test_values_and_gradients_are_torchs(n: int, c: int, y: int, x: int, affine: bool, last: bool) -> None:
    ours, theirs = InstanceNorm2d(c, eps=1e-5, affine=affine), torch.nn.InstanceNorm2d(c, eps=1e-5, affine=affine)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn(c))
    theirs.load_state_dict(ours.state_dict())
    layout = torch.channels_last if last else torch.contiguous_format
    image = (3 + 2 * torch.randn(n, c, y, x)).to(memory_format=layout)
    a, b = image.clone().requires_grad_(), image.clone().requires_grad_()
    weight = torch.randn(n, c, y, x)
    first, other = ours(a), theirs(b)
    (first * weight).sum().backward()
    (other * weight).sum().backward()
    # Where a map is nearly constant, what is left of its variance is rounding.
    assert torch.allclose(first, other, rtol=1e-4, atol=1e-4)
    if float(image.var((2, 3), correction=0).min()) > 0.1:
        assert a.grad is not None and b.grad is not None and torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-3)
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, its.grad, rtol=1e-3, atol=1e-3)
    with torch.inference_mode():
        assert torch.allclose(ours(image), theirs(image), rtol=1e-4, atol=1e-4)


def test_a_constant_map_becomes_the_shift() -> None:
    norm = InstanceNorm2d(2, affine=True)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([0.5, -2.0]))
    with torch.no_grad():
        result = norm(torch.full((1, 2, 4, 4), 7.0))
    assert torch.equal(result, torch.tensor([0.5, -2.0])[None, :, None, None].expand(1, 2, 4, 4))


@pytest.mark.parametrize("name", ["unet", "resenc"])
def test_nnunets_networks_have_it_and_keep_the_names_of_their_weights(name: str) -> None:
    network = build_network(NetworkValues(name=name, features=(4, 8, 8), deep_supervision=0), 2)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.InstanceNorm2d)]
    assert norms and all(isinstance(module, InstanceNorm2d) for module in norms)
    assert any(key.endswith("norm.weight") for key in network.state_dict())


@pytest.mark.parametrize("gradients", [True, False], ids=["training", "prediction"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_it_is_as_exact_as_torch_where_the_mean_is_large(gradients: bool, layout: torch.memory_format) -> None:
    image = 1000 + torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    truth = torch.nn.InstanceNorm2d(3)(image.double()).float()
    with torch.set_grad_enabled(gradients):
        result = InstanceNorm2d(3)(image.to(memory_format=layout))
    assert result.is_contiguous(memory_format=layout)
    assert float((result - truth).abs().max()) < 1e-3


@pytest.mark.parametrize(
    "part",
    [
        lambda x: x[:, :, 3:11, 2:10],
        lambda x: x.permute(0, 1, 3, 2),
        lambda x: x.to(memory_format=torch.channels_last)[:, :, 3:11, 2:10],
        lambda x: x.to(memory_format=torch.channels_last)[:, 1:],
    ],
    ids=["crop", "turned", "crop of channels last", "channels of channels last"],
)
def test_parts_of_maps_are_normalised_alike(part: Callable[[torch.Tensor], torch.Tensor]) -> None:
    whole = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    image = part(whole)
    truth = torch.nn.InstanceNorm2d(image.shape[1])(image.contiguous())
    result = InstanceNorm2d(image.shape[1])(image)
    weight = torch.randn(image.shape)
    (wanted,) = torch.autograd.grad((truth * weight).sum(), whole, retain_graph=True)
    (found,) = torch.autograd.grad((result * weight).sum(), whole)
    assert torch.allclose(result, truth, atol=1e-4) and torch.allclose(found, wanted, atol=1e-4)


def test_a_gradient_of_any_layout_is_taken() -> None:
    image = torch.randn(2, 3, 5, 7).to(memory_format=torch.channels_last).requires_grad_()
    InstanceNorm2d(3, affine=True)(image).sum().backward()  # a sum's gradient is one number, expanded
    assert image.grad is not None and float(image.grad.abs().max()) < 1e-5


def test_double_precision_gradients_are_right() -> None:
    norm = InstanceNorm2d(2, affine=True).double()
    assert torch.autograd.gradcheck(norm, torch.randn(2, 2, 3, 4, dtype=torch.double, requires_grad=True))


def test_an_exported_graph_normalises_by_instance() -> None:
    buffer = io.BytesIO()
    norm = InstanceNorm2d(3, affine=True).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that we use is deprecated; see ercpseg/inference/onnx.py
        torch.onnx.export(norm, (torch.randn(1, 3, 8, 8),), buffer, dynamo=False)
    graph = onnx.load_from_string(buffer.getvalue()).graph
    assert [node.op_type for node in graph.node] == ["InstanceNormalization"]
