"""What a plan has to have so that weights that come with the program fit it. Tests hold it against the weights themselves."""

from __future__ import annotations

from dataclasses import dataclass

from ercpseg.structures import DEFAULT_STRUCTURES


@dataclass(frozen=True)
class Shipped:
    """Shipped weights; their name is also that of their network."""

    features: tuple[int, ...]
    long_side_px: int = 512
    structures: tuple[str, ...] = DEFAULT_STRUCTURES


SHIPPED: dict[str, Shipped] = {
    "light": Shipped((16, 16, 32, 64, 64, 128)),
    "realtime": Shipped((16, 32, 64, 128, 128, 128)),
}
"""The first is taken unless it is too slow."""
