"""A headless Chromium of the system's, and one failing release to look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import cli
from harness.report.render import render
from tests.house import LIMITS, GateRun, accept_golden, edit, make_house, new_gate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LAPTOP = {"width": 1366, "height": 768}
SINCE = "regression = { overall = 4.0 }\ndrift = { overall = 4.0 }\nlatency_ms = { p50 = 500.0 }\nfile_kib"
COARSE = 'precision = "int8"\nper_channel = false\ncalibration = { clips = 2 }'


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("playwright is not installed; run: tox run -e report")
    if program is None:
        lacking("chromium is not on PATH; run: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        found = playwright.chromium.launch(executable_path=program, args=arguments)
        yield found
        found.close()


def lacking(why: str) -> None:
    """Skip; in the environment made for these tests a browser must be there."""
    if os.environ.get("VOXGATE_BROWSER") == "required":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on a laptop's screen that may fetch nothing but files, and says nothing on its console."""
    opened = browser.new_page(viewport=LAPTOP)
    fetched: list[str] = []
    said: list[str] = []
    opened.on("request", lambda request: fetched.append(request.url))
    opened.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    opened.close()
    strange = [url[:100] for url in fetched if not url.startswith(("file:", "data:", "blob:"))]
    assert strange == [], "it asked the network"
    assert said == []


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> GateRun:
    """A release that fails, after one that was accepted: coarse quantization, and too little SQNR for its limit."""
    gate = new_gate(tmp_path_factory.getbasetemp(), "browser-runs")
    house = make_house(tmp_path_factory.mktemp("browser") / "house", limits=LIMITS.replace("file_kib", SINCE))
    accept_golden(house, gate.cache, gate.work())
    first = gate(house, "-m", "host")
    assert first.code == 0, first.output
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        assert cli.main(["baseline", "accept", str(house / "models" / "small"), "--work", str(first.work)]) == 0
    edit(house / "models" / "small" / "model.toml", 'precision = "int8"', COARSE)
    edit(house / "models" / "small" / "model.toml", "sqnr = { overall = 15.0 }", "sqnr = { overall = 25.0 }")
    run = gate(house, "-m", "host")
    assert run.red("sqnr") == {"overall"}, run.output
    return run


@pytest.fixture(scope="session")
def rendered(release: GateRun) -> list[str]:
    """What rendering the report said."""
    said: list[str] = []
    render(release.work, said.append)
    return said


@pytest.fixture(scope="session")
def scorecard(release: GateRun, rendered: list[str]) -> Path:
    return release.folder / "scorecard.html"


@pytest.fixture(scope="session")
def allure(release: GateRun, rendered: list[str]) -> Path:
    lack = next((line for line in rendered if line.startswith("no Allure report")), None)
    if lack:
        pytest.skip(lack)
    return release.folder / "allure-report" / "index.html"
