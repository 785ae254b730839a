"""The pictures of docs/report.md: releases that may ship and others that may not, as headless Chromium shows them.

tox run -e report --notest && .tox/report/bin/python docs/images/make.py
"""

from __future__ import annotations

import io
import json
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
from tests.faults.test_command import labels_of  # noqa: E402
from tests.faults.test_command import make_house as make_spoken  # noqa: E402
from tests.house import CHECKOUT, LIMITS, GateRun, accept_golden, edit, make_house, new_gate  # noqa: E402

LAPTOP = {"width": 1366, "height": 768}
SINCE = "regression = { overall = 4.0 }\ndrift = { overall = 4.0 }\nlatency_ms = { p50 = 500.0 }\nfile_kib"
COARSE = 'precision = "int8"\nper_channel = false\ncalibration = { clips = 2 }'
WAKES = """
[[stream]]
name = "talk"
corpora = ["computer"]
word_from = ["computer"]
hours = 0.55
words = 170
seed = 43

[budgets]
layers = 40
file_kib = 128

[budgets.wakeword]
frr = { overall = 30.0 }
false_accepts_per_hour = 15.0
delay_ms = { p50 = 300.0 }
score_sqnr = 15.0
drift_db = 4.0
"""
ALLOWED = '\n[[allow]]\ntarget = "host"\nop = "{}"\nreason = "no int8 kernel on this CPU: 64 of them a step"\n'
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


def listeners(folder: Path) -> tuple[GateRun, GateRun]:
    """A wake word and spoken commands; and both with a fault: no refractory period, another token as the blank."""
    gate = new_gate(folder, "listening")
    gate.root.mkdir()
    house = make_spoken(folder / "listening-house")
    shutil.copytree(CHECKOUT / "corpora" / "computer", house / "corpora" / "computer")
    ear, voice = (house / "models" / name / "model.toml" for name in ("computer", "spoken"))
    shipped = CHECKOUT / "models" / "computer"
    ear.parent.mkdir()
    for name in ("model.onnx", "whole.onnx"):
        shutil.copyfile(shipped / name, ear.with_name(name))
    first, second, *_ = (shipped / "model.toml").read_text(encoding="utf-8").split("[[recipe]]")
    allowed = "".join(ALLOWED.format(op) for op in ("Tanh", "Sub"))
    ear.write_text(f"{first}[[recipe]]{second}{WAKES}{allowed}", encoding="utf-8")
    edit(ear, 'tflite = "model.tflite"\n', "")
    healthy = gate(house, "-m", "host", "--golden=new")
    edit(ear, "refractory_s = 1.5", "refractory_s = 0.01")
    blank, *letters = labels_of()
    listed = [*letters[-1:], *letters[:-1], blank]
    before, _, rest = voice.read_text(encoding="utf-8").partition("labels = [")
    voice.write_text(f"{before}labels = {json.dumps(listed)}{rest.partition(']')[2]}", encoding="utf-8")
    shutil.rmtree(house / "golden" / "spoken")
    return healthy, gate(house, "-m", "host", "--golden=new")


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
    for name in ("small", "host/int8"):  # what passes is closed
        if word == "passing":
            page.get_by_text(name, exact=True).first.click()
    page.wait_for_timeout(500)
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
        for run, word in zip(listeners(folder), ("passing", "failing"), strict=True):
            render(run.work, print)
            page.goto((run.folder / "scorecard.html").as_uri())
            if word == "passing":
                page.locator("h2", has_text="computer on host/int8").evaluate("heading => heading.scrollIntoView()")
            keep(page, f"listening-{word}")
        browser.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
