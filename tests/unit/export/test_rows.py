"""Rows come back as they went in, and a long run takes little memory per frame."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np

from ercpseg.export.folder import PredictionWriter
from ercpseg.export.rows import BLOCK, COLUMNS, Rows
from ercpseg.frames.frame import Frame
from ercpseg.structures import StructureSet

MOST_BYTES = 100
"""Growth per frame that a run of any length may have."""
FROM, TO = 3 * BLOCK, 7 * BLOCK
"""The interpreter keeps some objects to use them again; by then there are as many as there will be."""


def test_rows_come_back_as_they_went_in() -> None:
    rows = Rows()
    rows.append({"frame": "a", "status": "used", "milliseconds": 1.5})
    rows.append({"frame": "", "status": "refused", "code": "truncated"})
    assert len(rows) == 2
    first, second = rows
    assert tuple(first) == COLUMNS
    assert (first["milliseconds"], first["code"], second["code"], second["index"]) == (1.5, None, "truncated", None)
    assert list(rows) == [first, second], "as often as one likes"


def test_rows_of_many_blocks_come_back_and_can_be_refused() -> None:
    rows = Rows()
    given = [
        dict(zip(COLUMNS, (f"é\ud800{n}", "a,b\n.dcm", n, "used", None, "", n / 7), strict=True))
        for n in range(2 * BLOCK + 5)
    ]
    for row in given:
        rows.append(row)
    assert len(rows) == len(given)
    assert list(rows) == given, "floats to the last bit, and text that is no UTF-8"
    lost = {given[3]["frame"], given[-1]["frame"]}
    rows.refuse(lost, "too-large", "why")
    rows.append(given[0])
    assert len(rows) == len(given) + 1
    assert [row["frame"] for row in rows if row["status"] == "refused"] == [given[3]["frame"], given[-1]["frame"]]


def test_memory_of_a_run_grows_by_little_per_frame(tmp_path: Path) -> None:
    pixels, bitmask = np.full((8, 8), 7, np.uint8), np.zeros((8, 8), np.uint8)
    sizes = []
    with PredictionWriter(tmp_path / "out", StructureSet(("endoscope",)), overlays=False) as writer:
        tracemalloc.start()
        for number in range(TO):
            name = f"frame_{number:05d}"
            writer.write(Frame(name=name, pixels=pixels, bits=8, source=f"folder/{name}.png"), bitmask, 1.0 + number)
            if number + 1 in (FROM, TO):  # whole blocks only
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        writer.finish({})
    assert (sizes[1] - sizes[0]) / (TO - FROM) < MOST_BYTES
