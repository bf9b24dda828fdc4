"""From the measures of single frames to the fingerprint of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint, IntensityFingerprint, Percentiles, StructureFingerprint
from ercpseg.fingerprint.concerns import find_concerns, is_device
from ercpseg.fingerprint.frame import FrameContent, FrameMeasures
from ercpseg.fingerprint.intensity import IntensityMeasures
from ercpseg.fingerprint.shape import (
    count_shapes,
    long_side_spread,
    percentiles,
    reference_long_side_px,
    round_significant,
)
from ercpseg.frames.groups import group_frames
from ercpseg.structures import StructureSet

CLEAR_CONTRAST = 0.1
"""In units of the in-field standard deviation; below it a structure is neither bright nor dark."""


def summarise(
    dataset: Dataset,
    records: Sequence[FrameRecord],
    contents: Sequence[FrameContent],
    measures: Sequence[FrameMeasures],
    for_grey: Collection[str],
) -> Fingerprint:
    """Fingerprint of the used frames.

    Parameters
    ----------
    dataset
        its name, structures and hash go into the fingerprint.
    records, contents
        of all used frames, in the same order, at least one.
    measures
        of the frames in the sample, in that order too.
    for_grey
        names of the measured frames whose grey values are summarised.

    Raises
    ------
    ValueError
        when a record is a test frame: nothing may be planned from what is held out.
    """
    if any(record.split == "test" for record in records):
        raise ValueError("test frames are among those that the plan is made from; leave them out")
    sizes = [c.size_px for c in contents]
    reference = reference_long_side_px(sizes)
    groups = group_frames(records)
    counts = np.sum([c.bitmask_counts for c in contents], axis=0)
    known = sum(r.spacing_in_patient_mm is not None for r in records)
    parts = Counter(r.split for r in records if r.split is not None)
    grey = [m.intensity for m in measures if m.content.frame in for_grey]
    structures = {name: _structure(name, contents, measures, reference) for name in dataset.structures}
    fingerprint = Fingerprint.new(
        dataset=dataset.name,
        frames_sha256=dataset.frames_sha256,
        frames=len(contents),
        patients=groups.known["patient"],
        studies=groups.known["study"],
        series=groups.known["series"],
        grouped_by=groups.grouped_by,
        groups=groups.count,
        near_duplicates=len(groups.alike),
        parts={part: parts[part] for part in ("train", "val") if parts[part]},
        shapes=count_shapes(sizes),
        reference_long_side_px=reference,
        long_side_spread=round_significant(long_side_spread(sizes)),
        aspect=_percentiles([width / height for height, width in sizes]),
        bits={str(bits): n for bits, n in sorted(Counter(c.bits for c in contents).items())},
        spacing_known_frac=round_significant(known / len(records)),
        field_frac=_percentiles([i.field_frac for i in grey]),
        annotated_outside_field_frac=_outside(measures),
        intensity=_intensity(grey),
        structures=structures,
        overlap=_overlap(counts, dataset.structure_set),
    )
    return fingerprint.model_copy(update={"warnings": (*groups.warnings, *find_concerns(fingerprint, contents))})


def _intensity(grey: Sequence[IntensityMeasures]) -> IntensityFingerprint:
    means = [i.mean_frac for i in grey]
    sds = [i.sd_frac for i in grey]
    return IntensityFingerprint(
        mean=_percentiles(means),
        sd=_percentiles(sds),
        noise_sd=_percentiles([i.noise_sd for i in grey]),
        mean_cv=_variation(means),
        sd_cv=_variation(sds),
    )


def _structure(
    name: str, contents: Sequence[FrameContent], measures: Sequence[FrameMeasures], reference_px: int
) -> StructureFingerprint:
    frames = sum(name in c.areas_px for c in contents)
    shown = [(m.structures[name], m) for m in measures if name in m.structures]
    # Lengths refer to the reference long side, areas to its square; see documents/fingerprint.py.
    scales = [reference_px / max(m.content.size_px) for _, m in shown]
    largest_grey = [2**m.content.bits - 1 for _, m in shown]
    contrasts = [
        s.contrast_grey / (m.intensity.sd_frac * grey)
        for (s, m), grey in zip(shown, largest_grey, strict=True)
        if s.contrast_grey is not None and m.intensity.sd_frac > 0
    ]
    widths = [s.widths_px * scale for (s, _), scale in zip(shown, scales, strict=True)]
    areas = [s.component_areas_px * scale**2 for (s, _), scale in zip(shown, scales, strict=True)]
    return StructureFingerprint(
        frames=frames,
        presence_frac=round_significant(frames / len(contents)),
        foreground_frac=percentiles([s.foreground_frac for s, _ in shown]),
        width_px=percentiles(np.concatenate(widths), n=len(shown)) if shown else None,
        length_px=percentiles([s.length_px * scale for (s, _), scale in zip(shown, scales, strict=True)]),
        components=round_significant(sum(s.components for s, _ in shown) / len(shown)) if shown else 0.0,
        component_area_px=percentiles(np.concatenate(areas)) if shown else None,
        contrast=percentiles(contrasts),
        bright_frac=_bright_frac(contrasts),
        device=is_device(name),
    )


def _bright_frac(contrasts: Sequence[float]) -> float:
    bright, dark = sum(c >= CLEAR_CONTRAST for c in contrasts), sum(c <= -CLEAR_CONTRAST for c in contrasts)
    return round_significant(bright / (bright + dark)) if bright + dark else 0.0


def _overlap(counts: NDArray[np.int64], structures: StructureSet) -> dict[str, dict[str, float]]:
    """Shares of a's pixels that are also b's, over the pixels of all frames; ``counts`` per bitmask value."""
    values = np.arange(len(counts))
    on = {name: (values & structures.value(name)) != 0 for name in structures}
    return {
        a: {
            b: round_significant(float(counts[on[a] & on[b]].sum()) / max(1, int(counts[on[a]].sum())))
            for b in structures
            if b != a
        }
        for a in structures
    }


def _outside(measures: Sequence[FrameMeasures]) -> float:
    """Share of the annotated pixels that were measured that lie outside the field that was found."""
    areas = [(s.area_px, s.outside_frac) for m in measures for s in m.structures.values()]
    total = sum(area for area, _ in areas)
    return round_significant(sum(area * frac for area, frac in areas) / total) if total else 0.0


def _percentiles(values: Sequence[float]) -> Percentiles:
    result = percentiles(values)
    if result is None:
        raise ValueError("no values; expected at least one frame")
    return result


def _variation(values: Sequence[float]) -> float:
    """Standard deviation / mean."""
    mean = float(np.mean(values))
    return round_significant(float(np.std(values)) / mean) if mean > 0 else 0.0
