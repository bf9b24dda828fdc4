"""What a frame leaves in memory when it is predicted: little, and no name in the interpreter's own table."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ercpseg.export.folder import PredictionWriter
from ercpseg.export.rows import BLOCK
from ercpseg.frames.names import RECENT
from ercpseg.importers.frames import FrameFolder
from ercpseg.inference.folder import predict_frames
from ercpseg.inference.predictor import Predictor
from ercpseg.storage.images import write_png
from ercpseg.synthesis.dicom import Header, encode
from tests.unit.inference.conftest import ModelMaker

KINDS = ["cine", "png"]


class Looking:
    """Progress that calls ``look`` after so many frames."""

    def __init__(self, look: Callable[[int], None]):
        self.frames, self.look = 0, look

    def task(self, *_: Any) -> Looking:
        return self

    def say(self, text: str) -> None: ...

    def retotal(self, total: int) -> None: ...

    def __enter__(self) -> Looking:
        return self

    def __exit__(self, *_: object) -> None: ...

    def advance(self, n: int = 1, note: str | None = None) -> None:
        if note is not None:
            self.frames += 1
            self.look(self.frames)


def predict(kind: str, count: int, model: Path, folder: Path, look: Callable[[int], None]) -> None:
    """Predict ``count`` frames, in one file or each in one, in a folder of a folder."""
    pictures = [np.random.default_rng(n).integers(0, 255, (16, 16), np.uint16) for n in range(4)]
    (folder / "in/deep").mkdir(parents=True)
    if kind == "cine":
        cine = encode([pictures[n % 4] for n in range(count)], Header("m", 8, False, None))
        (folder / "in/deep/c.dcm").write_bytes(cine)
    else:
        for n in range(count):
            write_png(folder / f"in/deep/f{n:04d}.png", pictures[n % 4].astype(np.uint8), durable=False)
    predictor = Predictor.load(model, device="cpu")
    frames, looking = FrameFolder(folder / "in"), Looking(look)
    with PredictionWriter(folder / "out", predictor.structures, overlays=False, made_by={}) as writer:
        predict_frames(predictor, frames, writer, total=len(frames), progress=looking)
        writer.finish({})
    assert looking.frames == count


@pytest.mark.parametrize("kind", KINDS)
def test_names_do_not_fill_the_interpreters_table(
    kind: str, make_model: ModelMaker, tmp_path: Path, monkeypatch
) -> None:
    """It grows by 2 MB after some ten thousand names, however soon they are gone; ``pathlib`` puts every one there."""
    seen: set[str] = set()
    intern = sys.intern

    def counted(text: str) -> str:
        seen.add(text)
        return intern(text)

    monkeypatch.setattr(sys, "intern", counted)
    at: dict[int, int] = {}
    predict(kind, 40, make_model(), tmp_path, lambda frames: at.update({frames: len(seen)}))
    names = at[30] - at[10]
    assert names <= (5 if kind == "cine" else 25), "at most one a file that is read, none of those that are written"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_frame_leaves(kind: str, make_model: ModelMaker, tmp_path: Path) -> None:
    begin, end = 512, 1536
    assert begin % BLOCK == end % BLOCK == begin % RECENT == end % RECENT == 0, (
        "else what is not packed yet would count"
    )
    held: list[int] = []

    def look(frames: int) -> None:
        if frames in (begin, end):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        predict(kind, end + 16, make_model(), tmp_path, look)
    finally:
        tracemalloc.stop()
    assert (held[1] - held[0]) / (end - begin) < 100
