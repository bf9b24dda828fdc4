"""The weights of a model's folds, as whatever a runtime asks for: networks of torch, or a graph that needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.serving import Serving, StockNetwork
from ercpseg.frames.mirror import Flip
from ercpseg.networks.drawn import DRAWN, draw

if TYPE_CHECKING:
    import torch

WHERE = "the model's weights"


class Folds:
    """``weights`` maps a fold to its arrays; nothing is made of them before it is asked for."""

    def __init__(self, serving: Serving, weights: Mapping[str, dict[str, NDArray[Any]]]):
        self._serving, self._weights = serving, weights

    @property
    def parameters(self) -> int:
        """How many numbers all networks hold."""
        return sum(array.size for arrays in self._weights.values() for array in arrays.values())

    @property
    def drawable(self) -> bool:
        """Whether :meth:`drawn` can."""
        network = self._serving.network
        return not isinstance(network, StockNetwork) and network.name in DRAWN

    def drawn(self, shape: tuple[int, int, int, int], flips: Sequence[Flip]) -> bytes:
        """All folds and mirror images as one ONNX graph, made without torch; see :func:`ercpseg.networks.drawn.draw`.

        Raises
        ------
        StorageError
            when the weights do not fit the network.
        """
        network = self._serving.network
        assert not isinstance(network, StockNetwork)  # noqa: S101  # drawable
        return draw(network, len(self._serving.heads), list(self._weights.values()), shape, flips)

    @cached_property
    def networks(self) -> list[torch.nn.Module]:
        """A network of torch per fold.

        Raises
        ------
        StorageError
            when the weights do not fit the network.
        """
        return [self._build(arrays) for arrays in self._weights.values()]

    def _build(self, arrays: dict[str, NDArray[Any]]) -> torch.nn.Module:
        from ercpseg.networks import build_network
        from ercpseg.networks.stock import build_stock
        from ercpseg.networks.weights import load_weights

        values, heads = self._serving.network, self._serving.heads
        if isinstance(values, StockNetwork):
            network = build_stock(values, len(heads))
        else:
            network = build_network(values, heads, input_channels=self._serving.frames)
        load_weights(network, arrays, where=WHERE)
        return network.eval()


def noise(shape: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """A tile (1, c, y, x) to time and to compare runtimes with."""
    return np.random.default_rng(0).standard_normal((1, *shape[1:]), np.float32)
