"""``voxgate report``: the scorecard, and Allure's report of the last run where npm can be had."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cache import disk_error
from harness.history import NAME, History
from harness.report import metrics
from harness.report.allure import RESULTS, slug
from harness.report.environment import CATEGORIES
from harness.report.markdown import markdown
from harness.report.records import Records, heatmaps, read
from harness.report.scorecard import scorecard

ALLURE = "3.18.0"
REPORT = "allure-report"
RUNS_KEPT = 50  # of Allure's history
SINGLE_FILE_MOST = 64 * 2**20  # bytes of results; above, one page would be slow to open
INSTALL_S, GENERATE_S = 120, 120  # a registry that does not answer must not hold up the verdict
ANALYTICS = re.compile(
    r"\s*<script[^>]*\bsrc=\"https://www\.googletagmanager\.com/[^>]*></script>"
    r"\s*<script>(?:(?!</script>).)*\bgtag\((?:(?!</script>).)*</script>",
    re.DOTALL,
)

Say = Callable[[str], None]


class _NoAllure(Exception):
    """Why Allure's report cannot be had; the scorecard stays."""


def render(work: Path, say: Say) -> Path:
    """Report the last run below ``work``; the page to open is returned.

    Raises VoxgateError where there is no run. Missing or failing npm costs only Allure's report.
    """
    records = read(work)
    page = records.folder / "scorecard.html"
    _write(page, scorecard(records))
    comment = records.folder / "scorecard.md"
    _write(comment, markdown(records))
    say(f"scorecard: {page}, for a pull request: {comment}")
    try:
        report = _allure(work.resolve(), records)
    except _NoAllure as why:
        say(f"no Allure report: {why}")
        return page
    say(f"Allure report: {report}")
    say(_how_to_open(report))
    return report


def configuration(records: Records, results: Path, history: Path) -> dict[str, Any]:
    """What Allure is told: the tree, causes of failure, history across runs, units of figures."""
    size = sum(path.stat().st_size for path in results.iterdir() if path.is_file())
    awesome = {
        "reportName": "voxgate",
        "reportLanguage": "en",
        "singleFile": size <= SINGLE_FILE_MOST,
        "groupBy": ["epic", "feature", "story"],
        "defaultSortBy": "status,asc",
    }
    return {
        "name": "voxgate",
        "output": str(records.folder / REPORT),
        "historyPath": str(history),
        "appendHistory": True,
        "historyLimit": RUNS_KEPT,
        "categories": {"rules": [category.record() for category in CATEGORIES]},
        "performance": metrics.configured(results, records.rows),
        "plugins": {"awesome": {"options": awesome}},
    }


def without_analytics(html: str) -> str:
    """The page without the tag that reports its reader to Google."""
    return ANALYTICS.sub("", html)


def _allure(work: Path, records: Records) -> Path:
    results = records.folder / RESULTS
    if not results.is_dir():
        raise _NoAllure("the run has no Allure results; judge again without -p no:allure_pytest.")
    program = _installed(work / "node")
    _write_globals(records, results)
    metrics.write(results, records.rows, time.time_ns() // 10**6)
    store = _store(work, records)
    history = _before(store, records)
    config = records.folder / "allurerc.mjs"
    _write(config, f"export default {json.dumps(configuration(records, results, history), indent=1)};\n")
    shutil.rmtree(records.folder / REPORT, ignore_errors=True)
    _call([*program, "generate", "--config", str(config), str(results)], GENERATE_S, records.folder)
    page = records.folder / REPORT / "index.html"
    if not page.is_file():
        raise _NoAllure(f"allure wrote no {page}; remove {work / 'node'} and run this again.")
    _write(page, without_analytics(page.read_text(encoding="utf-8")))
    store.keep_allure(records.folder.name, history.read_text(encoding="utf-8").splitlines()[-1])
    return page


def _installed(node: Path) -> Sequence[str]:
    """The command of Allure at the pinned version, installed below ``node`` when it is not there yet."""
    npm, runtime = shutil.which("npm"), shutil.which("node")
    if npm is None or runtime is None:
        raise _NoAllure("npm is not on PATH; install Node.js 20 or later (apt-get install npm), then: voxgate report")
    package = node / "node_modules" / "allure"
    if _version(package) != ALLURE:
        node.mkdir(parents=True, exist_ok=True)
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        _call([npm, "install", "--prefix", str(node), f"allure@{ALLURE}", *quiet], INSTALL_S, node)
    return [runtime, str(package / "cli.js")]


def _version(package: Path) -> str | None:
    try:
        return str(json.loads((package / "package.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError):
        return None


def _call(command: Sequence[str], seconds: float, folder: Path) -> None:
    environment: Mapping[str, str] = {**os.environ, "ALLURE_NO_ANALYTICS": "1"}
    retry = f"to see all of it: {' '.join(command)}"
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise _NoAllure(f"{Path(command[0]).name} was still busy after {seconds:g} s; {retry}") from error
    except OSError as error:
        raise _NoAllure(f"{error}; {retry}") from error
    if done.returncode:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise _NoAllure(f"{Path(command[0]).name} failed ({said[0] if said else done.returncode}); {retry}")


def _store(work: Path, records: Records) -> History:
    """The run's own history, or the work folder's where the run was judged on another machine."""
    named = Path(str(records.facts.get("history", "")))
    return History(named if named.is_file() else work / NAME)


def _before(history: History, records: Records) -> Path:
    """What the store keeps of other runs, as the file Allure reads; rendering a run again does not count it twice."""
    file = records.folder / "history.jsonl"
    lines = history.allure(records.folder.name, RUNS_KEPT - 1)
    _write(file, "".join(f"{line}\n" for line in lines))
    return file


def _write_globals(records: Records, results: Path) -> None:
    """Heatmaps and scorecard as attachments of the whole run, one click from Allure's first page."""
    shutil.copyfile(records.folder / "scorecard.html", results / "scorecard-attachment.html")
    found = [("scorecard", "scorecard-attachment.html", "text/html")]
    for name, picture in heatmaps(records.rows, records.before).items():
        file = f"heatmap-{slug(name)}-attachment.png"
        (results / file).write_bytes(picture)
        found.append((f"heatmap: {name}", file, "image/png"))
    now = time.time_ns() // 10**6
    attachments = [{"name": name, "source": file, "type": kind, "timestamp": now} for name, file, kind in found]
    _write(results / "voxgate-globals.json", json.dumps({"attachments": attachments, "errors": []}, indent=1))


def _how_to_open(report: Path) -> str:
    if len(list(report.parent.glob("*.html"))) and not (report.parent / "data").exists():
        return f"open it in a browser (no server needed): {report.as_uri()}"
    return f"open it with: python -m http.server --directory {report.parent} 8000, at http://localhost:8000"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise disk_error(error, path) from error
