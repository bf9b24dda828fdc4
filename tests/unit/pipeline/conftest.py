"""The command line, for what a stage says on it."""

from __future__ import annotations

import pytest

from tests.unit.cli.command import Command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)
