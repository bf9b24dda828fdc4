"""The training loss: a weighted sum of terms per head, over the network's output levels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import nn

from ercpseg.documents.plan import LossValues
from ercpseg.losses import LOSSES
from ercpseg.losses.functional import pooled_target
from ercpseg.losses.options import TERMS, Term, TermValues, check_term, extra_channels, weights_of

SKELETON_FULL = 0.1
"""Share of the training over which skeleton recall rises: at first there is no line to complete (R17)."""
COMPONENTS_BEGIN = 0.2
"""Share of the training before Dice per component begins: at first there are no components (R17)."""


class WeightedSum(nn.Module):
    """L = Σ_k w_k/Σw · Σ_j A_j(k) + Σ_i B_i(0), A and B the terms of all levels k and of full resolution only.

    Every term counts Σ_h v_h a_h T_h / Σ_h v_h over the heads h, with v = ``head_weight`` and a the term's own weight (R14,
    R15, R22). The levels' weights are divided by their sum over the levels given, so that full resolution alone counts
    as 1; terms of full resolution only (clDice, skeleton recall, CC-Dice) are not diluted.

    Called with the network's output, a tensor (n, h, y, x) or a list of levels, and the target (n, h + extra, y, x) at full
    size: heads, then one channel of tubed skeletons per name in ``tubes``, then one of component regions per name in
    ``regions`` (see ``ercpseg.augmentation.targets``). What a term needs and the target lacks is made from its heads.

    Below full resolution the targets of heads in ``max_pooled`` are shrunk by maximum, so that what is thin or tiny
    survives, and those of the others by majority.
    """

    head_weight: torch.Tensor
    max_pooled: torch.Tensor

    def __init__(
        self,
        heads: Sequence[str],
        terms: Sequence[TermValues],
        *,
        head_weight: Mapping[str, float] | None = None,
        level_weights: Sequence[float] = (1.0,),
        max_pooled: Sequence[str] = (),
        tubes: Sequence[str] = (),
        regions: Sequence[str] = (),
    ):
        super().__init__()
        self.heads = tuple(heads)
        self.level_weights = tuple(float(w) for w in level_weights)
        weight = [1.0 if head_weight is None else float(head_weight[h]) for h in heads]
        self.register_buffer("head_weight", torch.tensor(weight), persistent=False)
        self.register_buffer("max_pooled", torch.tensor([h in max_pooled for h in heads]), persistent=False)
        pooled = [h in max_pooled for h in heads]
        self._pooling = pooled[0] if len(set(pooled)) == 1 else None
        self.terms = nn.ModuleList(
            _WeightedTerm(term, self.heads, {"tube": tuple(tubes), "regions": tuple(regions)})
            for term in terms
            if any(weights_of(term, self.heads).values())
        )
        self._extra_from = {"tube": len(heads), "regions": len(heads) + len(tubes)}
        self.channels = len(heads) + len(tubes) + len(regions)

    def set_progress(self, done: float) -> None:
        """Tell the share of the training that is done, for terms that come in late; without it all count in full."""
        for term in self._terms:
            term.set_progress(done)

    @property
    def active(self) -> tuple[bool, ...]:
        """Which terms count now. What was captured or compiled for one value must be made anew for another."""
        return tuple(term.share > 0 for term in self._terms)

    @property
    def _terms(self) -> list[_WeightedTerm]:
        return cast("list[_WeightedTerm]", list(self.terms))

    def forward(self, output: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """A scalar, in single precision or better."""
        levels = [output] if isinstance(output, torch.Tensor) else list(output)
        with torch.autocast(levels[0].device.type, enabled=False):
            count = len(self.heads)
            wanted = target[:, :count].to(_exact(levels[0]).dtype)
            loss = wanted.new_zeros(())
            total = sum(self.level_weights[: len(levels)])
            for level, (logits, weight) in enumerate(zip(levels, self.level_weights, strict=False)):
                if not weight:
                    continue
                pooling = self.max_pooled if self._pooling is None else self._pooling
                pooled = pooled_target(wanted, level, pooling)
                loss = loss + weight / total * self._sum(_exact(logits), pooled, target, full_only=False)
            return loss + self._sum(_exact(levels[0]), wanted, target, full_only=True)

    def _sum(
        self, logits: torch.Tensor, wanted: torch.Tensor, target: torch.Tensor, *, full_only: bool
    ) -> torch.Tensor:
        loss = logits.new_zeros(())
        for term in self._terms:
            if term.full_only is full_only and term.share > 0:
                loss = loss + term(logits, wanted, target, self.head_weight, self._extra_from)
        return loss / self.head_weight.sum()


class CompoundLoss(WeightedSum):
    """The loss of a plan: Dice and focal terms per head, and the further terms that the plan names.

    ``tubes``, ``regions``: heads whose skeletons and component regions the loader puts behind the target's heads.
    """

    def __init__(
        self, values: LossValues, heads: Sequence[str], *, tubes: Sequence[str] = (), regions: Sequence[str] = ()
    ):
        super().__init__(
            heads,
            planned_terms(values),
            head_weight=values.head_weight,
            level_weights=values.level_weights,
            max_pooled=values.max_pooled,
            tubes=tubes,
            regions=regions,
        )


def planned_terms(values: LossValues) -> list[TermValues]:
    """All terms of a plan: the region term is Dice, or Tversky at heads where misses weigh more than extras (R16)."""
    fn_weight = {head: values.fn_weight.get(head, 0.5) for head in values.dice_weight}
    even = {head: w if fn_weight[head] == 0.5 else 0.0 for head, w in values.dice_weight.items()}
    uneven = {head: w - even[head] for head, w in values.dice_weight.items()}
    focal = {"alpha": values.focal_alpha, "gamma": values.focal_gamma}
    return [
        Term("dice", even),
        Term("tversky", uneven, {"fn_weight": fn_weight}),
        Term("focal", values.focal_weight, focal),
        Term("skeleton-recall", values.skeleton_weight, begin=0.0, full=SKELETON_FULL),
        Term("cc-dice", values.component_weight, begin=COMPONENTS_BEGIN, full=COMPONENTS_BEGIN),
        *values.terms,
    ]


def planned_extras(values: LossValues, heads: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Heads whose skeletons, and heads whose component regions, the loader puts behind the target's heads."""
    return extra_channels(planned_terms(values), list(heads))


class _WeightedTerm(nn.Module):
    """A term at the heads where it has a weight, with the share that the schedule gives it."""

    weight: torch.Tensor
    index: torch.Tensor
    ramp: torch.Tensor

    def __init__(self, term: TermValues, heads: Sequence[str], extras: Mapping[str, Sequence[str]]):
        super().__init__()
        check_term(term, heads)
        spec, weights = TERMS[term.name], weights_of(term, heads)
        used = [head for head in heads if weights[head]]
        self.term = LOSSES[term.name](heads=heads, weight=weights, **term.params)
        self.full_only, self.extra = spec.full_only, spec.extra
        self.every_head = len(used) == len(heads)
        self.begin, self.full = float(getattr(term, "begin", 0.0)), float(getattr(term, "full", 0.0))
        self.share = 1.0
        self.register_buffer("weight", torch.tensor([weights[h] for h in used]), persistent=False)
        self.register_buffer("index", torch.tensor([list(heads).index(h) for h in used]), persistent=False)
        self.register_buffer("ramp", torch.ones(()), persistent=False)
        supplied = extras.get(self.extra or "", ())
        given = [list(supplied).index(h) for h in used] if set(used) <= set(supplied) else None
        self.given: torch.Tensor | None
        self.register_buffer("given", None if given is None else torch.tensor(given), persistent=False)

    def set_progress(self, done: float) -> None:
        rising = (done - self.begin) / (self.full - self.begin) if self.full > self.begin else float(done >= self.begin)
        self.share = min(1.0, max(0.0, rising))
        self.ramp.fill_(self.share)

    def forward(
        self,
        logits: torch.Tensor,
        wanted: torch.Tensor,
        target: torch.Tensor,
        head_weight: torch.Tensor,
        extra_from: Mapping[str, int],
    ) -> torch.Tensor:
        extra = None
        if self.given is not None and self.extra is not None:
            extra = target.index_select(1, self.given + extra_from[self.extra])
        if not self.every_head:
            logits, wanted = logits.index_select(1, self.index), wanted.index_select(1, self.index)
            head_weight = head_weight.index_select(0, self.index)
        per_head: torch.Tensor = self.term(logits, wanted, extra)
        return self.ramp * (head_weight * self.weight * per_head).sum()


def _exact(values: torch.Tensor) -> torch.Tensor:
    """At least single precision: half precision ends at 65,504, and a frame has more pixels."""
    return values if values.dtype == torch.float64 else values.float()
