import os

import pytest

from ercpseg.errors import UsageError
from ercpseg.importers.scan import natural_key, scan, sniff


def by_source(root):
    return {f.source: f.ignored or f.refused or f.kind for f in scan(root)}


def test_order_is_natural_and_deep(tmp_path):
    for name in ("b/img10.png", "b/img2.png", "B.png", "a1.png", "a01.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    assert [f.source for f in scan(tmp_path)] == ["a01.png", "a1.png", "b/img2.png", "b/img10.png", "B.png"]


def test_every_file_has_an_outcome(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("x")
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws/workspace.json").write_text("{}")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/run.json").write_text('{"schema": "ercpseg.prediction/1"}')
    (tmp_path / "out/b.png").write_bytes(b"\x89PNG\r\n\x1a\n")  # no frames.csv: a new run has just removed it
    for name, data in {
        "Thumbs.db": b"x",
        "notes.TXT": b"hello",
        "README": b"hello",
        "empty.png": b"",
        "noise.bin": b"\1" * 300,
        "really_jpeg.png": b"\xff\xd8\xff\xe0",
        "picture.csv": b"\x89PNG\r\n\x1a\n",
        "DICOMDIR": bytes(128) + b"DICM",
        "scan": bytes(128) + b"DICM",
        "text.dcm": b"no dicom at all",
    }.items():
        (tmp_path / name).write_bytes(data)
    assert by_source(tmp_path) == {
        ".git": "hidden",
        "DICOMDIR": "dicomdir",
        "empty.png": "truncated",
        "noise.bin": "unknown-format",
        "notes.TXT": "sidecar",
        "out": "output",
        "picture.csv": "png",
        "README": "sidecar",
        "really_jpeg.png": "jpeg",
        "scan": "dicom",
        "text.dcm": "dicom",
        "Thumbs.db": "system",
        "ws": "workspace",
    }


def test_links_and_special_files(tmp_path):
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"\x89PNG\r\n\x1a\n")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "real.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / "out.png").symlink_to(outside)
    (root / "in.png").symlink_to(root / "real.png")
    (root / "broken.png").symlink_to(root / "nothing")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")
    assert by_source(root) == {
        "broken.png": "link-broken",
        "in.png": "png",
        "loop": "link-folder",
        "out.png": "link-outside",
        "pipe": "not-a-file",
        "real.png": "png",
    }


def test_names_that_are_no_utf8_stay_printable(tmp_path):
    (tmp_path / os.fsdecode(b"p\xff_1.png")).write_bytes(b"\x89PNG\r\n\x1a\n")
    (found,) = scan(tmp_path)
    assert found.source == "p\\xff_1.png"
    assert found.path.exists()


def test_a_file_is_its_own_root_and_nothing_is_an_error(tmp_path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert by_source(tmp_path / "x.png") == {"x.png": "png"}
    with pytest.raises(UsageError):
        list(scan(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"II*\0", "tiff"),
        (b"MM\0*", "tiff"),
        (b"II+\0", "tiff"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "bmp"),
        (b"BMW is a car, not a picture", None),
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "dicom"),  # explicit, without preamble
        (b"\x08\0\x00\0\x04\0\0\0\x52\1\0\0\x08\0\x08\0", "dicom"),  # implicit group length
        (b"GIF89a" + bytes(20), None),
    ],
)
def test_formats_are_told_by_content(head, kind):
    assert sniff(head, 5000) == kind


def test_natural_key_is_total():
    assert sorted(["10", "a", "9", "A", "é"], key=natural_key)[:2] == ["9", "10"]
    assert natural_key("a") != natural_key("A")
    assert sorted(["a1b", "a1", "a", "a10", "a2"], key=natural_key) == ["a", "a1", "a1b", "a2", "a10"]
