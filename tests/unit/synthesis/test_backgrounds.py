"""Scenes and masks on the user's own frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ercpseg.errors import DataError, UsageError
from ercpseg.storage.images import encode_png, read_png
from ercpseg.synthesis.backgrounds import Background, digest, load_backgrounds
from ercpseg.synthesis.compositing import BackgroundStudio, composite, roundness, transformed
from ercpseg.synthesis.dataset import Options, synthesise_domain
from ercpseg.synthesis.fields import smooth_noise
from ercpseg.synthesis.scene.patient import Patient
from tests.unit.synthesis.conftest import changed

SHAPE = (128, 128)


def disc(radius, centre=(63.5, 63.5), shape=SHAPE):
    y, x = np.indices(shape)
    return np.hypot(y - centre[0], x - centre[1]) < radius


@pytest.fixture
def frames(tmp_path, rng):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(3):
        grey = np.where(disc(62), rng.normal(140 + 10 * number, 4, SHAPE), 0)
        (folder / f"frame{number}.png").write_bytes(encode_png(np.clip(grey, 0, 255).astype(np.uint8)))
    (folder / "notes.txt").write_text("not a frame")
    return folder


def test_every_readable_frame_is_a_background(frames):
    found = load_backgrounds(frames)
    assert len(found) == 3
    for number, background in enumerate(found):
        assert background.grey.shape == SHAPE
        assert background.field.mean() == pytest.approx(np.pi * 62**2 / 128**2, rel=0.02)
        assert background.grey[background.field].mean() == pytest.approx((140 + 10 * number) / 255, abs=0.02)


def test_scenes_are_drawn_on_them(frames, busy, tmp_path):
    made = synthesise_domain(
        tmp_path / "out", frames=6, patients=3, options=Options(busy, 512, backgrounds=frames, workers=1)
    )
    darker = []
    for number, background in enumerate(load_backgrounds(frames)):
        stem = f"onroundfield0p{number:04d}_f0000"
        image = read_png(made.folder / "images" / f"{stem}.png").astype(float)
        scope = read_png(made.folder / "masks" / "endoscope" / f"{stem}.png") > 0
        assert image.shape == SHAPE  # the background's size
        np.testing.assert_allclose(image[~background.field], 255 * background.grey[~background.field], atol=0.5)
        assert not (scope & ~background.field).any()
        if scope.sum() > 200:
            darker.append(image[scope].mean() / (255 * background.grey[scope].mean()))
        assert (made.folder / "truth" / f"{stem}.json").is_file()
    assert darker
    assert max(darker) < 0.7


def test_what_nothing_is_drawn_on_stays(frames, round_field, rng):
    background = load_backgrounds(frames)[0]
    who = Patient.sample(round_field, 0, 0, 128, bare=True)
    nothing = composite(background, np.ones(SHAPE, np.float32), who, rng)
    np.testing.assert_allclose(nothing, 255 * background.grey, atol=0.51)
    half = composite(background, np.full(SHAPE, 0.5, np.float32), who, rng)
    # The curve on intensity has the exponent gamma: half the quanta give 0.5^gamma of the grey, and more noise.
    inner = disc(50)
    assert half[inner].mean() / nothing[inner].mean() == pytest.approx(0.5**who.curve.gamma, rel=0.02)
    assert half[inner].std() / half[inner].mean() > nothing[inner].std() / nothing[inner].mean()


@pytest.mark.parametrize(("grey", "passed"), [(0.8, 0.5), (0.5, 0.2)])
def test_what_takes_quanta_adds_the_noise_of_those_that_pass(round_field, rng, grey, passed):
    """Of q·s quanta q·s·T pass; their variance less the T² of the frame's own is q·s·T·(1 − T), in units of signal over q²."""
    flat = Background(np.full(SHAPE, grey, np.float32), np.ones(SHAPE, np.bool_), 8)
    who = Patient.sample(round_field, 0, 0, 128, bare=True)
    per_px = 400.0
    area = who.view.mm_per_px[0] * who.view.mm_per_px[1]
    chain = replace(who.chain, noise_blur_px=0.0, scatter=0.0, quanta_per_mm2=per_px / area)
    who = replace(who, chain=chain, curve=replace(who.curve, gamma=1.0))
    made = composite(flat, np.full(SHAPE, passed, np.float32), who, rng) / 255
    expected = np.sqrt(grey * passed * (1 - passed) / per_px)
    assert made.mean() == pytest.approx(grey * passed, rel=0.01)
    assert made.std() == pytest.approx(expected, rel=0.04)


def test_the_noise_behind_a_device_is_not_seen_beside_it(round_field, rng):
    """What the detector smears is quanta, and few pass a device: its noise is large only for what is dark."""
    flat = Background(np.full(SHAPE, 0.8, np.float32), np.ones(SHAPE, np.bool_), 8)
    who = Patient.sample(round_field, 0, 0, 128, bare=True)
    chain = replace(who.chain, blur_mm=0.0, noise_blur_px=2.0, noise_tail=0.0, scatter=0.0, quanta_per_mm2=200.0)
    who = replace(who, chain=chain, curve=replace(who.curve, gamma=1.0))
    passed = np.ones(SHAPE, np.float32)
    passed[:, :64] = 0.1
    made = composite(flat, passed, who, rng).astype(float)
    assert made[:, 20:60].std() > 2 * made[:, 65].std()
    assert made[:, 90:].std() == 0


def test_the_noise_that_is_added_has_the_rooms_long_tail(round_field, rng):
    """Pixels 6 apart: a tail over 6 px keeps them alike, and without one they are independent."""
    flat = Background(np.full(SHAPE, 0.5, np.float32), np.ones(SHAPE, np.bool_), 8)
    who = Patient.sample(round_field, 0, 0, 128, bare=True)
    alike = {}
    for tail in (0.0, 10.0):
        chain = replace(who.chain, noise_blur_px=0.6, noise_tail=tail, noise_reach=10.0, quanta_per_mm2=2000.0)
        grey = composite(flat, np.full(SHAPE, 0.5, np.float32), replace(who, chain=chain), rng).astype(float)
        alike[tail] = np.corrcoef(grey[:, :-6].ravel(), grey[:, 6:].ravel())[0, 1]
    assert abs(alike[0.0]) < 0.05
    assert alike[10.0] > 0.2


def test_more_patients_than_backgrounds_are_refused(frames, round_field, tmp_path):
    with pytest.raises(UsageError, match="1 to 3"):
        synthesise_domain(tmp_path / "out", frames=8, patients=4, options=Options(round_field, backgrounds=frames))


def test_no_frames_and_no_folder_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        load_backgrounds(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no frame"):
        load_backgrounds(tmp_path)


def test_a_series_stands_before_its_background(frames, busy):
    studio = BackgroundStudio.of(busy, 0, 0, load_backgrounds(frames)[0])
    one, two = studio.series(2)
    assert studio.spacing is None
    far = ~(one.masks["endoscope"] | two.masks["endoscope"]) & one.field
    assert np.corrcoef(one.pixels[far], two.pixels[far])[0, 1] > 0.5


@pytest.fixture
def annotated(tmp_path):
    folder = tmp_path / "annotated"
    line = np.zeros((100, 100), np.bool_)
    line[10:90, 48:52] = True
    for structure, mask in (("cbd", disc(20, (50, 50), (100, 100))), ("guidewire", line), ("clip", line.T)):
        (folder / "masks" / structure).mkdir(parents=True)
        (folder / "masks" / structure / "a_1.png").write_bytes(encode_png(mask))
    return folder


def test_masks_of_ones_own_are_pasted(frames, annotated, round_field, tmp_path):
    options = Options(round_field, backgrounds=frames, paste=annotated)
    made = synthesise_domain(tmp_path / "out", frames=6, patients=3, options=options)
    shown = 0
    for path in sorted((made.folder / "images").iterdir()):
        image = read_png(path).astype(float)
        number = int(path.stem.split("p")[-1].split("_")[0])
        background = 255 * load_backgrounds(frames)[number].grey
        masks = {f.name: read_png(f / path.name) > 0 for f in sorted((made.folder / "masks").iterdir())}
        assert sorted(masks) == ["cbd", "clip", "endoscope", "guidewire", "stone"]
        assert not masks["endoscope"].any()
        if masks["cbd"].sum() > 100:
            shown += 1
            assert image[masks["cbd"]].mean() < 0.97 * background[masks["cbd"]].mean()
            assert (masks["cbd"] & masks["guidewire"]).any()  # as they were annotated: overlapping
    assert shown >= 4
    assert not (made.folder / "truth").exists()


def test_a_finished_folder_of_pasted_masks_is_left_as_it_is(frames, annotated, round_field, tmp_path):
    options = Options(round_field, backgrounds=frames, paste=annotated)
    files = {}
    for turn in range(2):
        folder = synthesise_domain(tmp_path / "out", frames=4, patients=2, options=options).folder
        found = [p for p in folder.rglob("*") if p.is_file()]
        files[turn] = {p: (p.read_bytes(), p.stat().st_mtime_ns if p.suffix == ".png" else 0) for p in found}
    assert files[0] == files[1]
    with pytest.raises(UsageError, match="other numbers"):
        synthesise_domain(tmp_path / "out", frames=4, patients=2, options=replace(options, seed=1))
    (annotated / "masks" / "clip").rename(annotated / "masks" / "stent")
    with pytest.raises(UsageError, match="other numbers"):
        synthesise_domain(tmp_path / "out", frames=4, patients=2, options=options)


def test_pasting_needs_backgrounds_and_has_no_series(annotated, frames, round_field, tmp_path):
    with pytest.raises(UsageError, match="--backgrounds"):
        synthesise_domain(tmp_path / "o", frames=1, patients=1, options=Options(round_field, paste=annotated))
    options = Options(round_field, paste=annotated, backgrounds=frames, series=True)
    with pytest.raises(UsageError, match="no series"):
        synthesise_domain(tmp_path / "o", frames=1, patients=1, options=options)
    empty = tmp_path / "empty"
    (empty / "masks").mkdir(parents=True)
    with pytest.raises(DataError, match="no masks"):
        options = Options(round_field, paste=empty, backgrounds=frames)
        synthesise_domain(tmp_path / "o", frames=1, patients=1, options=options)


def test_a_transformation_moves_all_masks_together(rng):
    masks = {"cbd": disc(20), "stone": disc(8), "endoscope": disc(5, (63.5, 100))}
    for _ in range(10):
        moved = transformed(rng, masks, SHAPE)
        assert not (moved["stone"] & ~moved["cbd"]).any()
        if moved["cbd"].any() and moved["stone"].sum() > 40:
            ratio = moved["cbd"].sum() / moved["stone"].sum()
            assert ratio == pytest.approx((20 / 8) ** 2, rel=0.25) or moved["cbd"][[0, -1]].any()


def test_a_pasted_body_is_round():
    band = np.zeros(SHAPE, np.bool_)
    band[44:84] = True
    depth = roundness(band)
    # Chord of a round tube over that of its middle: at half the radius √(1 − 1/4) = 0.866.
    assert depth[63, 63] == pytest.approx(1, abs=0.02)
    assert depth[73, 63] == pytest.approx(0.866, abs=0.04)
    assert not depth[~band].any()
    assert not roundness(np.zeros(SHAPE, np.bool_)).any()


def test_the_same_pixels_give_the_same_digest(frames):
    one, other = Background(np.zeros(SHAPE, np.float32), disc(60), 8), load_backgrounds(frames)[0]
    assert digest([one.grey]) == digest([one.grey.copy()])
    assert digest([one.grey]) != digest([other.grey])
    assert digest([one.grey]) != digest([one.grey.astype(np.float64)])


def test_a_background_hides_contrast_and_bounds_the_field(busy, rng):
    """Faint ducts show on a plain frame and not between the shadows of a busy one."""
    faint = changed(busy, duct={"iodine_mg_per_ml": [15], "partial": 0.0}, wire={"present": 0.0})
    left = np.zeros(SHAPE, np.bool_)
    left[:, :90] = True
    shades = np.clip(0.6 + 0.5 * smooth_noise(rng, SHAPE, 24), 0.05, 1).astype(np.float32)
    plain, crowded = Background(np.full(SHAPE, 0.6, np.float32), left, 8), Background(shades, left, 8)
    shown = {}
    for name, background in (("plain", plain), ("crowded", crowded)):
        taken = [BackgroundStudio.of(faint, 4, number, background).frame(0) for number in range(10)]
        for frame in taken:
            assert not (frame.masks["cbd"] & ~left).any()
            assert frame.masks["cbd"].any() == (frame.truth.duct.marked_mm is not None)
        shown[name] = sum(frame.masks["cbd"].any() for frame in taken)
    assert shown["plain"] >= 7
    assert shown["crowded"] <= shown["plain"] / 2
