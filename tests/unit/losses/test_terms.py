"""What holds for every term: numerical gradients, limits, invariances, number formats, and what a plan may say of it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from ercpseg.errors import DocumentError
from ercpseg.losses import LOSSES
from ercpseg.losses.compound import WeightedSum
from ercpseg.losses.options import TERMS, Term, check_term, extra_channels
from tests.unit.losses.samples import HEADS, NEEDED, logits_and_masks, term

ANYWHERE = {"area-prior"}
"""Asks only how much is found, not where."""
INSTANCES = {"cc-dice"}
"""Looks at regions, and not at frames without a component."""
OVERLAP = [name for name in LOSSES if name not in ANYWHERE]


def numbers(name: str) -> dict[str, Any]:
    return {"momentum": 0.0} if name == "ghm-c" else {}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name: str) -> None:
    logits, target = logits_and_masks(2, 2, 6, 7, seed=3)
    loss = term(name, heads=("a", "b"), **numbers(name))
    assert torch.autograd.gradcheck(lambda z: loss(z, target), (logits.requires_grad_(),))


@pytest.mark.parametrize("name", [n for n in LOSSES if "per_image" in TERMS[n].numbers])
def test_gradients_per_image(name: str) -> None:
    logits, target = logits_and_masks(3, 1, 5, 5, seed=4)
    loss = term(name, heads=("a",), per_image=True)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), (logits.requires_grad_(),))


@pytest.mark.parametrize("name", OVERLAP)
def test_a_perfect_answer_costs_nothing_and_the_opposite_most(name: str) -> None:
    _, target = logits_and_masks(2, 3, 12, 12, share=0.1)
    loss = term(name, **numbers(name))
    right, wrong = loss(80 * target - 40, target), loss(40 - 80 * target, target)
    assert right.shape == (3,)
    assert (right.abs() < 1e-3).all(), right
    assert (wrong > 0.3).all(), wrong
    between = loss(torch.zeros_like(target), target)
    assert (right < between).all()
    assert (between < wrong).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_empty_and_full_targets(name: str, fill: float) -> None:
    """Finite, with finite gradients, and 0 for the right answer; what is not there cannot be missed."""
    target = torch.full((2, 3, 8, 8), fill, dtype=torch.float64)
    for answer in (-40.0, 0.0, 40.0):
        logits = torch.full_like(target, answer).requires_grad_()
        result = term(name, **numbers(name))(logits, target)
        result.sum().backward()
        assert torch.isfinite(result).all()
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()
        if name not in ANYWHERE and answer == (80 * fill - 40):
            assert (result.abs() < 1e-6).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("turn", [(2,), (3,), (2, 3)])
def test_mirrored_frames_cost_the_same(name: str, turn: tuple[int, ...]) -> None:
    """Regions decide by side where two components are as near; the rest is exact. Lines need no thinning, which does too."""
    logits, _ = logits_and_masks(2, 2, 16, 16, seed=5)
    target = torch.zeros_like(logits)
    target[:, :, 3, 1:7] = 1
    target[0, 0, 12, 13] = 1
    loss = term(name, heads=("a", "b"), **numbers(name))
    plain, mirrored = loss(logits, target), loss(logits.flip(turn), target.flip(turn))
    assert torch.allclose(plain, mirrored, rtol=1e-3 if name in INSTANCES else 1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_heads_do_not_see_one_another_and_frames_have_no_order(name: str) -> None:
    logits, target = logits_and_masks(3, 3, 8, 8, seed=6)
    loss = term(name, **numbers(name))
    plain = loss(logits, target)
    order = torch.tensor([2, 0, 1])
    assert torch.allclose(loss(logits[:, order], target[:, order]), plain[order])
    assert torch.allclose(loss(logits[order], target[order]), plain)
    logits.requires_grad_()
    loss(logits, target)[1].backward()
    assert logits.grad is not None
    assert not logits.grad[:, [0, 2]].any()
    assert logits.grad[:, 1].any()


@pytest.mark.parametrize("name", OVERLAP)
def test_it_pulls_towards_the_target(name: str) -> None:
    """Wherever a pixel of a line is doubted, the gradient raises it; beside the line it does not."""
    target = torch.zeros(2, 1, 12, 12, dtype=torch.float64)
    target[:, :, 6, 2:10] = 1
    logits = (3 * target - 1.5).requires_grad_()
    term(name, heads=("a",), **numbers(name))(logits, target).sum().backward()
    assert logits.grad is not None
    assert logits.grad[target > 0].sum() < 0
    assert logits.grad[target == 0].sum() >= 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_logits_in_every_number_format(name: str, dtype: torch.dtype) -> None:
    """±60, all right and all wrong, in autocast: no overflow, no NaN, gradients finite."""
    _, target = logits_and_masks(2, 3, 64, 64)
    signs = torch.where(torch.rand(target.shape, generator=torch.Generator().manual_seed(0)) < 0.5, 60.0, -60.0)
    loss = WeightedSum(HEADS, [Term(name, 1.0, {**NEEDED.get(name, {}), **numbers(name)})])
    for values in (signs, 120 * target - 60, 60 - 120 * target):
        logits = values.to(dtype).requires_grad_()
        with torch.autocast("cpu", dtype=torch.float16 if dtype is torch.float16 else torch.bfloat16):
            result = loss(logits, target > 0)
        assert result.dtype == torch.float32
        assert torch.isfinite(result)
        result.backward()
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()


# -- what a plan may say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TERMS)
def test_the_defaults_pass_and_are_explained(name: str) -> None:
    chosen = check_term(Term(name, 1.0, NEEDED.get(name, {})), HEADS)
    assert list(chosen) == list(TERMS[name].numbers)
    for key, number in TERMS[name].numbers.items():
        assert number.about
        if number.default is not None:
            assert number.check(number.default, where=key) == number.default


@pytest.mark.parametrize(
    ("value", "where", "words"),
    [
        (Term("dcie"), "loss.terms", "dice"),
        (Term("dice", params={"smoth": 1.0}), "loss.terms.dice", "smooth, per_image"),
        (Term("dice", params={"smooth": "1e-3"}), "loss.terms.dice.smooth", "a number from"),
        (Term("dice", params={"smooth": -1.0}), "loss.terms.dice.smooth", "0 to"),
        (Term("dice", params={"smooth": float("nan")}), "loss.terms.dice.smooth", "0 to"),
        (Term("dice", params={"smooth": True}), "loss.terms.dice.smooth", "a number"),
        (Term("dice", params={"per_image": 1}), "loss.terms.dice.per_image", "true or false"),
        (Term("dice", params={"smooth": {"nope": 1.0}}), "loss.terms.dice.smooth", "wire, duct, parent"),
        (Term("dice", {"nope": 1.0}), "loss.terms.dice.weight", "wire, duct, parent"),
        (Term("dice", -1.0), "loss.terms.dice.weight", "0 to 1000"),
        (Term("class-balance"), "loss.terms.class-balance.frequency", "share of the structure"),
        (Term("class-balance", params={"frequency": 0.0}), "loss.terms.class-balance.frequency", "1e-06"),
        (Term("area-prior", params={"frequency": {"wire": 0.1}}), "loss.terms.area-prior.frequency", "one for each"),
        (Term("cldice", params={"iterations": 2.5}), "loss.terms.cldice.iterations", "whole number"),
        (Term("cldice", params={"iterations": {"wire": 2}}), "loss.terms.cldice.iterations", "whole number"),
        (Term("dice", begin=1.5), "loss.terms.dice", "0 to 1"),
    ],
)
def test_mistakes_name_the_key_and_the_choices(value: Term, where: str, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        check_term(value, HEADS)
    assert caught.value.where == where
    assert words in caught.value.message
    with pytest.raises(DocumentError):
        WeightedSum(HEADS, [value])


def test_a_number_is_needed_only_where_the_term_has_a_weight() -> None:
    chosen = check_term(Term("class-balance", {"wire": 1.0}, {"frequency": {"wire": 0.01}}), HEADS)
    assert chosen == {"frequency": {"wire": 0.01}}
    chosen = check_term(Term("class-balance", {"wire": 1.0}, {"frequency": {"wire": 0.01, "duct": 0.2}}), HEADS)
    assert chosen == {"frequency": {"wire": 0.01}}


def test_what_the_loader_should_add() -> None:
    terms = [
        Term("dice"),
        Term("skeleton-recall", {"duct": 1.0, "wire": 0.5}),
        Term("cc-dice", {"parent": 0.5}),
        Term("skeleton-recall", 0.0),
    ]
    assert extra_channels(terms, HEADS) == (("wire", "duct"), ("parent",))
    assert extra_channels([Term("dice")], HEADS) == ((), ())


def test_checking_loads_no_torch() -> None:
    code = "import sys; from ercpseg.losses import LOSSES; from ercpseg.losses.options import Term, check_term;"
    code += "check_term(Term('dice'), ['a']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
