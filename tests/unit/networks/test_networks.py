"""What holds for every network: shapes, levels, gradients, graphs, number formats, learning."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ercpseg.documents.plan import NetworkValues
from ercpseg.errors import DocumentError
from ercpseg.networks import NETWORKS, PRIOR, build_network, divisor
from ercpseg.networks.light import LightUNet
from ercpseg.networks.options import SPECS
from ercpseg.networks.unet import PlainUNet
from tests.unit.networks.small import FEATURES, HEADS, frames, small_network, small_values


def test_every_network_has_its_numbers() -> None:
    assert list(NETWORKS) == list(SPECS)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("auxiliary", [0, 1, 2])
def test_shapes_at_odd_multiples_of_the_divisor(name: str, auxiliary: int) -> None:
    network = small_network(name, auxiliary)
    step = divisor(name, FEATURES[name])
    assert step == network.divisor
    size = (3 * step, 5 * step)
    batch = frames(2, 1, *size)
    network.eval()
    with torch.inference_mode():
        result = network(batch)
    assert isinstance(result, torch.Tensor)
    assert result.shape == (2, 3, *size)
    network.train()
    levels = network(batch)
    if auxiliary == 0:
        assert isinstance(levels, torch.Tensor)
        levels = [levels]
    assert [tuple(level.shape) for level in levels] == [
        (2, 3, size[0] >> k, size[1] >> k) for k in range(auxiliary + 1)
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_divisor_is_needed(name: str) -> None:
    """One pixel less than a multiple cannot be put together again: it fails, and never gives another size silently."""
    network = small_network(name).eval()
    step = divisor(name, FEATURES[name])
    with pytest.raises(RuntimeError, match=r"[Ss]ize"), torch.inference_mode():
        result = network(frames(1, 1, 2 * step - 1, 2 * step))
        if result.shape[2] != 2 * step - 1:
            raise RuntimeError("Sizes differ")


@pytest.mark.parametrize("name", NETWORKS)
def test_one_frame_of_the_smallest_size(name: str) -> None:
    """In prediction a batch of one and the smallest map of one pixel are normal."""
    network = small_network(name).eval()
    step = divisor(name, FEATURES[name])
    if name in ("unet", "resenc"):
        step *= 2  # instance norm has nothing to do with a single pixel
    with torch.inference_mode():
        assert torch.isfinite(network(frames(1, 1, step, step))).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_deep_supervision_can_be_switched_off(name: str) -> None:
    """nnU-Net's trainer sets the flag around validation."""
    network = small_network(name, 2)
    network.deep_supervision = False
    assert isinstance(network(frames(2, 1, 64, 64)), torch.Tensor)
    network.deep_supervision = True
    assert len(network(frames(2, 1, 64, 64))) == 3


@pytest.mark.parametrize("name", NETWORKS)
def test_auxiliary_outputs_do_not_change_the_main_one(name: str) -> None:
    network = small_network(name, 2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # so that training mode leaves the statistics alone
            module.track_running_stats = False
            module.running_mean = module.running_var = None
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    batch = frames(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network.train()(batch)[0], network.eval()(batch), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_of_a_used_output_learns(name: str) -> None:
    network = small_network(name, 2)
    sum(level.square().mean() for level in network(frames(2, 1, 64, 64))).backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None]
    if name in ("unet", "resenc"):  # the library builds a head for every level, used or not
        idle = [n for n in idle if "seg_layers" not in n]
    assert idle == []
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NETWORKS)
def test_frames_before_the_current_one_are_channels(name: str) -> None:
    for count in (1, 2, 4):
        network = small_network(name, input_channels=count).eval()
        batch = frames(1, count, 64, 64).requires_grad_()
        network(batch).square().sum().backward()
        assert batch.grad is not None
        assert (batch.grad.abs().sum((0, 2, 3)) > 0).all(), "every frame is looked at"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_gives_the_same_training(name: str) -> None:
    results = []
    for _ in range(2):
        network = small_network(name, 1, seed=3)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
        torch.manual_seed(4)  # dropout
        for step in range(2):
            optimiser.zero_grad()
            sum(level.square().mean() for level in network(frames(2, 1, 64, 64, seed=step))).backward()
            optimiser.step()
        results.append(network.eval()(frames(1, 1, 64, 64)))
    assert torch.equal(*results)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    """Autocast keeps outputs and gradients finite and near those of single precision."""
    network = small_network(name, 1)
    batch = frames(2, 1, 64, 64)
    with torch.autocast("cpu", dtype=dtype):
        levels = network(batch)
        loss = sum(level.float().square().mean() for level in levels)
    loss.backward()
    assert all(torch.isfinite(level).all() for level in levels)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    network.eval()
    with torch.inference_mode():
        exact = network(batch)
        with torch.autocast("cpu", dtype=dtype):
            rough = network(batch)
    assert (exact - rough.float()).abs().mean() < 0.05 * exact.std() + 0.02


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_last(name: str) -> None:
    network = small_network(name).eval()
    batch = frames(2, 1, 64, 96)
    with torch.inference_mode():
        expected = network(batch)
        network.to(memory_format=torch.channels_last)
        turned = network(batch.to(memory_format=torch.channels_last))
    assert torch.allclose(expected, turned, atol=1e-4)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_one_graph_without_breaks(name: str, mode: str) -> None:
    """Nothing in a forward pass depends on the data, so it can be compiled, captured and exported as one graph."""
    network = getattr(small_network(name, 1), mode)()
    network = network.apply(lambda m: setattr(m, "p", 0.0) if isinstance(m, nn.Dropout) else None)
    batch = frames(2, 1, 64, 64)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)(batch)
    plain = network(batch)
    if mode == "eval":
        compiled, plain = [compiled], [plain]
    for one, other in zip(compiled, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_it_can_be_exported(name: str) -> None:
    """The graph of a frame, as ONNX and others take it, gives what the network gives."""
    network = small_network(name).eval()
    graph = torch.export.export(network, (frames(1, 1, 64, 64),)).module()
    batch = frames(1, 1, 64, 64, seed=1)
    with torch.inference_mode():
        assert torch.allclose(graph(batch), network(batch), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_begins_by_expecting_background(name: str) -> None:
    """Every output, also those of the lower levels and of both stages, begins about the prior probability."""
    features = (8, 16, 16, 16, 16) if name == "fra-net" else (8, 16, 16, 16)
    torch.manual_seed(0)
    network = build_network(NetworkValues(name=name, features=features, deep_supervision=2), HEADS)
    with torch.no_grad():
        for level in network.train()(frames(2, 1, 64, 64)):
            median = level.median(dim=0).values.flatten(1).median(dim=1).values.sigmoid()
            assert (median > PRIOR / 3).all()
            assert (median < PRIOR * 3).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_it_learns_one_tile_by_heart(name: str) -> None:
    """A disc and a line of two pixels: every network that is wired up right can say where they are."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = (y - 20) ** 2 + (x - 24) ** 2 < 120
    line = (y - x // 2 - 24).abs() < 2
    target = torch.stack([disc, line, disc | line])[None].float()
    image = (-2.0 * target[:, :1] - 1.5 * target[:, 1:2] + 0.1 * frames(1, 1, 64, 64)).repeat(2, 1, 1, 1)
    wide = {"fra-net": (16, 16, 16, 16, 16)}.get(name, (16, 16, 32, 32))
    torch.manual_seed(0)
    network = build_network(NetworkValues(name=name, features=wide, deep_supervision=0), HEADS)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(45):
        optimiser.zero_grad()
        logits = network.train()(image)
        probability = logits.sigmoid()
        dice = 1 - 2 * (probability * target).sum() / (probability + target).sum()
        (dice + nn.functional.binary_cross_entropy_with_logits(logits, target.expand_as(logits))).backward()
        optimiser.step()
    found = (logits > 0).float()
    agreement = 2 * (found * target).sum((0, 2, 3)) / (found + target).sum((0, 2, 3))
    assert (agreement > 0.85).all(), agreement


@pytest.mark.parametrize("kind", [LightUNet, PlainUNet])
def test_too_many_auxiliary_outputs(kind: type[nn.Module]) -> None:
    kind(heads=1, features=(4, 6, 8), deep_supervision=1)
    for wrong in (2, -1):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            kind(heads=1, features=(4, 6, 8), deep_supervision=wrong)
    with pytest.raises(ValueError, match="stem_stride"):
        LightUNet(heads=1, stem_stride=4)


def test_an_unknown_network() -> None:
    with pytest.raises(DocumentError, match="no network called 'vnet'") as caught:
        build_network(NetworkValues(name="vnet", features=(4, 8), deep_supervision=0), heads=1)
    assert "light-full" in caught.value.message
    with pytest.raises(DocumentError, match="no network called 'vnet'"):
        divisor("vnet", (4, 8))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_library_is_not_told_of_frames_by_default(name: str) -> None:
    """A plan of today names no options and no frames: one grey channel."""
    network = build_network(small_values(name), HEADS)
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert first.in_channels == (4 if name == "realtime" else 1)  # which folds 2 × 2 pixels into channels
