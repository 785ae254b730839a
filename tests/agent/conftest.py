from __future__ import annotations

from pathlib import Path

import pytest

from harness.agent import place


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The agent's folder on the board."""
    place.settle(str(tmp_path / "home"))
    return tmp_path / "home"
