"""The formulas as modules: numbers per head in buffers, called with logits, target and, for two of them, an extra map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ercpseg.losses import functional, fused, instances, overlap, pixelwise, topology

Formula = Callable[..., torch.Tensor]


def _of_probability(formula: Formula) -> Formula:
    def call(logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, **numbers: Any) -> torch.Tensor:
        return formula(probability=logits.sigmoid(), target=target, **numbers)

    return call


def _of_logits(formula: Formula) -> Formula:
    def call(logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, **numbers: Any) -> torch.Tensor:
        return formula(logits=logits, target=target, **numbers)

    return call


def _dice(
    logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, *, per_image: bool, smooth: Any
) -> torch.Tensor:
    if fused.pays(logits) and not per_image:
        return fused.soft_dice(logits=logits, target=target, smooth=smooth)
    return functional.soft_dice(probability=logits.sigmoid(), target=target, smooth=smooth, per_image=per_image)


def _tversky(
    logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, *, per_image: bool, **numbers: Any
) -> torch.Tensor:
    if fused.pays(logits) and not per_image and "exponent" not in numbers:
        return fused.tversky(logits=logits, target=target, **numbers)
    return overlap.tversky(probability=logits.sigmoid(), target=target, per_image=per_image, **numbers)


def _focal(logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, **numbers: Any) -> torch.Tensor:
    formula = fused.augmented_focal if fused.pays(logits) else functional.augmented_focal
    return formula(logits=logits, target=target, **numbers)


def _area_prior(logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, **numbers: Any) -> torch.Tensor:
    return overlap.area_prior(probability=logits.sigmoid(), **numbers)


def _categorical_focal(
    logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, *, alpha: torch.Tensor, gamma: torch.Tensor
) -> torch.Tensor:
    return pixelwise.focal(logits=logits, target=target, positive_weight=alpha, negative_weight=alpha, gamma=gamma)


def _balanced_focal(
    logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, *, alpha: torch.Tensor, gamma: torch.Tensor
) -> torch.Tensor:
    return pixelwise.focal(logits=logits, target=target, positive_weight=alpha, negative_weight=1 - alpha, gamma=gamma)


def _skeleton_recall(
    logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, **numbers: Any
) -> torch.Tensor:
    tube = topology.skeleton_tubes(target) if extra is None else extra.to(logits.dtype)
    return topology.skeleton_recall(probability=logits.sigmoid(), tube=tube, **numbers)


def _cc_dice(logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None, **numbers: Any) -> torch.Tensor:
    regions = instances.component_regions(target) if extra is None else extra
    return instances.cc_dice(probability=logits.sigmoid(), target=target, regions=regions, **numbers)


FORMULAS: dict[str, Formula] = {
    "dice": _dice,
    "jaccard": _of_probability(overlap.soft_jaccard),
    "weighted-dice": _of_probability(overlap.weighted_dice),
    "mean-dice": _of_probability(overlap.mean_dice),
    "pixel-weighted-dice": _of_probability(overlap.pixel_weighted_dice),
    "tversky": _tversky,
    "focal-tversky": _of_probability(overlap.tversky),
    "cross-entropy": _of_logits(pixelwise.cross_entropy),
    "weighted-cross-entropy": _of_logits(pixelwise.cross_entropy),
    "inverse-frequency": _of_logits(pixelwise.inverse_frequency),
    "class-balance": _of_logits(pixelwise.class_balanced),
    "area-prior": _area_prior,
    "focal": _focal,
    "categorical-focal": _categorical_focal,
    "balanced-focal": _balanced_focal,
    "unified-focal": _of_logits(pixelwise.unified_focal),
    "cldice": _of_probability(topology.soft_cldice),
    "skeleton-recall": _skeleton_recall,
    "cc-dice": _cc_dice,
}


class FormulaTerm(nn.Module):
    """One formula with its numbers: logits (n, h, y, x), target alike → (h,).

    ``extra``: tubed skeletons or component regions of the same heads; made from the target when not given.
    """

    def __init__(self, formula: Formula, numbers: Mapping[str, Any], heads: Sequence[str]):
        super().__init__()
        self.formula = formula
        self.fixed: dict[str, Any] = {}
        self.per_head: list[str] = []
        for key, value in numbers.items():
            if isinstance(value, Mapping):
                self.register_buffer(key, torch.tensor([float(value[head]) for head in heads]), persistent=False)
                self.per_head.append(key)
            else:
                self.fixed[key] = value

    def forward(self, logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        """See the class."""
        numbers = {key: getattr(self, key).to(logits.dtype) for key in self.per_head}
        return self.formula(logits, target, extra, **numbers, **self.fixed)


class HarmonisedTerm(nn.Module):
    """GHM-C with running counts: R ← m·R + (1 − m)·R of this batch, as the paper smooths them; m = ``momentum``.

    The counts move only where gradients are recorded, so that validation leaves them alone. The first batch sets them.
    They are the module's state, which checkpoints keep: a resumed run goes on from them.
    """

    counts: torch.Tensor
    seen: torch.Tensor

    def __init__(self, *, bins: int, momentum: float, heads: Sequence[str]):
        super().__init__()
        self.bins, self.momentum = bins, momentum
        self.register_buffer("counts", torch.zeros(len(heads), bins))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, logits: torch.Tensor, target: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        """See :func:`ercpseg.losses.pixelwise.ghm_c`."""
        with torch.no_grad():
            fresh = pixelwise.gradient_counts(logits=logits, target=target, bins=self.bins).to(self.counts.dtype)
            kept = self.momentum * self.seen
            counts = kept * self.counts + (1 - kept) * fresh
        if torch.is_grad_enabled():
            self.counts.copy_(counts)
            self.seen.fill_(1.0)
        return pixelwise.ghm_c(logits=logits, target=target, counts=counts.to(logits.dtype))


def build_term(name: str, heads: Sequence[str], numbers: Mapping[str, Any]) -> nn.Module:
    """The module of a term for these heads, from numbers that :func:`ercpseg.losses.options.check_term` has checked."""
    if name == "ghm-c":
        return HarmonisedTerm(bins=numbers["bins"], momentum=numbers["momentum"], heads=heads)
    return FormulaTerm(FORMULAS[name], numbers, heads)
