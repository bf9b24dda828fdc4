"""What a step costs: it grows with what is asked for, and counts what is kept once."""

from __future__ import annotations

import threading

import torch

from ercpseg.documents.plan import NetworkValues
from ercpseg.networks import build_network
from ercpseg.training.cost import OTHER_MEMORY_BYTES, _Kept, measure_forward, measure_step

LIGHT = NetworkValues(name="light", features=(8, 8, 16), deep_supervision=1)


def test_a_larger_batch_takes_more_memory_in_proportion() -> None:
    (one_s, one), (four_s, four) = (measure_step(LIGHT, (64, 64), batch, 3, steps=1) for batch in (1, 4))
    parameters = sum(p.numel() for p in build_network(LIGHT, 3).parameters())
    fixed = (12 * parameters + OTHER_MEMORY_BYTES) / 1e9
    assert 3.5 < (four - fixed) / (one - fixed) <= 4.01
    assert one_s > 0 < four_s


def test_memory_is_the_same_whatever_was_measured_before() -> None:
    """It is counted, not read off the process, which keeps what an earlier measurement took."""
    first = measure_step(LIGHT, (64, 64), 2, 3, steps=1)[1]
    measure_step(LIGHT, (128, 128), 4, 3, steps=1)
    assert measure_step(LIGHT, (64, 64), 2, 3, steps=1)[1] == first


def test_nothing_is_left_behind() -> None:
    before = {thread.name for thread in threading.enumerate()}
    measure_step(LIGHT, (64, 64), 1, 2, steps=1)
    assert measure_forward(LIGHT, (64, 64), 2, passes=2) > 0
    assert {thread.name for thread in threading.enumerate()} == before


def test_what_is_kept_twice_counts_once() -> None:
    kept = _Kept()
    tensor = torch.zeros(100)
    other = torch.zeros(10)
    for part in (tensor, tensor, tensor[:50], other):
        assert kept.unpack(kept.pack(part)) is part
    assert kept.bytes >= 400
    assert kept.bytes <= 440
