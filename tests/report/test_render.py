from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from report.rows import row, run

from harness.errors import VoxgateError
from harness.history import NAME, History
from harness.report.render import ALLURE, render, without_analytics
from harness.row import Row
from harness.verdict import Outcome

TAG = """<head>
    <script async src="https://www.googletagmanager.com/gtag/js?id=G-X"></script>
    <script>
        function gtag(){dataLayer.push(arguments);}
        gtag('config', 'G-X', {"report": "awesome"});
    </script>
    <script>keep()</script></head>"""
FAKE_NPM = f"""#!{sys.executable}
import json, pathlib, sys
package = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1], "node_modules", "allure")
package.mkdir(parents=True)
(package / "package.json").write_text(json.dumps({{"version": sys.argv[4].partition("@")[2]}}))
"""
FAKE_NODE = f"""#!{sys.executable}
import json, pathlib, sys
text = pathlib.Path(sys.argv[sys.argv.index("--config") + 1]).read_text()
config = json.loads(text.removeprefix("export default ").rstrip().rstrip(";"))
pathlib.Path(config["output"]).mkdir()
pathlib.Path(config["output"], "index.html").write_text({TAG!r})
with open(config["historyPath"], "a") as file:
    file.write(json.dumps({{"name": config["name"]}}) + chr(10))
"""


def write_run(work: Path, rows: list[Row], name: str = "20260101-000000-1") -> Path:
    folder = work / "runs" / name
    build = folder / "commands" / "rk3588" / "w8a8"
    build.mkdir(parents=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(each.as_json()) + "\n" for each in rows))
    facts = {"command": "pytest -m host", "cache": {"outputs": [1, 2]}, "environment": {"voxgate": "0.1.0"}}
    (folder / "run.json").write_text(json.dumps(facts))
    entry = {"candidate": "commands", "recipe": "rk3588/w8a8", "gate": "drop", "slice": "accent=tr", "limit": 1.0}
    entry |= {"n": 70, "clips": 10, "clusters": 2, "smallest": 25.9, "ok": False}
    (folder / "plan.json").write_text(json.dumps([entry, entry | {"slice": "overall", "ok": True}]))
    nodes = [
        {"name": "/Softmax", "op": "Softmax", "dtype": "float16", "where": "cpu", "fallback": True, "reason": "no"}
    ]
    artifact = {
        "evidence": "emulator",
        "key": "0123456789abcdef0123",
        "placement": {"nodes": nodes, "evidence": "static", "partitions": None},
        "sizes": {"file": 2048},
        "tools": {"rknn-toolkit2": "2.3.2"},
    }
    (build / "artifact.json").write_text(json.dumps(artifact))
    latest = work / "runs" / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(name, target_is_directory=True)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (write_run(tmp_path / "work", run()) / "allure-results").mkdir()
    return tmp_path / "work"


@pytest.fixture
def allure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """npm and node that do what the real ones do to files, without a network."""
    program(tmp_path / "bin", "npm", FAKE_NPM)
    program(tmp_path / "bin", "node", FAKE_NODE)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_without_npm_the_scorecard_stays(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    said: list[str] = []
    page = render(work, said.append)
    assert page.name == "scorecard.html"
    assert "npm is not on PATH" in said[-1]
    html = page.read_text()
    assert "DO NOT SHIP" in html
    assert "accuracy drop on accent=ja 6.20 points" in html
    assert "data:image/png;base64," in html
    assert "1 of 2 budgets" in html
    assert "/Softmax" in html
    assert "rknn-toolkit2 2.3.2" in html
    assert "1 of 2 outputs" in html


def test_a_page_needs_nothing_beside_itself(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    html = render(work, lambda _: None).read_text()
    assert "http:" not in html
    assert "https:" not in html
    assert "<script" not in html


def test_failing_npm_is_one_line_with_the_command(work: Path, allure: Path) -> None:
    program(allure, "npm", f"#!{sys.executable}\nimport sys\nsys.exit('npm error ENOTFOUND registry')\n")
    said: list[str] = []
    assert render(work, said.append).name == "scorecard.html"
    assert said[-1].startswith("no Allure report: npm failed (npm error ENOTFOUND registry); to see all of it: ")
    assert f"allure@{ALLURE}" in said[-1]


def test_the_report_has_no_analytics_and_is_told_apart(work: Path, allure: Path) -> None:
    said: list[str] = []
    page = render(work, said.append)
    assert page == (work / "runs" / "latest").resolve() / "allure-report" / "index.html"
    assert page.read_text() == "<head>\n    <script>keep()</script></head>"
    assert said[-1] == f"open it in a browser (no server needed): {page.as_uri()}"
    shown = json.loads((page.parents[1] / "allure-results" / "voxgate-globals.json").read_text())["attachments"]
    assert [each["name"] for each in shown][:2] == ["scorecard", "heatmap: commands on rk3588/w8a8"]
    assert all((page.parents[1] / "allure-results" / each["source"]).is_file() for each in shown)


def test_rendering_a_run_twice_counts_it_once(work: Path, allure: Path) -> None:
    for _ in range(2):
        render(work, lambda _: None)
    assert len(History(work / NAME).allure("", 9)) == 1
    (write_run(work, run(), "20260102-000000-1") / "allure-results").mkdir()
    render(work, lambda _: None)
    assert len(History(work / NAME).allure("", 9)) == 2
    assert len((work / "runs" / "latest" / "history.jsonl").read_text().splitlines()) == 2


def test_a_run_without_results_says_so(work: Path, allure: Path) -> None:
    (work / "runs" / "latest" / "allure-results").rmdir()
    said: list[str] = []
    render(work, said.append)
    assert "has no Allure results" in said[-1]


@pytest.mark.parametrize("prepared", [True, False])
def test_no_run_names_the_command(tmp_path: Path, prepared: bool) -> None:
    if prepared:
        (tmp_path / "runs" / "latest").mkdir(parents=True)
    with pytest.raises(VoxgateError, match=r"nothing to report.*pytest -m host"):
        render(tmp_path, print)


def test_names_are_text_never_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    hostile = "<script>alert('\"x')</script>"
    rows = [
        row("accuracy", hostile, outcome=Outcome.FAIL, detail=hostile, candidate=hostile),
        row("accuracy", f"accent={hostile}", candidate=hostile),
        row("accuracy", f"condition={hostile}", candidate=hostile),
    ]
    write_run(tmp_path, rows)
    html = render(tmp_path, lambda _: None).read_text()
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#x27;&quot;x&#x27;)" in html


def test_a_killed_run_is_reported_as_far_as_it_came(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    folder = work / "runs" / "latest"
    for name in ("run.json", "plan.json", "commands/rk3588/w8a8/artifact.json"):
        (folder / name).write_text('{"torn')
    with (folder / "rows.jsonl").open("a") as file:
        file.write('{"candidate": "com')
    assert "accuracy drop on accent=ja 6.20 points" in render(work, lambda _: None).read_text()


def test_only_the_analytics_tag_is_removed() -> None:
    assert without_analytics("<script>let gtags = 1</script>") == "<script>let gtags = 1</script>"
    assert "gtag" not in without_analytics(TAG)
