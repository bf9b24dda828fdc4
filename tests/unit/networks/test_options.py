"""What a plan may say of a network, checked without torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ercpseg.errors import DocumentError
from ercpseg.networks.options import SPECS, check_network


@pytest.mark.parametrize("name", SPECS)
def test_the_usual_numbers_pass(name: str) -> None:
    entry = SPECS[name]
    chosen = check_network(name, entry.features, 1)
    assert chosen == {key: option.default for key, option in entry.options.items()}
    for key, option in entry.options.items():
        assert option.check(option.default, where=key) == option.default
        assert option.about


@pytest.mark.parametrize(
    ("name", "changes", "key", "words"),
    [
        ("vnet", {}, "network.name", "light-full"),
        ("light", {"features": (16,)}, "network.features", "2 to 8 for light"),
        ("fra-net", {"features": (4, 6, 8)}, "network.features", "expected 5"),
        ("cascade", {"features": (4, 6, 8)}, "network.features", "4 to 9"),
        ("unet", {"features": (4, 0, 8)}, "network.features", "1 to 4096"),
        ("unet", {"deep_supervision": 2}, "network.deep_supervision", "0 to 1 with 3 levels"),
        ("unet", {"deep_supervision": -1}, "network.deep_supervision", "0 to 1"),
        ("unet", {"input_channels": 0}, "input.frames", "1 to 8"),
        ("unet", {"input_channels": 9}, "input.frames", "1 to 8"),
        ("unet", {"options": {"dropout": 0.5}}, "network.options", "none"),
        ("ambrosini", {"options": {"dropuot": 0.5}}, "network.options", "dropout"),
        ("ambrosini", {"options": {"dropout": 1.0}}, "network.options.dropout", "0 to 0.9"),
        ("ambrosini", {"options": {"dropout": "5e-1"}}, "network.options.dropout", "a number"),
        ("ambrosini", {"options": {"dropout": True}}, "network.options.dropout", "a number"),
        ("ambrosini", {"options": {"dropout": float("nan")}}, "network.options.dropout", "0 to 0.9"),
        ("fra-net", {"features": (4,) * 5, "options": {"encoder": "vit"}}, "network.options.encoder", "resnet34"),
        ("fra-net", {"features": (4,) * 5, "options": {"encoder": 3}}, "network.options.encoder", "resnet34"),
        ("fra-net", {"features": (4,) * 5, "options": {"attention": 1}}, "network.options.attention", "true or false"),
        ("fra-net", {"features": (4,) * 5, "options": {"steps": 2.5}}, "network.options.steps", "whole number"),
        ("fra-net", {"features": (4,) * 5, "options": {"steps": 0}}, "network.options.steps", "1 to 5"),
    ],
)
def test_mistakes_name_the_key_and_the_choices(name: str, changes: dict[str, Any], key: str, words: str) -> None:
    arguments: dict[str, Any] = {"features": (4, 6, 8), "deep_supervision": 0} | changes
    with pytest.raises(DocumentError) as caught:
        check_network(name, **arguments)
    assert caught.value.where == key
    assert words in caught.value.message


def test_whole_numbers_may_stand_for_others() -> None:
    assert check_network("ambrosini", (4, 6, 8), 0, {"dropout": 0}) == {"dropout": 0.0}


def test_checking_loads_no_torch() -> None:
    code = "import sys; from ercpseg.networks import NETWORKS, divisor; from ercpseg.networks.options import check_network;"
    code += "check_network('unet', (4, 8), 0); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
