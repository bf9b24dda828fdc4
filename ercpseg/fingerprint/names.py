"""What a structure's name says: whether it is a radio-opaque device, and whether it is the endoscope."""

from __future__ import annotations

SCOPE_WORDS = frozenset({"endoscope", "scope", "duodenoscope"})
DEVICE_WORDS = SCOPE_WORDS | {"guidewire", "wire", "catheter", "tube", "tubings", "line", "stent"}
"""Words in structure names that mean something radio-opaque, which canonical frames show dark (R1)."""


def is_device(name: str) -> bool:
    """Whether the structure's name says that it is a radio-opaque device.

    >>> is_device("central_venous_line"), is_device("cbd")
    (True, False)
    """
    return not DEVICE_WORDS.isdisjoint(name.split("_"))


def is_scope(name: str) -> bool:
    """Whether the structure's name says that it is the endoscope.

    >>> is_scope("endoscope"), is_scope("guidewire")
    (True, False)
    """
    return not SCOPE_WORDS.isdisjoint(name.split("_"))
