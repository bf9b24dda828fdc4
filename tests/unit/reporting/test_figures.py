"""Figures: size, colours, and input with holes."""

from __future__ import annotations

import subprocess
import sys

import imagecodecs
import numpy as np
import pytest

from ercpseg.reporting.figures import SIZE_PX, score_figure, training_curve
from ercpseg.reporting.pictures import GAP_PX, MAX_SIDE_PX, reference_over_prediction
from ercpseg.structures import COLOURS, DEFAULT_STRUCTURES


def decode(png: bytes) -> np.ndarray:
    return imagecodecs.png_decode(png)[..., :3]


def shows(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 0) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=-1) <= tolerance).any())


def test_the_training_curve_has_the_promised_size_and_the_structures_colours(samples) -> None:
    picture = decode(training_curve(samples.log_rows()))
    assert picture.shape == (SIZE_PX[1], SIZE_PX[0], 3) == (420, 1100, 3)
    assert all(shows(picture, colour) for colour in COLOURS[:4])


def test_equal_input_gives_equal_bytes(samples) -> None:
    assert training_curve(samples.log_rows()) == training_curve(samples.log_rows())
    assert score_figure(samples.frame_scores()) == score_figure(samples.frame_scores())


def test_a_resumed_log_is_one_line(samples) -> None:
    rows = samples.log_rows(6)
    repeated = [*rows[:4], {**rows[2], "train_loss": 99.0}, *rows[2:]]
    assert training_curve(repeated) == training_curve(rows)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"epoch": 0}],
        [{"epoch": 0, "train_loss": 1.0, "validation_loss": None, "learning_rate": 0.1, "dice": {"cbd": None}}],
        [{"epoch": 0, "train_loss": float("nan"), "dice": {}}, {"epoch": 1, "train_loss": 0.5, "dice": {"cbd": 0.5}}],
    ],
)
def test_logs_with_holes_are_drawn(rows: list[dict]) -> None:
    assert decode(training_curve(rows)).shape == (420, 1100, 3)


def test_the_score_figure_draws_every_structure(samples) -> None:
    picture = decode(score_figure(samples.frame_scores(), samples.STRUCTURES))
    assert picture.shape == (420, 1100, 3)
    assert all(shows(picture, colour, 60) for colour in COLOURS[:4])


def test_the_score_figure_survives_one_frame_none_and_undefined_values(samples) -> None:
    assert decode(score_figure([])).shape == (420, 1100, 3)
    one = [samples.frame_score("a", "cbd", 0.5), samples.frame_score("a", "stone", None)]
    assert decode(score_figure(one)).shape == (420, 1100, 3)


def test_pyplot_with_its_global_state_is_never_loaded() -> None:
    code = (
        "import sys; from ercpseg.reporting.figures import score_figure, training_curve; "
        "training_curve([{'epoch': 0, 'train_loss': 1.0}]); score_figure([]); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_reference_stands_over_prediction() -> None:
    pixels = np.full((60, 80), 100, np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 20:60] = True
    picture = decode(reference_over_prediction(pixels, {"cbd": mask}, {"endoscope": mask}, DEFAULT_STRUCTURES))
    assert picture.shape == (60 + GAP_PX + 60, 80, 3)
    assert tuple(picture[19, 40]) == COLOURS[2]
    assert tuple(picture[60 + GAP_PX + 19, 40]) == COLOURS[0]


def test_large_frames_are_thinned_without_losing_a_wire() -> None:
    pixels = np.full((1500, 2000), 100, np.uint16)
    wire = np.zeros(pixels.shape, bool)
    wire[701, 300:1700] = True
    picture = decode(reference_over_prediction(pixels, {"guidewire": wire}, {}, DEFAULT_STRUCTURES))
    assert picture.shape[1] <= MAX_SIDE_PX
    assert shows(picture, COLOURS[1])
