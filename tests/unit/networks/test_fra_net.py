"""FRA-Net: the sizes that the paper prints, its equations by hand, its ablations, encoders from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from ercpseg.errors import StorageError
from ercpseg.networks.encoders import MobileNetEncoder, TimmEncoder, load_encoder_weights, timm_model
from ercpseg.networks.fra_blocks import AttentionModule, RecurrentConvolution, RecurrentResidualBlock
from ercpseg.networks.fra_net import FraNet
from ercpseg.networks.options import ENCODERS
from ercpseg.storage.atomic import write_bytes
from tests.unit.networks.small import frames, parameters

SMALL = (4, 4, 6, 6, 8)


def test_the_maps_have_the_printed_sizes() -> None:
    """Stem 256², pooled 128², the deepest 16² (section 2); torchvision and timm count 1.81 M weights without the last layer."""
    with torch.device("meta"):
        encoder = MobileNetEncoder(1, 3)
    maps = encoder(torch.empty(1, 1, 512, 512, device="meta"))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (32, 256, 256),
        (24, 128, 128),
        (32, 64, 64),
        (96, 32, 32),
        (320, 16, 16),
    ]
    assert parameters(encoder.blocks) == 1_810_784


def recurrent_block(inputs: int, outputs: int, steps: int) -> int:
    """1×1 with bias; per layer W_c and W_r of 3×3 without bias (W_r only with steps) and steps + 1 norms."""
    layer = 9 * outputs**2 * (2 if steps else 1) + 2 * outputs * (steps + 1)
    return inputs * outputs + outputs + 3 * layer


@pytest.mark.parametrize(("recurrent", "attention"), [(True, True), (False, True), (True, False)])
def test_parameters_counted_by_hand(recurrent: bool, attention: bool) -> None:
    steps = 3 if recurrent else 0
    total = 49 * 1 * 32 + 64 + 1_810_784  # stem and its norm; MobileNetV2's blocks
    total += sum(recurrent_block(c, c, steps) for c in (24, 32, 96, 320))
    below = 320
    for outputs, skip in ((128, 96), (64, 32), (32, 24), (24, 32), (16, 0)):
        total += 4 * below * outputs + 2 * outputs  # transposed convolution and its norm
        if attention and skip:
            inner = skip // 2
            total += 9 * skip * inner + 2 * inner  # key feature map
            total += below * inner + inner  # directly adjusted map
            total += inner + 1  # ψ
        total += recurrent_block(outputs + skip, outputs, steps)
        below = outputs
    total += 16 * 2 + 2
    assert parameters(FraNet(heads=2, attention=attention, recurrent=recurrent)) == total


def test_the_recurrence_by_hand() -> None:
    """One pixel, one channel: only the kernels' centres matter. Norms are made the identity."""
    layer = RecurrentConvolution(1, steps=3).eval()
    with torch.no_grad():
        layer.forward_weights.weight.fill_(2.0)
        layer.recurrent_weights.weight.fill_(0.5)  # type: ignore[union-attr]
        for norm in layer.norms:
            norm.eps = 0.0
    # O(0) = 2·3 = 6; O(1) = 6 + 3 = 9; O(2) = 6 + 4.5 = 10.5; O(3) = 6 + 5.25 = 11.25
    assert layer(torch.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(11.25)
    # negative drive: ReLU(−6) = 0 at every step
    assert layer(torch.full((1, 1, 1, 1), -3.0)).item() == 0


def test_the_weights_are_shared_over_time() -> None:
    two, five = RecurrentConvolution(4, 2), RecurrentConvolution(4, 5)
    norms = 2 * 4
    assert parameters(five) - parameters(two) == 3 * norms
    assert RecurrentConvolution(4, 0).recurrent_weights is None


def test_the_block_adds_its_projection() -> None:
    block = RecurrentResidualBlock(3, 2, steps=1).eval()
    batch = frames(1, 3, 5, 5)
    with torch.no_grad():
        for layer in block.body:
            for norm in layer.norms:
                norm.weight.zero_()  # F(x) = 0
    assert torch.allclose(block(batch), block.projection(batch))


def test_attention_by_hand() -> None:
    """ψ = 0 gives α = σ(b) everywhere; with b at −∞ and +∞ nothing or everything passes."""
    module = AttentionModule(4, 6).eval()
    skip, gate = frames(2, 4, 8, 12), frames(2, 6, 4, 6)
    with torch.no_grad():
        module.psi.weight.zero_()
        module.psi.bias.fill_(0.0)
        assert torch.allclose(module(skip, gate), 0.5 * skip)
        module.psi.bias.fill_(-40.0)
        assert module(skip, gate).abs().max() < 1e-6
        module.psi.bias.fill_(40.0)
        assert torch.allclose(module(skip, gate), skip)


def test_attention_is_one_number_per_pixel_that_both_inputs_decide() -> None:
    module = AttentionModule(4, 6).eval()
    skip, gate = frames(1, 4, 8, 8).abs() + 1, frames(1, 6, 4, 4)
    ratio = module(skip, gate) / skip
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), atol=1e-5)
    assert (ratio > 0).all()
    assert (ratio < 1).all()
    assert not torch.allclose(ratio, module(skip, gate + 1) / skip)
    assert not torch.allclose(module(skip * 2, gate) / (2 * skip), ratio)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_of_the_list(encoder: str) -> None:
    with torch.device("meta"):
        network = FraNet(heads=2, encoder=encoder, features=SMALL, deep_supervision=1)
    levels = network.train()(torch.empty(2, 1, 64, 96, device="meta"))
    assert [tuple(level.shape) for level in levels] == [(2, 2, 64, 96), (2, 2, 32, 48)]
    assert max(network.encoder.channels) <= 320
    if isinstance(network.encoder, TimmEncoder):
        assert network.encoder.backbone.feature_info.reduction() == [2, 4, 8, 16, 32]


def test_only_encoders_of_the_list() -> None:
    with pytest.raises(ValueError, match="no encoder called 'vit_base'"):
        FraNet(heads=1, encoder="vit_base")
    with pytest.raises(ValueError, match="expected 5"):
        FraNet(heads=1, features=(4, 6, 8))


def weights_file(folder: Path, name: str, **changes: torch.Tensor | None) -> Path:
    """A file as timm publishes it: three colours; the classifier is left out where it is most of the file."""
    torch.manual_seed(7)
    if name == "vgg11":
        with torch.device("meta"):
            shapes = timm_model(name).state_dict()
        state = {k: torch.rand(v.shape) for k, v in shapes.items() if k.startswith("features.")}
    else:
        state = {k: v.contiguous() for k, v in timm_model(name).state_dict().items()}
    for key, value in changes.items():
        if value is None:
            del state[key]
        else:
            state[key] = value
    write_bytes(folder / f"{name}.safetensors", save(state))
    return folder / f"{name}.safetensors"


@pytest.mark.parametrize("name", ["mobilenetv2_100", "resnet34", "vgg11"])
def test_encoder_weights_from_a_file(name: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = weights_file(tmp_path, name)
    encoder = FraNet(heads=1, encoder=name, features=SMALL, input_channels=2).encoder
    given = load_file(path)
    assert load_encoder_weights(encoder, path) == len(encoder.pretrained())
    for key, tensor in encoder.pretrained().items():
        if tensor.shape == given[key].shape:
            assert torch.equal(tensor, given[key]), key
        else:  # three colours to two frames: a grey input gives what it gave
            assert tensor.shape[1] == 2
            assert torch.allclose(tensor.sum(1), given[key].sum(1), atol=1e-6)
            assert torch.equal(tensor[:, 0], tensor[:, 1])


def test_the_original_answers_alike(tmp_path: Path) -> None:
    """A grey frame through our encoder gives what the same grey in three colours gives in the original."""
    from safetensors.torch import load_file

    path = weights_file(tmp_path, "resnet34")
    encoder = TimmEncoder("resnet34", 1, 1).eval()
    load_encoder_weights(encoder, path)
    original = timm_model("resnet34").eval()
    original.load_state_dict(load_file(path))
    batch = frames(1, 1, 64, 64)
    with torch.inference_mode():
        mine = encoder.backbone(batch)[-1]
        theirs = original.forward_features(batch.expand(-1, 3, -1, -1))
    assert torch.allclose(mine, theirs, atol=1e-4)


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    encoder = MobileNetEncoder(1, 1)
    before = {k: v.clone() for k, v in encoder.pretrained().items()}
    name = "blocks.2.0.conv_pw.weight"
    shape = before[name].shape
    for changes, words in [
        ({name: None}, f"{name} is missing"),
        ({name: torch.zeros(1, *shape[1:])}, f"{name} is"),
        ({name: torch.full(shape, float("nan"))}, "not finite"),
    ]:
        with pytest.raises(StorageError, match="do not fit the encoder") as caught:
            load_encoder_weights(encoder, weights_file(tmp_path, "mobilenetv2_100", **changes))
        assert words in caught.value.message
    write_bytes(tmp_path / "x.safetensors", b"not a safetensors file")
    with pytest.raises(StorageError, match="no encoder weights"):
        load_encoder_weights(encoder, tmp_path / "x.safetensors")
    with pytest.raises(StorageError):
        load_encoder_weights(encoder, tmp_path / "missing.safetensors")
    assert all(torch.equal(before[k], v) for k, v in encoder.pretrained().items())
