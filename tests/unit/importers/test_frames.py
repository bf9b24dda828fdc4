import numpy as np

from ercpseg.documents.dataset import FrameRecord
from ercpseg.importers.frames import FrameFolder
from ercpseg.storage.images import write_png


def ramp(step=7):
    return (np.arange(30).reshape(6, 5) * step).astype(np.uint8)


def test_a_mixed_folder_streams_in_order(tmp_path, read, make_dicom):
    write_png(tmp_path / "a_2.png", ramp())
    make_dicom(np.stack([ramp(3), ramp(5)]), frames=2, name="b.dcm")
    (tmp_path / "c.png").write_bytes(b"nothing")
    write_png(tmp_path / "sub" / "a_2.png", ramp(3))
    (tmp_path / "z.csv").write_text("x")
    rows = read(tmp_path)
    names = [r.frame if isinstance(r, FrameRecord) else r.name for r in rows]
    assert names[:4] == ["a_2", "b_f0000", "b_f0001", "c"]
    assert names[4].startswith("a_2-")
    assert names[5] == ""
    assert [getattr(r, "status", "frame") for r in rows] == ["frame"] * 3 + ["refused", "frame", "ignored"]
    assert [r.source for r in rows] == ["a_2.png", "b.dcm", "b.dcm", "c.png", "sub/a_2.png", "z.csv"]
    assert len(FrameFolder(tmp_path)) == 3


def test_a_single_file(tmp_path, one):
    write_png(tmp_path / "p1_x.png", ramp())
    frame = one(tmp_path / "p1_x.png")
    assert (frame.name, frame.source) == ("p1_x", "p1_x.png")


def test_a_dataset_folder_is_read_from_images_only(masks_folder, read):
    rows = read(masks_folder)
    assert [r.name for r in rows if not isinstance(r, FrameRecord)] == ["p1_a", "p1_b", "p2_c"]
    assert {r.code for r in rows if isinstance(r, FrameRecord)} == {"outside-layout"}
    assert len(rows) == 3 + 5
    assert len(FrameFolder(masks_folder)) == 3


def test_it_is_a_stream(tmp_path):
    """The first frame comes before the last file is decoded; a file that has gone meanwhile is refused."""
    from ercpseg.importers.frames import WINDOW, iter_frames

    for i in range(WINDOW + 2):
        write_png(tmp_path / f"{i}.png", ramp())
    stream = iter_frames(tmp_path)
    assert next(stream).name == "0"
    (tmp_path / f"{WINDOW + 1}.png").unlink()
    rest = list(stream)
    assert rest[0].name == "1"
    assert rest[-1].code == "unreadable"


def test_frames_in_a_zip(tmp_path, read):
    import zipfile

    write_png(tmp_path / "a.png", ramp())
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.png", "deep/p1_10.png")
        archive.write(tmp_path / "a.png", "deep/p1_9.png")
        archive.writestr("__MACOSX/x.png", b"x")
        archive.writestr("readme.txt", b"x")
        archive.writestr("odd", b"\1\2\3")
        archive.writestr("again.zip", (b"PK\3\4" + bytes(30)))
    (tmp_path / "a.png").unlink()
    rows = read(tmp_path)
    told = {r.source: getattr(r, "code", "frame") for r in rows}
    assert told == {
        "export.zip/__MACOSX/x.png": "system",
        "export.zip/again.zip": "packed-twice",
        "export.zip/deep/p1_9.png": "frame",
        "export.zip/deep/p1_10.png": "frame",
        "export.zip/odd": "unknown-format",
        "export.zip/readme.txt": "sidecar",
    }
    assert [r.name for r in rows if getattr(r, "code", None) is None] == ["p1_9", "p1_10"]
    assert all((r.pixels == ramp()).all() for r in rows if getattr(r, "code", None) is None)


def test_two_packed_files_of_one_name(tmp_path, read):
    import warnings
    import zipfile

    write_png(tmp_path / "a.png", ramp())
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        warnings.simplefilter("ignore")
        archive.write(tmp_path / "a.png", "a.png")
        archive.write(tmp_path / "a.png", "a.png")
    (tmp_path / "a.png").unlink()
    assert [r.code for r in read(tmp_path)] == ["duplicate", "duplicate"]


def test_a_broken_zip(tmp_path, code):
    (tmp_path / "x.zip").write_bytes(b"PK\3\4" + bytes(100))
    assert code(tmp_path / "x.zip") == "unreadable"


def test_the_index_of_a_medium_stands_for_the_medium(tmp_path, read, make_dicom):
    make_dicom(ramp(), name="IM0001")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    rows = read(tmp_path / "DICOMDIR")
    assert [(r.source, getattr(r, "code", "frame")) for r in rows] == [("DICOMDIR", "dicomdir"), ("IM0001", "frame")]


def test_no_warning_filters_are_left_behind(make_dicom, read):
    import warnings

    path = make_dicom(ramp(), PatientID="X" * 300)
    before = list(warnings.filters)
    read(path)
    assert list(warnings.filters) == before
