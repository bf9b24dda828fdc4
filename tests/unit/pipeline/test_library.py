"""``import ercpseg`` as DESIGN says: four names, silent, light to import."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

import ercpseg
from ercpseg.pipeline import STAGES
from ercpseg.pipeline.prepare import PlanOptions
from ercpseg.training.run import TrainOptions
from tests.conftest import TINY


def test_the_names_there_are() -> None:
    assert set(ercpseg.__all__) == {"Predictor", "__version__", "evaluate", "plan", "train"}
    for name in ("plan", "train", "evaluate", "Predictor"):
        assert callable(getattr(ercpseg, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ercpseg.nothing  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ercpseg.pipeline.nothing  # noqa: B018


def test_import_is_light() -> None:
    code = "import sys, ercpseg; print([m for m in ('torch', 'numpy', 'nnunetv2', 'pydantic') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")


def test_plan_train_predict_evaluate(tiny_folder, tmp_path, capfd) -> None:
    """The whole job through the library, without a word on either stream."""
    overrides = (*TINY, ("schedule.time_budget_s", None), ("schedule.epochs", 1))
    options = PlanOptions(time_budget_s=2, device="cpu", overrides=overrides)
    space = tmp_path / "w"
    planned = ercpseg.plan(tiny_folder, name="mine", workspace=space, options=options)
    assert planned.fresh
    assert (planned.dataset.name, planned.dataset.used, planned.fingerprint.patients) == ("mine", 18, 6)
    assert planned.plan.values.schedule.epochs == 1
    assert not ercpseg.plan("mine", workspace=space, options=options).fresh
    trained = ercpseg.train("mine", 1, workspace=space, options=TrainOptions())
    assert trained.fresh
    assert (trained.record.fold, trained.record.epochs, trained.record.finished) == ("1", 1, True)
    assert set(trained.validation) == {"endoscope", "guidewire", "cbd", "stone"}
    predictor = ercpseg.Predictor.load(trained.model, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60), dtype=np.uint8)
    prediction = predictor.predict(pixels)
    assert prediction.bitmask.shape == (40, 60)
    assert list(prediction.masks) == ["endoscope", "guidewire", "cbd", "stone"]
    (streamed,) = predictor.stream().push(prediction.frame)
    assert np.array_equal(streamed.bitmask, prediction.bitmask)
    assert predictor.stream().flush() == []
    scores = ercpseg.evaluate(tiny_folder, tiny_folder, output=tmp_path / "scores")
    assert scores.structures["guidewire"].metrics["dice"].mean == 1.0
    assert capfd.readouterr() == ("", "")


def test_the_logger_is_silent_unless_asked() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("ercpseg").handlers)


def test_the_table_of_stages_names_functions_that_exist() -> None:
    assert [stage.name for stage in STAGES] == [
        *("import", "fingerprint", "plan", "preprocess", "train", "tune", "export", "predict", "evaluate", "report")
    ]
    assert all(callable(stage.load()) for stage in STAGES)
