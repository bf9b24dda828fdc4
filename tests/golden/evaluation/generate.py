"""Write the golden inputs and, with ``--expected``, the golden scores of this folder.

Run ``python tests/golden/evaluation/generate.py --expected`` after a change of definition, and read the difference of
``expected/scores.json`` before committing it. The scene covers: a shifted duct, a wire with a gap, stones found, missed
and invented, empty on both sides, a missing frame and a frame too many.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ercpseg.evaluation.run import evaluate
from ercpseg.storage.images import write_png

HERE = Path(__file__).parent
SIZE = (48, 64)
Y, X = np.mgrid[: SIZE[0], : SIZE[1]]


def wire(phase: float) -> np.ndarray:
    return np.abs(Y - 24 - 10 * np.sin((X + phase) / 9)) <= 1.2


def duct(shift: int) -> np.ndarray:
    return (np.abs(Y - 20 - X // 4 - shift) <= 4) & (X > 5) & (X < 58)


def disk(y: int, x: int, radius: float) -> np.ndarray:
    return np.hypot(Y - y, X - x) <= radius


def write_inputs(folder: Path) -> None:
    """Frames of three patients; each value is reference, prediction."""
    nothing = np.zeros(SIZE, bool)
    gap = (X < 28) | (X > 34)
    frames = {
        "p1_a": {
            "guidewire": (wire(0), wire(0) & gap),
            "cbd": (duct(0), duct(2)),
            "stone": (disk(10, 12, 4) | disk(30, 40, 5), disk(10, 13, 4)),
        },
        "p1_b": {
            "guidewire": (wire(5), wire(5) | disk(44, 5, 2)),
            "cbd": (duct(1), duct(1)),
            "stone": (nothing, disk(40, 50, 3)),
        },
        "p2_a": {"guidewire": (wire(9), nothing), "cbd": (duct(3), duct(0)), "stone": (nothing, nothing)},
        "p3_a": {
            "guidewire": (wire(14), wire(15)),
            "cbd": (duct(2), duct(1) | disk(40, 8, 3)),
            "stone": (disk(20, 30, 6), disk(20, 31, 5)),
        },
    }
    for frame, structures in frames.items():
        for structure, sides in structures.items():
            for side, mask in zip(("reference", "prediction"), sides, strict=True):
                write_png(folder / side / "masks" / structure / f"{frame}.png", mask)
    write_png(folder / "reference" / "masks" / "cbd" / "p4_a.png", duct(0))
    write_png(folder / "prediction" / "masks" / "cbd" / "p5_a.png", duct(0))


if __name__ == "__main__":
    write_inputs(HERE)
    if "--expected" in sys.argv:
        evaluate(HERE / "prediction", HERE / "reference", output=HERE / "expected")
