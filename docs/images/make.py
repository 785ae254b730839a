"""The pictures of docs/report.md: a release that may ship and one that may not, as headless Chromium shows them.

tox run -e report --notest && .tox/report/bin/python docs/images/make.py
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from harness import cli  # noqa: E402
from harness.report.render import render  # noqa: E402
from tests.house import LIMITS, GateRun, accept_golden, edit, make_house, new_gate  # noqa: E402

LAPTOP = {"width": 1366, "height": 768}
SINCE = "regression = { overall = 4.0 }\ndrift = { overall = 4.0 }\nlatency_ms = { p50 = 500.0 }\nfile_kib"
COARSE = 'precision = "int8"\nper_channel = false\ncalibration = { clips = 2 }'
COLOURS = 128  # of a palette: pages of text need no more
MOST = 150_000  # bytes


def releases(folder: Path) -> tuple[GateRun, GateRun]:
    """A release that passes and is accepted, and the next one: quantized coarsely, against narrower limits."""
    gate = new_gate(folder, "runs")
    gate.root.mkdir()
    house = make_house(folder / "house", limits=LIMITS.replace("file_kib", SINCE))
    accept_golden(house, gate.cache, gate.work())
    first = gate(house, "-m", "host")
    os.environ.pop("CI", None)
    model = house / "models" / "small"
    if first.code or cli.main(["baseline", "accept", str(model), "--work", str(first.work)]):
        raise SystemExit(first.output)
    edit(model / "model.toml", 'precision = "int8"', COARSE)
    edit(model / "model.toml", "sqnr = { overall = 15.0 }", "sqnr = { overall = 25.0 }")
    edit(model / "model.toml", "flips = { overall = 8.0 }", "flips = { overall = 1.0 }")
    return first, gate(house, "-m", "host")


def keep(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS)
    picture.save(HERE / f"{name}.png", optimize=True)
    size = (HERE / f"{name}.png").stat().st_size
    if size > MOST:
        raise SystemExit(f"{name}.png has {size} bytes, more than {MOST}")
    print(f"{name}.png {size} bytes")


def pictures(page: Page, run: GateRun, word: str) -> None:
    page.goto((run.folder / "scorecard.html").as_uri())
    keep(page, f"scorecard-{word}")
    page.goto((run.folder / "allure-report" / "index.html").as_uri())
    page.get_by_text("small", exact=True).first.wait_for()
    keep(page, f"report-{word}")


def failing_slice(page: Page, run: GateRun) -> None:
    """What fails, one click from the top of the scorecard; and its clips, in the report."""
    page.goto((run.folder / "scorecard.html").as_uri())
    page.get_by_role("link", name="DO NOT SHIP").click()
    page.locator("h3 a").first.click()
    page.locator("audio").first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # the players have their lengths
    keep(page, "scorecard-clips")
    page.goto((run.folder / "allure-report" / "index.html").as_uri())
    page.get_by_text("flips: overall", exact=True).first.click()
    page.get_by_text("flips to listen to", exact=True).first.click()
    page.frame_locator("iframe").locator("audio").first.wait_for()
    page.wait_for_timeout(500)
    keep(page, "report-clips")
    page.goto((run.folder / "allure-report" / "index.html").as_uri() + "#metrics")
    page.reload()
    page.wait_for_timeout(1500)
    keep(page, "report-metrics")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="voxgate-pictures-"))
    passing, failing = releases(folder)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=LAPTOP)
        for run, word in ((passing, "passing"), (failing, "failing")):
            render(run.work, print)
            pictures(page, run, word)
        failing_slice(page, failing)
        browser.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
