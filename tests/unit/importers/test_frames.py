import numpy as np

from ercpseg.documents.dataset import FrameRecord
from ercpseg.importers import count_hint
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
    assert count_hint(tmp_path) == 3


def test_a_single_file(tmp_path, one):
    write_png(tmp_path / "p1_x.png", ramp())
    frame = one(tmp_path / "p1_x.png")
    assert (frame.name, frame.source) == ("p1_x", "p1_x.png")


def test_a_dataset_folder_is_read_from_images_only(masks_folder, read):
    rows = read(masks_folder)
    assert [r.name for r in rows if not isinstance(r, FrameRecord)] == ["p1_a", "p1_b", "p2_c"]
    assert {r.code for r in rows if isinstance(r, FrameRecord)} == {"outside-layout"}
    assert len(rows) == 3 + 5
    assert count_hint(masks_folder) == 3


def test_it_is_a_stream(tmp_path):
    """The first frame comes before the last file is looked at."""
    from ercpseg.importers import iter_frames

    for i in range(3):
        write_png(tmp_path / f"{i}.png", ramp())
    stream = iter_frames(tmp_path)
    assert next(stream).name == "0"
    (tmp_path / "2.png").unlink()
    rest = list(stream)
    assert rest[0].name == "1"
    assert rest[1].code == "unreadable"


def test_no_warning_filters_are_left_behind(make_dicom, read):
    import warnings

    path = make_dicom(ramp(), PatientID="X" * 300)
    before = list(warnings.filters)
    read(path)
    assert list(warnings.filters) == before
