"""What becomes of each of the 1,000 odd files: ``python -m tests.golden.importers.generate`` rewrites the table.

``ERCPSEG_TEST_DATA`` says where they are. A row that changes is a change in what is read or refused: look at why before
the new table is committed. Hashes are of canonical pixels or masks, so they tell nothing of a picture.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ercpseg.decoding.decoders import Decoders
from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import InputRefused
from ercpseg.importers import formats
from ercpseg.importers.annotation import Context, LabelNames
from ercpseg.importers.frames import Pending, list_frames
from ercpseg.importers.naming import Namer
from ercpseg.importers.scan import Found, scan
from ercpseg.structures import StructureSet

TABLE = Path(__file__).parent / "odd-files.tsv"
HEAD = ("file", "outcome", "frames", "refused", "sha256")
FOLDERS = ("dicom/", "image/", "png/", "labelme/")


class Outcome(NamedTuple):
    """A row of the table, and what reading took."""

    row: tuple[str, ...]
    seconds: float


def outcomes(root: Path, decoders: Decoders) -> Iterator[Outcome]:
    """Every file below the four folders, in the order of the scan."""
    namer = Namer()
    for found in scan(root):
        if not found.source.startswith(FOLDERS):
            continue
        start = time.monotonic()
        is_labelme = found.source.startswith("labelme/") and found.source.endswith(".json")
        row = _annotation(found, decoders) if is_labelme else _frames(found, namer, decoders)
        yield Outcome((found.source, *row), time.monotonic() - start)


def _frames(found: Found, namer: Namer, decoders: Decoders) -> tuple[str, ...]:
    digest, read, refused = hashlib.sha256(), 0, Counter[str]()
    for pending in list_frames(found, namer, decoders):
        if not isinstance(pending, Pending):
            return pending.status, "0", pending.code or "", ""
        try:
            picture = pending.decode(decoders)
        except InputRefused as error:
            refused[error.code] += 1
            continue
        read += 1
        digest.update(f"{picture.pixels.shape} {picture.bits} ".encode())
        digest.update(np.ascontiguousarray(picture.pixels, np.float32).tobytes())
    codes = " ".join(f"{n}×{code}" if n > 1 else code for code, n in sorted(refused.items()))
    return ("accepted" if read else "refused"), str(read), codes, digest.hexdigest()[:16] if read else ""


def _annotation(found: Found, decoders: Decoders) -> tuple[str, ...]:
    """A labelme file, drawn in its own size."""
    labelme = formats.make(AnnotationSpec(format="labelme"), LabelNames())
    digest, items = hashlib.sha256(), 0
    try:
        for item in labelme.survey(found, decoders):
            height, width = json.loads(item.payload)["shape"]
            structures = StructureSet.ordered(item.structures or {"nothing"})
            drawn = labelme.draw(found, item, Context((height, width), structures, decoders, None))
            for name, mask in sorted(drawn.masks.items()):
                digest.update(name.encode() + np.packbits(mask).tobytes())
            items += 1
    except InputRefused as error:
        return "refused", "0", error.code, ""
    return ("accepted", str(items), "", digest.hexdigest()[:16]) if items else ("ignored", "0", "sidecar", "")


def text(rows: list[tuple[str, ...]]) -> str:
    """The table as it is committed."""
    return "".join("\t".join(row) + "\n" for row in [HEAD, *rows])


if __name__ == "__main__":
    with Decoders(children=1) as pool:
        TABLE.write_text(text([o.row for o in outcomes(Path(os.environ["ERCPSEG_TEST_DATA"]) / "odd-files", pool)]))
    print(f"wrote {TABLE}")
