"""Published sizes, and other people's code as oracle."""

from __future__ import annotations

import inspect
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from ercpseg.networks import NETWORKS, build_network
from ercpseg.networks.ambrosini import AmbrosiniUNet
from ercpseg.networks.classic import ClassicUNet
from ercpseg.networks.light import LightUNet
from ercpseg.networks.resenc import BLOCKS, ResidualUNet
from ercpseg.networks.unet import PlainUNet
from tests.unit.networks.small import FRAMES, frames, gflops, parameters, published, small_values

PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "networks-and-losses.md"


def test_light_unet_has_the_size_of_the_reconstruction() -> None:
    """The paper prints 687,634; the reconstruction, three input channels and two outputs, has 687,474."""
    assert parameters(LightUNet(input_channels=3, heads=2)) == 687_474


def test_light_unet_counted_by_hand() -> None:
    # features (4, 8), 1 input, 3 heads, stride 1:
    # encoder 1→4: 4·9 + 4 + 2·4 = 48; 4→8: 8·4·9 + 8 + 16 = 312
    # up 8→4: 8·4·9 + 4 + 8 = 300; merge 8→8: 8·8·9 + 8 + 16 = 600; head 8→3: 27
    assert parameters(LightUNet(heads=3, features=(4, 8))) == 48 + 312 + 300 + 600 + 27


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_frame_more_costs_its_weights_in_the_first_layer(channels: int) -> None:
    """16 filters of 3×3 per further frame: 144 weights (light U-Net), 32 of 1×1 (Ambrosini)."""
    assert parameters(LightUNet(input_channels=channels, heads=2)) == 687_474 + 144 * (channels - 3)
    assert parameters(AmbrosiniUNet(input_channels=channels, heads=2)) == 14_133_154 + 32 * (channels - 3)


def test_ambrosini_has_the_size_that_gherardini_prints() -> None:
    assert parameters(AmbrosiniUNet(input_channels=3, heads=2)) == 14_133_154


def test_ambrosini_doubles_as_keras_does() -> None:
    """Doubling and a 2×2 convolution with "same" padding: the missing row and column of zeros stand at the end."""
    network = AmbrosiniUNet(input_channels=1, heads=1, features=(2, 3))
    up = network.up[0]
    small = frames(1, 3, 2, 2)
    weight, bias = up[2].weight, up[2].bias
    doubled = torch.zeros(3, 5, 5)
    doubled[:, :4, :4] = small[0].repeat_interleave(2, 1).repeat_interleave(2, 2)
    expected = torch.zeros(2, 4, 4)
    for c in range(2):
        for y in range(4):
            for x in range(4):
                expected[c, y, x] = (weight[c] * doubled[:, y : y + 2, x : x + 2]).sum() + bias[c]
    assert torch.allclose(up[:3](small)[0], expected, atol=1e-6)


def test_ambrosini_drops_nothing_in_prediction() -> None:
    network = AmbrosiniUNet(heads=1, features=(4, 6, 8))
    batch = frames(2, 4, 16, 16)
    torch.manual_seed(0)
    one = network.train()(batch)
    assert not torch.equal(one, network(batch)), "training drops"
    network.eval()
    assert torch.equal(network(batch), network(batch))


def classic_by_hand(features: tuple[int, ...], inputs: int, heads: int, *, norm: bool) -> int:
    """Sum over the printed layers: k·k·in·out + out per convolution, two numbers per channel of a norm."""
    total = 0
    for a, b in pairwise([inputs, *features]):
        total += 9 * a * b + b + 9 * b * b + b + (4 * b if norm else 0)
    for below, skip in pairwise(reversed(features)):
        total += 4 * below * skip + skip  # 2×2 up
        total += 9 * 2 * skip * skip + skip + 9 * skip * skip + skip + (4 * skip if norm else 0)
    return total + features[0] * heads + heads


def test_classic_unets_counted_by_hand() -> None:
    wide = (64, 128, 256, 512, 1024)
    assert parameters(ClassicUNet(heads=2, features=wide)) == classic_by_hand(wide, 1, 2, norm=False) == 31_030_658
    deep = (32, 64, 128, 256, 512, 512, 512, 512)
    martin = ClassicUNet(heads=1, features=deep, normalise=True, slope=0.01, pooling=False)
    assert parameters(martin) == classic_by_hand(deep, 1, 1, norm=True) == 46_320_545


def test_martin_is_nnunets_layout_with_batch_norm() -> None:
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    torch.manual_seed(0)
    theirs = PlainConvUNet(
        1, 3, [4, 6, 8], torch.nn.Conv2d, 3, [1, 2, 2], 2, 2, 2, conv_bias=True, norm_op=torch.nn.BatchNorm2d,
        norm_op_kwargs={}, nonlin=torch.nn.LeakyReLU, nonlin_kwargs={"inplace": True},
    )  # fmt: skip
    ours = ClassicUNet(heads=2, features=(4, 6, 8), normalise=True, slope=0.01, pooling=False)
    unused = theirs.decoder.seg_layers[0]  # the library builds a head for every level
    assert parameters(ours) == parameters(theirs) - parameters(unused)
    pairs = [(ours.up[s], theirs.decoder.transpconvs[s]) for s in range(2)]
    pairs += [(ours.heads.layers[0], theirs.decoder.seg_layers[-1])]
    levels = list(zip(ours.encoder, [stage[0] for stage in theirs.encoder.stages], strict=True))
    levels += list(zip(ours.merge, theirs.decoder.stages, strict=True))
    for mine, other in levels:
        for i in range(2):
            pairs += [(mine[3 * i], other.convs[i].conv), (mine[3 * i + 1], other.convs[i].norm)]
    for mine, other in pairs:
        mine.load_state_dict(other.state_dict())
    batch = frames(2, 1, 16, 24)
    with torch.no_grad():
        assert torch.allclose(ours.train()(batch), theirs.train()(batch), atol=1e-5)


@pytest.mark.parametrize("features", [(8, 16, 32), (32, 64, 128, 256, 512)])
def test_unet_is_nnunets(features: tuple[int, ...]) -> None:
    theirs = from_plans("PlainConvUNet", features, {"n_conv_per_stage": [2] * len(features)}, 2)
    ours = PlainUNet(heads=4, features=features)
    assert parameters(ours) == parameters(theirs)
    ours.body.load_state_dict(theirs.state_dict())
    if len(features) == 3:
        batch = torch.rand(1, 1, 16, 24)
        with torch.inference_mode():
            assert torch.allclose(ours.eval()(batch), theirs.eval()(batch), atol=1e-5)


@pytest.mark.parametrize("features", [(8, 16, 32), (32, 64, 128, 256, 512, 512)])
def test_resenc_is_nnunets(features: tuple[int, ...]) -> None:
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import residual_encoder_unet_planners

    source = inspect.getsource(residual_encoder_unet_planners.ResEncUNetPlanner.__init__)
    (row,) = re.findall(r"UNet_blocks_per_stage_encoder = \(([\d, ]+)\)", source)
    blocks = [int(number) for number in row.split(",")][: len(features)]
    assert blocks == list(BLOCKS[: len(features)])
    theirs = from_plans("ResidualEncoderUNet", features, {"n_blocks_per_stage": blocks}, 1)
    ours = ResidualUNet(heads=4, features=features)
    assert parameters(ours) == parameters(theirs)
    ours.body.load_state_dict(theirs.state_dict())
    if len(features) == 3:
        batch = torch.rand(1, 1, 16, 24)
        with torch.inference_mode():
            assert torch.allclose(ours.eval()(batch), theirs.eval()(batch), atol=1e-5)


def from_plans(name: str, features: tuple[int, ...], more: dict[str, object], decoder: int) -> torch.nn.Module:
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    stages = len(features)
    network: torch.nn.Module = get_network_from_plans(
        f"dynamic_network_architectures.architectures.unet.{name}",
        {
            "n_stages": stages,
            "features_per_stage": list(features),
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3]] * stages,
            "strides": [[1, 1]] + [[2, 2]] * (stages - 1),
            "n_conv_per_stage_decoder": [decoder] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
            **more,
        },
        ["conv_op", "norm_op", "dropout_op", "nonlin"],
        1,
        4,
        deep_supervision=False,
    )
    return network


def test_one_convolution_counts_twice_its_multiplications() -> None:
    """The counter of the table: 8 filters of 3×3 on 3 channels at 16² are 16²·8·27 multiply-adds."""
    assert gflops(torch.nn.Conv2d(3, 8, 3, padding=1), 3, 16) == pytest.approx(2 * 256 * 8 * 27 / 1e9)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_table_of_the_documentation(name: str) -> None:
    """Its numbers are those of the code: parameters with six outputs, operations at 512²."""
    row = re.search(rf"^\| `{name}` \| ([\d,]+) \| ([\d.]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row, f"no row of {name}"
    network = published(name)
    assert int(row[1].replace(",", "")) == parameters(network)
    assert float(row[2]) == pytest.approx(gflops(network, FRAMES[name]), rel=0.01, abs=0.005)


def test_small_values_are_valid_plans() -> None:
    for name in NETWORKS:
        assert build_network(small_values(name), ("endoscope", "guidewire", "instrument"))
