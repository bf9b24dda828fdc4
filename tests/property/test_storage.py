"""What is written comes back, for any text, any picture and any array."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ercpseg.storage.arrays import decode_arrays, encode_arrays
from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.tables import read_table, write_table

text = st.text(st.sampled_from("'=+-@\t\r\n\",; ab") | st.characters(codec="utf-8"), max_size=8)
QUICK = settings(max_examples=60, deadline=None)


@QUICK
@given(st.lists(st.fixed_dictionaries({"a": text, "b": text, "c=": text}), max_size=5))
def test_tables(rows: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        write_table(path, ["a", "b", "c="], rows)
        assert read_table(path) == rows
        raw = path.read_bytes().decode().split("\n", 1)[1]
        # no cell begins as a formula: what stands after a separator is a quote, or harmless
        for row in rows:
            for value in row.values():
                if value.startswith(("=", "+", "-", "@", "\t", "\r")):
                    assert "'" + value.replace('"', '""') in raw


pictures = st.one_of(
    *(
        npst.arrays(dtype, npst.array_shapes(min_dims=2, max_dims=2, max_side=9))
        for dtype in (np.bool_, np.uint8, np.uint16)
    )
)


@QUICK
@given(pictures)
def test_pictures(picture: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_png(Path(folder) / "a.png", picture)
        back = read_png(Path(folder) / "a.png")
    expected = np.where(picture, 255, 0).astype(np.uint8) if picture.dtype == bool else picture
    assert back.dtype == expected.dtype
    assert np.array_equal(back, expected)


arrays = st.dictionaries(
    st.text(min_size=1, max_size=6).filter(lambda name: name != "__metadata__"),
    npst.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    max_size=4,
)
metadata = st.dictionaries(
    text, st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
)


@QUICK
@given(arrays, metadata)
def test_arrays(given_arrays: dict[str, np.ndarray], given_metadata: dict[str, object]) -> None:
    back, notes = decode_arrays(encode_arrays(given_arrays, given_metadata), where="test")
    assert notes == given_metadata
    assert set(back) == set(given_arrays)
    for name, array in given_arrays.items():
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype
        assert back[name].tobytes() == array.tobytes()
