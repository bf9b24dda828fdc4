import hashlib
import json
import shutil

import numpy as np
import pytest
import tifffile

from ercpseg.errors import DataError, UsageError
from ercpseg.importers.dataset import THREADS, ImportOptions, import_dataset
from ercpseg.storage import documents
from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.tables import read_table
from ercpseg.storage.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "ws")


def rows_of(workspace, name="x"):
    return read_table(workspace.dataset_folder(name) / "frames.csv")


def codes(workspace):
    return {r["source"]: r["code"] for r in rows_of(workspace) if r["status"] != "used"}


def ramp(step=7):
    return (np.arange(30).reshape(6, 5) * step).astype(np.uint8)


def test_a_folder_of_frames_and_masks(masks_folder, workspace):
    dataset = import_dataset(masks_folder, workspace, "x")
    assert (dataset.layout, dataset.structures, dataset.nnunet_id) == ("folder", ("endoscope", "stone"), 1)
    assert (dataset.found, dataset.used, dataset.refused, dataset.ignored) == (3, 3, 0, 0)
    raw = workspace.raw_folder("x")
    assert sorted(p.name for p in (raw / "imagesTr").iterdir()) == [f"{s}_0000.png" for s in ("p1_a", "p1_b", "p2_c")]
    expected = np.zeros((6, 5), np.uint8)
    expected[1:4, 1:4] = 1
    assert (read_png(raw / "labelsTr" / "p2_c.png") == expected).all()  # no mask of stone: absent
    expected[3:5, 3:5] |= 2
    assert (read_png(raw / "labelsTr" / "p1_a.png") == expected).all()
    assert expected[3, 3] == 3  # the overlap is kept
    assert (read_png(raw / "imagesTr" / "p1_a_0000.png") == ramp()).all()
    first = rows_of(workspace)[0]
    assert (first["frame"], first["source"], first["patient"]) == ("p1_a", "images/p1_a.png", "p1")
    assert (first["height_px"], first["width_px"], first["bits"], first["spacing_y_mm"]) == ("6", "5", "8", "")
    assert documents.load(workspace.dataset_folder("x") / "dataset.json", type(dataset)) == dataset


def test_cases_are_in_natural_order(masks_folder, workspace):
    for i in (10, 9, 1):
        write_png(masks_folder / "images" / f"q{i}.png", ramp())
        write_png(masks_folder / "masks" / "stone" / f"q{i}.png", np.eye(6, 5, dtype=bool))
    import_dataset(masks_folder, workspace, "x")
    assert [r["frame"] for r in rows_of(workspace)] == ["p1_a", "p1_b", "p2_c", "q1", "q9", "q10"]


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_an_empty_folder(tmp_path, workspace):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        import_dataset(tmp_path / "empty", workspace, "x")
    assert error.value.exit_code == 65
    assert not workspace.root.exists()
    with pytest.raises(UsageError):
        import_dataset(tmp_path / "nothing", workspace, "x")


def test_every_bad_frame_is_a_row_and_the_counts_add_up(masks_folder, workspace, make_dicom):
    images, masks = masks_folder / "images", masks_folder / "masks"
    write_png(masks / "stone" / "lonely.png", np.eye(6, 5, dtype=bool))
    write_png(images / "size.png", ramp())
    write_png(masks / "stone" / "size.png", np.eye(5, 6, dtype=bool))
    for stem in ("twin", "TWIN"):
        write_png(images / stem / f"{stem}.png", ramp())
    write_png(masks / "stone" / "twin.png", np.eye(6, 5, dtype=bool))
    write_png(images / "bare.png", ramp())
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (images / "noise.png").write_bytes(b"\1\2\3")
    short = make_dicom(ramp(), name="short.dcm")
    (images / "short.dcm").write_bytes(short.read_bytes()[:-9])
    write_png(images / "badmask.png", ramp())
    (masks / "stone" / "badmask.png").write_bytes(b"\1\2\3")
    (masks / "readme.txt").write_text("x")
    (masks_folder / "extra.png").write_bytes((images / "bare.png").read_bytes())
    dataset = import_dataset(masks_folder, workspace, "x")
    assert codes(workspace) == {
        "masks/stone/lonely.png": "no-frame",
        "images/size.png": "size-mismatch",
        "images/twin/twin.png": "duplicate",
        "images/TWIN/TWIN.png": "duplicate",
        "images/bare.png": "no-annotation",
        "images/broken.png": "no-annotation",
        "images/noise.png": "unknown-format",
        "images/short.dcm": "truncated",
        "images/badmask.png": "bad-annotation",
        "masks/readme.txt": "sidecar",
        "extra.png": "outside-layout",
    }
    assert (dataset.used, dataset.refused, dataset.ignored) == (3, 9, 2)
    assert dataset.found == dataset.used + dataset.refused + dataset.ignored == len(rows_of(workspace))
    assert len(list((workspace.raw_folder("x") / "imagesTr").iterdir())) == 3


def test_unreadable_frames_with_annotation(masks_folder, workspace, make_dicom):
    for name, data in {
        "bad.png": b"\x89PNG\r\n\x1a\n" + bytes(9),
        "short.dcm": make_dicom(ramp()).read_bytes()[:-9],
    }.items():
        (masks_folder / "images" / name).write_bytes(data)
        write_png(masks_folder / "masks" / "stone" / f"{name[:-4]}.png", np.eye(6, 5, dtype=bool))
    import_dataset(masks_folder, workspace, "x")
    assert codes(workspace) == {"images/bad.png": "truncated", "images/short.dcm": "truncated"}


def test_unknown_structures(masks_folder, workspace):
    dataset = import_dataset(masks_folder, workspace, "x", options=ImportOptions(structures=("endoscope",)))
    assert dataset.structures == ("endoscope",)
    assert codes(workspace) == {"images/p1_a.png": "unknown-structure", "images/p1_b.png": "unknown-structure"}


def test_nothing_usable_names_the_reasons(masks_folder, workspace):
    shutil.rmtree(masks_folder / "images")
    for i in range(3):
        write_png(masks_folder / "images" / f"other{i}.png", ramp())
    with pytest.raises(DataError, match=r"3 × no-annotation.*no-frame|no-frame.*3 × no-annotation"):
        import_dataset(masks_folder, workspace, "x")
    assert not workspace.root.exists()


def test_more_than_eight_structures_are_named(masks_folder, workspace):
    for i in range(9):
        write_png(masks_folder / "masks" / f"s{i}" / "p1_a.png", np.eye(6, 5, dtype=bool))
    with pytest.raises(DataError, match=r"11 structures: .*s0, s1"):
        import_dataset(masks_folder, workspace, "x")


def test_two_masks_of_one_structure(masks_folder, workspace):
    tifffile.imwrite(masks_folder / "masks" / "stone" / "p1_a.tif", np.eye(6, 5, dtype=np.uint8))
    write_png(masks_folder / "masks" / "Scope" / "p1_b.png", np.eye(6, 5, dtype=bool))  # another word for endoscope
    import_dataset(masks_folder, workspace, "x")
    assert codes(workspace) == {"images/p1_a.png": "duplicate"}
    assert read_png(workspace.raw_folder("x") / "labelsTr" / "p1_b.png")[0, 0] == 1


# -- multi-frame, DICOM, names -----------------------------------------------------------------------------------------


def test_frames_of_a_cine_are_matched_by_number(tmp_path, workspace, make_dicom):
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    cine = np.stack([ramp(3), ramp(5), ramp(7)]).astype(np.uint16)
    path = make_dicom(cine, frames=3, stored=12, photometric="MONOCHROME1", PixelSpacing=["0.2", "0.3"],
                      PixelSpacingCalibrationType="FIDUCIAL")  # fmt: skip
    path.rename(root / "images" / "run.dcm")
    write_png(root / "masks" / "stone" / "run_f0002.png", np.eye(6, 5, dtype=bool))
    dataset = import_dataset(root, workspace, "x", options=ImportOptions(keep_names=True))
    assert (dataset.used, dataset.refused) == (1, 2)
    row = rows_of(workspace)[0]
    assert (row["frame"], row["index"], row["patient"], row["bits"]) == ("run_f0002", "2", "PAT-7", "12")
    assert (row["spacing_y_mm"], row["spacing_x_mm"], row["reason"]) == ("0.2", "0.3", "inverted to MONOCHROME2")
    assert (read_png(workspace.raw_folder("x") / "imagesTr" / "run_f0002_0000.png") == 4095 - cine[2]).all()


def test_frames_of_dicom_files_are_called_by_ids_that_tell_nothing(tmp_path, workspace, make_dicom):
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    make_dicom(np.stack([ramp(3), ramp(5)]), frames=2).rename(root / "images" / "DOE_JOHN.dcm")
    for i in range(2):
        write_png(root / "masks" / "stone" / f"DOE_JOHN_f000{i}.png", np.eye(6, 5, dtype=bool))
    import_dataset(root, workspace, "x")
    uid = hashlib.sha256(b"1.2.3.4").hexdigest()[:10]  # of the SOPInstanceUID that make_dicom writes
    assert [row["frame"] for row in rows_of(workspace)] == [f"x{uid}_f0000", f"x{uid}_f0001"]
    assert not [path for path in workspace.root.rglob("*") if "DOE" in path.name]


def test_frames_of_a_series_are_in_the_order_of_their_numbers(tmp_path, workspace, make_dicom):
    """Files named against their order: acquisition, then instance number count; a tie is said."""
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    for stem, acquisition, instance in (("a", 2, 1), ("b", 1, 10), ("c", 1, 2), ("d", 1, 2)):
        path = make_dicom(
            ramp(ord(stem)), SOPInstanceUID=f"1.2.{ord(stem)}", AcquisitionNumber=acquisition, InstanceNumber=instance
        )
        path.rename(root / "images" / f"{stem}.dcm")
        write_png(root / "masks" / "stone" / f"{stem}.png", np.eye(6, 5, dtype=bool))
    dataset = import_dataset(root, workspace, "x", options=ImportOptions(keep_names=True))
    places = {row["frame"]: int(row["position"]) for row in rows_of(workspace)}
    assert places == {"c": 0, "d": 1, "b": 2, "a": 3}
    assert "In 1 series two frames have the same number" in dataset.notes[0]


def test_one_dicom_instance_twice_is_a_duplicate(tmp_path, workspace, make_dicom):
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    for stem in "ab":
        make_dicom(ramp(3)).rename(root / "images" / f"{stem}.dcm")
        write_png(root / "masks" / "stone" / f"{stem}.png", np.eye(6, 5, dtype=bool))
    write_png(root / "images" / "c.png", ramp())
    write_png(root / "masks" / "stone" / "c.png", np.eye(6, 5, dtype=bool))
    import_dataset(root, workspace, "x")
    assert codes(workspace) == {"images/a.dcm": "duplicate", "images/b.dcm": "duplicate"}


def test_a_frame_number_and_a_file_of_that_name_are_duplicates(tmp_path, workspace, make_dicom):
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    make_dicom(np.stack([ramp(3), ramp(5)]), frames=2).rename(root / "images" / "run.dcm")
    write_png(root / "images" / "run_f0001.png", ramp())
    for i in range(2):
        write_png(root / "masks" / "stone" / f"run_f000{i}.png", np.eye(6, 5, dtype=bool))
    dataset = import_dataset(root, workspace, "x", options=ImportOptions(keep_names=True))
    assert dataset.used == 1
    assert codes(workspace) == {"images/run.dcm": "duplicate", "images/run_f0001.png": "duplicate"}
    assert [p.name for p in (workspace.raw_folder("x") / "labelsTr").iterdir()] == ["run_f0000.png"]


def test_hostile_names_become_safe_and_are_mapped_back(masks_folder, workspace):
    for folder in ("images", "masks/stone", "masks/endoscope"):
        (masks_folder / folder / "p1_a.png").rename(masks_folder / folder / "=p1 a;$(x).png")
    import_dataset(masks_folder, workspace, "x")
    (row,) = [r for r in rows_of(workspace) if "$" in r["source"]]
    assert row["frame"].startswith("p1-a-x-")
    assert (workspace.raw_folder("x") / "imagesTr" / f"{row['frame']}_0000.png").is_file()


# -- labelme -----------------------------------------------------------------------------------------------------------


def test_labelme_beside_the_images(tmp_path, workspace):
    root = tmp_path / "set"
    polygon = {
        "label": "Bile duct",
        "shape_type": "polygon",
        "points": [[0.5, 0.5], [3.5, 0.5], [3.5, 2.5], [0.5, 2.5]],
    }
    for stem, shapes in {"a": [polygon], "b": [], "c": [{**polygon, "points": [[1, 1]]}]}.items():
        write_png(root / f"{stem}.png", ramp())
        (root / f"{stem}.json").write_text(json.dumps({"imageHeight": 6, "imageWidth": 5, "shapes": shapes}))
    write_png(root / "d.png", ramp())
    (root / "d.json").write_text("{broken")
    write_png(root / "e.png", ramp())
    (root / "lonely.json").write_text(json.dumps({"imageHeight": 6, "imageWidth": 5, "shapes": []}))
    (root / "settings.json").write_text("{}")
    dataset = import_dataset(root, workspace, "x")
    assert (dataset.layout, dataset.structures, dataset.used) == ("labelme", ("cbd",), 2)
    assert codes(workspace) == {
        "c.png": "bad-annotation",
        "d.png": "bad-annotation",
        "e.png": "no-annotation",
        "lonely.json": "no-frame",
        "settings.json": "sidecar",
    }
    labels = workspace.raw_folder("x") / "labelsTr"
    assert read_png(labels / "a.png").sum() == 3 * 2
    assert not read_png(labels / "b.png").any()  # drawn, and empty: everything absent


# -- again -------------------------------------------------------------------------------------------------------------


def snapshot(workspace):
    files = [p for p in workspace.root.rglob("*") if p.is_file()]
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in files if p.suffix == ".png"}


def test_again_changes_nothing_and_keeps_the_files(masks_folder, workspace):
    first = import_dataset(masks_folder, workspace, "x")
    before = snapshot(workspace)
    assert import_dataset(masks_folder, workspace, "x") == first
    assert snapshot(workspace) == before


def test_changes_are_followed(masks_folder, workspace):
    first = import_dataset(masks_folder, workspace, "x")
    (masks_folder / "images" / "p1_b.png").unlink()
    write_png(masks_folder / "images" / "p1_a.png", ramp(5))
    second = import_dataset(masks_folder, workspace, "x")
    raw = workspace.raw_folder("x")
    assert second.frames_sha256 != first.frames_sha256
    assert second.nnunet_id == first.nnunet_id
    assert sorted(p.stem for p in (raw / "labelsTr").iterdir()) == ["p1_a", "p2_c"]
    assert (read_png(raw / "imagesTr" / "p1_a_0000.png") == ramp(5)).all()


def test_a_damaged_file_is_mended(masks_folder, workspace):
    import_dataset(masks_folder, workspace, "x")
    path = workspace.raw_folder("x") / "labelsTr" / "p1_a.png"
    path.write_bytes(b"damaged")
    import_dataset(masks_folder, workspace, "x")
    assert read_png(path).shape == (6, 5)


def test_where_dataset_json_is_all_is_whole(masks_folder, workspace, monkeypatch):
    """A stop in the middle of a change leaves no dataset.json; the same command goes on."""
    from ercpseg.importers import canonical

    import_dataset(masks_folder, workspace, "x")
    for stem in ("p1_a", "p1_b"):
        write_png(masks_folder / "images" / f"{stem}.png", ramp(3))
    write, count = canonical.write_bytes, [0]

    def stop_after_one(path, data, **options):
        count[0] += 1
        if count[0] > 1:
            raise KeyboardInterrupt
        write(path, data, **options)

    monkeypatch.setattr(canonical, "write_bytes", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        import_dataset(masks_folder, workspace, "x")
    assert not (workspace.dataset_folder("x") / "dataset.json").exists()
    monkeypatch.undo()
    assert import_dataset(masks_folder, workspace, "x").used == 3


def test_threads_change_nothing(masks_folder, tmp_path, monkeypatch):
    hashes = set()
    for threads in (1, THREADS, 4):
        monkeypatch.setattr("ercpseg.importers.dataset.THREADS", threads)
        hashes.add(import_dataset(masks_folder, Workspace(tmp_path / f"ws{threads}"), "x").frames_sha256)
    assert len(hashes) == 1


def test_progress_counts_files(masks_folder, workspace):
    class Task:
        def __init__(self, total):
            self.total, self.done = total, 0

        def advance(self, n=1, note=None):
            self.done += n

        def retotal(self, total):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            pass

    class Progress:
        def task(self, description, total=None):
            self.last = Task(total)
            return self.last

        def say(self, text):
            pass

    progress = Progress()
    import_dataset(masks_folder, workspace, "x", progress=progress)
    assert progress.last.done == progress.last.total == 3


# -- what a reviewer broke ---------------------------------------------------------------------------------------------


def test_every_file_on_the_disk_is_accounted_for(masks_folder, workspace):
    (masks_folder / "notes.txt").write_text("x")
    (masks_folder / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (masks_folder / "elsewhere").mkdir()
    (masks_folder / "elsewhere" / "a.png").write_bytes((masks_folder / "images" / "p1_a.png").read_bytes())
    dataset = import_dataset(masks_folder, workspace, "x")
    files = {p.relative_to(masks_folder).as_posix() for p in masks_folder.rglob("*") if p.is_file()}
    rows = {row["source"] for row in rows_of(workspace)}
    annotations = {file for file in files - rows if file.startswith("masks/")}
    assert files == rows | annotations
    assert len(annotations) == dataset.annotation_files > 0
    assert len(files) == len(rows) + dataset.annotation_files


@pytest.mark.parametrize("layout", ["nnunet", "folder"])
def test_packed_nifti_meets_its_annotation(tmp_path, workspace, layout):
    import SimpleITK as sitk

    where = {"nnunet": ("imagesTr/{}_0000", "labelsTr/{}"), "folder": ("images/{}", "masks/stone/{}")}[layout]
    for stem in ("p1_a", "p2_b"):
        for place, pixels in zip(where, (ramp(), np.eye(6, 5, dtype=np.uint8)), strict=True):
            path = tmp_path / "d" / f"{place.format(stem)}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(pixels[None]), str(path))
    if layout == "nnunet":
        labels = {"background": 0, "stone": 1}
        text = {"channel_names": {"0": "X"}, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz"}
        (tmp_path / "d" / "dataset.json").write_text(json.dumps(text))
    dataset = import_dataset(tmp_path / "d", workspace, "x")
    assert (dataset.used, dataset.refused) == (2, 0)
    assert [row["frame"] for row in rows_of(workspace) if row["status"] == "used"] == ["p1_a", "p2_b"]
    assert (read_png(workspace.raw_folder("x") / "labelsTr" / "p1_a.png") == np.eye(6, 5)).all()


def test_a_day_to_hold_out_from_is_kept_with_the_dataset(masks_folder, workspace):
    assert import_dataset(masks_folder, workspace, "x").hold_out_from is None
    held = import_dataset(masks_folder, workspace, "x", options=ImportOptions(hold_out_from="2024-02-01"))
    assert held.hold_out_from == "2024-02-01"
    for text in ("2024-02-31", "yesterday", "20240201"):
        with pytest.raises(UsageError, match="no day"):
            import_dataset(masks_folder, workspace, "x", options=ImportOptions(hold_out_from=text))


def test_only_the_owner_may_read_the_private_table(masks_folder, workspace):
    import_dataset(masks_folder, workspace, "x", options=ImportOptions(check_identity=True))
    folder = workspace.dataset_folder("x")
    assert {name: (folder / name).stat().st_mode & 0o077 for name in ("frames.csv", "identity.csv")} == {
        "frames.csv": 0,
        "identity.csv": 0,
    }
