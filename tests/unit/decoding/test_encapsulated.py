import io
import struct

import pytest

from ercpseg.decoding.encapsulated import group_fragments, read_fragments
from ercpseg.errors import InputRefused

ITEM, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def stream(fragments, table=()):
    body = struct.pack(f"<{len(table)}L", *table)
    data = ITEM + struct.pack("<L", len(body)) + body
    for fragment in fragments:
        data += ITEM + struct.pack("<L", len(fragment)) + fragment
    return data + END


def groups(data, frames, markers=True, extended=()):
    handle = io.BytesIO(data)
    found = group_fragments(handle, len(data), frames, markers=markers, extended=extended)
    return [read_fragments(handle, group) for group in found]


def refusal(*args, **kwargs):
    with pytest.raises(InputRefused) as error:
        groups(*args, **kwargs)
    return error.value.code


A, B, C = b"\xff\xd8aa", b"bbbb", b"\xff\xd8cccc"


def test_one_fragment_per_frame_needs_no_table():
    assert groups(stream([A, C]), 2) == [A, C]


def test_one_frame_takes_all_fragments():
    assert groups(stream([A, B, B]), 1) == [A + B + B]


def test_fragments_are_grouped_by_the_table():
    # items begin at 0 (8 + 4 bytes) and 12 (8 + 4) and 24
    assert groups(stream([A, B, C], table=(0, 24)), 2) == [A + B, C]
    assert groups(stream([A, B, C]), 2, extended=(0, 24)) == [A + B, C]


def test_fragments_are_grouped_by_markers_where_there_is_no_table():
    assert groups(stream([A, B, C, B]), 2) == [A + B, C + B]


def test_empty_fragments_do_not_count():
    assert groups(stream([A, b"", C]), 2) == [A, C]


def test_a_missing_delimiter_at_the_end_of_the_file_is_tolerated():
    assert groups(stream([A, C])[: -len(END)], 2) == [A, C]


def test_counts_that_lie():
    assert refusal(stream([A]), 2) == "truncated"
    assert refusal(stream([A, C]), 1) == "surplus-data"
    assert refusal(stream([A, B], table=(0, 12)), 1, markers=False) == "surplus-data"
    assert refusal(stream([A, B, B]), 2) == "truncated"
    assert refusal(stream([A, B, C], table=(0, 12, 24, 99)), 2) == "surplus-data"
    assert refusal(stream([A, B, B], table=(0,)), 2) == "truncated"
    assert refusal(stream([b"a", b"b", b"c"]), 2, markers=False) == "surplus-data"


def test_tables_that_do_not_fit():
    assert refusal(stream([A, B, C], table=(0, 13)), 2) == "unreadable"
    assert refusal(stream([A, B, C], table=(24, 0)), 2) == "unreadable"


def test_lengths_beyond_the_file():
    data = stream([A, C])
    assert refusal(data[:-12], 2) == "truncated"
    assert refusal(ITEM + b"\0\0\0\0" + ITEM + b"\xf0\xff\xff\xff" + A, 1) == "truncated"
    assert refusal(b"", 1) == "truncated"
    assert refusal(b"garbage that is no item", 1) == "truncated"
