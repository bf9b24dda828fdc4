"""Compare a folder of predictions with a folder of references, and write what was found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from ercpseg.documents.scores import FrameScore, Scores
from ercpseg.errors import DataError
from ercpseg.evaluation.aggregate import per_patient, score_structure
from ercpseg.evaluation.folders import MaskFolder, open_folder, read_mask
from ercpseg.evaluation.frame import score_frame
from ercpseg.evaluation.pairing import Pairing, pair
from ercpseg.progress import SILENT, Progress
from ercpseg.storage import documents, tables
from ercpseg.structures import Mask

COLUMNS = tuple(FrameScore.model_fields)
"""Columns of ``scores.csv``."""
_SHOWN = 10


def evaluate(
    predictions: Path,
    reference: Path,
    *,
    output: Path | None = None,
    progress: Progress = SILENT,
    bootstrap_seed: int = 0,
    patients: Mapping[str, str] | None = None,
) -> Scores:
    """Score ``predictions`` against ``reference`` and write ``scores.json`` and ``scores.csv``.

    Parameters
    ----------
    predictions, reference
        folders that hold ``masks/<structure>/<frame>.png``: a predict output, a dataset folder, or just masks.
    output
        where to write; the predictions folder when not given.
    progress
        is told about frames done; warnings are in the scores.
    bootstrap_seed
        the same seed gives the same intervals.
    patients
        patient by frame, where it is known better than from the name (the text before the first ``_``).

    Raises
    ------
    DataError
        when there is nothing to compare, or masks are damaged or differ in size; every such mask is named.
    StorageError
        when reading or writing fails.
    """
    predictions, reference = Path(predictions), Path(reference)
    expected, given = open_folder(reference, "reference"), open_folder(predictions, "prediction")
    pairing = pair(reference=expected, prediction=given)
    scored = _score_all(expected, given, pairing, patients or {}, progress)
    scores = Scores.new(
        prediction=predictions.resolve().name,
        reference=reference.resolve().name,
        frames=len(pairing.predicted_as),
        patients=len({s.patient for s in scored}),
        bootstrap_seed=bootstrap_seed,
        missing=pairing.missing,
        unmatched=pairing.unmatched,
        reference_only=pairing.reference_only,
        prediction_only=pairing.prediction_only,
        warnings=pairing.warnings,
        structures={
            name: score_structure([s for s in scored if s.structure == name], seed=bootstrap_seed)
            for name in pairing.structures
        },
        per_patient=per_patient(scored),
    )
    folder = predictions if output is None else Path(output)
    tables.write_table(folder / "scores.csv", COLUMNS, (s.model_dump() for s in scored))
    documents.save(folder / "scores.json", scores)
    return scores


def _score_all(
    reference: MaskFolder,
    prediction: MaskFolder,
    pairing: Pairing,
    patients: Mapping[str, str],
    progress: Progress,
) -> list[FrameScore]:
    """Scores by frame, then structure, in the same order however many threads work."""
    score = partial(_score_one, reference, prediction, pairing, patients)
    scored: list[FrameScore] = []
    problems: list[str] = []
    # Decoding, thinning and tree queries run without the GIL, so threads do; they need no copy of anything.
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        try:
            with progress.task("evaluate", len(pairing.predicted_as)) as task:
                for result in pool.map(score, pairing.predicted_as):
                    if isinstance(result, str):
                        problems.append(result)
                    else:
                        scored.extend(result)
                    task.advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(f"{len(problems)} frame(s) cannot be compared: " + "; ".join(problems[:_SHOWN]) + more)
    return scored


def _score_one(
    reference: MaskFolder, prediction: MaskFolder, pairing: Pairing, patients: Mapping[str, str], frame: str
) -> list[FrameScore] | str:
    """Scores of one frame, or what is wrong with it, so that every bad frame is named at once."""
    masks: dict[tuple[str, str], Mask] = {}
    for structure in pairing.structures:
        sides = (("reference", reference, frame), ("prediction", prediction, pairing.predicted_as[frame]))
        for side, folder, name in sides:
            if path := folder.files[structure].get(name):
                try:
                    masks[side, structure] = read_mask(path)
                except DataError as error:
                    return error.message
    sizes = {mask.shape for mask in masks.values()}
    if len(sizes) > 1:
        found = ", ".join(f"{side} {structure} {m.shape[0]} × {m.shape[1]}" for (side, structure), m in masks.items())
        return f"{frame}: masks differ in size (y × x: {found}); expected the frame's own size on both sides"
    absent = np.zeros(next(iter(sizes), (1, 1)), np.bool_)
    return [
        score_frame(
            reference=masks.get(("reference", structure), absent),
            prediction=masks.get(("prediction", structure), absent),
            frame=frame,
            patient=patients.get(frame, frame.split("_", 1)[0]),
            structure=structure,
        )
        for structure in pairing.structures
    ]
