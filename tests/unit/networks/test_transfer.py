"""Weights of one network in another: outputs by name, what fits, which layers learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ercpseg.documents.plan import NetworkValues, TransferValues
from ercpseg.errors import UsageError
from ercpseg.networks import NETWORKS, build_network
from ercpseg.networks.light import LightUNet
from ercpseg.networks.transfer import Layer, copy_weights, deepest, freeze, layers_of, learning_rates
from tests.unit.networks.small import frames, small_network

FOUR = ("endoscope", "guidewire", "cbd", "stone", "instrument", "duct")
OTHERS = ("catheter", "guidewire", "endoscope", "instrument")


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_matched_by_name(name: str) -> None:
    """Other structures in another order: what both know gives the same logits, what is new does not."""
    source = small_network(name, 1, FOUR, seed=1)
    target = small_network(name, 1, OTHERS, seed=2)
    copied = copy_weights(source, FOUR, target, OTHERS, where="test")
    assert copied.kept == ("guidewire", "endoscope", "instrument")
    assert copied.fresh == ("catheter",)
    batch = frames(1, 1, 64, 64)
    with torch.inference_mode():
        theirs, ours = source.eval()(batch), target.eval()(batch)
    for head in copied.kept:
        assert torch.allclose(ours[:, OTHERS.index(head)], theirs[:, FOUR.index(head)], atol=1e-5), head
    assert not torch.allclose(ours[:, 0], theirs[:, 0], atol=1e-3)


def test_a_further_auxiliary_output_begins_afresh() -> None:
    source, target = small_network("light", 1, FOUR, seed=1), small_network("light", 2, FOUR, seed=2)
    before = target.auxiliary_heads[1].weight.clone()
    assert copy_weights(source, FOUR, target, FOUR, where="test").fresh == ()
    assert torch.equal(target.auxiliary_heads[0].weight, source.auxiliary_heads[0].weight)
    assert torch.equal(target.auxiliary_heads[1].weight, before)


def test_another_layout_is_refused() -> None:
    source = small_network("light", 0, FOUR)
    wider = build_network(NetworkValues(name="light", features=(4, 6, 8, 10), deep_supervision=0), FOUR)
    with pytest.raises(UsageError, match=r"encoder\.3\.0\.weight is \(8, 8, 3, 3\) and not \(10, 8, 3, 3\)") as error:
        copy_weights(source, FOUR, wider, FOUR, where="--init-from")
    assert "--set network.features" in error.value.message
    deeper = build_network(NetworkValues(name="light", features=(4, 6, 8, 8, 8), deep_supervision=0), FOUR)
    with pytest.raises(UsageError, match="built otherwise"):
        copy_weights(source, FOUR, deeper, FOUR, where="--init-from")


def test_layers_of_a_light_network_by_hand() -> None:
    """Two convolutions down, one doubling, one after it, the head: strides 1, 2, 1, 1, 1."""
    network = LightUNet(heads=2, features=(4, 8))
    layers = layers_of(network, 1)
    assert [layer.stride for layer in layers] == [1, 2, 1, 1, 1]
    assert layers[0].modules == ("encoder.0.0", "encoder.0.1")
    assert layers[-1].modules == ("head",)
    assert network.training


def test_the_deepest_layers() -> None:
    strides = [1, 2, 4, 8, 4, 4, 2, 2, 1]
    layers = [Layer((str(i),), stride) for i, stride in enumerate(strides)]
    assert deepest(layers, 1) == [3]
    assert deepest(layers, 3) == [2, 3, 4]
    assert deepest(layers, 4) == [2, 3, 4, 5]
    assert deepest(layers, 99) == list(range(9))


@pytest.mark.parametrize("name", NETWORKS)
def test_only_the_deepest_layers_change(name: str) -> None:
    network = small_network(name, 1, FOUR)
    values = TransferValues(scheme="deepest", layers=2)
    rates = learning_rates(network, values, 1, fresh=False)
    held = freeze(network, rates)
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for _ in range(2):
        network.train()
        for module in held:
            module.eval()
        optimiser.zero_grad()
        sum(level.square().mean() for level in network(frames(2, 1, 64, 64))).backward()
        optimiser.step()
    learning = {layer for index in deepest(layers_of(network, 1), 2) for layer in layers_of(network, 1)[index].modules}
    after = network.state_dict()
    changed = {key.rpartition(".")[0] for key in before if not torch.equal(before[key], after[key])}
    shared = {n for n, m in network.named_modules(remove_duplicate=False) if m in map(network.get_submodule, learning)}
    assert changed
    assert changed <= learning | shared
    assert all(0 < rates[name] < 1 for name, p in network.named_parameters() if p.requires_grad)


def test_new_outputs_learn_at_the_full_rate_whatever_the_scheme() -> None:
    network = small_network("realtime", 1, FOUR)
    for scheme in ("all", "deepest", "layerwise"):
        rates = learning_rates(network, TransferValues(scheme=scheme), 1, fresh=True)
        assert {rate for name, rate in rates.items() if "head" in name} == {1.0}
        assert rates["stem.0.weight"] == {"all": 0.1, "deepest": 0.0, "layerwise": pytest.approx(0.01)}[scheme]


def test_rates_rise_from_the_first_layer_to_the_last() -> None:
    network = LightUNet(heads=2, features=(4, 8))
    rates = learning_rates(network, TransferValues(scheme="layerwise", rate=1.0, first_rate=0.0625), 1, fresh=False)
    modules = ["encoder.0.0", "encoder.1.0", "up.0.0", "merge.0.0", "head"]
    assert [rates[f"{module}.weight"] for module in modules] == pytest.approx([0.0625, 0.125, 0.25, 0.5, 1.0])
    assert rates["encoder.1.1.bias"] == pytest.approx(0.125)


def test_a_compiled_network_keeps_its_names() -> None:
    from ercpseg.networks.weights import load_weights, weights_of

    network = small_network("light")
    shell = torch.compile(network, backend="eager")
    assert isinstance(shell, nn.Module)
    assert set(weights_of(shell)) == set(weights_of(network))
    load_weights(shell, weights_of(network), where="test")
