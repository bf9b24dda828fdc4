"""Which frames come from one X-ray device, and what their grey values are."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ercpseg.documents.dataset import FrameRecord
from ercpseg.documents.fingerprint import DeviceFingerprint
from ercpseg.fingerprint.frame import FrameContent
from ercpseg.fingerprint.intensity import IntensityMeasures
from ercpseg.fingerprint.shape import percentiles


def device_key(record: FrameRecord, content: FrameContent) -> str:
    """What frames of one device have in common: the header's key, else depth and size to within a factor of √2."""
    if record.device is not None:
        return record.device
    return f"{content.bits} bits, size class {round(2 * math.log2(max(content.size_px)))}"


def device_names(keys: Mapping[str, str]) -> dict[str, str]:
    """Key → ``device 1``, ``device 2``, … by falling number of frames, equal ones by their frames' names.

    ``keys`` tells the key of every frame.
    """
    frames: defaultdict[str, list[str]] = defaultdict(list)
    for frame, key in sorted(keys.items()):
        frames[key].append(frame)
    order = sorted(frames, key=lambda key: (-len(frames[key]), frames[key]))
    return {key: f"device {number}" for number, key in enumerate(order, 1)}


def summarise_devices(
    keys: Mapping[str, str], grey: Mapping[str, IntensityMeasures], chosen: Mapping[str, Sequence[str]]
) -> dict[str, DeviceFingerprint]:
    """Grey values of each device.

    Parameters
    ----------
    keys
        frame → key of its device.
    grey
        grey values of the frames measured.
    chosen
        key → frames of the device that are summarised, in their order.
    """
    frames = Counter(keys.values())
    return {
        name: DeviceFingerprint(
            frames=frames[key],
            mean=percentiles([grey[frame].mean_frac for frame in chosen[key]]),
            sd=percentiles([grey[frame].sd_frac for frame in chosen[key]]),
        )
        for key, name in device_names(keys).items()
    }
