"""What a decoding child answers about annotations beside masks and label images; part of ``worker.OPERATIONS``."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from numpy.typing import NDArray

from ercpseg.decoding.reading import guarded
from ercpseg.decoding.sniff import Kind
from ercpseg.decoding.source import MAX_FILE_BYTES, Source

Reply = tuple[dict[str, Any], list[NDArray[Any]]]

KEEP_BYTES = 64 * 1024 * 1024
"""Layers that are kept for the next slice; more would be missing where a large frame is decoded."""


@dataclass(frozen=True)
class _Bytes(Source):
    """Bytes that were found inside a file."""

    data: bytes = b""

    def read(self, limit: int = MAX_FILE_BYTES) -> bytes:
        return self.data


class _Kept:
    """The layers of the file that was asked for last."""

    def __init__(self) -> None:
        self._key: tuple[str, int, int] | None = None
        self._layers: Any = None

    def layers(self, source: Source) -> Any:
        from ercpseg.decoding.seg_nrrd import read_layers

        status = source.path.stat()
        key = (source.key, status.st_mtime_ns, status.st_size)
        if key == self._key:
            return self._layers
        self._key, self._layers = None, None
        layers = guarded(partial(read_layers, source))
        if layers.planes.nbytes <= KEEP_BYTES:
            self._key, self._layers = key, layers
        return layers


_KEPT = _Kept()


def _inline_mask(source: Source, kind: Kind, request: dict[str, Any]) -> Reply:
    """A mask (y, x) that lies in a file as text: a PNG in base 64."""
    from ercpseg.decoding import images

    def read() -> NDArray[Any]:
        return images.read_mask(_Bytes(source.path, data=base64.b64decode(request["text"], validate=True)), "png")

    return {}, [guarded(read)]


def _layers(source: Source, kind: Kind, _: dict[str, Any]) -> Reply:
    """What a ``.seg.nrrd`` declares."""
    layers = _KEPT.layers(source)
    shape = [int(n) for n in layers.planes.shape]
    return {
        "shape": shape,
        "segments": [list(segment) for segment in layers.segments],
        "offset": list(layers.offset),
    }, []


def _layer_slice(source: Source, kind: Kind, request: dict[str, Any]) -> Reply:
    """One slice of all layers: (layers, y, x)."""
    return {}, [_KEPT.layers(source).planes[:, int(request["number"])]]


def _segments(source: Source, kind: Kind, _: dict[str, Any]) -> Reply:
    """What a DICOM segmentation declares; nothing when the object is none."""
    from ercpseg.decoding.dicom_seg import read_segmentation

    found = guarded(partial(read_segmentation, source))
    if found is None:
        return {}, []
    planes = [[plane.segment, plane.uid, plane.frame] for plane in found.planes]
    return {"segmentation": {**asdict(found), "planes": planes, "size": source.size}}, []


def _segment_plane(source: Source, kind: Kind, request: dict[str, Any]) -> Reply:
    """One frame of a DICOM segmentation."""
    from ercpseg.decoding.dicom_seg import read_plane

    shape = int(request["rows"]), int(request["columns"])
    numbers = (int(request[key]) for key in ("bits", "offset", "number"))
    return {}, [guarded(lambda: read_plane(source, shape, *numbers))]


OPERATIONS: dict[str, Callable[[Source, Kind, dict[str, Any]], Reply]] = {
    "inline-mask": _inline_mask,
    "layers": _layers,
    "layer-slice": _layer_slice,
    "segments": _segments,
    "segment-plane": _segment_plane,
}
