"""Damaged files end as an array or as a refusal with a code: no crash, no hang, no memory of others in the picture."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ercpseg.decoding.decoders import Decoders
from ercpseg.decoding.reading import Picture
from ercpseg.decoding.sniff import HEAD_BYTES, Kind, sniff
from ercpseg.decoding.source import Source
from ercpseg.errors import REFUSALS, InputRefused
from tests.regress.mutants import CANARY, mutate, seeds

FEW, MANY = 1_000, 20_000
FRAMES = 3
"""Frames that are looked at of each file."""
SECONDS, ALLOWED_SLOW = 2.0, 0.001


def read(decoders: Decoders, source: Source, kind: Kind) -> list[Picture | str]:
    """The first frames, each as a picture or a refusal code; the code alone when the file is refused."""
    found: list[Picture | str] = []
    try:
        listed = decoders.listing(source, kind)
    except InputRefused as error:
        return [check(error)]
    for number in range(min(listed.count, FRAMES)):
        try:
            found.append(decoders.frame(source, kind, number))
        except InputRefused as error:
            found.append(check(error))
    return found


def check(error: InputRefused) -> str:
    """A refusal quotes nothing of the file."""
    assert error.code in REFUSALS
    assert len(error.detail) <= 200
    assert CANARY[1:6] not in error.detail
    return error.code


def same(first: Picture | str, second: Picture | str) -> bool:
    if isinstance(first, Picture) and isinstance(second, Picture):
        return bool((first.pixels == second.pixels).all())
    return first == second


def sweep(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    rng, sources, outcomes = np.random.default_rng(11), seeds(), Counter[str]()
    path, slow = tmp_path / "mutant", 0
    with Decoders(children=1) as clean, Decoders(children=1) as dirty:
        for number in range(count):
            kind, data = sources[number % len(sources)]
            mutant = mutate(rng, kind, data)
            path.write_bytes(mutant)
            told = sniff(mutant[:HEAD_BYTES], len(mutant))
            if told is None:
                outcomes["unknown-format"] += 1
                continue
            start = time.monotonic()
            found = read(clean, Source(path), told)
            slow += time.monotonic() - start > SECONDS
            with monkeypatch.context() as changed:
                # glibc fills fresh memory with this byte, so a picture made of other people's memory differs
                changed.setenv("MALLOC_PERTURB_", "165")
                again = read(dirty, Source(path), told)
            assert len(found) == len(again), f"mutant {number} of {kind}"
            for first, second in zip(found, again, strict=True):
                assert same(first, second), f"mutant {number} of {kind} is read differently each time"
                outcomes["accepted" if isinstance(first, Picture) else first] += 1
            assert [p for p in tmp_path.iterdir() if p != path] == []
    assert slow <= ALLOWED_SLOW * count
    assert outcomes["too-slow"] == outcomes["decoder-died"] == 0, outcomes
    return outcomes


def test_a_thousand_mutants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = sweep(tmp_path, FEW, monkeypatch)
    assert outcomes["accepted"] > FEW // 10  # else only sniffing is tested
    assert sum(outcomes.values()) - outcomes["accepted"] > FEW // 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_mutants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(tmp_path, MANY, monkeypatch)
