"""Model folders and zips: nothing that is damaged, unlisted or hostile is loaded."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ercpseg.documents.plan import Plan
from ercpseg.errors import ErcpsegError, StorageError, UsageError
from ercpseg.storage import models
from ercpseg.storage.arrays import encode_arrays
from ercpseg.storage.models import SUMS, load_model, write_model
from tests.unit.core.plans import card_of, tiny_plan

WEIGHTS = {f"fold_{i}.safetensors": encode_arrays({"w": np.full((2, 2), i, np.float32)}, {}) for i in (0, 1)}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return tiny_plan()


@pytest.fixture
def model(plan: Plan, tmp_path: Path) -> Path:
    write_model(tmp_path / "model", plan, card_of(plan, WEIGHTS), WEIGHTS)
    return tmp_path / "model"


def zipped(model: Path, path: Path, prefix: str = "model/") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(model.iterdir()):
            archive.write(file, prefix + file.name)
    return path


def resum(model: Path) -> None:
    """Make the sums right again, as somebody would who changed a file on purpose."""
    files = [f for f in sorted(model.iterdir()) if f.name != SUMS]
    (model / SUMS).write_text("".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files))


def test_a_model_comes_back(model: Path, plan: Plan) -> None:
    stored = load_model(model)
    assert stored.plan == plan
    assert list(stored.weights) == ["0", "1"]
    assert stored.weights["1"]["w"].tolist() == [[1, 1], [1, 1]]
    assert list(load_model(model, ("1",)).weights) == ["1"]
    assert stored.sha256 == hashlib.sha256((model / SUMS).read_bytes()).hexdigest()


def test_half_precision_is_a_way_of_storing(plan: Plan, tmp_path: Path) -> None:
    numbers = np.array([[0.1, -3.7], [1e-3, 2049.0]], np.float32)
    weights = {"fold_0.safetensors": encode_arrays({"w": numbers.astype(np.float16), "n": np.array(7)}, {})}
    write_model(tmp_path / "model", plan, card_of(plan, weights), weights)
    arrays = load_model(tmp_path / "model").weights["0"]
    assert arrays["w"].dtype == np.float32
    np.testing.assert_allclose(arrays["w"], numbers, rtol=2**-11)  # half of the last of 11 bits
    assert arrays["n"].dtype == np.int64


def test_the_sums_are_those_of_sha256sum(model: Path) -> None:
    """So that anybody can check a model without this program."""
    lines = (model / SUMS).read_text().splitlines()
    assert len(lines) == 4
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((model / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("prefix", ["", "model/", "a/b/"])
def test_a_zip_is_the_same_model(prefix: str, model: Path, tmp_path: Path) -> None:
    a, b = load_model(model), load_model(zipped(model, tmp_path / "m.zip", prefix))
    assert (a.plan, a.card, a.sha256) == (b.plan, b.card, b.sha256)
    assert np.array_equal(a.weights["1"]["w"], b.weights["1"]["w"])


def test_a_second_model_replaces_the_first(model: Path, plan: Plan) -> None:
    one = {"fold_0.safetensors": WEIGHTS["fold_0.safetensors"]}
    write_model(model, plan, card_of(plan, one), one)
    assert list(load_model(model).weights) == ["0"]


@pytest.mark.parametrize("name", ["plan.json", "fold_0.safetensors"])
def test_a_missing_file(name: str, model: Path) -> None:
    (model / name).unlink()
    with pytest.raises(StorageError, match=name):
        load_model(model)
    resum(model)  # even where the sums do not list it
    with pytest.raises(StorageError, match=name):
        load_model(model)


def test_a_file_that_only_the_sums_know(model: Path) -> None:
    with (model / SUMS).open("a") as sums:
        sums.write(f"{'0' * 64}  notes.txt\n")
    with pytest.raises(StorageError, match=r"notes\.txt"):
        load_model(model)


@pytest.mark.parametrize("name", [SUMS, "model.json"])
def test_what_is_no_model(name: str, model: Path) -> None:
    (model / name).unlink()
    with pytest.raises(UsageError, match="no model"):
        load_model(model)


def test_an_extra_file(model: Path) -> None:
    (model / "readme.txt").write_text("hello")
    with pytest.raises(StorageError, match=r"readme\.txt"):
        load_model(model)


def test_any_flipped_byte_in_the_folder(model: Path) -> None:
    for file in sorted(model.iterdir()):
        data = file.read_bytes()
        for position in range(0, len(data), max(1, len(data) // 20)):
            damaged = bytearray(data)
            damaged[position] ^= 0x10
            file.write_bytes(damaged)
            with pytest.raises(StorageError):
                load_model(model)
        file.write_bytes(data)
    load_model(model)


def test_any_flipped_byte_in_the_zip(model: Path, tmp_path: Path) -> None:
    """A decompressor fails in many ways; each must be one of our errors, and the content never another one."""
    path = zipped(model, tmp_path / "m.zip")
    whole, data = load_model(path), path.read_bytes()
    for position in range(0, len(data), 11):
        for bit in (0x01, 0x40):
            damaged = bytearray(data)
            damaged[position] ^= bit
            path.write_bytes(damaged)
            try:
                stored = load_model(path)
            except ErcpsegError as error:
                assert error.exit_code in (2, 74)
            else:  # the flip hit a time stamp or the like
                assert stored.sha256 == whole.sha256
                assert stored.card == whole.card


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_zip(share: float, model: Path, tmp_path: Path) -> None:
    path = zipped(model, tmp_path / "m.zip")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UsageError, match="no zip"):
        load_model(path)


def test_an_encrypted_zip(model: Path, tmp_path: Path) -> None:
    path = zipped(model, tmp_path / "m.zip")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + offset] |= 1  # "encrypted"
            at = data.find(signature, at + 4)
    path.write_bytes(data)
    with pytest.raises(UsageError, match="no zip"):
        load_model(path)


def test_the_card_of_another_plan(model: Path, plan: Plan) -> None:
    other = tiny_plan(patch__batch_size=3)
    (model / "plan.json").write_text(other.to_json())
    resum(model)
    with pytest.raises(StorageError, match="another plan"):
        load_model(model)


def test_the_card_vouches_for_its_weights(model: Path) -> None:
    """Weights of another training under the same name: the sums were made anew, the card was not."""
    (model / "fold_0.safetensors").write_bytes(WEIGHTS["fold_1.safetensors"])
    resum(model)
    with pytest.raises(StorageError, match=r"fold_0\.safetensors"):
        load_model(model)


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"schema": "ercpseg.plan/1"}', "[" * 100_000, '{"schema": NaN}'])
def test_hostile_documents(text: str, model: Path) -> None:
    for name in ("plan.json", "model.json"):
        before = (model / name).read_bytes()
        (model / name).write_text(text)
        resum(model)
        with pytest.raises(ErcpsegError) as caught:
            load_model(model)
        assert caught.value.exit_code in (65, 74)
        (model / name).write_bytes(before)


def test_unknown_folds(model: Path) -> None:
    with pytest.raises(UsageError, match="no fold 7"):
        load_model(model, ("0", "7"))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model"):
        load_model(tmp_path / "missing")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(UsageError, match="no zip"):
        load_model(tmp_path / "text.zip")


HOSTILE: dict[str, Callable[[str], str]] = {
    "up": lambda name: f"../../{name}",
    "absolute": lambda name: f"/tmp/ercpseg-hostile/{name}",
    "inside": lambda name: f"m/../../../{name}",
    "windows": lambda name: f"..\\{name}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_names_never_touch_the_disk(
    kind: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in/deep/m.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(model.iterdir()):
            archive.writestr(HOSTILE[kind](file.name), file.read_bytes())
    monkeypatch.chdir(path.parent)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(zipfile.ZipFile, "extract", never)
    monkeypatch.setattr(zipfile.ZipFile, "extractall", never)
    before = sorted(tmp_path.rglob("*"))
    if kind == "windows":  # one strange name, not a path
        with pytest.raises(UsageError, match="no model"):
            load_model(path)
    else:
        assert list(load_model(path).weights) == ["0", "1"]
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/ercpseg-hostile").exists()


def test_two_files_of_one_name(model: Path, tmp_path: Path) -> None:
    path = zipped(model, tmp_path / "m.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("elsewhere/plan.json", b"{}")
    with pytest.raises(StorageError, match="one name"):
        load_model(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MAX_BYTES", 1_000_000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(11):
            archive.writestr(f"zeros{i}", bytes(100_000))  # none is too large by itself
    assert path.stat().st_size < 10_000

    def never(*args: object, **kwargs: object) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr(zipfile.ZipFile, "read", never)
    with pytest.raises(StorageError, match="too large"):
        load_model(path)
