"""A frame or an export that does not fit the memory costs no more than itself; a disk that is full ends the run."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ercpseg.decoding import decoders
from ercpseg.errors import ResourceError, StorageError
from ercpseg.export import files, movie, nifti, png
from ercpseg.export import formats as table
from ercpseg.export.formats import SERIES_FORMATS
from ercpseg.export.rows import Rows
from ercpseg.storage.images import read_png
from ercpseg.storage.tables import read_table
from tests.unit.export.made import exports, predicted, write_dicom

PYTHON, TORCH = MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
ALL = ["seg-nrrd", "nifti", "contact-sheet", "gif", "dicom-seg", "dicom-sc"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of three frames and one of a single one."""
    write_dicom(tmp_path / "in/c.dcm", frames=3)
    write_dicom(tmp_path / "in/d.dcm", SeriesInstanceUID="1.2.3.77")
    return tmp_path / "in"


def failing(real: Callable[..., Any], error: Exception, when: Callable[..., bool]) -> Callable[..., Any]:
    """``real``, but for words of which ``when`` holds it fails."""

    def instead(*words: Any, **options: Any) -> Any:
        if when(*words):
            raise error
        return real(*words, **options)

    return instead


def rows(output: Path) -> dict[str, tuple[str, str]]:
    return {row["frame"]: (row["status"], row["code"]) for row in read_table(output / "frames.csv")}


def of(output: Path, name: str) -> list[str]:
    """The files that are named after a frame."""
    return sorted(path.relative_to(output).as_posix() for path in output.rglob(f"{name}.*"))


@pytest.mark.parametrize(("part", "error"), [("mask", PYTHON), ("label", TORCH), ("overlay", PYTHON)])
def test_a_frame_whose_own_files_do_not_fit_is_refused_and_the_others_are_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, error: Exception
) -> None:
    where, wanted = {"mask": (png, "masks/cbd"), "label": (files, "labels"), "overlay": (png, "overlays")}[part]
    this = f"{wanted}/c_f0001.png"
    patched = failing(where.write_png, error, lambda path, *_: Path(path).as_posix().endswith(this))
    monkeypatch.setattr(where, "write_png", patched)
    output = tmp_path / "out"
    summary, bitmasks, _ = predicted(source, output, ALL)
    assert summary.counts == {"found": 4, "used": 3, "refused": 1, "ignored": 0}
    used = ("used", "")
    assert rows(output) == {"c_f0000": used, "c_f0001": ("refused", "too-large"), "c_f0002": used, "d": used}
    assert of(output, "c_f0001") == []
    for name in ("c_f0000", "c_f0002", "d"):
        assert np.array_equal(read_png(output / f"labels/{name}.png"), bitmasks[name])
        assert len(of(output, name)) >= 4 + 1 + 1 + 4 + 1
    # what was made of the file does without the frame, and says so
    import pydicom

    assert {status for status, _ in exports(output).values()} == {"written"}
    seg = pydicom.dcmread(output / "dicom-seg/c.dcm")
    assert seg.ContentDescription == "1 frames could not be segmented"
    assert 2 not in {
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for group in seg.PerFrameFunctionalGroupsSequence
    }
    # with more memory the same run makes up for it
    monkeypatch.undo()
    summary, _, fresh = predicted(source, output, ALL)
    assert fresh == ["c_f0001"]
    assert summary.used == 4
    assert pydicom.dcmread(output / "dicom-seg/c.dcm").ContentDescription != seg.ContentDescription


def test_a_file_of_which_every_frame_is_lost_has_no_exports(source: Path, tmp_path: Path, monkeypatch) -> None:
    lose = failing(png.write_png, MemoryError(), lambda path, *_: Path(path).name.startswith("c_"))
    monkeypatch.setattr(png, "write_png", lose)
    summary, _, _ = predicted(source, tmp_path / "out", ALL)
    assert (summary.used, summary.refused) == (1, 3)
    assert {name for _, name in exports(tmp_path / "out")} == {"d"}


def test_another_format_that_does_not_fit_is_told_and_the_frame_is_used(
    source: Path, tmp_path: Path, monkeypatch
) -> None:
    """The third of four files: those before it go with it."""
    patched = failing(
        nifti.write_bytes, MemoryError(), lambda path, *_: Path(path).as_posix().endswith("cbd/c_f0001.nii.gz")
    )
    monkeypatch.setattr(nifti, "write_bytes", patched)
    output = tmp_path / "out"
    for formats in (["nifti"], ["nifti", "gif"]):
        summary, _, _ = predicted(source, output, formats)
        assert (summary.used, summary.refused) == (4, 0)
        assert summary.exports["nifti"] == {"written": 3, "refused": 1}
        assert exports(output)["nifti", "c_f0001"] == ("refused", "too-large")
        assert [path.parent.parent.name for path in output.rglob("c_f0001.nii.gz")] == []
        assert (output / "labels/c_f0001.png").is_file()
    monkeypatch.undo()
    summary, _, fresh = predicted(source, output, ["nifti"])
    assert (fresh, summary.exports) == ([], {})
    assert len(list(output.rglob("c_f0001.nii.gz"))) == 4
    assert not (output / "exports.csv").exists()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("contact-sheet", PYTHON),
        ("gif", TORCH),
        ("mp4", PYTHON),
        ("dicom-seg", ResourceError("no decoding process can be started")),
        ("dicom-sc", TORCH),
    ],
)
def test_an_export_that_does_not_fit_is_told_and_the_others_are_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    format_ = SERIES_FORMATS[name]
    if format_.needs_module is not None:
        pytest.importorskip(format_.needs_module)

    class Limited:
        def __getattr__(self, attribute: str) -> Any:
            return getattr(format_, attribute)

        def write(self, path: Path, one: Any) -> None:
            if one.name == "c":
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"of an earlier run")
                raise error
            format_.write(path, one)

    monkeypatch.setitem(table.SERIES_FORMATS, name, Limited())
    summary, _, _ = predicted(source, tmp_path / "out", [name])
    assert (summary.used, summary.exports) == (4, {name: {"written": 1, "refused": 1}})
    assert exports(tmp_path / "out") == {(name, "c"): ("refused", "too-large"), (name, "d"): ("written", "")}
    assert [path.stem for path in (tmp_path / "out" / format_.folder).iterdir()] == ["d"]


def test_ffmpeg_s_word_for_too_little_memory_is_understood(source: Path, tmp_path: Path, monkeypatch) -> None:
    av = pytest.importorskip("av")
    error = av.error.MemoryError(12, "Cannot allocate memory")
    monkeypatch.setattr(movie.Mp4, "_encoded", failing(movie.Mp4._encoded, error, lambda _, one: one.name == "c"))
    predicted(source, tmp_path / "out", ["mp4"])
    assert exports(tmp_path / "out") == {("mp4", "c"): ("refused", "too-large"), ("mp4", "d"): ("written", "")}


def test_other_errors_are_not_taken_for_too_little_memory(source: Path, tmp_path: Path, monkeypatch) -> None:
    wrong = failing(png.write_png, RuntimeError("shapes differ"), lambda *_: True)
    monkeypatch.setattr(png, "write_png", wrong)
    with pytest.raises(RuntimeError, match="shapes differ"):
        predicted(source, tmp_path / "out", ["png"])


def test_a_run_that_is_stopped_lists_what_did_not_fit(source: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        png, "write_png", failing(png.write_png, MemoryError(), lambda path, *_: Path(path).stem == "c_f0001")
    )
    seen = []

    def drawn(name: str, shape: tuple[int, int]) -> np.ndarray:
        seen.append(name)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return np.ones(shape, np.uint8)

    with pytest.raises(KeyboardInterrupt):
        predicted(source, tmp_path / "out", ["png"], of=drawn)
    assert rows(tmp_path / "out")["c_f0001"] == ("refused", "too-large")


def test_rows_that_turn_out_to_be_refused() -> None:
    found = Rows()
    for name, status in (("a", "used"), ("b", "used"), ("b", "ignored")):
        found.append({"frame": name, "status": status, "milliseconds": 1.0})
    found.refuse({"b", "c"}, "too-large", "why")
    assert [(row["status"], row["code"], row["milliseconds"]) for row in found] == [
        ("used", None, 1.0),
        ("refused", "too-large", None),
        ("ignored", None, 1.0),
    ]


# -- a full disk -------------------------------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel lets no file grow beyond ``size`` bytes; Python ignores the signal, so that writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["contact-sheet", "gif", "mp4", "dicom-seg", "dicom-sc"])
def test_an_export_that_the_disk_does_not_take_ends_the_run_and_leaves_no_half_of_it(tmp_path: Path, name: str) -> None:
    """Many frames, so that what is made of all is larger than any file of one."""
    format_ = SERIES_FORMATS[name]
    if format_.needs_module is not None:
        pytest.importorskip(format_.needs_module)
    write_dicom(tmp_path / "in/c.dcm", frames=12, shape=(64, 80))
    output = tmp_path / "out"
    predicted(tmp_path / "in", output, ["png"])
    most = max(path.stat().st_size for path in output.rglob("*") if path.is_file())
    with largest_file(most + 100), pytest.raises(StorageError, match="File too large"):
        predicted(tmp_path / "in", output, [name])
    assert [path for path in output.rglob("*") if path.parent.name == format_.folder] == []
    _, _, fresh = predicted(tmp_path / "in", output, [name])
    assert fresh == []
    assert exports(output) == {(name, "c"): ("written", "")}


def test_one_child_reads_the_headers_of_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting one for each took 0.3 of the 0.33 seconds of a segmentation."""
    for number in range(5):
        write_dicom(tmp_path / f"in/{number}.dcm")
    started = []
    real = decoders._Child
    monkeypatch.setattr(decoders, "_Child", lambda: started.append(1) or real())
    monkeypatch.setattr(decoders, "_shared", None)  # that of all tests
    monkeypatch.setattr(decoders, "_users", 0)
    predicted(tmp_path / "in", tmp_path / "out", ["dicom-seg"])
    assert len(list((tmp_path / "out/dicom-seg").iterdir())) == 5
    assert len(started) <= decoders.CHILDREN + 1, "those that read the frames, and one"
