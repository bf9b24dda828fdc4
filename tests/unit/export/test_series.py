"""Formats of series: what belongs together, what it is called, what the pictures show, and going on after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import InputRefused, UsageError
from ercpseg.export import contact, movie, series
from ercpseg.export.choice import Choice
from ercpseg.export.contact import arrange, evenly, shrink
from ercpseg.export.formats import FORMATS, SERIES_FORMATS, chosen
from ercpseg.export.movie import Gif, Mp4
from ercpseg.export.series import Collected
from ercpseg.frames.about import About
from ercpseg.frames.frame import Frame
from ercpseg.storage.images import read_png, write_png
from ercpseg.structures import COLOURS, StructureSet
from tests.unit.export.made import exports, predicted, write_dicom

STRUCTURES = StructureSet(("endoscope", "guidewire"))
PIXELS = np.zeros((4, 4), np.uint8)


def collected(*frames: Frame) -> Collected:
    found = Collected()
    for frame in frames:
        found.add(frame, "0")
    return found


def groups(found: Collected, per: str) -> dict[str, list[str]]:
    return {one.name: [shot.name for shot in one.shots] for one in found.series(Path("out"), STRUCTURES, per)}


def picture(name: str, source: str, index: int | None = None, **rest) -> Frame:
    return Frame(name, PIXELS, 8, source=source, index=index, **rest)


# -- what belongs together ---------------------------------------------------------------------------------------------


def test_frames_of_a_file_of_a_series_and_of_a_folder_belong_together() -> None:
    found = collected(
        picture("cine_f0000", "cine.dcm", 0, series="cine.dcm"),
        picture("cine_f0001", "cine.dcm", 1, series="cine.dcm"),
        picture("a", "x/a.png"),
        picture("late", "d/1.dcm", series="1.2", about=About(order=(1, 12))),
        picture("b", "x/b.png"),
        picture("early", "d/2.dcm", series="1.2", about=About(order=(1, 2))),
        picture("c", "y/c.png"),
    )
    assert groups(found, "file") == {
        "cine": ["cine_f0000", "cine_f0001"],
        "a": ["a"],
        "late": ["late"],
        "b": ["b"],
        "early": ["early"],
        "c": ["c"],
    }
    assert groups(found, "series") == {
        "cine": ["cine_f0000", "cine_f0001"],
        "a": ["a", "b"],
        "early": ["early", "late"],  # by instance number, not by file name
        "c": ["c"],
    }


def test_no_two_series_share_a_name() -> None:
    """Of ``x.dcm`` (several frames), ``x.png`` and a file that is called as a frame is."""
    found = collected(
        picture("X", "X.png"),
        picture("x_f0000", "x.dcm", 0),
        picture("x_f0000_f0000", "x_f0000.dcm", 0),
        picture("x_f0000_f0001", "x_f0000.dcm", 1),
    )
    names = list(groups(found, "file"))
    assert names == ["X", "x_f0000", "x_f0000_f0000"]


def test_lost_frames_are_known_whenever_they_come() -> None:
    found = Collected()
    for index in (0, 2):
        found.lose(
            FrameRecord(frame=f"c_f{index:04d}", source="c.dcm", index=index, status="refused", code="truncated")
        )
        found.add(picture(f"c_f{index + 1:04d}", "c.dcm", index + 1), "0")
    found.lose(FrameRecord(frame="", source="notes.txt", status="ignored", code="sidecar"))
    (one,) = found.series(Path("out"), STRUCTURES, "file")
    assert one.files[0].lost == [0, 2]


# -- contact sheets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (6, 5), (97, 60), (2000, 60)])
def test_a_sheet_samples_evenly_with_both_ends(count: int, most: int) -> None:
    numbers = evenly(count, most)
    assert len(numbers) == min(count, most)
    assert (numbers[0], numbers[-1]) == (0, count - 1)
    steps = np.diff(numbers)
    assert count == 1 or steps.max() - steps.min() <= 1


def test_a_line_of_one_pixel_survives_shrinking_and_grey_is_averaged() -> None:
    large = np.full((42, 60, 3), 100, np.uint8)
    large[::2] = 120
    large[:, 31] = COLOURS[1]
    small = shrink(large, 20)
    assert small.shape == (14, 20, 3)
    assert (small[:, 10] == COLOURS[1]).all()
    grey = np.delete(small, 10, axis=1)
    assert ((grey >= 106) & (grey <= 114)).all()
    assert shrink(large, 60) is large


def test_tiles_stand_where_they_should() -> None:
    tiles = [(f"n{i}", np.full((50, 70, 3), i, np.uint8)) for i in (200, 210, 220)]
    page = arrange(tiles, "title")
    for value, _ in ((200, 0), (210, 0), (220, 0)):
        ys, xs = np.nonzero((page == value).all(-1))
        assert ys.size >= 50 * 70
        assert (page[ys.min() : ys.min() + 50, xs.min() : xs.min() + 70] == value).all()


def test_a_sheet_of_a_cine(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in/c.dcm", frames=4, shape=(300, 280))
    predicted(tmp_path / "in", tmp_path / "out", ["contact-sheet"])
    overlays = [read_png(tmp_path / f"out/overlays/c_f{i:04d}.png") for i in range(4)]
    tiles = [(f"frame {i}", shrink(one, contact.TILE_PX)) for i, one in enumerate(overlays)]
    assert tiles[0][1].shape == (150, 140, 3)
    assert np.array_equal(read_png(tmp_path / "out/contact-sheets/c.png"), arrange(tiles, "c: 4 frames"))


# -- movies ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cine")
    write_dicom(root / "in/c.dcm", frames=5, shape=(61, 83), FrameTime="100", FrameIncrementPointer=0x00181063)
    predicted(root / "in", root / "out", ["gif", "mp4"])
    return root / "out"


def near(shown: np.ndarray, meant: np.ndarray, within: float) -> bool:
    return bool(np.abs(shown.astype(int) - meant.astype(int)).mean() < within)


def test_a_gif_shows_the_overlays_at_their_pace(cine: Path) -> None:
    with Image.open(cine / "gif/c.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"], gif.info["loop"]) == (5, (83, 61), 100, 0)
        for number in range(5):
            gif.seek(number)
            shown = np.asarray(gif.convert("RGB"))
            meant = read_png(cine / f"overlays/c_f{number:04d}.png")
            assert near(shown, meant, 3)
            lines = (meant == COLOURS[1]).all(-1)
            assert (shown[lines] == COLOURS[1]).all()


def test_an_mp4_shows_the_overlays_at_their_pace(cine: Path) -> None:
    import av

    with av.open(str(cine / "mp4/c.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 10
        assert stream.codec_context.name == "h264"
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 5
    for number, frame in enumerate(frames):
        meant = read_png(cine / f"overlays/c_f{number:04d}.png")
        assert frame.shape == (122, 166, 3)  # doubled, so that lines keep their colour
        assert near(frame[::2, ::2], meant, 12)


def test_pictures_of_another_size_are_made_to_fit(tmp_path: Path) -> None:
    for name, shape in (("a", (40, 60)), ("b", (90, 45)), ("c", (10, 60))):
        write_png(tmp_path / "in" / f"{name}.png", np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
    predicted(tmp_path / "in", tmp_path / "out", ["gif"])
    with Image.open(tmp_path / "out/gif/a.gif") as gif:
        assert (gif.n_frames, gif.size) == (3, (60, 40))
        gif.seek(1)
        shown = np.asarray(gif.convert("RGB"))
        assert shown[:, :20].max() == shown[:, -20:].max() == 0  # 90 × 45 becomes 40 × 20
        assert shown[:, 20:40].mean() > 50
    assert exports(tmp_path / "out") == {("gif", "a"): ("written", "")}


def test_the_palette_has_the_colours_of_the_lines() -> None:
    for count in range(1, 9):
        table = movie._palette(count)
        assert table.shape == (256, 3)
        for colour in COLOURS[:count]:
            assert (table == colour).all(-1).any()


# -- choosing ----------------------------------------------------------------------------------------------------------


def test_a_format_made_of_overlays_needs_them() -> None:
    for name, format_ in SERIES_FORMATS.items():
        if format_.needs_pictures:
            with pytest.raises(UsageError, match=f"{name} is made from overlays"):
                Choice([name], STRUCTURES, overlays=False)
    assert Choice(["dicom-seg"], STRUCTURES, overlays=False).series


def test_a_format_whose_package_is_missing_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ercpseg.export.formats.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"mp4 needs the package av .*ercpseg\[video\]"):
        chosen("mp4")
    assert chosen("gif") == ("png", "gif")


def test_every_format_says_what_it_is() -> None:
    assert all(format_.says for format_ in FORMATS.values())
    folders = [format_.folder for format_ in SERIES_FORMATS.values()]
    assert len(set(folders)) == len(folders)


# -- going on ----------------------------------------------------------------------------------------------------------


def stamps(output: Path, folder: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (output / folder).iterdir()}


def test_only_what_is_missing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the second of three sheets is written."""
    for folder in "abc":
        for number in range(2):
            write_png(
                tmp_path / "in" / folder / f"{folder}{number}.png",
                np.random.default_rng(number).integers(0, 255, (30, 40)).astype(np.uint8),
            )

    def killed(path: Path, page: np.ndarray) -> None:
        if path.name == "b0.png":
            raise KeyboardInterrupt
        write_png(path, page)

    output = tmp_path / "out"
    monkeypatch.setattr(contact, "write_png", killed)
    with pytest.raises(KeyboardInterrupt):
        predicted(tmp_path / "in", output, ["contact-sheet"])
    monkeypatch.undo()
    assert exports(output) == {("contact-sheet", "a0"): ("written", "")}
    before = stamps(output, "contact-sheets")
    _, _, fresh = predicted(tmp_path / "in", output, ["contact-sheet"])
    assert fresh == []
    after = stamps(output, "contact-sheets")
    assert set(after) == {"a0.png", "b0.png", "c0.png"}
    assert after["a0.png"] == before["a0.png"]
    assert len(exports(output)) == 3


def test_another_header_over_the_same_pixels_is_another_series(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"header of one patient, pixels")
    frame = picture("a", "a.dcm", path=tmp_path / "a.dcm")
    (first,) = collected(frame).series(tmp_path, STRUCTURES, "file")
    before = first.made_from
    (tmp_path / "a.dcm").write_bytes(b"header of nobody, pixels")
    (second,) = collected(frame).series(tmp_path, STRUCTURES, "file")
    assert second.made_from != before


@pytest.mark.parametrize("format_", ["mp4", "gif"])
def test_a_picture_that_a_movie_cannot_take_is_refused(tmp_path: Path, format_: str) -> None:
    if format_ == "mp4":
        pytest.importorskip("av")
    long = 20_000 if format_ == "mp4" else 65_536
    write_png(tmp_path / "out" / "overlays" / "a.png", np.zeros((20, long, 3), np.uint8))
    (one,) = collected(picture("a", "a.png")).series(tmp_path / "out", STRUCTURES, "series")
    with pytest.raises(InputRefused, match="not-this-format"):
        {"mp4": Mp4, "gif": Gif}[format_]().write(tmp_path / f"a.{format_}", one)
    assert not (tmp_path / f"a.{format_}").exists()


def test_a_series_with_another_frame_is_written_again_and_one_that_is_gone_is_removed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a/1", "a/2", "b/3"):
        write_png(tmp_path / f"in/{name}.png", rng.integers(0, 255, (30, 40)).astype(np.uint8))
    output = tmp_path / "out"
    predicted(tmp_path / "in", output, ["contact-sheet", "seg-nrrd"])
    before = stamps(output, "contact-sheets")
    (tmp_path / "in/a/2.png").unlink()
    (tmp_path / "in/b/3.png").unlink()
    _, _, fresh = predicted(tmp_path / "in", output, ["contact-sheet", "seg-nrrd"])
    assert fresh == []
    after = stamps(output, "contact-sheets")
    assert set(before) == {"1.png", "3.png"}
    assert set(after) == {"1.png"}
    assert after["1.png"] != before["1.png"]
    assert [path.name for path in (output / "seg-nrrd").iterdir()] == ["1.seg.nrrd"]


def test_formats_can_be_asked_for_later_and_are_gone_when_they_are_not(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in/c.dcm", frames=2)
    output = tmp_path / "out"
    predicted(tmp_path / "in", output, ["png"])
    assert not (output / "exports.csv").exists()
    _, _, fresh = predicted(tmp_path / "in", output, ["dicom-seg", "nifti", "gif"])
    assert fresh == []
    assert {path.name for path in output.iterdir() if path.is_dir()} == {
        *("masks", "labels", "overlays", "dicom-seg", "nifti", "gif"),
    }
    predicted(tmp_path / "in", output, ["png"])
    assert {path.name for path in output.iterdir() if path.is_dir()} == {"masks", "labels", "overlays"}
    assert not (output / "exports.csv").exists()


def test_a_damaged_table_means_that_all_is_written_again(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in/c.dcm", frames=2)
    output = tmp_path / "out"
    predicted(tmp_path / "in", output, ["gif"])
    (output / series.TABLE).write_text((output / series.TABLE).read_text()[:-30])
    predicted(tmp_path / "in", output, ["gif"])
    assert exports(output) == {("gif", "c"): ("written", "")}
