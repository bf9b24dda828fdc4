"""The sum of terms: weights, levels, schedule, extra channels of the target, one graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ercpseg.augmentation.targets import BitmaskToTargets
from ercpseg.documents.plan import LossValues
from ercpseg.geometry.drawing import draw_polyline, fill_disk
from ercpseg.losses.compound import CompoundLoss, WeightedSum
from ercpseg.losses.functional import pooled_target, soft_dice
from ercpseg.losses.options import Term
from ercpseg.losses.topology import soft_cldice
from tests.unit.losses.samples import HEADS, NEEDED, logits_and_masks, term

BITS = {"wire": 1, "duct": 2, "parent": 3}


def bitmask() -> torch.Tensor:
    """A bent wire over a duct with two stones' worth of holes (1, 64, 64)."""
    wire = draw_polyline(np.array([(5.0, 8.0), (30.0, 40.0), (60.0, 50.0)]), (64, 64), 3)
    duct = fill_disk(np.array([30.0, 20.0]), 9, (64, 64)) | fill_disk(np.array([44.0, 54.0]), 4, (64, 64))
    return torch.from_numpy((wire * 1 + duct * 2).astype(np.int16))[None]


def levels(count: int = 1, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 64 >> k, 64 >> k, generator=generator) for k in range(count)]


def target(**extra: Any) -> torch.Tensor:
    one = BitmaskToTargets(BITS, **extra)._apply_to_segmentation(bitmask())
    return torch.stack([one, one])


ALL = [
    Term("dice", {"wire": 1.0, "duct": 0.5, "parent": 1.0}),
    Term("class-balance", {"wire": 2.0}, {"frequency": {"wire": 0.01}}),
    Term("cldice", {"wire": 0.25}, {"iterations": 3}),
    Term("skeleton-recall", {"wire": 1.0}),
    Term("cc-dice", {"duct": 0.5, "parent": 0.5}),
]
WEIGHT = {"wire": 1.0, "duct": 2.0, "parent": 0.5}


def test_the_sum_by_hand() -> None:
    outputs, wanted = levels(2), target()
    loss = WeightedSum(HEADS, ALL, head_weight=WEIGHT, level_weights=(1.0, 0.5), max_pooled=("wire",))
    v = torch.tensor([1.0, 2.0, 0.5])
    expected = torch.zeros(())
    pooled = pooled_target(wanted.float(), 1, torch.tensor([True, False, False]))
    for logits, masks, share in ((outputs[0], wanted.float(), 1 / 1.5), (outputs[1], pooled, 0.5 / 1.5)):
        dice = soft_dice(probability=logits.sigmoid(), target=masks)
        balance = term("class-balance", ("wire",), frequency=0.01).float()(logits[:, :1], masks[:, :1])
        expected += share * ((v * torch.tensor([1.0, 0.5, 1.0]) * dice).sum() + 2 * balance[0]) / v.sum()
    full = wanted.float()
    lines = soft_cldice(probability=outputs[0][:, :1].sigmoid(), target=full[:, :1], iterations=3)
    recall = term("skeleton-recall", ("wire",)).float()(outputs[0][:, :1], full[:, :1])
    stones = term("cc-dice", ("duct", "parent")).float()(outputs[0][:, 1:], full[:, 1:])
    # terms of full resolution are not diluted by the lower level
    expected += (0.25 * lines[0] + recall[0] + 0.5 * (2 * stones[0] + 0.5 * stones[1])) / v.sum()
    assert loss(outputs, wanted).item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_the_loader_adds_is_what_the_loss_would_make() -> None:
    names = {"tubes": ("wire",), "regions": ("duct", "parent")}
    supplied = WeightedSum(HEADS, ALL, head_weight=WEIGHT, **names)
    made = WeightedSum(HEADS, ALL, head_weight=WEIGHT)
    assert supplied.channels == target(**names).shape[1] == 6
    assert supplied(levels(), target(**names)).item() == made(levels(), target()).item()


def test_the_added_channels_are_used() -> None:
    names = {"tubes": ("wire",), "regions": ("duct", "parent")}
    loss = WeightedSum(HEADS, ALL, head_weight=WEIGHT, **names)
    plain, other = target(**names), target(**names)
    other[:, 3] = 0  # no skeleton
    assert loss(levels(), plain).item() != loss(levels(), other).item()
    other = target(**names)
    other[:, 4] = 1  # one region
    assert loss(levels(), plain).item() != loss(levels(), other).item()


def test_lower_levels_of_thin_heads_are_pooled_by_maximum() -> None:
    """All heads, none or some: the three ways give what the function says."""
    outputs = levels(3)
    for pooled in ((), ("wire",), HEADS):
        loss = WeightedSum(HEADS, [Term("dice")], level_weights=(0.0, 1.0, 1.0), max_pooled=pooled)
        flags = torch.tensor([head in pooled for head in HEADS])
        expected = sum(
            soft_dice(probability=outputs[k].sigmoid(), target=pooled_target(target().float(), k, flags)).mean()
            for k in (1, 2)
        )
        assert loss(outputs, target()).item() == pytest.approx(float(expected) / 2, rel=1e-6)


def test_terms_of_full_resolution_do_not_look_at_lower_levels() -> None:
    outputs = levels(2)
    loss = WeightedSum(HEADS, [Term("cldice"), Term("skeleton-recall"), Term("cc-dice")], level_weights=(1.0, 0.5))
    broken = [outputs[0], torch.full_like(outputs[1], float("nan"))]
    assert torch.isfinite(loss(broken, target()))
    assert loss(outputs, target()).item() == loss(outputs[0], target()).item()


def test_terms_come_in_late() -> None:
    outputs, wanted = levels(), target()
    base = WeightedSum(HEADS, [Term("dice")])(outputs, wanted).item()
    extra = WeightedSum(HEADS, [Term("skeleton-recall", {"wire": 1.0})])(outputs, wanted).item()
    loss = WeightedSum(
        HEADS,
        [Term("dice"), Term("skeleton-recall", {"wire": 1.0}, full=0.1), Term("cc-dice", begin=0.2, full=0.2)],
    )
    late = WeightedSum(HEADS, [Term("cc-dice")])(outputs, wanted).item()
    assert loss(outputs, wanted).item() == pytest.approx(base + extra + late), "without progress all count in full"
    for done, ramp, stones in (
        (0.0, 0.0, 0),
        (0.05, 0.5, 0),
        (0.1, 1.0, 0),
        (0.19, 1.0, 0),
        (0.2, 1.0, 1),
        (1.0, 1.0, 1),
    ):
        loss.set_progress(done)
        assert loss(outputs, wanted).item() == pytest.approx(base + ramp * extra + stones * late)
        assert loss.active == (True, ramp > 0, bool(stones))


def test_heads_without_weight_do_not_learn() -> None:
    outputs = [levels()[0].requires_grad_()]
    WeightedSum(HEADS, [Term("dice", {"wire": 1.0}), Term("cross-entropy", {"parent": 1.0})])(
        outputs, target()
    ).backward()
    assert outputs[0].grad is not None
    assert outputs[0].grad[:, [0, 2]].any()
    assert not outputs[0].grad[:, 1].any()


def test_double_precision_is_kept() -> None:
    logits, masks = logits_and_masks(2, 3, 4, 4)
    loss = WeightedSum(HEADS, [Term("dice"), Term("focal")])
    assert loss(logits, masks).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda z: loss(z, masks), (logits.requires_grad_(),))


def test_its_state_is_what_ghm_counts_and_nothing_else() -> None:
    """What a plan says is not saved again; what was counted from batch to batch is."""
    assert WeightedSum(HEADS, ALL).state_dict() == {}
    state = WeightedSum(HEADS, [*ALL, Term("ghm-c")]).state_dict()
    assert [name.rpartition(".")[2] for name in state] == ["counts", "seen"]


def test_one_graph_without_breaks() -> None:
    """With the loader's channels the whole loss is one graph: no look at values, no way to the CPU."""
    names = {"tubes": ("wire",), "regions": ("duct", "parent")}
    terms = [*ALL, Term("focal"), Term("ghm-c"), Term("unified-focal"), Term("focal-tversky"), Term("jaccard")]
    loss = WeightedSum(HEADS, terms, head_weight=WEIGHT, level_weights=(1.0, 0.5), max_pooled=("wire",), **names)
    again = WeightedSum(HEADS, terms, head_weight=WEIGHT, level_weights=(1.0, 0.5), max_pooled=("wire",), **names)
    torch._dynamo.reset()
    compiled = torch.compile(again, backend="eager", fullgraph=True)
    assert compiled(levels(2), target(**names)).item() == pytest.approx(
        loss(levels(2), target(**names)).item(), rel=1e-5
    )


class LaterValues(LossValues):
    """A plan's loss with further terms."""

    terms: tuple[Any, ...] = ()


def test_a_plan_may_name_further_terms() -> None:
    numbers: dict[str, Any] = {
        "head_weight": WEIGHT,
        "dice_weight": dict.fromkeys(HEADS, 1.0),
        "focal_weight": {"wire": 1.0, "duct": 0.0, "parent": 0.0},
        "focal_alpha": {"wire": 5.0, "duct": 1.0, "parent": 1.0},
        "focal_gamma": {"wire": 2.0, "duct": 0.0, "parent": 0.0},
        "level_weights": (1.0,),
        "max_pooled": ("wire",),
    }
    plain = CompoundLoss(LossValues(**numbers), HEADS)
    more = Term("skeleton-recall", {"wire": 1.0})
    further = CompoundLoss(LaterValues(**numbers, terms=(more,)), HEADS)
    alone = WeightedSum(HEADS, [more], head_weight=WEIGHT)
    total = plain(levels(), target()) + alone(levels(), target())
    assert further(levels(), target()).item() == pytest.approx(total.item())


def test_every_term_can_be_summed() -> None:
    from ercpseg.losses import LOSSES

    terms = [Term(name, 0.1, NEEDED.get(name, {})) for name in LOSSES]
    outputs = [levels()[0].requires_grad_()]
    result = WeightedSum(HEADS, terms)(outputs, target())
    result.backward()
    assert torch.isfinite(result)
