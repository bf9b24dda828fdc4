"""Structures: bits, order, parents, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.errors import UsageError
from ercpseg.structures import COLOURS, DEFAULT_STRUCTURES, MAX_STRUCTURES, PARENTS, StructureSet, channels


def test_the_default_bits_are_the_contract() -> None:
    structures = StructureSet(DEFAULT_STRUCTURES)
    assert {name: structures.value(name) for name in structures} == {
        "endoscope": 1,
        "guidewire": 2,
        "cbd": 4,
        "stone": 8,
    }
    assert len(structures) == 4


def test_every_structure_has_a_colour_of_its_own() -> None:
    assert len(set(COLOURS)) == MAX_STRUCTURES


def test_overlap_is_kept() -> None:
    structures = StructureSet(DEFAULT_STRUCTURES)
    wire, duct = np.zeros((2, 3), bool), np.zeros((2, 3), bool)
    wire[0, :2] = True
    duct[0, 1:] = True
    # by hand: wire only, both, duct only; the lower row is empty
    assert structures.encode({"guidewire": wire, "cbd": duct}, (2, 3)).tolist() == [[2, 6, 4], [0, 0, 0]]


def test_the_eighth_bit_fits_the_byte() -> None:
    structures = StructureSet(tuple("abcdefgh"))
    full = np.ones((1, 1), bool)
    bitmask = structures.encode(dict.fromkeys(structures, full), (1, 1))
    assert bitmask.dtype == np.uint8
    assert bitmask.item() == 255
    assert structures.encode({"h": full}, (1, 1)).item() == 128
    assert structures.decode(np.array([[128]], np.uint8))["h"].item() is True


def test_no_masks_make_an_empty_bitmask() -> None:
    assert StructureSet(("cbd",)).encode({}, (3, 2)).tolist() == [[0, 0]] * 3


def test_parents_need_all_their_members() -> None:
    assert StructureSet(DEFAULT_STRUCTURES).parents == PARENTS
    assert StructureSet(("endoscope", "cbd", "stone")).parents == {"duct": ("cbd", "stone")}
    assert StructureSet(("guidewire",)).parents == {}


def test_heads_are_structures_then_parents_with_the_union_of_the_bits() -> None:
    # stone is bit 1 and cbd bit 2 here: the union follows the set's own bits, not the default ones
    assert list(StructureSet(("stone", "cbd", "wire")).heads().items()) == [
        ("stone", 1),
        ("cbd", 2),
        ("wire", 4),
        ("duct", 3),
    ]
    assert list(StructureSet(DEFAULT_STRUCTURES).heads().items())[4:] == [("instrument", 3), ("duct", 12)]


def test_ordered_does_not_depend_on_the_order_given() -> None:
    for names in (["b", "stone", "a", "endoscope", "stone"], ["endoscope", "a", "stone", "b"]):
        assert StructureSet.ordered(names).names == ("endoscope", "stone", "a", "b")


@pytest.mark.parametrize(
    "names",
    [
        (),
        tuple("abcdefghi"),
        ("cbd", "cbd"),
        ("CBD",),
        ("1a",),
        ("",),
        ("a b",),
        ("a/b",),
        ("..",),
        ("a\n",),
        ("é",),
        ("instrument",),
        ("duct",),
        ("a" * 41,),
    ],
)
def test_refused_names(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        StructureSet(names)
    assert caught.value.exit_code == 2


def test_the_longest_name_and_the_most_structures() -> None:
    assert len(StructureSet(tuple(letter * 40 for letter in "abcdefgh"))) == MAX_STRUCTURES


def test_channels_of_a_batch() -> None:
    # heads first, whatever is in front of (y, x)
    batch = np.array([[[1, 2]], [[3, 4]]], np.int16)
    result = channels(batch, {"a": 1, "b": 2, "either": 3})
    assert result.shape == (3, 2, 1, 2)
    assert result.astype(int).tolist() == [
        [[[1, 0]], [[1, 0]]],
        [[[0, 1]], [[1, 0]]],
        [[[1, 1]], [[1, 0]]],
    ]
