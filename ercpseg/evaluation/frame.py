"""All scores of one structure in one frame."""

from __future__ import annotations

from ercpseg.documents.scores import FrameScore
from ercpseg.evaluation.centreline import cldice
from ercpseg.evaluation.empty import metrics_when_empty
from ercpseg.evaluation.objects import ObjectCounts
from ercpseg.evaluation.overlap import PixelCounts
from ercpseg.evaluation.surface import assd_px, hd95_px, hd_px
from ercpseg.geometry.crop import bounding_box
from ercpseg.geometry.distances import SurfaceDistances
from ercpseg.structures import Mask


def score_frame(*, reference: Mask, prediction: Mask, frame: str, patient: str, structure: str) -> FrameScore:
    """Score two masks (y, x) of one structure in one frame, at the frame's native size.

    Raises
    ------
    ValueError
        when they are not boolean (y, x) arrays of one shape.
    """
    counts = PixelCounts.compute(reference=reference, prediction=prediction)
    metrics = metrics_when_empty(
        reference_px=counts.reference_px, prediction_px=counts.prediction_px, shape=reference.shape
    )
    box = bounding_box(reference | prediction)
    if box is not None:
        # Background around both changes no metric; without it a small structure costs a small part of a frame.
        reference, prediction = reference[box], prediction[box]
    if metrics is None:
        distances = SurfaceDistances.compute(reference=reference, prediction=prediction)
        metrics = {
            "dice": counts.dice,
            "iou": counts.iou,
            "precision": counts.precision,
            "recall": counts.recall,
            "hd95_px": hd95_px(distances),
            "hd_px": hd_px(distances),
            "assd_px": assd_px(distances),
            "cldice": cldice(reference=reference, prediction=prediction),
        }
    objects = ObjectCounts.compute(reference=reference, prediction=prediction)
    return FrameScore(
        frame=frame,
        patient=patient,
        structure=structure,
        reference_px=counts.reference_px,
        prediction_px=counts.prediction_px,
        intersection_px=counts.intersection_px,
        reference_objects=objects.reference,
        prediction_objects=objects.prediction,
        matched_objects=objects.matched,
        **metrics,
    )
