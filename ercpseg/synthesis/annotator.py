"""Errors of a human annotator, put on true masks: wobbling outlines, too wide or too narrow, missed parts."""

from __future__ import annotations

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Map
from ercpseg.synthesis.fields import smooth_noise
from ercpseg.synthesis.parameters import draw
from ercpseg.synthesis.rooms import AnnotatorSettings

WOBBLE_PX = 20
"""Distance over which an outline's error changes."""
PIECE_PX = 40
"""Length of the wire pieces that are missed."""
_STREAM = 7


def annotate(masks: dict[str, Mask], field: Mask, spec: AnnotatorSettings, key: tuple[int, ...]) -> dict[str, Mask]:
    """Masks as an annotator might have drawn them; the very same when the domain asks for no errors.

    Outlines are moved by a smooth random field, common to all structures, since an annotator draws them side by side.
    """
    if not (max(spec.jitter_px) or any(spec.dilate_px) or spec.missed):
        return masks
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*key, _STREAM))))
    jitter, dilate = draw(rng, spec.jitter_px), draw(rng, spec.dilate_px)
    knots = max(3, round(field.shape[0] / WOBBLE_PX))
    aspect = field.shape[1] / field.shape[0]
    wobble = [np.float32(jitter) * smooth_noise(rng, _shape(field), knots, aspect) for _ in "yx"]
    result = {}
    for name, mask in masks.items():
        kept = _without_missed(rng, name, mask, spec.missed)
        result[name] = _redrawn(kept, wobble, dilate) & field
    return result


def _shape(mask: Mask) -> tuple[int, int]:
    return mask.shape[0], mask.shape[1]


def _redrawn(mask: Mask, wobble: list[Map], dilate_px: float) -> Mask:
    """The mask with its outline moved by ``wobble`` and outwards by ``dilate_px``."""
    from scipy import ndimage

    if not mask.any():
        return mask
    outside = ndimage.distance_transform_edt(~mask)
    signed = np.where(mask, 0.5 - ndimage.distance_transform_edt(mask), outside - 0.5)
    y, x = np.indices(mask.shape, dtype=np.float32)
    moved = ndimage.map_coordinates(signed, [y + wobble[0], x + wobble[1]], order=1, mode="nearest")
    return np.asarray(moved < dilate_px, np.bool_)


def _without_missed(rng: np.random.Generator, name: str, mask: Mask, missed: float) -> Mask:
    """The mask without the stones and the wire pieces that were overlooked."""
    from scipy import ndimage

    if not missed or name not in ("guidewire", "stone") or not mask.any():
        return mask
    if name == "stone":
        parts, count = ndimage.label(mask)
        keep = np.concatenate([[False], rng.random(count) >= missed])
        return np.asarray(keep[parts], np.bool_)
    rows, columns = ((n + PIECE_PX - 1) // PIECE_PX for n in mask.shape)
    keep = rng.random((rows, columns)) >= missed
    whole = np.repeat(np.repeat(keep, PIECE_PX, 0), PIECE_PX, 1)[: mask.shape[0], : mask.shape[1]]
    return np.asarray(mask & whole, np.bool_)
