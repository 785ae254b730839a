"""Allure results: where they go, and how a test appears in the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

RESULTS = "allure-results"


def configure_results(config: pytest.Config, folder: Path) -> None:
    """Write Allure results below the run's folder unless --alluredir names another."""
    if getattr(config.option, "allure_report_dir", "absent") is None:
        config.option.allure_report_dir = str(folder / RESULTS)
