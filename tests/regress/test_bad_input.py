"""Bad input through the command line: the contract's exit code, one clear line, nothing lost, no half file."""

from __future__ import annotations

import errno
import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ercpseg.storage import atomic
from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.tables import read_table
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import run_folder
from tests.conftest import TINY
from tests.unit.cli.command import Command, environment, leftovers, process, snapshot
from tests.unit.decoding.conftest import dicom_dataset

PLAN = "plan-and-preprocess"
QUICK = (
    *("--time-budget", "2s", "--device", "cpu", "--set", "schedule.time_budget_s=null", "--set", "schedule.epochs=2"),
    *(word for key, value in TINY for word in ("--set", f"{key}={value}")),
)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def data(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny dataset, to be spoilt."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


def images(data: Path) -> list[Path]:
    return sorted((data / "images").iterdir())


def rows_of(space: Workspace, name: str = "tiny") -> dict[str, dict[str, str]]:
    """The rows of the import report that are not used frames, by source."""
    table = read_table(space.dataset_folder(name) / "frames.csv")
    return {row["source"]: row for row in table if row["status"] != "used"}


# -- a dataset with bad files: the rest is used ----------------------------------------------------------------------


def mask_without_frame(data: Path, frame: Path) -> set[str]:
    write_png(data / "masks" / "stone" / "p9_lost.png", np.ones((96, 96), bool))
    return {"masks/stone/p9_lost.png: no-frame"}


def frame_without_mask(data: Path, frame: Path) -> set[str]:
    shutil.copy(frame, data / "images" / "p9_new.png")
    return {"images/p9_new.png: no-annotation"}


def mask_of_another_size(data: Path, frame: Path) -> set[str]:
    write_png(data / "masks" / "cbd" / frame.name, np.ones((96, 95), bool))
    return {f"images/{frame.name}: size-mismatch"}


def two_frames_with_one_stem(data: Path, frame: Path) -> set[str]:
    shutil.copy(frame, frame.with_suffix(".PNG"))
    return {f"images/{frame.stem}.PNG: duplicate", f"images/{frame.name}: duplicate"}


def unreadable_frame(data: Path, frame: Path) -> set[str]:
    content = bytearray(frame.read_bytes())
    content[len(content) // 2] ^= 0xFF
    frame.write_bytes(bytes(content))
    return {f"images/{frame.name}: unreadable"}


def cut_frame(data: Path, frame: Path) -> set[str]:
    frame.write_bytes(frame.read_bytes()[: frame.stat().st_size // 2])
    return {f"images/{frame.name}: truncated"}


def empty_frame(data: Path, frame: Path) -> set[str]:
    frame.write_bytes(b"")
    return {f"images/{frame.name}: truncated"}


def unreadable_mask(data: Path, frame: Path) -> set[str]:
    (data / "masks" / "cbd" / frame.name).write_bytes(b"\x89PNG\r\n\x1a\n")
    return {f"images/{frame.name}: bad-annotation"}


def a_structure_that_cannot_be_named(data: Path, frame: Path) -> set[str]:
    write_png(data / "masks" / "3d" / frame.name, np.ones((96, 96), bool))
    return {f"images/{frame.name}: unknown-structure"}


def a_parent_as_a_structure(data: Path, frame: Path) -> set[str]:
    write_png(data / "masks" / "duct" / frame.name, np.ones((96, 96), bool))
    return {f"images/{frame.name}: unknown-structure"}


def cut_dicom(data: Path, frame: Path) -> set[str]:
    dicom_dataset(read_png(frame)).save_as(frame.with_suffix(".dcm"), enforce_file_format=True)
    frame.unlink()
    cut = frame.with_suffix(".dcm")
    cut.write_bytes(cut.read_bytes()[:-1000])
    return {f"images/{cut.name}: truncated"}


def constant_frame(data: Path, frame: Path) -> set[str]:
    write_png(frame, np.full((96, 96), 7, np.uint8))
    return {f"images/{frame.name}: constant"}


def no_image_at_all(data: Path, frame: Path) -> set[str]:
    (data / "images" / "p1_x.png").write_text("<html>Not found</html>")
    return {"images/p1_x.png: unknown-format"}


def unreachable_frame(data: Path, frame: Path) -> set[str]:
    (data / "images" / "p1_link.png").symlink_to("nowhere.png")
    return {"images/p1_link.png: link-broken"}


SPOILERS = [
    *(mask_without_frame, frame_without_mask, mask_of_another_size, two_frames_with_one_stem, unreadable_frame),
    *(cut_frame, empty_frame, unreadable_mask, cut_dicom, constant_frame, no_image_at_all, unreachable_frame),
    *(a_structure_that_cannot_be_named, a_parent_as_a_structure),
]


def check_report(command, space: Workspace, data: Path, expected: set[str]) -> None:
    """Plan: exit code 3 if something was refused, with a row for everything. Again: 0, since it is finished."""
    for _ in ("first", "second"):
        ended = command(PLAN, data, *QUICK, workspace=space)
        found = rows_of(space)
        assert {f"{source}: {row['code']}" for source, row in found.items()} == expected
        assert all(row["reason"] for row in found.values())
        refused = sum(row["status"] == "refused" for row in found.values())
        assert ended.code == (3 if refused and "nothing to do" not in ended.out else 0)
        assert f" + {refused} refused + {len(found) - refused} ignored" in ended.out
        assert ("every refused frame and its reason: " in ended.out) == bool(refused)
        assert "error" not in ended.err
    assert "nothing to do" in ended.out
    assert leftovers(space.root) == []


@pytest.mark.slow
@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_bad_file_is_refused_and_the_rest_is_used(command, workspace, data, spoil) -> None:
    check_report(command, workspace, data, spoil(data, images(data)[0]))


def test_what_changes_no_used_frame_is_told_all_the_same(command, workspace, data) -> None:
    check_report(command, workspace, data, mask_without_frame(data, images(data)[0]))


def test_only_ignored_files_are_no_reason_for_exit_code_3(command, workspace, data) -> None:
    check_report(command, workspace, data, unreachable_frame(data, images(data)[0]))


def test_all_bad_files_at_once_through_plan_and_train(command, tmp_path, data) -> None:
    space = Workspace(tmp_path / "w")
    expected = set()
    for spoil, frame in zip(SPOILERS, images(data), strict=False):
        expected |= spoil(data, frame)
    check_report(command, space, data, expected)
    command.succeeds("train", "tiny", 0, "--epochs", 1, workspace=space)


# -- a dataset of which nothing can be used --------------------------------------------------------------------------


def nothing_in_it(data: Path) -> str:
    shutil.rmtree(data)
    data.mkdir()
    return "0 possible frames, but no annotations that are understood"


def no_masks(data: Path) -> str:
    shutil.rmtree(data / "masks")
    return "18 possible frames, but no annotations that are understood"


def no_structures(data: Path) -> str:
    shutil.rmtree(data / "masks")
    (data / "masks").mkdir()
    return "18 possible frames, but no annotations that are understood"


def no_images(data: Path) -> str:
    for path in images(data):
        path.unlink()
    return "nothing usable: 72 × no-frame"


def all_images_cut(data: Path) -> str:
    for path in images(data):
        path.write_bytes(path.read_bytes()[:90])
    return "nothing usable: 18 × truncated"


def all_masks_of_another_size(data: Path) -> str:
    for path in (data / "masks").rglob("*.png"):
        write_png(path, np.ones((5, 7), bool))
    return "nothing usable: 18 × size-mismatch (annotation 5 × 7, frame 96 × 96"


def too_many_structures(data: Path) -> str:
    for i in range(5):
        write_png(data / "masks" / f"device-{i}" / images(data)[0].name, np.ones((96, 96), bool))
    return "9 structures: cbd, device_0"


@pytest.mark.parametrize(
    "spoil",
    [
        *(nothing_in_it, no_masks, no_structures, no_images, all_images_cut, all_masks_of_another_size),
        too_many_structures,
    ],
)
def test_nothing_usable_loses_nothing(command, workspace, data, spoil: Callable[[Path], str]) -> None:
    """The workspace knows this dataset from better days, and keeps it whole."""
    text = spoil(data)
    before = snapshot(workspace.root)
    error = command.fails(65, PLAN, data, *QUICK, workspace=workspace)
    assert text in error
    assert snapshot(workspace.root) == before
    command.fails(65, PLAN, data, "--name", "new", *QUICK, workspace=workspace)
    assert workspace.names() == ["tiny"]
    assert leftovers(workspace.root) == []


def test_another_folder_under_a_name_that_is_taken(command, workspace, tmp_path) -> None:
    """It would replace the dataset and the model trained on it."""
    other = tmp_path / "other" / "tiny"
    command.succeeds("synth", other, "--frames", 6, "--patients", 3, "--size", 96, "--seed", 9)
    before = snapshot(workspace.root)
    assert "give another name with --name" in command.fails(2, PLAN, other, *QUICK, workspace=workspace)
    assert snapshot(workspace.root) == before


def test_a_structure_that_was_not_asked_for(command, tmp_path, data) -> None:
    """A misspelt folder of masks is refused when the structures are named."""
    (data / "masks" / "stone").rename(data / "masks" / "stoen")
    space = Workspace(tmp_path / "w")
    named = ("--structures", "endoscope,guidewire,cbd,stone")
    ended = command(PLAN, data, *named, *QUICK, workspace=space)
    codes = {row["code"] for row in rows_of(space).values()} if ended.code in (0, 3) else set()
    assert "unknown-structure" in codes or "unknown-structure" in ended.err


def test_a_dataset_that_is_not_there(command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    for given in ("nope", "file", "x" * 5000):
        command.fails(2, PLAN, given, workspace=tmp_path / "w")
    assert not (tmp_path / "w").exists()


# -- predict ---------------------------------------------------------------------------------------------------------


def predict(command, trained, code: int, source: Path, output: Path, *words: str) -> str:
    return command.fails(code, "predict", source, output, "--model", "tiny", *words, workspace=trained)


def test_predict_where_there_is_no_frame(command, trained, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    error = predict(command, trained, 65, tmp_path / "in", tmp_path / "out")
    assert "no usable frame in 0 found: no file was found" in error
    assert str(tmp_path / "in") in error
    assert json.loads((tmp_path / "out" / "run.json").read_text())["frames"]["found"] == 0


def test_predict_where_everything_is_refused_names_the_five_most_frequent_reasons(command, trained, tmp_path) -> None:
    source = tmp_path / "in"
    good = np.arange(64, dtype=np.uint8).reshape(8, 8)
    kinds: list[tuple[str, Callable[[Path], None]]] = [
        ("unknown-format", lambda path: path.write_bytes(b"what is this")),
        ("constant", lambda path: write_png(path, good * 0)),
        ("truncated", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n")),
        ("sidecar", lambda path: path.with_suffix(".txt").write_text("x")),
        ("hidden", lambda path: path.with_name("." + path.name).write_text("x")),
        ("system", lambda path: path.with_name("Thumbs.db").write_text("x")),
    ]
    for i, (code, write) in enumerate(kinds):
        for j in range(7 - i):
            folder = source / code / str(j)
            folder.mkdir(parents=True)
            write(folder / "x.png")
    error = predict(command, trained, 65, source, tmp_path / "out")
    assert "no usable frame in 27 found: 7 × unknown-format (" in error
    places = [error.index(f"{7 - i} × {code} (") for i, (code, _) in enumerate(kinds[:5])]
    assert places == sorted(places)
    assert "system" not in error
    assert len(read_table(tmp_path / "out" / "frames.csv")) == 27
    assert list((tmp_path / "out" / "masks").rglob("*.png")) == []


def test_predict_refuses_some_and_goes_on(command, trained, tiny_folder, tmp_path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    good, *_ = images(tiny_folder)
    shutil.copy(good, source)
    (source / "cut.png").write_bytes(good.read_bytes()[:200])
    cine = np.stack([read_png(good)] * 3)
    dicom_dataset(cine, frames=3).save_as(source / "cine.dcm", enforce_file_format=True)
    (source / "cine.dcm").write_bytes((source / "cine.dcm").read_bytes()[:-5000])
    ended = command("predict", source, tmp_path / "out", "--model", "tiny", workspace=trained)
    assert ended.code == 3
    table = read_table(tmp_path / "out" / "frames.csv")
    assert {row["frame"] for row in table if row["status"] == "used"} == {good.stem}
    assert {row["code"] for row in table if row["status"] == "refused"} == {"truncated"}
    assert {path.name for path in (tmp_path / "out" / "masks" / "cbd").iterdir()} == {good.name}


@pytest.mark.parametrize(
    ("code", "source", "output", "words", "text"),
    [
        (2, "nope", "out", [], "there is no such file or folder (at nope)"),
        (2, "x" * 5000, "out", [], "too long"),
        (2, "in", "foreign", [], "not empty and was not made by ercpseg predict (at foreign)"),
        (2, "in", "in", [], "the input lies in the output folder, whose files this run replaces (at in)"),
        (2, "in", "file", [], "the output is a file (at file)"),
        (74, "in", "file/out", [], "the output folder cannot be written: Not a directory (at file/out)"),
        (2, "in", "out", ["--fold", "1"], "the model has no fold 1 (at --fold); expected of 0"),
        (2, "in", "out", ["--model", "unknown"], "there is no model 'unknown' (at --model)"),
        (2, "in", "out", ["--model", "file"], "this is no zip of a model (at file)"),
        (2, "in", "out", ["--model", "foreign"], "this is no model (at foreign)"),
        (2, "in", "out", ["--model", ""], "there is no model ''"),
        (74, "in", "out", ["--model", "damaged"], "fold_0.safetensors"),
    ],
)
def test_predict_from_or_to_where_it_cannot(
    command, trained, tiny_folder, tmp_path, monkeypatch, code, source, output, words, text
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    shutil.copy(images(tiny_folder)[0], "in")
    Path("foreign").mkdir()
    Path("foreign/thesis.txt").write_text("years of work")
    Path("file").write_text("x")
    shutil.copytree(trained.model_folder("tiny"), "damaged")
    weights = bytearray(Path("damaged/fold_0.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    Path("damaged/fold_0.safetensors").write_bytes(bytes(weights))
    before = snapshot(tmp_path)
    assert text in predict(command, trained, code, Path(source), Path(output), *words)
    assert snapshot(tmp_path) == before
    assert leftovers(tmp_path) == []


def test_ctrl_c_while_predicting_leaves_what_was_done_and_says_that_it_is_not_all(
    command, trained, tiny_folder, tmp_path, monkeypatch
) -> None:
    from ercpseg.inference.predictor import Predictor

    real, done = Predictor.predict_prepared, []

    def interrupted(self, frames, **options):
        if len(done) >= 3:  # several may be predicted side by side
            raise KeyboardInterrupt
        done.extend(prepared.frame.name for prepared in frames)
        return real(self, frames, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict_prepared", interrupted)
        error = predict(command, trained, 75, tiny_folder / "images", tmp_path / "out")
    assert error == "error: stopped; run the same command to go on"
    assert json.loads((tmp_path / "out" / "run.json").read_text())["finished"] is False
    assert [row["frame"] for row in read_table(tmp_path / "out" / "frames.csv")] == done
    assert {path.stem for path in (tmp_path / "out" / "labels").iterdir()} == set(done)
    command.succeeds("predict", tiny_folder / "images", tmp_path / "out", "--model", "tiny", workspace=trained)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["frames"]["used"] == 18


# -- busy ------------------------------------------------------------------------------------------------------------


@contextmanager
def held(root: Path) -> Iterator[int]:
    """Another process holds the workspace."""
    code = (
        "import sys; from ercpseg.storage.workspace import Workspace\n"
        "with Workspace(sys.argv[1]).locked():\n  print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other.pid
        other.kill()  # the lock goes with its holder, however it ends


def test_a_workspace_in_use_by_another_run(command, workspace, tiny_folder) -> None:
    before = snapshot(workspace.root)
    with held(workspace.root) as pid:
        for words in ((PLAN, tiny_folder), (PLAN, "tiny"), ("train", "tiny", 0), ("train", "tiny", 0, "--restart")):
            error = command.fails(73, *words, workspace=workspace)
            assert error.startswith(f"error: another run is using this workspace (at process {pid} on ")
            assert "wait until it is done, stop it, or use another --workspace" in error
        assert snapshot(workspace.root) == before
    command.succeeds("train", "tiny", 0, "--epochs", 1, workspace=workspace)


# -- where nothing can be written ------------------------------------------------------------------------------------


def test_a_workspace_that_cannot_be(command, tiny_folder, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "w"):
        error = command.fails(74, PLAN, tiny_folder, *QUICK, workspace=place)
        assert (
            f"the workspace cannot be written: {'File exists' if place.name == 'file' else 'Not a directory'}" in error
        )
        assert f"(at {place})" in error
    assert (tmp_path / "file").read_text() == "x"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``disk(n)``: the disk is full after ``n`` more files."""

    def limit(files: int) -> None:
        left = iter(range(files))

        def opened(path: str, mode: str = "r", *words, **options):
            if mode == "xb" and next(left, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")
            return open(path, mode, *words, **options)  # noqa: PTH123

        monkeypatch.setattr(atomic, "open", opened, raising=False)

    return limit


@pytest.mark.parametrize("files", [0, 20, 40, 75])
def test_a_disk_that_fills_up_while_planning(command, disk, data, tmp_path, files: int) -> None:
    space = Workspace(tmp_path / "w")
    disk(files)
    error = command.fails(74, PLAN, data, *QUICK, workspace=space)
    assert "No space left on device" in error
    assert leftovers(tmp_path) == []
    disk(10**6)
    for path in space.root.rglob("*.json"):
        json.loads(path.read_text())
    command.succeeds(PLAN, data, *QUICK, workspace=space)
    assert "nothing to do" in command.succeeds(PLAN, data, *QUICK, workspace=space)


@pytest.mark.parametrize("files", [0, 1, 3, 7])
def test_a_disk_that_fills_up_while_training(command, disk, workspace, trained, files: int) -> None:
    disk(files)
    assert "No space left on device" in command.fails(74, "train", "tiny", 0, workspace=workspace)
    assert leftovers(workspace.root) == []
    disk(10**6)
    command.succeeds("train", "tiny", 0, workspace=workspace)
    weights = [run_folder(space, "tiny", "0") / "weights.safetensors" for space in (workspace, trained)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_disk_that_fills_up_while_predicting(command, disk, trained, tiny_folder, tmp_path) -> None:
    disk(30)
    error = predict(command, trained, 74, tiny_folder / "images", tmp_path / "out")
    assert "No space left on device" in error
    assert json.loads((tmp_path / "out" / "run.json").read_text())["finished"] is False
    for path in (tmp_path / "out").rglob("*.png"):
        read_png(path)  # whole, or not there
    assert leftovers(tmp_path) == []
    disk(10**6)
    command.succeeds(
        "predict", tiny_folder / "images", tmp_path / "out", "--model", "tiny", "--no-overlays", workspace=trained
    )
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 18


@pytest.mark.slow
@pytest.mark.parametrize("limit", [2_000, 30_000, 500_000])
def test_a_real_limit_on_files_in_a_process_of_its_own(command, data, tmp_path, limit: int) -> None:
    """The kernel refuses to let a file grow, also to libraries that do not write through us."""
    space = Workspace(tmp_path / "w")

    def run(*words: object) -> tuple[int, str]:
        def restrict() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        with process(*words, "--workspace", space.root, env=environment(), preexec_fn=restrict) as limited:
            _, err = limited.communicate(timeout=120)
        return limited.returncode, err

    code, err = run(PLAN, data, *QUICK)
    if code == 0:
        code, err = run("train", "tiny", 0)
    assert code == 74
    assert "File too large" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert leftovers(tmp_path) == []
    command.succeeds(PLAN, data, *QUICK, workspace=space)
    command.succeeds("train", "tiny", 0, workspace=space)


# -- documents that somebody or something changed --------------------------------------------------------------------


@pytest.mark.parametrize("file", ["dataset.json", "fingerprint.json", "plan.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "ercpseg.plan/99"}'])
def test_a_garbled_document_is_named(command, workspace, file: str, content: str) -> None:
    path = workspace.dataset_folder("tiny") / file
    path.write_text(content)
    error = command.fails(65, "train", "tiny", 0, workspace=workspace)
    assert str(path) in error


def test_a_garbled_index_of_the_workspace_is_named(command, workspace, tiny_folder) -> None:
    (workspace.root / "workspace.json").write_text("{")
    for words in ((PLAN, tiny_folder), ("train", "tiny", 0), ("report", "tiny")):
        assert "workspace.json" in command.fails(65, *words, workspace=workspace)


def test_prepared_frames_that_are_gone(command, workspace) -> None:
    shutil.rmtree(workspace.root / "nnunet" / "preprocessed")
    error = command.fails(65, "train", "tiny", 0, workspace=workspace)
    assert "run plan-and-preprocess" in error


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.05, 0.3, 0.8, 1.6])
def test_a_killed_plan_finishes_with_the_same_command(command, data, tmp_path, after: float) -> None:
    space = Workspace(tmp_path / "w")
    with process(PLAN, data, *QUICK, "--workspace", space.root) as running:
        import time

        while not (space.root / "workspace.json").exists():
            assert running.poll() is None
            time.sleep(0.01)
        time.sleep(after)
        running.kill()
    command.succeeds(PLAN, data, *QUICK, workspace=space)
    command.succeeds("train", "tiny", 0, "--epochs", 1, workspace=space)
