"""The bitmask codec and its channels, for any structures and any masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ercpseg.structures import DEFAULT_STRUCTURES, StructureSet, channels

names = st.lists(
    st.sampled_from(DEFAULT_STRUCTURES)
    | st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(lambda n: n not in ("instrument", "duct")),
    min_size=1,
    max_size=8,
    unique=True,
)
shapes = npst.array_shapes(min_dims=2, max_dims=2, max_side=6)


@given(st.data(), names, shapes)
def test_decode_undoes_encode(data: st.DataObject, chosen: list[str], shape: tuple[int, int]) -> None:
    structures = StructureSet(tuple(chosen))
    masks = {name: data.draw(npst.arrays(np.bool_, shape)) for name in chosen}
    bitmask = structures.encode(masks, shape)
    back = structures.decode(bitmask)
    assert list(back) == chosen
    for name in chosen:
        assert back[name].dtype == np.bool_
        assert np.array_equal(back[name], masks[name])


@given(names, npst.arrays(np.uint8, shapes))
def test_encode_undoes_decode_up_to_bits_of_no_structure(chosen: list[str], bitmask: np.ndarray) -> None:
    structures = StructureSet(tuple(chosen))
    known = np.uint8(2 ** len(chosen) - 1)
    assert np.array_equal(structures.encode(structures.decode(bitmask), bitmask.shape), bitmask & known)


@given(names, npst.arrays(np.uint8, shapes))
def test_a_head_is_the_union_of_its_members(chosen: list[str], bitmask: np.ndarray) -> None:
    structures = StructureSet(tuple(chosen))
    heads = structures.heads()
    result = dict(zip(heads, channels(bitmask, heads), strict=True))
    masks = structures.decode(bitmask)
    for name in chosen:
        assert np.array_equal(result[name], masks[name])
    for parent, members in structures.parents.items():
        assert np.array_equal(result[parent], masks[members[0]] | masks[members[1]])


@given(names)
def test_ordered_is_stable(chosen: list[str]) -> None:
    ordered = StructureSet.ordered(chosen)
    assert set(ordered) == set(chosen)
    assert StructureSet.ordered(reversed(chosen)) == ordered == StructureSet.ordered(ordered)
