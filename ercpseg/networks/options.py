"""What a plan may say about each network, in plain numbers and without torch, so that a mistake is refused at plan time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ercpseg.errors import DocumentError

Value = bool | int | float | str

ENCODERS = ("mobilenetv2_100", "resnet34", "resnet50", "resnet101", "vgg11", "vgg16", "efficientnet_b3")
"""Encoders that FRA-Net may use, by their names in timm: the ablation of its Table 3 and the best single CNN on CathAction."""
MAX_INPUT_CHANNELS = 8
"""Frames stacked as channels: the current one and at most seven before it."""


@dataclass(frozen=True)
class Option:
    """One number, switch or name that a plan may set; its type is the type of ``default``."""

    default: Value
    about: str
    low: float = 0.0
    high: float = 0.0
    among: tuple[str, ...] = ()

    def check(self, value: object, *, where: str) -> Value:
        """The value in the type of the default.

        Raises
        ------
        DocumentError
            when its type is another, or it is out of range.
        """
        if self.among:
            if not isinstance(value, str) or value not in self.among:
                raise DocumentError("no such choice", where=where, expected=f"one of {', '.join(self.among)}")
            return value
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise DocumentError("not true or false", where=where, expected="true or false")
            return value
        whole = isinstance(self.default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise DocumentError("not a number of the right kind", where=where, expected=self.said)
        if not self.low <= value <= self.high:
            raise DocumentError(f"{value} is out of range", where=where, expected=self.said)
        return int(value) if whole else float(value)

    @property
    def said(self) -> str:
        """The range in words."""
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        return f"{kind} from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class NetworkSpec:
    """Sizes that a network takes, and its options.

    ``halvings_more``: it halves its input ``len(features) + halvings_more`` times. ``convolutions``: feature maps that a level
    of its encoder makes (its decoder one more), for nnU-Net's estimate of memory.
    """

    features: tuple[int, ...]
    levels: tuple[int, int]
    halvings_more: int = -1
    options: Mapping[str, Option] = field(default_factory=dict)
    convolutions: int = 2

    def divisor(self, features: Sequence[int]) -> int:
        """Side lengths of an input must be multiples of this."""
        return int(2 ** (len(features) + self.halvings_more))


_PLAIN = (32, 64, 128, 256, 512, 512, 512, 512)
_LIGHT = (16, 16, 32, 64, 64, 128)
_CASCADE = {
    "instrument_head": Option(-1, "output that stage 1 learns; −1 = the head called instrument", -1, 15),
    "opening_px": Option(12, "what is narrower in stage 1's map is no endoscope", 4, 64),
    "decay_px": Option(64.0, "nearness falls to 1/e over this way off the instrument", 4.0, 4096.0),
    "reach_px": Option(512, "ways longer than this count as unreachable", 16, 4096),
}
_FRA = {
    "encoder": Option("mobilenetv2_100", "name in timm; never downloads weights", among=ENCODERS),
    "attention": Option(True, "attention modules on the skips (ablation: without)"),
    "recurrent": Option(True, "recurrent convolutions; else plain ones (ablation: without)"),
    "steps": Option(3, "recurrent steps t after the first convolution", 1, 5),
}

SPECS: dict[str, NetworkSpec] = {
    "light": NetworkSpec(_LIGHT, (2, 8), 0, convolutions=1),
    "light-full": NetworkSpec(_LIGHT, (2, 8), convolutions=1),
    "unet": NetworkSpec(_PLAIN, (2, 9)),
    "resenc": NetworkSpec(_PLAIN, (2, 9)),
    "martin": NetworkSpec(_PLAIN, (2, 9)),
    "ronneberger": NetworkSpec((64, 128, 256, 512, 1024), (2, 7)),
    "fra-net": NetworkSpec((16, 24, 32, 64, 128), (5, 5), 0, _FRA, convolutions=12),
    "ambrosini": NetworkSpec(
        (32, 64, 128, 256, 512),
        (2, 7),
        options={"dropout": Option(0.5, "on the two deepest levels", 0.0, 0.9)},
        convolutions=3,
    ),
    "cascade": NetworkSpec((32, 64, 128, 256, 512), (4, 9), -1, _CASCADE, convolutions=4),
    "realtime": NetworkSpec(
        (16, 32, 64, 128, 128, 128),
        (2, 8),
        0,
        {"blocks": Option(1, "residual blocks per level below the first", 0, 4)},
        convolutions=3,
    ),
}
"""One entry per name in ``NETWORKS``; ``features`` are the published or usual ones, highest resolution first."""


def spec(name: str) -> NetworkSpec:
    """The entry of a network.

    Raises
    ------
    DocumentError
        when there is no network of this name.
    """
    if name not in SPECS:
        raise DocumentError(
            f"no network called {name[:64]!r}", where="network.name", expected=f"one of {', '.join(SPECS)}"
        )
    return SPECS[name]


def check_network(
    name: str,
    features: Sequence[int],
    deep_supervision: int,
    options: Mapping[str, object] | None = None,
    input_channels: int = 1,
) -> dict[str, Value]:
    """Check everything that a plan says of a network; the options with what is not given at its default.

    Raises
    ------
    DocumentError
        with the key and the choices, when something is unknown or out of range.
    """
    entry = spec(name)
    low, high = entry.levels
    if not low <= len(features) <= high:
        expected = f"{low}" if low == high else f"{low} to {high}"
        raise DocumentError(f"{len(features)} levels", where="network.features", expected=f"{expected} for {name}")
    if not all(1 <= number <= 4096 for number in features):
        raise DocumentError("a level has no or too many channels", where="network.features", expected="1 to 4096 each")
    if not 0 <= deep_supervision <= len(features) - 2:
        raise DocumentError(
            f"{deep_supervision} auxiliary outputs",
            where="network.deep_supervision",
            expected=f"0 to {len(features) - 2} with {len(features)} levels",
        )
    if not 1 <= input_channels <= MAX_INPUT_CHANNELS:
        raise DocumentError(
            f"{input_channels} input frames", where="input.frames", expected=f"1 to {MAX_INPUT_CHANNELS}"
        )
    given = dict(options or {})
    for key in given:
        if key not in entry.options:
            raise DocumentError(
                f"{name} has no option {str(key)[:64]!r}",
                where="network.options",
                expected=", ".join(entry.options) or "none",
            )
    return {
        key: option.check(given[key], where=f"network.options.{key}") if key in given else option.default
        for key, option in entry.options.items()
    }
