"""Networks: published sizes, shapes, and the library's U-Net as an oracle."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ercpseg.documents.plan import NetworkValues
from ercpseg.errors import DocumentError
from ercpseg.networks import NETWORKS, PRIOR, build_network, divisor
from ercpseg.networks.light import LightUNet
from ercpseg.networks.unet import PlainUNet


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_light_unet_has_the_size_of_the_reconstruction() -> None:
    """The paper prints 687,634; the reconstruction, three input channels and two outputs, has 687,474."""
    assert parameters(LightUNet(input_channels=3, heads=2)) == 687_474


def test_light_unet_counted_by_hand() -> None:
    # features (4, 8), 1 input, 3 heads, stride 1:
    # encoder 1→4: 4·9 + 4 + 2·4 = 48; 4→8: 8·4·9 + 8 + 16 = 312
    # up 8→4: 8·4·9 + 4 + 8 = 300; merge 8→8: 8·8·9 + 8 + 16 = 600; head 8→3: 27
    assert parameters(LightUNet(heads=3, features=(4, 8))) == 48 + 312 + 300 + 600 + 27


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("auxiliary", [0, 1, 2])
def test_shapes_at_odd_multiples_of_the_divisor(name: str, auxiliary: int) -> None:
    values = NetworkValues(name=name, features=(4, 6, 8, 8), deep_supervision=auxiliary)
    network = build_network(values, heads=3)
    step = divisor(name, values.features)
    assert step == network.divisor
    size = (3 * step, 5 * step)
    frames = torch.rand(2, 1, *size)
    network.eval()
    with torch.inference_mode():
        result = network(frames)
    assert isinstance(result, torch.Tensor)
    assert result.shape == (2, 3, *size)
    network.train()
    levels = network(frames)
    if auxiliary == 0:
        assert isinstance(levels, torch.Tensor)
        levels = [levels]
    assert [tuple(level.shape) for level in levels] == [
        (2, 3, size[0] >> k, size[1] >> k) for k in range(auxiliary + 1)
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_divisor_is_needed(name: str) -> None:
    """One pixel less than a multiple cannot be put together again."""
    values = NetworkValues(name=name, features=(4, 6, 8), deep_supervision=0)
    network = build_network(values, heads=1).eval()
    step = divisor(name, values.features)
    with pytest.raises(RuntimeError, match=r"[Ss]ize"), torch.inference_mode():
        result = network(torch.rand(1, 1, 2 * step - 1, 2 * step))
        if result.shape[2] != 2 * step - 1:
            raise RuntimeError("Sizes differ")


@pytest.mark.parametrize("name", NETWORKS)
def test_deep_supervision_can_be_switched_off(name: str) -> None:
    """nnU-Net's trainer sets the flag around validation."""
    network = build_network(NetworkValues(name=name, features=(4, 6, 8, 8), deep_supervision=2), heads=1)
    frames = torch.rand(2, 1, 32, 32)
    network.deep_supervision = False
    assert isinstance(network(frames), torch.Tensor)
    network.deep_supervision = True
    assert len(network(frames)) == 3


@pytest.mark.parametrize("name", NETWORKS)
def test_auxiliary_outputs_do_not_change_the_main_one(name: str) -> None:
    network = build_network(NetworkValues(name=name, features=(4, 6, 8, 8), deep_supervision=2), heads=2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # so that training mode leaves the statistics alone
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    frames = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.allclose(network.train()(frames)[0], network.eval()(frames), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_of_a_used_output_learns(name: str) -> None:
    network = build_network(NetworkValues(name=name, features=(4, 6, 8, 8), deep_supervision=2), heads=2)
    sum(level.square().mean() for level in network(torch.rand(2, 1, 32, 32))).backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None]
    if name == "unet":  # the library builds a head for every level, used or not
        idle = [n for n in idle if "seg_layers" not in n]
    assert idle == []


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


@pytest.mark.parametrize("features", [(8, 16, 32), (32, 64, 128, 256, 512)])
def test_unet_is_nnunets(features: tuple[int, ...]) -> None:
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    stages = len(features)
    theirs = get_network_from_plans(
        "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        {
            "n_stages": stages,
            "features_per_stage": list(features),
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3]] * stages,
            "strides": [[1, 1]] + [[2, 2]] * (stages - 1),
            "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        ["conv_op", "norm_op", "dropout_op", "nonlin"],
        1,
        4,
        deep_supervision=False,
    )
    ours = PlainUNet(heads=4, features=features)
    assert parameters(ours) == parameters(theirs)
    ours.body.load_state_dict(theirs.state_dict())
    if stages == 3:
        frames = torch.rand(1, 1, 16, 24)
        with torch.inference_mode():
            assert torch.allclose(ours.eval()(frames), theirs.eval()(frames), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_begins_by_expecting_background(name: str) -> None:
    """Every output, also those of the lower levels, begins about the prior probability."""
    torch.manual_seed(0)
    network = build_network(NetworkValues(name=name, features=(8, 16, 16, 16), deep_supervision=2), heads=3)
    with torch.no_grad():
        for level in network.train()(torch.randn(2, 1, 64, 64)):
            median = level.median(dim=0).values.flatten(1).median(dim=1).values.sigmoid()
            assert (median > PRIOR / 3).all()
            assert (median < PRIOR * 3).all()
