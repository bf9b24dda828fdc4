"""The shift alarm: by hand-made ranges, on synthetic frames of the same kind, and on real frames of another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ercpseg.documents.run import ModelCard
from ercpseg.frames.frame import Frame
from ercpseg.pipeline.shift import MOST_FRAMES, NO_RANGES, SURE_FRAMES, Measured, Watch, at_least, find_shift
from ercpseg.structures import DEFAULT_STRUCTURES, StructureSet

STRUCTURES = StructureSet(DEFAULT_STRUCTURES)
OTHERS = [f"other{i}" for i in range(19)]
"""Quantities that are always inside: chance must be excluded for twenty."""


def card(patients: int = 100, **ranges: tuple[float, float]) -> ModelCard:
    return ModelCard.new(
        name="hand",
        structures=DEFAULT_STRUCTURES,
        ercpseg_version="0",
        plan_sha256="0" * 64,
        frames=3 * patients,
        patients=patients,
        folds=(),
        training_data="hand",
        reference_long_side_px=100,
        ranges={name.replace("__", "."): pair for name, pair in ranges.items()} | dict.fromkeys(OTHERS, (0.0, 1.0)),
    )


def frames(quantity: str, values: list[float], per_patient: int = 1) -> list[Measured]:
    name = quantity.replace("__", ".")
    others = dict.fromkeys(OTHERS, 0.5)
    return [Measured(f"p{i // per_patient}", others | {name: value}) for i, value in enumerate(values)]


def test_a_median_outside_is_told_in_one_sentence_with_the_numbers() -> None:
    (found,) = find_shift(frames("mean_frac", [0.7] * 5), card(mean_frac=(0.3, 0.5)))
    assert (found.quantity, found.median, found.outside_frac) == ("mean_frac", 0.7, 1.0)
    assert found.text == (
        "the mean grey value (share of the largest) is 0.7 in 5 new frames (median), outside its training range of 0.3 to 0.5."
    )


def test_frames_inside_give_no_alarm() -> None:
    assert find_shift(frames("mean_frac", [0.31, 0.4, 0.49]), card(mean_frac=(0.3, 0.5))) == []


def test_a_tenth_of_the_frames_is_the_limit() -> None:
    """Slightly outside, so that only the number of frames counts: 2 of 20 are no more than a tenth, 6 of 20 are."""
    inside, outside = 0.4, 0.52
    assert find_shift(frames("mean_frac", [outside] * 2 + [inside] * 18), card(mean_frac=(0.3, 0.5))) == []
    (found,) = find_shift(frames("mean_frac", [outside] * 6 + [inside] * 14), card(mean_frac=(0.3, 0.5)))
    assert found.outside_frac == 0.3
    assert "in 30 % of 20 new frames" in found.text


def test_one_odd_patient_among_many_is_chance() -> None:
    """3 of 12 frames lie just outside, all of one of four patients: P(at least 1 of 4 at 2 %) = 8 %."""
    values = [0.52] * 3 + [0.4] * 9
    assert find_shift(frames("mean_frac", values, per_patient=3), card(mean_frac=(0.3, 0.5))) == []
    assert find_shift(frames("mean_frac", values, per_patient=1), card(mean_frac=(0.3, 0.5))) != []


def test_a_range_of_few_patients_says_little_unless_frames_are_far_outside() -> None:
    near, far = frames("mean_frac", [0.52] * 4), frames("mean_frac", [0.62] * 4)
    assert find_shift(near, card(patients=3, mean_frac=(0.3, 0.5))) == []
    assert find_shift(near, card(patients=100, mean_frac=(0.3, 0.5))) != []
    assert find_shift(far, card(patients=3, mean_frac=(0.3, 0.5))) != []  # by more than half of 0.2


def test_one_frame_is_enough_when_it_is_far_outside() -> None:
    assert find_shift(frames("mean_frac", [0.52]), card(mean_frac=(0.3, 0.5))) == []
    assert len(find_shift(frames("mean_frac", [0.9]), card(mean_frac=(0.3, 0.5)))) == 1


def test_patients_outside_on_both_sides_are_no_shift() -> None:
    values = [0.28, 0.52]
    assert find_shift(frames("mean_frac", values), card(mean_frac=(0.3, 0.5))) == []


def test_ranges_of_structures_are_taken_wider_and_named_with_their_unit() -> None:
    """A quarter of the range's width of 4 px: up to 7 px passes, although 6 px was the 99th percentile."""
    ranges = {"guidewire__width_px": (2.0, 6.0)}
    assert find_shift(frames("guidewire__width_px", [6.9] * 10), card(**ranges)) == []
    (found,) = find_shift(frames("guidewire__width_px", [7.1] * 10), card(**ranges))
    assert found.text.startswith("the width of guidewire (px at a long side of 100 px) is 7.1")


def test_only_quantities_on_both_sides_are_compared_and_those_of_the_frame_come_first() -> None:
    measured = [Measured(f"p{i}", {"stone.width_px": 50.0, "noise_sd": 9.0, "odd": 1.0}) for i in range(5)]
    found = find_shift(measured, card(stone__width_px=(1.0, 2.0), noise_sd=(0.0, 0.1), cbd__width_px=(1.0, 2.0)))
    assert [f.quantity for f in found] == ["noise_sd", "stone.width_px"]


@pytest.mark.parametrize(("k", "n", "p", "probability"), [(0, 9, 0.5, 1.0), (3, 3, 0.5, 0.125), (1, 3, 0.5, 0.875)])
def test_binomial_tail(k: int, n: int, p: float, probability: float) -> None:
    assert at_least(k, n, p) == pytest.approx(probability)


# -- the sample ------------------------------------------------------------------------------------------------------


class Taken:
    """A sink that counts."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.refused: list[object] = []

    def write(self, frame, bitmask, milliseconds, probabilities=None) -> None:
        self.frames.append(frame.name)

    def refuse(self, record) -> None:
        self.refused.append(record)


def push(watch: Watch, count: int) -> None:
    pixels = np.random.default_rng(0).integers(40, 200, (32, 32)).astype(np.uint8)
    for i in range(count):
        watch.write(Frame(name=f"p{i}_0", pixels=pixels, bits=8), np.zeros((32, 32), np.uint8), 1.0)


def test_at_most_64_frames_are_measured_evenly_and_all_are_passed_on(monkeypatch) -> None:
    sink = Taken()
    watch = Watch(sink, card(mean_frac=(0.0, 1.0)), STRUCTURES, total=1, started=-1e9)  # there is time for all
    push(watch, 300)  # one file of 300 frames: the number is not known before
    assert len(sink.frames) == 300
    assert MOST_FRAMES / 2 <= len(watch.measured) <= MOST_FRAMES
    steps = np.diff(sorted(watch.measured))
    assert set(steps) == {8}
    many = Watch(sink, card(mean_frac=(0.0, 1.0)), STRUCTURES, total=640, started=-1e9)
    push(many, 640)
    assert sorted(many.measured) == list(range(0, 640, 10))


def test_what_is_measured_in_any_case_is_spread_over_the_folder() -> None:
    sink = Taken()
    watch = Watch(sink, card(mean_frac=(0.0, 1.0)), STRUCTURES, total=24, started=1e18)  # no time for more
    push(watch, 24)
    assert sorted(watch.measured) == [0, 4, 8, 12, 16, 20]


def test_measuring_takes_a_small_share_of_the_time(monkeypatch) -> None:
    """Each measurement takes 1 s of a clock in which a frame takes 2 s: after the first six hardly any fit into 3 %."""
    clock = [0.0]
    monkeypatch.setattr("ercpseg.pipeline.shift.time.perf_counter", lambda: clock[0])

    def slow(self, frame, bitmask):
        clock[0] += 1.0
        return {"mean_frac": 0.5}

    class Slow(Taken):
        def write(self, frame, bitmask, milliseconds, probabilities=None) -> None:
            clock[0] += 2.0

    monkeypatch.setattr(Watch, "_measure", slow)
    watch = Watch(Slow(), card(mean_frac=(0.0, 1.0)), STRUCTURES, total=1, started=0.0)
    push(watch, 20)
    assert len(watch.measured) == SURE_FRAMES
    push(watch, 500)
    assert len(watch.measured) > SURE_FRAMES
    assert len(watch.measured) * 1.0 <= 0.03 * clock[0] + 1


def test_a_model_without_ranges_measures_nothing_and_says_so_once() -> None:
    watch = Watch(Taken(), card().model_copy(update={"ranges": {}}), STRUCTURES, total=3, started=0.0)
    push(watch, 3)
    assert watch.record() == {"frames": 0, "patients": 0, "findings": [], "note": NO_RANGES}


# -- frames ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Training frames of 24 patients, and unseen ones of 8, of the same kind."""
    from ercpseg.synthesis.dataset import synthesise

    folder = tmp_path_factory.mktemp("kinds")
    synthesise(folder / "train", frames=48, patients=24, size=128, seed=40)
    synthesise(folder / "unseen", frames=16, patients=8, size=128, seed=41)
    return {"train": folder / "train", "unseen": folder / "unseen"}


def shown(folder: Path):
    """Frames of a dataset folder with their true bitmasks, as a perfect model would predict them."""
    from ercpseg.storage.images import read_png

    for path in sorted((folder / "images").glob("*.png")):
        pixels = read_png(path)
        bitmask = np.zeros(pixels.shape, np.uint8)
        for name in STRUCTURES:
            bitmask |= (read_png(folder / "masks" / name / path.name) > 0).astype(np.uint8) * np.uint8(
                STRUCTURES.value(name)
            )
        yield Frame(name=path.stem, pixels=pixels, bits=8), bitmask


def trained_on(folder: Path) -> ModelCard:
    from ercpseg.fingerprint.ranges import ranges_of

    watch = Watch(Taken(), card(mean_frac=(0, 1)), STRUCTURES, total=1, started=-1e9)
    for frame, bitmask in shown(folder):
        watch.write(frame, bitmask, 1.0)
    measured = list(watch.measured.values())
    return card(patients=len({m.patient for m in measured})).model_copy(
        update={"ranges": ranges_of(m.quantities for m in measured)}
    )


def watched(folder_frames, model: ModelCard) -> Watch:
    watch = Watch(Taken(), model, STRUCTURES, total=1, started=-1e9)
    for frame, bitmask in folder_frames:
        watch.write(frame, bitmask, 1.0)
    return watch


def test_unseen_frames_of_the_same_kind_give_no_alarm_and_changed_ones_do(synthetic) -> None:
    model = trained_on(synthetic["train"])
    assert len(model.ranges) == 4 + 4 * 4
    unseen = list(shown(synthetic["unseen"]))
    assert watched(unseen, model).findings() == []
    inverted = [(Frame(name=f.name, pixels=255 - f.pixels, bits=8), b) for f, b in unseen]
    assert "endoscope.contrast" in {f.quantity for f in watched(inverted, model).findings()}
    noise = np.random.default_rng(0)
    noisy = [
        (
            Frame(
                name=f.name,
                pixels=np.clip(f.pixels + noise.normal(0, 25, f.pixels.shape), 0, 255).astype(np.uint8),
                bits=8,
            ),
            b,
        )
        for f, b in unseen
    ]
    assert "noise_sd" in {f.quantity for f in watched(noisy, model).findings()}


def test_the_model_carries_the_ranges_of_its_fingerprint(trained) -> None:
    from ercpseg.documents.fingerprint import Fingerprint
    from ercpseg.storage import documents
    from ercpseg.storage.models import load_model

    fingerprint = documents.load(trained.dataset_folder("tiny") / "fingerprint.json", Fingerprint)
    model = load_model(trained.model_folder("tiny"))
    assert model.card.ranges == fingerprint.ranges != {}
    assert model.card.reference_long_side_px == 96


def test_real_angiograms_alarm_a_model_of_synthetic_frames(trained, real_data, tmp_path) -> None:
    import shutil

    from ercpseg.pipeline.apply import predict

    for path in sorted((real_data / "xca-vessels" / "images").iterdir())[:12]:
        (tmp_path / "frames").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "frames" / path.name)
    summary = predict(tmp_path / "frames", tmp_path / "out", "tiny", workspace=trained)
    assert summary.used == 12
    shift = json.loads((tmp_path / "out" / "run.json").read_text())["shift"]
    assert shift["frames"] >= SURE_FRAMES
    assert "field_frac" in {f["quantity"] for f in shift["findings"]}  # the synthetic field is round, theirs is not
    assert summary.shift == tuple(f["text"] for f in shift["findings"])
    assert all(text.startswith("the ") and text.endswith(".") for text in summary.shift)


def test_the_command_says_it_at_the_end(command, trained, real_data, tmp_path) -> None:
    frame = sorted((real_data / "xca-vessels" / "images").iterdir())[0]
    out = command.succeeds("predict", frame, tmp_path / "out", "--model", "tiny", workspace=trained)
    assert "warning: the exposed share of the frame is 1 in 1 new frames" in out
    assert "look at the overlays" in out


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (5, 40), (33, 200)])
@pytest.mark.parametrize("grey", [0, 7, 65535])
@pytest.mark.parametrize("mask", [0, 15])
def test_odd_frames_are_measured_or_left_out_but_stop_nothing(shape: tuple[int, int], grey: int, mask: int) -> None:
    """Constant frames have no spread, empty masks no width; what is left is finite, as run.json wants it."""
    watch = Watch(Taken(), card(mean_frac=(0.0, 1.0)), STRUCTURES, total=1, started=-1e9)
    frame = Frame(name="p_0", pixels=np.full(shape, grey, np.uint16), bits=16)
    watch.write(frame, np.full(shape, mask, np.uint8), 1.0)
    assert np.isfinite(list(watch.measured[0].quantities.values())).all()
    json.dumps(watch.record(), allow_nan=False)
