import csv
import io
import itertools
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ercpseg.errors import InputRefused
from ercpseg.importers import polylines
from ercpseg.importers.annotation import LabelNames
from ercpseg.structures import StructureSet
from tests.unit.importers.surveyed import NAME, Surveyed, box, refused

SIZE = (10, 8)
COLUMNS = {"frame_column": "StudyInstanceUID", "label_column": "label", "points_column": "data"}
HEAD = "StudyInstanceUID,label,data\n"
ACROSS = '"[[1, 4], [6, 4]]"'


@pytest.fixture
def found(tmp_path):
    def make(text, names=None, file="train.csv", **spec):
        path = tmp_path / file
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Surveyed(tmp_path, None, names, **{"format": "polylines", **COLUMNS, **spec})

    return make


def near(mask, line, reach):
    """All pixels within reach of one segment ((y, x), (y, x))."""
    (y0, x0), (y1, x1) = line
    y, x = np.indices(mask.shape, float)
    length2 = (y1 - y0) ** 2 + (x1 - x0) ** 2
    share = np.clip(((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / length2, 0, 1) if length2 else 0.0
    return np.hypot(y - y0 - share * (y1 - y0), x - x0 - share * (x1 - x0)) <= reach + 1e-10


def test_rows_of_a_frame_unite_and_keep_their_centre_lines(found):
    table = found(
        HEAD
        + f"p1_a,CVC - Normal,{ACROSS}\n"
        + f"p2,NGT - Normal,{ACROSS}\n"
        + 'p1_a,CVC - Abnormal,"[[1, 8], [6, 8]]"\n'
        + 'P1_A.jpg,NGT - Normal,"[[3, 1], [3, 8]]"\n',
        LabelNames({"cvc": ("CVC - Normal", "CVC - Abnormal"), "ngt": ("NGT - Normal",)}),
        width_px=1.0,
    )
    assert table.keys == ["p1_a", "p2"]
    drawn = table.draw("p1_a", SIZE)
    assert (drawn.masks["cvc"] == (box(SIZE, 4, 4, 1, 6) | box(SIZE, 8, 8, 1, 6))).all()
    assert (drawn.masks["ngt"] == box(SIZE, 1, 8, 3, 3)).all()
    assert [line.tolist() for line in drawn.lines["cvc"]] == [[[4, 1], [4, 6]], [[8, 1], [8, 6]]]  # (y, x)
    assert drawn.notes == ()
    assert table.format.overlaps


def test_width_in_px_in_mm_or_three_px(found):
    row = HEAD + f"a,wire,{ACROSS}\n"
    assert found(row).draw("a", SIZE).masks["guidewire"][:, 3].sum() == 3
    assert found(row, width_px=5.0).draw("a", SIZE).masks["guidewire"][:, 3].sum() == 5
    in_mm = found(row, width_mm=1.0)
    wide = in_mm.draw("a", SIZE, spacing=(0.2, 0.5)).masks["guidewire"]
    assert wide[:, 3].tolist() == [2 <= i <= 6 for i in range(10)]  # 0.5 mm on either side are 2.5 rows
    assert wide[4].tolist() == [i <= 7 for i in range(8)]  # and one column
    assert refused(lambda: in_mm.draw("a", SIZE)) == "bad-annotation"
    thin = found(row, width_mm=0.01).draw("a", SIZE, spacing=(0.5, 0.5))
    assert thin.masks["guidewire"].sum() == 6
    assert len(thin.notes) == 1


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("1.2.826.0.1.3680043.8.498.266", "1.2.826.0.1.3680043.8.498.266"),
        ("1.2.826.0.1.3680043.8.498.266.jpg", "1.2.826.0.1.3680043.8.498.266"),
        ("train/A_1.png", "a_1"),
        ("a_1", "a_1"),
        ("scan.v2", "scan.v2"),
        ("=1+1", "=1+1"),
        ("Été", "été"),
    ],
)
def test_a_frame_by_stem_by_file_or_by_uid_is_one_item(found, name, key):
    assert found(HEAD + f"{name},wire,{ACROSS}\n").keys == [key]


def test_suffix_and_labels_that_are_left_out(found):
    table = found(HEAD + f"a_ann,wire,{ACROSS}\na_ann,Note,{ACROSS}\n", LabelNames(ignore=["note"]), suffix="_ann")
    assert table.keys == ["a"]
    drawn = table.draw("a", SIZE)
    assert set(drawn.masks) == {"guidewire"}
    assert drawn.notes == ("lines that have a label that is left out: 1",)


def test_a_row_without_label_and_points_says_that_there_is_nothing(found):
    table = found(HEAD + "a,,\nb, ,\n")
    assert table.keys == ["a", "b"]
    assert table.draw("a", SIZE).masks == {}
    assert refused(lambda: found(HEAD + "a,wire,\n").draw("a", SIZE)) == "bad-annotation"


def test_tables_as_programs_write_them(found):
    text = "\ufeff" + 'StudyInstanceUID,x,"data","label"\r\n'
    text += 'a,"1,5","[[1,4],\r\n[6,4]]","a ""wire"""\r\n\r\nb,,"[[1, 4], [6, 4]]",wire\r\n'
    table = found(text, LabelNames({"guidewire": ['a "wire"']}))
    assert table.keys == ["a", "b"]
    assert table.draw("a", SIZE).masks["guidewire"].any()


def test_a_slip_over_the_edge_is_cut_more_is_refused(found):
    slip = found(HEAD + 'a,wire,"[[-1.5, 4], [8.5, 4]]"\n').draw("a", SIZE)
    assert slip.lines["guidewire"][0].tolist() == [[4, -0.5], [4, 7.5]]
    assert slip.notes == ("shapes that reach over the edge and are cut: 1",)
    assert refused(lambda: found(HEAD + 'a,wire,"[[-1.6, 4], [8, 4]]"\n').draw("a", SIZE)) == "bad-annotation"


@pytest.mark.parametrize(
    "points",
    [
        "[[1, 4]]",
        "[]",
        "[[1, 4], [6]]",
        "[[1, 4], [6, 4, 4]]",
        "[[1, 4], [6, NaN]]",
        "[[1, 4], [6, Infinity]]",
        "[[1, 4], [6, 1e400]]",
        "[[1, 4], [6, true]]",
        f"[[1, 4], [6, '{NAME}']]",
        "[[1, 4], [1000000000, 4]]",
        "((1, 4), (6, 4))",
        "[1, 4, 6, 4]",
        "[" * 100_000,
        "9" * 5000,
        f"__import__('os').system('{NAME}')",
        "{}",
        NAME,
    ],
)
def test_points_that_are_none_refuse_their_own_frame(found, points):
    out = io.StringIO()
    csv.writer(out).writerows([["a", "wire", points], ["b", "wire", "[[1, 4], [6, 4]]"]])
    table = found(HEAD + out.getvalue())
    structures = StructureSet(("guidewire",))
    assert refused(lambda: table.draw("a", SIZE, structures)) == "bad-annotation"
    assert table.draw("b", SIZE, structures).masks["guidewire"].any()


@pytest.mark.parametrize("label", ["", "日本", NAME * 30, "7"])
def test_labels_that_cannot_name_a_structure_refuse_their_own_frame(found, label):
    table = found(HEAD + f"a,{label},{ACROSS}\nb,wire,{ACROSS}\n")
    assert refused(lambda: table.draw("a", SIZE)) == "unknown-structure"
    assert table.draw("b", SIZE).masks["guidewire"].any()
    assert refused(lambda: table.draw("b", SIZE, StructureSet(("cbd",)))) == "unknown-structure"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + f",wire,{ACROSS}\n",
        HEAD + f" ,wire,{ACROSS}\n",
        HEAD + f"images/,wire,{ACROSS}\n",
        HEAD + f"{NAME * 1000},wire,{ACROSS}\n",
        HEAD + "a\0,wire,1\n",
        HEAD + "a,wire\n",
        HEAD + "a,wire,1,2\n",
        HEAD + f'a,"wire,{NAME}\n',
        HEAD + f'a,"wi"re,{ACROSS}\n',
        (HEAD + f"a,wire,{NAME}\xff").encode("latin-1"),
        HEAD.encode("utf-16"),
    ],
)
def test_damaged_tables(found, text):
    assert refused(lambda: found(text, path="train.csv")) == "bad-annotation"


def test_other_tables_are_none_unless_they_are_named(found):
    for text in ("", "\n", "a,b\n1,2\n", "StudyInstanceUID,label\n1,2\n", "label,label,StudyInstanceUID,data\n"):
        assert found(text).items == []
        assert refused(lambda text=text: found(text, path="train.csv")) == "bad-annotation"


def test_only_tables_below_the_path_are_claimed(found):
    assert [one.source for one in found(HEAD, file="notes.txt").claimed] == []
    assert [one.source for one in found(HEAD, file="A.CSV").claimed] == ["A.CSV"]
    assert [one.source for one in found(HEAD, file="b.csv", path="A.CSV").claimed] == ["A.CSV"]


def test_limits(found, monkeypatch):
    long = json.dumps([[i % 8, i % 9] for i in range(40_000)])  # longer than Python's own limit of a field
    assert len(long) > 131_072
    assert found(HEAD + f'a,wire,"{long}"\n').draw("a", SIZE).masks["guidewire"].any()
    monkeypatch.setattr(polylines.strokes, "MAX_POINTS", 50_000)
    two = found(HEAD + f'a,wire,"{long}"\n' * 2)
    assert refused(lambda: two.draw("a", SIZE)) == "too-large"
    monkeypatch.setattr(polylines, "MAX_BYTES", 100)
    assert refused(lambda: found(HEAD + f'a,wire,"{long}"\n')) == "too-large"


def test_a_field_without_end(found, monkeypatch):
    before = csv.field_size_limit()
    monkeypatch.setattr(polylines, "MAX_FIELD_CHARACTERS", 1000)
    assert refused(lambda: found(HEAD + f'a,wire,"{"1" * 2000}"\n', path="train.csv")) == "bad-annotation"
    assert csv.field_size_limit() == before  # it holds for the whole process


coordinate = st.integers(-1, 36).map(lambda k: k / 4)
line = st.lists(st.tuples(coordinate.map(lambda v: min(v, 8.5)), coordinate), min_size=2, max_size=5)


@given(st.lists(line, min_size=1, max_size=3), st.sampled_from([1.0, 2.0, 3.0, 4.5]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_written_come_back_as_drawn_by_distance(found, lines, width):
    out = io.StringIO()
    csv.writer(out).writerows(["a", "wire", json.dumps([list(p) for p in points])] for points in lines)
    drawn = found(HEAD + out.getvalue(), width_px=width).draw("a", SIZE)
    expected = np.zeros(SIZE, bool)
    for points in lines:
        inside = [(min(max(y, -0.5), 9.5), min(max(x, -0.5), 7.5)) for x, y in points]
        for segment in itertools.pairwise(inside):
            expected |= near(expected, segment, width / 2)
    assert (drawn.masks["guidewire"] == expected).all()
    assert [kept.tolist() for kept in drawn.lines["guidewire"]] == [
        [[min(max(y, -0.5), 9.5), min(max(x, -0.5), 7.5)] for x, y in points] for points in lines
    ]


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_is_drawn_or_refused(found, rest):
    try:
        table = found(HEAD.encode() + rest)
        for key in table.keys:
            table.draw(key, SIZE)
    except InputRefused as error:
        assert error.code in ("bad-annotation", "unknown-structure", "too-large")
