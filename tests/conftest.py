"""Shared fixtures: a tiny synthetic dataset, planned once per session and copied where a test changes it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# As every command does (ercpseg/cli/threads.py), before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if os.environ.get("CI"):  # there the same examples every time: what is submitted is judged, not the luck of a draw
    settings.register_profile("ci", derandomize=True)
    settings.load_profile("ci")

TINY = ("schedule.iterations_per_epoch", 3), ("schedule.validation_iterations", 1), ("patch.batch_size", 2)


@pytest.fixture(scope="session", autouse=True)
def _decoders():
    """One pool of decoding children for the whole session: starting them for every test would take minutes."""
    from ercpseg.decoding.decoders import borrow

    with borrow() as decoders:
        yield decoders


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 synthetic frames of 6 patients, 96 × 96, in the contract's layout. Read only."""
    from ercpseg.synthesis.dataset import synthesise

    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    synthesise(folder, frames=18, patients=6, size=96, seed=3)
    return folder


@pytest.fixture(scope="session")
def _planned(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ercpseg.pipeline.prepare import PlanOptions, plan
    from ercpseg.storage.workspace import Workspace

    root = tmp_path_factory.mktemp("workspace") / "w"
    overrides = (*TINY, ("schedule.time_budget_s", None), ("schedule.epochs", 2))
    options = PlanOptions(time_budget_s=2, device="cpu", overrides=overrides)
    plan(tiny_folder, workspace=Workspace(root), options=options)
    return root


@pytest.fixture
def workspace(_planned: Path, tmp_path: Path):
    """A fresh copy of a workspace that holds the planned dataset ``tiny``."""
    from ercpseg.storage.workspace import Workspace

    shutil.copytree(_planned, tmp_path / "w")
    return Workspace(tmp_path / "w")


@pytest.fixture(scope="session")
def trained(_planned: Path, tmp_path_factory: pytest.TempPathFactory):
    """A workspace whose dataset ``tiny`` has fold 0 trained for two epochs. Read only."""
    from ercpseg.pipeline.learn import train
    from ercpseg.storage.workspace import Workspace

    root = tmp_path_factory.mktemp("trained") / "w"
    shutil.copytree(_planned, root)
    space = Workspace(root)
    train("tiny", 0, workspace=space)
    return space


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real development data; tests that need it skip without it."""
    root = os.environ.get("ERCPSEG_TEST_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("ERCPSEG_TEST_DATA names no folder")
    return Path(root)
