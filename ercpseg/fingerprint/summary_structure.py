"""From the measures of one structure in single frames to its part of the fingerprint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np

from ercpseg.documents.fingerprint import StructureFingerprint
from ercpseg.fingerprint.frame import FrameContent, FrameMeasures
from ercpseg.fingerprint.names import is_device
from ercpseg.fingerprint.ranges import contrast_sd
from ercpseg.fingerprint.shape import percentiles, round_significant
from ercpseg.fingerprint.structure import StructureMeasures

CLEAR_CONTRAST = 0.1
"""In units of the in-field standard deviation; below it a structure is neither bright nor dark."""

Shown = Sequence[tuple[StructureMeasures, FrameMeasures]]


def summarise_structure(
    name: str, contents: Sequence[FrameContent], shown: Shown, reference_px: int
) -> StructureFingerprint:
    """One structure: presence in ``contents`` (all frames), the rest over the frames in which it was measured."""
    frames = sum(name in c.areas_px for c in contents)
    # Lengths refer to the reference long side, areas to its square; see documents/fingerprint.py.
    scales = [reference_px / max(m.content.size_px) for _, m in shown]
    contrasts = [value for s, m in shown if (value := contrast_sd(s, m)) is not None]
    noisy = [(s.contrast_grey, m.intensity.noise_grey) for s, m in shown]
    widths = [s.widths_px * scale for (s, _), scale in zip(shown, scales, strict=True)]
    areas = [s.component_areas_px * scale**2 for (s, _), scale in zip(shown, scales, strict=True)]
    gaps = [gap * scale for (s, _), scale in zip(shown, scales, strict=True) for gap in s.gaps_px]
    centres = np.array([s.place.centre_yx for s, _ in shown])
    return StructureFingerprint(
        frames=frames,
        presence_frac=round_significant(frames / len(contents)),
        foreground_frac=percentiles([s.foreground_frac for s, _ in shown]),
        width_px=percentiles(np.concatenate(widths), n=len(shown)) if shown else None,
        length_px=percentiles([s.length_px * scale for (s, _), scale in zip(shown, scales, strict=True)]),
        components=round_significant(sum(s.components for s, _ in shown) / len(shown)) if shown else 0.0,
        component_area_px=percentiles(np.concatenate(areas)) if shown else None,
        contrast=percentiles(contrasts),
        bright_frac=bright_frac(contrasts),
        device=is_device(name),
        cnr=percentiles([grey / noise for grey, noise in noisy if grey is not None and noise > 0]),
        elongation=percentiles([s.length_px / s.width_px for s, _ in shown]),
        tortuosity=percentiles([s.tortuosity for s, _ in shown if s.tortuosity is not None]),
        gap_px=percentiles(gaps),
        gap99_px=round_significant(float(np.percentile(gaps, 99))) if gaps else None,
        centre_yx=_pair(centres.mean(axis=0)) if shown else None,
        spread_yx=_pair(centres.std(axis=0)) if shown else None,
        flags=dict(sorted(Counter(chain.from_iterable(s.flags for s, _ in shown)).items())),
    )


def bright_frac(contrasts: Sequence[float]) -> float:
    """Share of the clear contrasts that are bright."""
    bright, dark = sum(c >= CLEAR_CONTRAST for c in contrasts), sum(c <= -CLEAR_CONTRAST for c in contrasts)
    return round_significant(bright / (bright + dark)) if bright + dark else 0.0


def _pair(values: np.ndarray) -> tuple[float, float]:
    return round_significant(float(values[0])), round_significant(float(values[1]))
