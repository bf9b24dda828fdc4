"""Synthetic frames that a plan mixes in (``sampling.synthetic_frac``): made once, prepared as the dataset's, kept.

They lie in the workspace below ``synthetic/``, under a hash of all that they depend on, so that folds and datasets that
prepare frames alike share them. The same call goes on after an interruption.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.plan import Plan
from ercpseg.documents.run import SyntheticRecord
from ercpseg.errors import DataError
from ercpseg.nnunet.preprocessor import fill_store, thin_bits
from ercpseg.nnunet.store import read_index
from ercpseg.progress import Progress
from ercpseg.storage.workspace import Workspace
from ercpseg.structures import Bitmask
from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.request import Request
from ercpseg.synthesis.studio import open_studio
from ercpseg.training.run import Mixed
from ercpseg.version import __version__

OWN = {"invert": False, "dataset_mean_sd": None}
"""Of preparation what belongs to the dataset's own grey values: scenes have devices dark and each frame its own exposure."""


def mixed(space: Workspace, made: Plan, *, threads: int = 2, progress: Progress) -> Mixed | None:
    """The store of synthetic frames that a training by ``made`` draws from, filled now unless it is; None where it wants none.

    Frame *k* is the only frame of synthetic patient *k* of the plan's seed: as many anatomies as there are frames.
    """
    sampling, structures = made.values.sampling, made.structure_set
    if not (sampling.synthetic_frac > 0 and sampling.synthetic_frames > 0):
        return None
    began = time.monotonic()
    request = _request(made)
    values = made.values.preparation.model_copy(update=OWN)
    bits = {name: structures.value(name) for name in structures}
    key = "\n".join((request.to_json(), values.model_dump_json(), str(bits), str(thin_bits(made))))
    folder = space.root / "synthetic" / hashlib.sha256(key.encode()).hexdigest()[:16]
    numbers = {request.stem(number, 0): number for number in range(request.frames)}

    def read(name: str) -> tuple[NDArray[Any], Bitmask]:
        frame = open_studio(request.domain, request.seed, numbers[name], request.height_px).frame(0)
        # What eight bits keep, as in the files that the shipped weights learnt from; devices stay dark.
        pixels = (frame.pixels >> (frame.bits - 8)).astype(np.uint8)
        return pixels, structures.encode({n: m for n, m in frame.masks.items() if n in bits}, pixels.shape)

    fresh = not _finished(folder)
    if fresh:
        progress.say(f"making {request.frames} synthetic frames (sampling.synthetic_frames)")
        with progress.task("Making synthetic frames", request.frames) as task:
            fill_store(folder, list(numbers), read, made, values=values, threads=threads, task=task)
    seconds = time.monotonic() - began if fresh else 0.0
    hashes = "".join(frame.sha256 for _, frame in sorted(read_index(folder).frames.items()))
    record = SyntheticRecord(
        frames=request.frames,
        domain=sampling.synthetic_domain,
        seed=request.seed,
        frac=sampling.synthetic_frac,
        sha256=hashlib.sha256(hashes.encode()).hexdigest(),
        seconds=round(seconds, 3),
    )
    return Mixed(folder, record)


def _finished(folder: Path) -> bool:
    try:
        return folder.is_dir() and read_index(folder).complete
    except DataError:
        return False


def _request(made: Plan) -> Request:
    values = made.values
    return Request.new(
        domain=find_domain(values.sampling.synthetic_domain),
        frames=values.sampling.synthetic_frames,
        patients=values.sampling.synthetic_frames,
        height_px=values.preparation.working_long_side_px,
        seed=values.schedule.seed,
        file_format="png",
        series=False,
        ercpseg_version=__version__,
    )
