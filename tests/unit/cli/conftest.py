"""The command line in this process, and a prediction to look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.cli.command import Command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def finished(trained, tmp_path: Path):
    """A copy of the workspace whose dataset ``tiny`` has fold 0 trained."""
    from ercpseg.storage.workspace import Workspace

    shutil.copytree(trained.root, tmp_path / "finished")
    return Workspace(tmp_path / "finished")


@pytest.fixture(scope="session")
def _predicted(trained, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ercpseg.pipeline.apply import predict

    output = tmp_path_factory.mktemp("predicted") / "out"
    predict(tiny_folder, output, "tiny", workspace=trained)
    return output


@pytest.fixture
def predicted(_predicted: Path, tmp_path: Path) -> Path:
    """A copy of what predict makes of ``tiny_folder``."""
    return Path(shutil.copytree(_predicted, tmp_path / "predicted"))
