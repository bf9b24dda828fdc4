"""Networks of this package as ONNX graphs, straight from a plan's numbers and the weights: nothing of torch is loaded.

Each is drawn as its class computes it without training (``ercpseg.networks.light``, ``ercpseg.networks.realtime``); tests hold
that both give the same. Networks that are not listed are exported by torch (:mod:`ercpseg.inference.onnx_export`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ercpseg.frames.mirror import Flip
from ercpseg.networks.drawing import INPUT, Drawing
from ercpseg.networks.options import Value, check_network

if TYPE_CHECKING:
    from ercpseg.documents.plan import NetworkValues


def _light(
    pen: Drawing, x: str, values: NetworkValues, channels: int, heads: int, *, stem_stride: int, **_: Value
) -> None:
    features = values.features

    skips = []
    for level, size in enumerate(pairwise([channels, *features])):
        stride, name = 2 if level else stem_stride, f"encoder.{level}"
        x = pen.node("Relu", pen.convolution(x, f"{name}.0", size, stride=stride, norm=f"{name}.1"))
        skips.append(x)
    below = features[-1]
    for level, (skip, width) in enumerate(zip(skips[-2::-1], features[-2::-1], strict=True)):
        x = pen.node("Relu", pen.doubling(x, f"up.{level}.0", (below, width), norm=f"up.{level}.1"))
        below, name = 2 * width, f"merge.{level}"
        x = pen.node("Relu", pen.merging(x, skip, f"{name}.0", (width, width, below), norm=f"{name}.1"))
    doubled = stem_stride == 2
    for number in range(values.deep_supervision):
        pen.unused(f"auxiliary_heads.{number}", (2 * features[number + (not doubled)], heads))
    pen.output(x, "head", (below, heads), doubled=doubled)


def _realtime(
    pen: Drawing, x: str, values: NetworkValues, channels: int, heads: int, *, blocks: int, **_: Value
) -> None:
    features = values.features

    def plain(x: str, name: str, size: tuple[int, int], stride: int = 1) -> str:
        return pen.convolution(x, f"{name}.0", size, stride=stride, bias=False, norm=f"{name}.1")

    x = pen.node("Relu", plain(pen.folded(x, channels), "stem", (4 * channels, features[0])))
    skips = []
    for level, (above, width) in enumerate(pairwise(features)):
        skips.append(x)
        x = pen.node("Relu", plain(x, f"down.{level}", (above, width), 2))
        for block in range(blocks):
            name = f"encoder.{level}.{block}"
            inner = pen.node("Relu", plain(x, f"{name}.first", (width, width)))
            x = pen.node("Relu", pen.node("Add", plain(inner, f"{name}.second", (width, width)), x))
    for level, (skip, (width, below)) in enumerate(zip(skips[::-1], list(pairwise(features))[::-1], strict=True)):
        doubled = pen.twice_as_large(pen.convolution(x, f"narrow.{level}", (below, width), 1))
        x = pen.node("Relu", plain(pen.node("Add", doubled, skip), f"decoder.{level}", (width, width)))
    for number in range(values.deep_supervision):
        pen.unused(f"auxiliary_heads.{number}", (features[number], heads))
    pen.output(x, "head", (features[0], heads), doubled=True)


DRAWN: dict[str, Callable[..., None]] = {
    "light": partial(_light, stem_stride=2),
    "light-full": partial(_light, stem_stride=1),
    "realtime": _realtime,
}
"""Name of a network → what draws it."""


def draw(
    values: NetworkValues,
    heads: int,
    folds: Sequence[Mapping[str, NDArray[Any]]],
    shape: tuple[int, int, int, int],
    flips: Sequence[Flip] = ((),),
) -> bytes:
    """The mean of a network's folds and mirror images as one ONNX graph: ``frames`` (n, c, y, x) → ``logits`` (n, heads, y, x).

    n is free; c (frames of a series), y and x are those of ``shape``. ``flips``: those of :func:`ercpseg.frames.mirror.flips`.
    ``values.name`` is in :data:`DRAWN`.

    Raises
    ------
    DocumentError
        when a number of the network is unknown or out of range.
    StorageError
        when the weights do not fit.
    """
    options = check_network(values.name, values.features, values.deep_supervision, values.options, shape[1])
    pen = Drawing()
    for arrays, flip in product(folds, flips):
        pen.begin(arrays, share=1 / (len(folds) * len(flips)), mirrored=(2 in flip, 3 in flip))
        DRAWN[values.name](pen, INPUT, values, shape[1], heads, **options)
        pen.end(where="the model's weights")
    return pen.model(shape, heads)
