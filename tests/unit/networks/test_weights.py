"""Weights as arrays: the same network comes back, and nothing else goes in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ercpseg.errors import StorageError
from ercpseg.networks import NETWORKS
from ercpseg.networks.weights import load_weights, weights_of
from ercpseg.storage.arrays import decode_arrays, encode_arrays
from tests.unit.networks.small import small_network


def network(name: str = "light", seed: int = 0) -> torch.nn.Module:
    return small_network(name, 1, seed=seed)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_network_comes_back(name: str) -> None:
    source, target = network(name, 0), network(name, 1)
    frames = torch.rand(2, 1, 64, 64)
    source.train()(frames)  # so that the running statistics are not the initial ones
    arrays, _ = decode_arrays(encode_arrays(weights_of(source), {}), where="test")
    load_weights(target, arrays, where="test")
    for mode in ("eval", "train"):
        torch.manual_seed(5)  # dropout
        a = getattr(source, mode)()(frames)
        torch.manual_seed(5)
        b = getattr(target, mode)()(frames)
        for one, other in zip(a if mode == "train" else [a], b if mode == "train" else [b], strict=True):
            assert torch.equal(one, other)
    for (name_a, one), (name_b, other) in zip(source.state_dict().items(), target.state_dict().items(), strict=True):
        assert name_a == name_b
        assert torch.equal(one, other), name_a


def test_each_storage_once() -> None:
    """The library's decoder holds the encoder, so its state dict names those weights twice."""
    unet = network("unet")
    arrays = weights_of(unet)
    assert len(arrays) < len(unet.state_dict())
    assert sum(a.size for a in arrays.values()) == sum(p.numel() for p in unet.parameters())


def test_the_arrays_are_copies() -> None:
    source = network()
    arrays = weights_of(source)
    before = {name: array.copy() for name, array in arrays.items()}
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1)
    assert all(np.array_equal(arrays[name], before[name]) for name in arrays)
    load_weights(source, arrays, where="test")
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1)
    assert all(np.array_equal(arrays[name], before[name]) for name in arrays)


def test_channels_last_changes_nothing() -> None:
    plain = weights_of(network())
    turned = weights_of(network().to(memory_format=torch.channels_last))
    assert all(np.array_equal(plain[name], turned[name]) for name in plain)
    assert all(array.flags.c_contiguous for array in turned.values())


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    target = network()
    good = weights_of(target)
    name = "head.weight"
    for wrong, words in [
        ({k: v for k, v in good.items() if k != name}, "head.weight is missing"),
        ({**good, "head.extra": good[name]}, "'head.extra' is not expected"),
        ({**good, name: good[name][:1]}, "head.weight is float32"),
        ({**good, name: good[name].astype(np.float64)}, "head.weight is float64"),
        (
            {**good, name: np.where(np.arange(good[name].size).reshape(good[name].shape) == 3, np.nan, good[name])},
            "not finite",
        ),
        ({**good, name: np.full_like(good[name], np.inf)}, "not finite"),
        ({}, "is missing"),
    ]:
        wrong = {k: v.astype(np.float32) if "finite" in words and k == name else v for k, v in wrong.items()}
        wrong = {k: v + (0 if k == name or v.dtype.kind != "f" else 1) for k, v in wrong.items()}
        with pytest.raises(StorageError) as caught:
            load_weights(target, wrong, where="model.zip")
        assert words in caught.value.message
        assert "model.zip" in caught.value.message
        after = weights_of(target)
        assert all(np.array_equal(good[k], after[k]) for k in good)


def test_read_only_arrays_are_taken() -> None:
    """Arrays from a file may be read-only; torch warns about sharing such memory, and warnings are errors here."""
    arrays = weights_of(network())
    for array in arrays.values():
        array.setflags(write=False)
    target = network(seed=1)
    load_weights(target, arrays, where="test")
    loaded = weights_of(target)
    assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())
