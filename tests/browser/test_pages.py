"""The report as a person meets it: it opens offline, its numbers are the run's, failures are near, audio plays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.house import GateRun

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

PLAY = "audio => { audio.play(); }"  # not waited for: Allure's frame runs no scripts that would answer
HEARD = "audio => [audio.readyState, audio.duration, audio.currentTime, audio.error]"
CELLS = "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.innerText))"
IN_VIEW = "element => { const box = element.getBoundingClientRect(); return box.top >= 0 && box.top < innerHeight; }"
HAVE_ENOUGH_DATA = 4


@pytest.fixture
def opened(page: Page, scorecard: Path) -> Page:
    page.goto(scorecard.as_uri())
    return page


def test_it_says_what_the_run_said(opened: Page) -> None:
    assert opened.locator("p.verdict.FAIL").inner_text().startswith("DO NOT SHIP small on host/int8")


def test_every_number_of_what_does_not_pass_is_the_run_s(opened: Page, release: GateRun) -> None:
    shown = {tuple(line[:2]): line for line in opened.locator("tr").evaluate_all(CELLS) if len(line) == 9}
    failing = [row for row in release.rows if row["outcome"] != "PASS"]
    assert failing
    for row in failing:
        line = shown[row["gate"], row["slice"]]
        assert line[2].rpartition("-> ")[2] == f"{row['value']:.3g}"
        assert line[3] == f"{'>=' if row['gate'] == 'sqnr' else '<='} {row['limit']:g} {row['unit']}"
        assert line[4] == f"[{row['low']:.3g}, {row['high']:.3g}]"
        assert line[5:8] == [str(row["n"]), row["evidence"], row["outcome"]]


def test_a_value_stands_beside_the_release_s(opened: Page, release: GateRun) -> None:
    lines = [line for line in opened.locator("tr").evaluate_all(CELLS) if line[:2] == ["sqnr", "overall"]]
    was, _, now = lines[0][2].partition(" -> ")
    assert now == f"{release.row('sqnr')['value']:.3g}"
    assert float(was) > float(now) + 5


def test_the_failing_slice_is_one_click_away(opened: Page) -> None:
    opened.get_by_role("link", name="DO NOT SHIP").click()
    cell = opened.locator("td.FAIL").first
    assert cell.evaluate(IN_VIEW)
    assert cell.locator("xpath=..").locator("td").nth(1).inner_text() == "overall"


def test_its_clips_are_one_more(opened: Page) -> None:
    opened.get_by_role("link", name="DO NOT SHIP").click()
    opened.locator("h3 a", has_text="small on host/int8").click()
    assert opened.locator("h2", has_text="small on host/int8").evaluate(IN_VIEW)
    assert opened.locator("audio").count() > 0


def test_flipped_clips_play(opened: Page, release: GateRun) -> None:
    check_plays(opened, opened.main_frame)
    row = release.row("flips")
    assert opened.locator("audio").count() == min(8, round(row["value"] * row["n"] / 100))


def test_it_fits_a_laptop_s_screen(opened: Page) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sizes = opened.locator("img").evaluate_all("all => all.map(one => [one.complete, one.naturalWidth])")
    assert sizes
    assert all(complete and width > 300 for complete, width in sizes)


def test_the_distributions_of_latency_are_drawn(opened: Page) -> None:
    assert opened.locator("img[alt='inference of this build and of its release']").count() == 1


def test_allure_s_failing_test_opens_with_its_reason(page: Page, allure: Path) -> None:
    page.goto(allure.as_uri())
    page.get_by_text("sqnr: overall", exact=True).first.click()
    page.get_by_text("logit SQNR on overall").first.wait_for()


def test_allure_plays_the_flips(page: Page, allure: Path) -> None:
    page.goto(allure.as_uri())
    group, leaf = (page.get_by_text(name, exact=True).first for name in ("accuracy", "accuracy: overall"))
    group.wait_for()
    if not leaf.is_visible():  # a group of which all pass is closed
        group.click()
    leaf.click()
    page.get_by_text("flips to listen to", exact=True).first.click()
    page.frame_locator("iframe").locator("audio").first.wait_for()
    check_plays(page, page.frames[-1])


def test_a_slice_that_does_not_pass_plays_its_own_flips(page: Page, allure: Path, release: GateRun) -> None:
    part = "condition=noise-20db"
    assert release.row("accuracy", part)["outcome"] != "PASS"
    page.goto(allure.as_uri())
    page.get_by_text(f"accuracy: {part}", exact=True).first.click()
    page.get_by_text("flips to listen to", exact=True).first.click()
    frame = page.frame_locator("iframe")
    frame.locator("audio").first.wait_for()
    lines = frame.locator("tr[data-slice]").evaluate_all("all => all.map(one => one.dataset.slice)")
    assert all(line.endswith(part) for line in lines)
    check_plays(page, page.frames[-1])


def test_the_page_of_metrics_has_the_run_s_figures(page: Page, allure: Path, release: GateRun) -> None:
    page.goto(f"{allure.as_uri()}#metrics")
    page.get_by_text("SQNR", exact=True).first.wait_for()
    said = page.locator("body").inner_text()
    for title in ("accuracy drop, worst slice", "size, file", "inference p50"):
        assert title in said
    assert f"{release.row('sqnr')['value']:.3f} dB" in said


def check_plays(page: Page, frame: Frame) -> None:
    """Every player has all of its second, and moves on when it is started."""
    players = frame.locator("audio").all()
    assert players
    for player in players:
        player.evaluate(PLAY)
        page.wait_for_timeout(300)
        state, duration, at, error = player.evaluate(HEARD)
        assert error is None
        assert state == HAVE_ENOUGH_DATA
        assert duration == pytest.approx(1.0, abs=0.05)
        assert at > 0
