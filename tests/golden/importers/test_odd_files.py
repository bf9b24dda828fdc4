"""1,000 odd, broken and hostile files: each is read to the same pixels or refused with the same code as ever."""

from __future__ import annotations

import csv
import gc
from collections import Counter
from pathlib import Path

import psutil
import pytest

from ercpseg.decoding.decoders import Decoders
from ercpseg.decoding.worker import MEMORY_BYTES
from ercpseg.errors import REFUSALS
from tests.golden.importers.generate import HEAD, TABLE, outcomes

SECONDS = 20.0


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever held; Linux only."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not say")


@pytest.fixture(scope="module")
def committed() -> dict[str, tuple[str, ...]]:
    with TABLE.open(newline="", encoding="utf-8") as handle:
        rows = [tuple(row) for row in csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert rows[0] == HEAD
    return {row[0]: row for row in rows[1:]}


def test_every_outcome_is_the_committed_one(real_data: Path, committed: dict[str, tuple[str, ...]]) -> None:
    gc.collect()
    ours, changed, slowest = set(psutil.Process().children()), {}, 0.0
    with Decoders(children=1) as decoders:
        base, peak, seen = 0, 0, set()
        for outcome in outcomes(real_data / "odd-files", decoders):
            name = outcome.row[0]
            seen.add(name)
            slowest = max(slowest, outcome.seconds)
            if committed.get(name) != outcome.row:
                changed[name] = (committed.get(name), outcome.row)
            for child in set(psutil.Process().children()) - ours:
                base = base or peak_bytes(child.pid)
                peak = max(peak, peak_bytes(child.pid))
    assert changed == {}
    assert seen == set(committed)
    assert slowest < SECONDS
    assert base and peak - base <= MEMORY_BYTES


def test_no_decoder_died_and_every_code_is_stable(committed: dict[str, tuple[str, ...]]) -> None:
    codes = Counter(code.split("×")[-1] for row in committed.values() if row[1] == "refused" for code in row[3].split())
    assert set(codes) <= set(REFUSALS)
    assert codes["decoder-died"] == codes["too-slow"] == 0
    assert {row[1] for row in committed.values()} == {"accepted", "refused", "ignored"}


def test_what_declares_more_or_less_than_it_holds_is_refused(
    real_data: Path, committed: dict[str, tuple[str, ...]]
) -> None:
    """By the inventory's own words: pydicom finds too few bytes, or makes more frames than are declared."""
    with (real_data / "odd-files" / "INVENTORY.tsv").open(newline="", encoding="utf-8") as handle:
        inventory = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    pydicom = {row["path"]: row["pydicom pixel_array (no extra codec plugins)"] or "" for row in inventory}
    short = [path for path, text in pydicom.items() if "bytes of pixel data is less than expected" in text]
    surplus = [path for path in pydicom if path.endswith(("_buf_2x.dcm", "_buf_10x.dcm", "_bits_ba_one.dcm"))]
    assert (len(short), len(surplus)) == (18, 3)
    assert {path: committed[path][1] for path in short + surplus} == dict.fromkeys(short + surplus, "refused")
