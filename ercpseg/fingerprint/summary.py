"""From the measures of single frames to the fingerprint of the dataset."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint, IntensityFingerprint, Percentiles
from ercpseg.fingerprint.concerns import find_concerns
from ercpseg.fingerprint.devices import summarise_devices
from ercpseg.fingerprint.field_shape import SHAPES
from ercpseg.fingerprint.intensity import IntensityMeasures
from ercpseg.fingerprint.measured import Measured
from ercpseg.fingerprint.names import is_device
from ercpseg.fingerprint.ranges import contrast_sd, grey_quantities, ranges_of, structure_quantities
from ercpseg.fingerprint.scope import SIDES, ScopeMeasures, circular_sd_deg
from ercpseg.fingerprint.shape import (
    count_shapes,
    long_side_spread,
    percentiles,
    reference_long_side_px,
    round_significant,
)
from ercpseg.fingerprint.summary_structure import bright_frac, summarise_structure
from ercpseg.frames.groups import INNER, group_frames
from ercpseg.structures import StructureSet


def summarise(dataset: Dataset, measured: Measured, measured_sha256: str) -> Fingerprint:
    """Fingerprint of the used frames.

    Parameters
    ----------
    dataset
        its name, structures and hash go into the fingerprint.
    measured
        what the pass has found.
    measured_sha256
        hash over what the fingerprint depends on beside the files.

    Raises
    ------
    ValueError
        when a record is a test frame: nothing may be planned from what is held out.
    """
    records, contents = measured.records, measured.contents
    if any(record.split == "test" for record in records):
        raise ValueError("test frames are among those that the plan is made from; leave them out")
    sizes = [c.size_px for c in contents]
    reference = reference_long_side_px(sizes)
    groups = group_frames(records)
    inner = group_frames(records, kinds=INNER) if groups.count == 1 else None
    parts = Counter(r.split for r in records if r.split is not None)
    fingerprint = Fingerprint.new(
        dataset=dataset.name,
        frames_sha256=dataset.frames_sha256,
        frames=len(contents),
        patients=groups.known["patient"],
        studies=groups.known["study"],
        series=groups.known["series"],
        grouped_by=groups.grouped_by,
        groups=groups.count,
        inner_groups=0 if inner is None else inner.count,
        inner_grouped_by="frame" if inner is None else inner.grouped_by,
        near_duplicates=len(groups.alike),
        parts={part: parts[part] for part in ("train", "val") if parts[part]},
        shapes=count_shapes(sizes),
        reference_long_side_px=reference,
        long_side_spread=round_significant(long_side_spread(sizes)),
        aspect=_percentiles([width / height for height, width in sizes]),
        bits={str(bits): n for bits, n in sorted(Counter(c.bits for c in contents).items())},
        field_frac=_percentiles([i.field_frac for i in measured.grey]),
        field_shapes=_shares((i.field_shape for i in measured.grey), SHAPES),
        annotated_outside_field_frac=_outside(measured),
        intensity=_intensity(measured.grey),
        devices=summarise_devices(measured.devices, measured.device_grey, measured.by_device),
        structures={
            name: summarise_structure(name, contents, measured.structures[name], reference)
            for name in dataset.structures
        },
        overlap=_overlap(measured.bitmask_counts, dataset.structure_set),
        bright_device_frac=bright_frac(_device_contrasts(measured)),
        ranges=_ranges(measured, reference),
        measured_sha256=measured_sha256,
        **_about_time_and_space(records),
        **_about_scopes(measured, reference),
    )
    return fingerprint.model_copy(update={"warnings": (*groups.warnings, *find_concerns(fingerprint, contents))})


def _about_time_and_space(records: Sequence[FrameRecord]) -> dict[str, Any]:
    series: defaultdict[str, list[FrameRecord]] = defaultdict(list)
    for record in records:
        if record.series is not None:
            series[record.series].append(record)
    times = [[r.frame_time_ms for r in found if r.frame_time_ms is not None] for found in series.values()]
    times += [[r.frame_time_ms] for r in records if r.series is None and r.frame_time_ms is not None]
    spacings = [r.spacing_in_patient_mm for r in records]
    known = [(y + x) / 2 for y, x in (s for s in spacings if s is not None)]
    return {
        "series_length": percentiles(sorted(len(found) for found in series.values())),
        "frame_time_ms": percentiles(sorted(float(np.median(found)) for found in times if found)),
        "spacing_known_frac": round_significant(len(known) / len(records)),
        "spacing_sources": dict(sorted(Counter(r.spacing_source or "none" for r in records).items())),
        "spacing_mm": percentiles(sorted(known)),
    }


def _about_scopes(measured: Measured, reference_px: int) -> dict[str, Any]:
    """Endoscopes: entry sides, spread of their axes, and their widths in pixels of the reference long side."""
    seen: list[tuple[ScopeMeasures, float]] = [
        (m.scopes[name], reference_px / max(m.content.size_px))
        for name, shown in measured.structures.items()
        for _, m in shown
        if name in m.scopes
    ]
    axes = [s.axis_deg for s, _ in seen if s.axis_deg is not None]
    spread = circular_sd_deg(np.array(axes))
    return {
        "entry_sides": _shares((s.side for s, _ in seen), SIDES),
        "scope_axis_sd_deg": None if spread is None else round_significant(spread),
        "scope_width_px": percentiles([s.width_px * scale for s, scale in seen if s.width_px is not None]),
    }


def _device_contrasts(measured: Measured) -> list[float]:
    """Contrast of the clearest device of every frame in which one was measured."""
    clearest: dict[str, float] = {}
    for name, shown in measured.structures.items():
        for s, m in shown if is_device(name) else ():
            contrast, frame = contrast_sd(s, m), m.content.frame
            if contrast is not None and abs(contrast) > abs(clearest.get(frame, 0.0)):
                clearest[frame] = contrast
    return list(clearest.values())


def _ranges(measured: Measured, reference_px: int) -> dict[str, tuple[float, float]]:
    found = ranges_of(grey_quantities(i) for i in measured.grey)
    for name, shown in measured.structures.items():
        found |= ranges_of(structure_quantities(name, s, m, reference_px) for s, m in shown)
    return found


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


def _outside(measured: Measured) -> float:
    """Share of the annotated pixels that were measured that lie outside the field that was found."""
    areas = [(s.area_px, s.outside_frac) for shown in measured.structures.values() for s, _ in shown]
    total = sum(area for area, _ in areas)
    return round_significant(sum(area * frac for area, frac in areas) / total) if total else 0.0


def _shares(values: Iterable[str], order: Sequence[str]) -> dict[str, float]:
    """Share of each value that occurs, in a fixed order."""
    counts = Counter(values)
    return {value: round_significant(counts[value] / counts.total()) for value in order if counts[value]}


def _percentiles(values: Sequence[float]) -> Percentiles:
    result = percentiles(values)
    if result is None:
        raise ValueError("no values; expected at least one frame")
    return result


def _variation(values: Sequence[float]) -> float:
    """Standard deviation / mean."""
    mean = float(np.mean(values))
    return round_significant(float(np.std(values)) / mean) if mean > 0 else 0.0
