import json

import numpy as np
import pytest

from ercpseg.decoding.decoders import Decoders
from ercpseg.errors import DataError
from ercpseg.importers.dataset import import_dataset
from ercpseg.importers.nnunet import read_labels_json
from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.tables import read_table
from ercpseg.storage.workspace import Workspace
from tests.unit.importers.surveyed import Surveyed, refused

FRAME = (np.arange(30).reshape(6, 5) * 8).astype(np.uint8)


@pytest.fixture(scope="module")
def decoders():
    with Decoders(children=1) as pool:
        yield pool


@pytest.fixture
def raw(tmp_path):
    """An nnU-Net raw dataset with the label image as given."""

    def make(labels, label_image, **fields):
        root = tmp_path / "Dataset001_x"
        root.mkdir(exist_ok=True)
        (root / "dataset.json").write_text(
            json.dumps({"channel_names": {"0": "X-ray"}, "labels": labels, "file_ending": ".png", **fields})
        )
        write_png(root / "imagesTr" / "p1_a_0000.png", FRAME)
        write_png(root / "labelsTr" / "p1_a.png", np.asarray(label_image, np.uint8))
        return root

    return make


def imported(root, tmp_path, **options):
    workspace = Workspace(tmp_path / "ws")
    dataset = import_dataset(root, workspace, "x", **options)
    rows = read_table(workspace.dataset_folder("x") / "frames.csv")
    return dataset, rows, workspace.raw_folder("x")


def test_plain_labels_become_bits(raw, tmp_path):
    image = np.zeros((6, 5), np.uint8)
    image[0, 0], image[1, 1] = 1, 2
    dataset, rows, folder = imported(raw({"background": 0, "stone": 1, "Common bile duct": 2}, image), tmp_path)
    assert dataset.layout == "nnunet"
    assert dataset.structures == ("cbd", "stone")
    bitmask = read_png(folder / "labelsTr" / "p1_a.png")
    assert (bitmask[0, 0], bitmask[1, 1], bitmask.sum()) == (2, 1, 3)
    assert (read_png(folder / "imagesTr" / "p1_a_0000.png") == FRAME).all()
    assert [(r["frame"], r["patient"]) for r in rows if r["status"] == "used"] == [("p1_a", "p1")]


def test_regions_overlap_and_our_own_bitmasks_come_back(raw, tmp_path):
    image = np.arange(30).reshape(6, 5) % 4
    labels = {"background": 0, "endoscope": [1, 3], "guidewire": [2, 3], "instrument": [1, 2, 3]}
    dataset, _, folder = imported(raw(labels, image, regions_class_order=[1, 2, 3]), tmp_path)
    assert dataset.structures == ("endoscope", "guidewire")
    assert (read_png(folder / "labelsTr" / "p1_a.png") == image).all()


def test_values_that_are_not_declared(raw, tmp_path):
    image = np.zeros((6, 5), np.uint8)
    image[2, 2] = 9
    root = raw({"background": 0, "stone": 1}, image)
    write_png(root / "imagesTr" / "p2_b_0000.png", FRAME)
    write_png(root / "imagesTr" / "p2_b_0001.png", FRAME)
    write_png(root / "labelsTr" / "p2_b.png", image // 9)
    write_png(root / "imagesTs" / "t_0000.png", FRAME)
    dataset, rows, _ = imported(root, tmp_path)
    assert (dataset.found, dataset.used, dataset.refused, dataset.ignored) == (5, 1, 1, 3)
    assert {r["source"]: r["code"] for r in rows} == {
        "imagesTr/p1_a_0000.png": "bad-label-value",
        "imagesTr/p2_b_0000.png": "",
        "imagesTr/p2_b_0001.png": "channel",
        "imagesTs/t_0000.png": "outside-layout",
        "dataset.json": "sidecar",
    }


def test_the_table_is_that_of_the_labels_format(raw, decoders):
    """Regions overlap, words become structures, unions of members and what is to be ignored are no structures."""
    labels = {"background": 0, "Scope": [1, 3], "guide wire": [2, 3], "instrument": [1, 2, 3], "ignore": 4, "Wire": 5}
    values = read_labels_json(raw(labels, [[0]]) / "dataset.json")
    assert values == {"endoscope": (1, 3), "guidewire": (2, 3, 5)}
    image = np.array([[0, 1, 2, 3, 5]])
    read = Surveyed(raw(labels, image), decoders, format="labels", path="labelsTr", values=values)
    assert read.keys == ["p1_a"]
    masks = read.draw("p1_a", (1, 5)).masks
    assert masks["endoscope"].astype(int).tolist() == [[0, 1, 0, 1, 0]]
    assert masks["guidewire"].astype(int).tolist() == [[0, 0, 1, 1, 1]]
    assert read.format.overlaps
    ignored = Surveyed(raw(labels, image * 0 + 4), decoders, format="labels", path="labelsTr", values=values)
    assert refused(lambda: ignored.draw("p1_a", (1, 5))) == "bad-label-value"


@pytest.mark.parametrize(
    "document",
    [
        {"labels": [1]},
        {"labels": {"a": True}},
        {"labels": {"a": 1.0}},
        {"labels": {"a": [1, "2"]}},
        {"labels": {"a": 65536}},
        {"labels": {"a": 1}, "channel_names": ["X-ray"]},
        {"labels": {"a": "1"}},
        {"labels": {"a": -1}},
        {"labels": {"a": 1}, "channel_names": {"0": "R", "1": "G"}},
        [],
    ],
)
def test_bad_dataset_json(tmp_path, document):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError):
        read_labels_json(path)
