"""``evaluate``: the scores of two folders, with patients told apart as the import tells them apart."""

from __future__ import annotations

from pathlib import Path

from ercpseg.documents.scores import Scores
from ercpseg.progress import SILENT, Progress


def evaluate(
    predictions: Path | str, reference: Path | str, *, output: Path | None = None, progress: Progress = SILENT
) -> Scores:
    """Score predicted masks against reference masks; see :func:`ercpseg.evaluation.run.evaluate`.

    Where ``reference`` is a dataset folder with DICOM frames, frames are grouped by PatientID. The groups are numbered,
    so that no identity reaches the scores. Other frames are grouped by the text before the first ``_`` of their name.
    """
    from ercpseg.evaluation.run import evaluate as score

    patients = dicom_patients(Path(reference) / "images")
    return score(Path(predictions), Path(reference), output=output, progress=progress, patients=patients)


def dicom_patients(images: Path) -> dict[str, str]:
    """Frame → numbered group, for the DICOM frames of a folder that name their patient; headers are read, no pixels."""
    if not images.is_dir():
        return {}
    from ercpseg.decoding.decoders import borrow
    from ercpseg.importers.frames import Pending, list_frames, scan_frames
    from ercpseg.importers.naming import Namer

    namer, groups, result = Namer(), dict[str, str](), dict[str, str]()
    with borrow() as decoders:
        for found in scan_frames(images):
            for frame in list_frames(found, namer, decoders):
                if isinstance(frame, Pending) and frame.about.patient is not None:
                    group = groups.setdefault(frame.about.patient, f"patient{len(groups) + 1:04d}")
                    result[frame.name] = group
    return result
