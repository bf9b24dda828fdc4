"""What a threshold and steps are worth: metrics at native size against native masks, over the frames that were held out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from ercpseg.documents.plan import Plan
from ercpseg.documents.tuning import Metric
from ercpseg.evaluation.centreline import cldice
from ercpseg.evaluation.empty import diagonal_px
from ercpseg.evaluation.objects import ObjectCounts
from ercpseg.evaluation.overlap import dice
from ercpseg.evaluation.surface import hd95_px
from ercpseg.frames.prepare import working_geometry
from ercpseg.geometry.components import label_components
from ercpseg.geometry.crop import bounding_box
from ercpseg.geometry.distances import SurfaceDistances
from ercpseg.pipeline.out_of_fold import HeldOut, HeldOutFrames, read_levels
from ercpseg.postprocess.apply import apply_steps
from ercpseg.postprocess.choose import Setting
from ercpseg.postprocess.evidence import Evidence, mean_tally, ratio_tally
from ercpseg.postprocess.finish import at_native_size
from ercpseg.postprocess.scene import above
from ercpseg.progress import Task
from ercpseg.storage import images
from ercpseg.structures import Mask


@dataclass(frozen=True)
class Figures:
    """One setting in one frame. ``value`` is None where the metric is undefined; of objects ``value`` is not used."""

    value: float | None
    matched: int
    counted: int
    absent: bool
    invented: bool
    found: int
    objects: int
    hd95_px: float | None
    dice: float | None


class Measurer:
    """Measures settings of a structure over all held-out frames, each with the fold that held it out."""

    def __init__(self, held: HeldOutFrames, plan: Plan):
        self.held, self.plan, self.structures = held, plan, plan.structure_set

    def measure(
        self,
        structure: str,
        metric: Metric,
        others: Mapping[str, Setting],
        task: Task,
        settings: Sequence[Setting],
        surface: bool,
    ) -> list[Evidence]:
        """Evidence for each setting of one structure.

        ``others`` is what stands for the other structures, whose finished masks steps may look at; ``task`` is advanced
        by the number of settings with every frame; ``surface`` asks for surface distances, which cost more than the rest.
        """
        one = partial(self._figures, structure, metric, others, settings, surface)
        rows: list[list[Figures]] = []
        # Decoding, thinning and tree queries run without the GIL.
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            try:
                for row in pool.map(one, self.held.frames):
                    rows.append(row)
                    task.advance(len(settings))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [self._evidence(metric, column, surface) for column in zip(*rows, strict=True)]

    def _evidence(self, metric: Metric, figures: Sequence[Figures], surface: bool) -> Evidence:
        groups, count = [frame.group for frame in self.held.frames], self.held.groups
        if metric == "object_f1":
            score = ratio_tally(groups, [2 * f.matched for f in figures], [f.counted for f in figures], count)
            defined = sum(f.counted > 0 for f in figures)
        else:
            score = mean_tally(groups, [f.value for f in figures], count)
            defined = sum(f.value is not None for f in figures)
        return Evidence(
            score=score,
            invented=ratio_tally(groups, [f.invented for f in figures], [f.absent for f in figures], count),
            found=sum(f.found for f in figures),
            objects=sum(f.objects for f in figures),
            frames=defined,
            hd95_px=mean_tally(groups, [f.hd95_px for f in figures], count) if surface else None,
            dice=mean_tally(groups, [f.dice for f in figures], count) if metric != "dice" else None,
        )

    def _figures(  # all but the frame are bound once
        self,
        structure: str,
        metric: Metric,
        others: Mapping[str, Setting],
        settings: Sequence[Setting],
        surface: bool,
        frame: HeldOut,
    ) -> list[Figures]:
        names = list(self.structures)
        levels = dict(zip(names, read_levels(frame, len(names)), strict=True))
        reference = (images.read_png(frame.reference) & self.structures.value(structure)) != 0
        geometry = working_geometry(reference.shape, self.plan.values.preparation.working_long_side_px)

        def masks(which: Mapping[str, Setting], beside: dict[str, Mask]) -> dict[str, Mask]:
            return apply_steps(
                {name: above(levels[name], s.threshold) for name, s in which.items()} | beside,
                {name: at_native_size(s.steps, geometry) for name, s in which.items()},
                levels=levels,
                thresholds={name: s.threshold for name, s in which.items()},
            )

        looked_at = {step.of for setting in settings for step in setting.steps if step.of}
        beside = masks({name: others[name] for name in looked_at}, {})
        found = [masks({structure: setting}, beside)[structure] for setting in settings]
        return [_score(reference, mask, metric, surface) for mask in found]


def _score(reference: Mask, prediction: Mask, metric: Metric, surface: bool) -> Figures:
    shown, said = bool(reference.any()), bool(prediction.any())
    diagonal = diagonal_px(reference.shape)
    box = bounding_box(reference | prediction)
    if box is not None:  # background around both changes no metric
        reference, prediction = reference[box], prediction[box]
    value = None
    counts = ObjectCounts(reference=0, prediction=0, matched=0)
    if metric == "object_f1":
        counts = ObjectCounts.compute(reference=reference, prediction=prediction)
    else:
        value = (dice if metric == "dice" else cldice)(reference=reference, prediction=prediction)
    labels, objects = label_components(reference)
    distance = None
    if surface and shown:
        both = SurfaceDistances.compute(reference=reference, prediction=prediction) if said else None
        distance = diagonal if both is None else hd95_px(both)
    return Figures(
        value=value,
        matched=counts.matched,
        counted=counts.reference + counts.prediction,
        absent=not shown,
        invented=said and not shown,
        found=int(np.count_nonzero(np.unique(labels[prediction]))),
        objects=objects,
        hd95_px=distance,
        dice=dice(reference=reference, prediction=prediction) if metric != "dice" else None,
    )
