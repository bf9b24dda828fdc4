import zipfile

import pytest

from ercpseg.decoding import source as module
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

DATA = bytes(range(256)) * 40


def packed(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def refusal(call):
    with pytest.raises(InputRefused) as error:
        call()
    return error.value.code


def test_a_file(tmp_path):
    (tmp_path / "a").write_bytes(DATA)
    source = Source(tmp_path / "a")
    assert source.size == len(DATA)
    assert source.read() == DATA
    with source.open() as stream:
        stream.seek(-3, 2)
        assert stream.read() == DATA[-3:]
    assert refusal(lambda: source.read(100)) == "too-large"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member(tmp_path, compression):
    path = packed(tmp_path / "a.zip", {"x/1.png": DATA, "x/2.png": DATA[::-1]}, compression)
    for name, data in (("x/1.png", DATA), ("x/2.png", DATA[::-1]), ("x/1.png", DATA)):
        source = Source(path, name)
        assert source.size == len(data)
        assert source.read() == data
    assert Source(path, "x/1.png").key != Source(path, "x/2.png").key != Source(path).key


def test_a_member_is_read_anew_when_the_zip_changes(tmp_path):
    import os

    path = packed(tmp_path / "a.zip", {"1": DATA})
    assert Source(path, "1").read() == DATA
    packed(path, {"1": DATA[:-1] + b"!"})
    os.utime(path, ns=(1, 1))
    assert Source(path, "1").read() == DATA[:-1] + b"!"


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(tmp_path, compression):
    """Python unpacks them without a bound."""
    path = packed(tmp_path / "a.zip", {"1": DATA}, compression)
    assert refusal(Source(path, "1").read) == "unreadable"


def test_bombs(tmp_path, monkeypatch):
    path = packed(tmp_path / "a.zip", {"1": bytes(20_000_000), "2": bytes(1_000_000)})
    assert len(Source(path, "2").read()) == 1_000_000  # an empty mask, not packed by itself
    assert refusal(Source(path, "1").read) == "too-large"
    monkeypatch.setattr(module, "MAX_MEMBER_BYTES", 1000)
    path = packed(tmp_path / "b.zip", {"1": DATA})
    assert refusal(Source(path, "1").read) == "too-large"


def test_a_zip_that_lies_about_the_size(tmp_path):
    path = packed(tmp_path / "a.zip", {"1": DATA})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = (len(DATA) + 5).to_bytes(4, "little")
    path.write_bytes(data)
    assert refusal(Source(path, "1").read) in ("truncated", "unreadable")
    data[at + 24 : at + 28] = (len(DATA) - 5).to_bytes(4, "little")
    path.write_bytes(data)
    assert refusal(lambda: Source(path, "1").read()) in ("truncated", "unreadable")


def test_damaged_members(tmp_path):
    path = packed(tmp_path / "a.zip", {"1": DATA})
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.write_bytes(data)
    assert refusal(Source(path, "1").read) == "unreadable"


def test_a_password(tmp_path):
    path = packed(tmp_path / "a.zip", {"1": DATA})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(data)
    assert refusal(Source(path, "1").read) == "unreadable"
