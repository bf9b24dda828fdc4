"""Plain geometry that several rules share: levels, patches, and nnU-Net's estimate of what a network costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ercpseg.documents.plan import Size
from ercpseg.networks.options import spec

RESIDUAL_BLOCKS = (1, 3, 4, 6, 6, 6, 6, 6, 6)
"""Blocks per level of nnU-Net's residual encoder."""
MIN_BOTTLENECK_PX = 4
LEAST_CROP_PX = 192
CROP_BATCH = 4
"""Four windows of half a frame's side cost what one frame costs, and batch statistics want at least four samples."""
REFERENCE_ELEMENTS = 85e6
"""nnU-Net 2.8.1: feature elements of its reference 2D network …"""
RESIDUAL_ELEMENTS = 135e6
"""… and of its residual encoder, counted alike …"""
REFERENCE_BATCH = 12
REFERENCE_MEMORY_GB = 8.0
"""… which trains with this batch size in this memory."""


def parse_shapes(shapes: Iterable[str]) -> list[Size]:
    """Sizes (y, x) of the fingerprint's ``'height x width'``.

    >>> parse_shapes(["512 x 480"])
    [(512, 480)]
    """
    sizes = []
    for text in shapes:
        height, _, width = text.partition(" x ")
        sizes.append((int(height), int(width)))
    return sizes


def largest_working_size(sizes: Sequence[Size], long_side_px: int) -> Size:
    """Height and width (y, x) that hold every frame once its longer side is ``long_side_px``; rounded up.

    >>> largest_working_size([(1024, 768), (600, 800)], 512)
    (512, 512)
    """
    scaled = [(-(-h * long_side_px // max(h, w)), -(-w * long_side_px // max(h, w))) for h, w in sizes]
    return max(h for h, _ in scaled), max(w for _, w in scaled)


def round_up(size: Size, multiple: int) -> Size:
    """Both sides rounded up to a multiple.

    >>> round_up((300, 300), 64)
    (320, 320)
    """
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def features_for(name: str, short_side_px: int) -> tuple[int, ...]:
    """Encoder channels of network ``name`` for inputs of this shorter side (R10).

    Halving stops before the edge falls below 4: ⌊log₂(edge / 4)⌋ halvings.

    >>> len(features_for("unet", 512)), features_for("light", 512)
    (8, (16, 16, 32, 64, 64, 128))
    """
    halvings = max(2, int(math.log2(max(short_side_px, MIN_BOTTLENECK_PX) / MIN_BOTTLENECK_PX)))
    if name in ("unet", "resenc"):
        return tuple(min(32 * 2**level, 512) for level in range(min(halvings, 7) + 1))
    published = spec(name)
    least = max(published.levels[0], 3)
    return published.features[: max(least, halvings - published.halvings_more)]


def training_patch(working: Size, multiple: int, *, crops: bool) -> Size:
    """Training patch (y, x) for working frames of at most this size: all of it, or a window half as long when ``crops``.

    >>> training_patch((512, 512), 64, crops=True), training_patch((500, 300), 64, crops=False)
    ((256, 256), (512, 320))
    """
    whole = round_up(working, multiple)
    if not crops:
        return whole
    side = round_up((max(LEAST_CROP_PX, max(working) // 2),) * 2, multiple)[0]
    return min(whole[0], side), min(whole[1], side)


def feature_elements(name: str, features: Sequence[int], patch: Size, heads: int) -> float:
    """Elements of all feature maps for one sample: nnU-Net's measure of memory (``compute_conv_feature_map_size``)."""
    if name == "resenc":
        return _residual_elements(features, patch, heads)
    first, convolutions = 1 + spec(name).halvings_more, spec(name).convolutions
    sizes = [patch[0] * patch[1] / 4.0 ** (level + first) for level in range(len(features))]
    encoder = sum(convolutions * f * size for f, size in zip(features, sizes, strict=True))
    # Each decoder level: one transposed convolution and as many convolutions as in the encoder.
    decoder = sum((1 + convolutions) * f * size for f, size in zip(features[:-1], sizes[:-1], strict=True))
    return encoder + decoder + heads * patch[0] * patch[1]


def _residual_elements(features: Sequence[int], patch: Size, heads: int) -> float:
    """The same for nnU-Net's residual encoder: a stem, two convolutions per block and a skip where channels or size change."""
    sizes = [patch[0] * patch[1] / 4.0**level for level in range(len(features))]
    total = features[0] * sizes[0] + heads * patch[0] * patch[1]
    for level, (f, size) in enumerate(zip(features, sizes, strict=True)):
        skip = 1 if level and f != features[level - 1] else 0
        total += (2 * RESIDUAL_BLOCKS[level] + skip) * f * size
    return total + sum(2 * f * size for f, size in zip(features[:-1], sizes[:-1], strict=True))


def batch_for_memory(name: str, features: Sequence[int], patch: Size, heads: int, memory_gb: float) -> int:
    """Batch size that nnU-Net's estimate allows in ``memory_gb``; may be 0.

    >>> batch_for_memory("unet", features_for("unet", 1024), (1024, 1024), 2, 8.0)
    3
    """
    elements = feature_elements(name, features, patch, heads)
    reference = (RESIDUAL_ELEMENTS if name == "resenc" else REFERENCE_ELEMENTS) * memory_gb / REFERENCE_MEMORY_GB
    return round(reference / elements * REFERENCE_BATCH)
