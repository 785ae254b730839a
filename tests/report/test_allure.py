from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report.rows import row, run

from harness.errors import CorpusError, GoldenError
from harness.plugin.record import sentence
from harness.recipe import Recipe
from harness.report.allure import performance, placement_csv, placement_html
from harness.report.environment import CATEGORIES, executor, write_environment
from harness.targets.base import Artifact, Evidence, Node, Placement, Sizes
from harness.verdict import Outcome

pytest_plugins = "pytester"

DROP = row(
    "accuracy", "accent=ja", outcome=Outcome.FAIL, detail="accuracy drop on accent=ja 6.2 points, limit at most 3"
)
LATENCY = "inference p99 31 ms [29, 33], limit at most 20 ms, n=700 rounds"
KINDS = {
    "Model regression": [
        sentence(DROP),
        sentence(replace(DROP, target="host", recipe="golden", detail="score on overall 40.00 %, limit at least 95 %")),
        sentence(replace(DROP, gate="regression", detail="accuracy lost since the last release (2026-01-01, paired)")),
        sentence(
            replace(DROP, gate="floor", detail="score on accents=native 81.00 % [78.00, 84.00], limit at least 95 %")
        ),
    ],
    "Placement / CPU fallback": [
        sentence(replace(DROP, detail="falls back: Softmax /Softmax on cpu (12 ms, no kernel)"))
    ],
    "Over budget: latency, footprint, layers": [
        sentence(replace(DROP, gate="latency", detail=LATENCY)),
        sentence(replace(DROP, gate="latency", detail="p50 1.9 times [1.8, 2], limit at most 1.5 times, n=700 rounds")),
        sentence(replace(DROP, gate="footprint", detail="file 231.8 KiB, limit at most 128 KiB")),
        sentence(replace(DROP, gate="footprint", detail="rss 1.0234e+05 MiB, limit at most 32 MiB")),
        sentence(replace(DROP, gate="placement", detail="layers 64 layers, limit at most 40 layers")),
    ],
    "Golden or corpus drift": [
        sentence(replace(DROP, target="host", recipe="golden", detail="2 unused golden files: a, b; remove them")),
        sentence(
            replace(DROP, target="host", recipe="golden", detail="golden outputs rewritten, review and commit them")
        ),
        f"ERROR {GoldenError('no golden outputs at golden/commands; make them with: pytest --golden=new')}",
    ],
    "Inconclusive: needs more data": [
        sentence(
            replace(DROP, outcome=Outcome.INCONCLUSIVE, detail="more clips would show a FAIL of the golden outputs")
        )
    ],
    "Not measured: needs a board": ["not measured latency of commands on rk3588/w8a8: not measured: needs a board"],
    "Unsupported here": ["UNSUPPORTED rk3588 has no percentile calibration; FAIL is not meant; use minmax"],
    "Infrastructure: toolchain, disk, lab": ["INFRA rknn-toolkit2 crashed: ERROR in the log"],
    "Candidate or corpus unusable": [f"ERROR {CorpusError('12 clips of the corpus are clipped')}"],
    "Harness error: no verdict on a model": ["AssertionError: FAIL of something else", "KeyError: 'golden'"],
}


@pytest.mark.parametrize("before", ["", "Failed: ", "Skipped: "])
@pytest.mark.parametrize("name", list(KINDS))
def test_each_message_has_one_cause(name: str, before: str) -> None:
    for message in KINDS[name]:
        assert [each.name for each in CATEGORIES if each.covers(before + message)] == [name]


def test_every_cause_has_its_message() -> None:
    assert [each.name for each in CATEGORIES if each.name not in KINDS] == []


def test_a_skip_of_somebody_elses_test_is_no_crash() -> None:
    assert next(each for each in CATEGORIES if each.name.startswith("Harness error")).statuses == ("failed", "broken")


def test_environment_is_one_line_a_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_RUN_ID", "17")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://forge.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/b")
    write_environment(tmp_path, {"voxgate": "0.1.0", "cpu model": "two\nlines=1"})
    lines = (tmp_path / "environment.properties").read_text().splitlines()
    assert lines == ["cpu_model=two lines=1", "voxgate=0.1.0"]
    assert len(json.loads((tmp_path / "categories.json").read_text())) == len(CATEGORIES)
    job = json.loads((tmp_path / "executor.json").read_text())
    assert job["buildUrl"] == "https://forge.example/a/b/actions/runs/17"


def test_no_executor_is_told_outside_ci() -> None:
    assert executor({"CI": "true"}) == {}


def test_percentiles_have_the_shape_of_metrics() -> None:
    import numpy as np

    found = performance("commands on host/int8 inference", np.linspace(1, 2, 700), 5)
    assert [set(each) for each in found] == [{"id", "key", "value", "start", "stop"}] * 3
    assert found[0]["key"] == "commands on host/int8 inference p50"
    assert found[0]["value"] == pytest.approx(1.5, abs=0.01)
    few = performance("commands on host/int8 inference", np.linspace(1, 2, 100), 5)
    assert [each["key"] for each in few] == ["commands on host/int8 inference p50"]


@pytest.fixture
def artifact() -> Artifact:
    nodes = (
        Node("conv", "Conv", "int8", "npu", fallback=False),
        Node("<b>mean</b>", "ReduceMean", "float32", "cpu", fallback=True, reason="no kernel, none"),
    )
    recipe = Recipe(target="rk3588", name="w8a8", precision="int8")
    sizes = Sizes(file=1024)
    return Artifact(
        "commands", recipe, "0" * 64, Path("m.rknn"), Placement(nodes, Evidence.STATIC), sizes, Evidence.EMULATOR
    )


def test_placement_marks_what_falls_back(artifact: Artifact) -> None:
    html = placement_html(artifact)
    assert html.count("<tr class=marked>") == 1
    assert "<tr class=marked><td>&lt;b&gt;mean&lt;/b&gt;</td>" in html
    assert '"no kernel, none"' in placement_csv(artifact).splitlines()[2]


INNER_CONFTEST = """
from pathlib import Path

import pytest

from harness.report.allure import configure_results, finish_results

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    Path("run").mkdir(exist_ok=True)
    configure_results(config, Path("run").absolute())

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    finish_results(session.config, Path("run").absolute(), {"voxgate": "0.1.0"})
"""
INNER_TEST = """
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.measure import Latency
from harness.plugin.record import settle
from harness.report.allure import Show, results_folder, tell
from harness.row import Row

READ = map(Row.from_json, json.loads(Path("rows.json").read_text()))
ROWS = {f"{row.target}-{row.recipe}-{row.gate}-{row.slice}": row for row in READ}
HOUSE = SimpleNamespace(options=SimpleNamespace(inconclusive="fail", require_board=False))

@pytest.mark.parametrize("name", list(ROWS))
def test_gate(name, pytestconfig):
    row = ROWS[name]
    if row.gate == "latency":
        show = Show(f"{row.candidate} on {row.build}", results_folder(pytestconfig))
        show.latency(Latency(np.linspace(1, 2, 700), 10, True), "inference")
    if row.gate == "accuracy":
        judged = SimpleNamespace(cells=list(ROWS.values()), margins=lambda gate: ROWS, before={})
        Show("commands", results_folder(pytestconfig)).heatmap(row, judged)
    tell([row])
    settle(HOUSE, row)
"""


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    shown = ("overall", "accent=ja", "accent=tr")
    rows = [each for each in run() if each.gate != "accuracy" or each.slice in shown]
    pytester.makeconftest(INNER_CONFTEST)
    pytester.makepyfile(test_inner=INNER_TEST)
    Path(pytester.path / "rows.json").write_text(json.dumps([each.as_json() for each in rows]))
    return pytester


def judge(inner: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return inner.runpytest_subprocess("-p", "no:voxgate", "-p", "no:cacheprovider", *arguments)


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("*-result.json")]


def test_a_run_stands_in_the_tree_with_its_figures(inner: pytest.Pytester) -> None:
    judge(inner).stdout.fnmatch_lines(["*failed*passed*skipped*"])
    folder = inner.path / "run" / "allure-results"
    found = results(folder)
    [hurt] = [each for each in found if each["name"] == "accuracy: accent=ja"]
    labels = {label["name"]: label["value"] for label in hurt["labels"]}
    assert [labels[name] for name in ("epic", "feature", "story")] == ["commands", "rk3588/w8a8", "accuracy"]
    assert [labels[name] for name in ("parentSuite", "suite", "subSuite")] == ["commands", "rk3588/w8a8", "accuracy"]
    assert {each["name"] for each in hurt["attachments"]} == {"heatmap accent x condition", "margins"}
    step = next(each for each in hurt["steps"] if each["name"].startswith("judge: FAIL, accuracy drop"))
    figures = json.loads((folder / step["attachments"][0]["source"]).read_text())
    assert figures[0]["slice"] == "accent=ja"
    causes = {
        next(cause.name for cause in CATEGORIES if cause.covers(each["statusDetails"]["message"]))
        for each in found
        if each["status"] != "passed"
    }
    assert {"Model regression", "Placement / CPU fallback", "Inconclusive: needs more data"} <= causes
    [perf] = folder.glob("*host-int8*-perf.json")
    assert [each["key"] for each in json.loads(perf.read_text())][2] == "commands on host/int8 inference p99"
    assert (folder / "environment.properties").read_text() == "voxgate=0.1.0\n"


def test_history_ids_are_the_same_in_two_runs(inner: pytest.Pytester) -> None:
    ids = []
    for name in ("first", "second"):
        judge(inner, f"--alluredir={name}")
        ids.append(sorted(each["historyId"] for each in results(inner.path / name)))
    assert len(set(ids[0])) == len(ids[0]) > 5
    assert ids[0] == ids[1]
    assert (inner.path / "run" / "allure-results").resolve() == inner.path / "first"


def test_nothing_is_written_without_allure(inner: pytest.Pytester) -> None:
    judge(inner, "-p", "no:allure_pytest").stdout.fnmatch_lines(["*failed*passed*skipped*"])
    assert list((inner.path / "run").iterdir()) == []
