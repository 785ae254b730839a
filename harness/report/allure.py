"""Allure results: where they go, how a test stands in the tree, and what is attached to it.

The tree reads candidate > build > gate > slice. Parameters are plain strings with stable values,
because Allure's history of a test hangs on them. Without allure-pytest nothing here costs time.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import allure
import numpy as np
import numpy.typing as npt
import pytest
from allure_commons import hookimpl, plugin_manager

from harness.beside import Time
from harness.gates.judged import Judged
from harness.measure import Latency
from harness.report import beside, det, diagnosis, markup, plots, since
from harness.report.environment import write_environment
from harness.row import Row, printable
from harness.score.wakeword import Listening, Point
from harness.targets.base import Artifact
from harness.verdict import Outcome, worst

if TYPE_CHECKING:
    from harness.diagnose import Diagnosis

RESULTS = "allure-results"
PLACEMENT = ("node", "op", "dtype", "where", "falls back", "why")


def configure_results(config: pytest.Config, folder: Path) -> None:
    """Write Allure results below the run's folder unless --alluredir names another."""
    if getattr(config.option, "allure_report_dir", "absent") is None:
        config.option.allure_report_dir = str(folder / RESULTS)


class Losses:
    """Keeps a result that cannot be written, say on a full disk, from ending the run: ``lost`` is told instead."""

    def __init__(self, lost: Callable[[OSError], None]) -> None:
        self.lost = lost

    @hookimpl(wrapper=True)
    def report_result(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            self.lost(error)

    report_container = report_attached_file = report_attached_data = report_result


def tell_losses(config: pytest.Config, lost: Callable[[OSError], None]) -> None:
    """Call ``lost`` for every result that allure-pytest cannot write, as long as this session lasts."""
    losses = Losses(lost)
    plugin_manager.register(losses)
    config.add_cleanup(lambda: plugin_manager.unregister(losses))


def results_folder(config: pytest.Config) -> Path | None:
    """Where Allure results go; None where allure-pytest is not in use."""
    found = getattr(config.option, "allure_report_dir", None)
    return Path(found) if found else None


def finish_results(config: pytest.Config, folder: Path, facts: Mapping[str, str]) -> None:
    """Categories, environment and executor beside the results, where there are any."""
    results = results_folder(config)
    if results is None or not results.is_dir():
        return
    write_environment(results, facts)
    if not (folder / RESULTS).exists():  # --alluredir: the report is still to be found by the run
        (folder / RESULTS).symlink_to(results.resolve(), target_is_directory=True)


def place(row: Row, part: str | None = None) -> None:
    """Put the running test where it stands in the tree."""
    dynamic: Any = allure.dynamic  # its functions carry no types
    for name, value in (("epic", row.candidate), ("feature", row.build), ("story", row.gate)):
        getattr(dynamic, name)(value)
    dynamic.parent_suite(row.candidate)
    dynamic.suite(row.build)
    dynamic.sub_suite(row.gate)
    dynamic.title(f"{row.gate}: {part or row.slice}")


def tell(rows: Sequence[Row]) -> None:
    """Place the running test, and attach its rows below a step that says its verdict."""
    if not rows:
        return
    outcome = worst([row.outcome for row in rows])
    row = next(row for row in rows if row.outcome is outcome)
    single = len(rows) == 1
    place(row, _part(rows))
    said = row.detail if single or outcome is not Outcome.PASS else f"{len(rows)} figures keep their limits"
    with allure.step(f"judge: {outcome.value}, {said}"):
        figures = json.dumps([each.as_json() for each in rows], indent=1)
        allure.attach(figures, "figures", allure.attachment_type.JSON)


def show_diagnosis(told: Diagnosis) -> None:
    """Attach why the build fails, below a step that says the likely cause."""
    with allure.step(printable(told.line)):
        allure.attach(diagnosis.html(told), "diagnosis", allure.attachment_type.HTML)
        allure.attach(json.dumps(told.as_json(), indent=1), "diagnosis.json", allure.attachment_type.JSON)


class Show:
    """What a gate shows beside its figure, of the build ``name``; ``results`` is None without Allure."""

    def __init__(self, name: str, results: Path | None) -> None:
        self.name = name
        self.results = results

    def placement(self, artifact: Artifact) -> None:
        """Where every node runs: a table with fallbacks marked, and the same as CSV."""
        if self.results is None:
            return
        allure.attach(placement_html(artifact), "placement", allure.attachment_type.HTML)
        allure.attach(placement_csv(artifact), "placement.csv", allure.attachment_type.CSV)

    def heatmap(self, row: Row | None, judged: Judged) -> None:
        """Accent x condition and the margins: for ``row`` when overall or not PASS, always for None."""
        wanted = row is None or row.slice == "overall" or row.outcome is not Outcome.PASS
        if self.results is None or not wanted:
            return
        margins = list(judged.margins("drop").values())
        before = judged.before
        if judged.cells or margins:
            picture = plots.heatmap([*judged.cells, *margins], f"{self.name}: accuracy drop against golden", before)
            allure.attach(picture, "heatmap accent x condition", allure.attachment_type.PNG)
        if margins:
            text = markup.page(self.name, markup.figures(margins, before))
            allure.attach(text, "margins", allure.attachment_type.HTML)

    def flips(self, row: Row, judged: Judged) -> None:
        """The worst flipped decisions of the overall row, and of a slice that does not pass, each with a player.

        Allure itself plays no audio.
        """
        if self.results is None or (row.slice != "overall" and row.outcome is Outcome.PASS):
            return
        count, heard = judged.heard_in(row.slice)
        if heard:
            told = {"count": count, "heard": [flip for _, flip in heard]}
            players = since.flips(told, {path.name: path.read_bytes() for path, _ in heard})
            allure.attach(markup.page(self.name, players), "flips to listen to", allure.attachment_type.HTML)

    def tradeoff(self, heard: Listening, point: Point) -> None:
        """The DET curve of a wake word in one kind of speech."""
        if self.results is None:
            return
        curves = {heard.kind: heard.tradeoff(point)}
        allure.attach(
            det.plot(curves, f"{self.name}: words missed against false accepts"), "DET", allure.attachment_type.PNG
        )
        text = markup.page(self.name, markup.table(det.HEAD, det.lines(curves)))
        allure.attach(text, "operating points", allure.attachment_type.HTML)

    def beside(self, times: Sequence[Time]) -> None:
        """The toolchain's own number beside inference alone and end to end, with the differences."""
        if self.results is not None:
            page = markup.page(self.name, beside.html(times))
            allure.attach(page, "beside the toolchain's own number", allure.attachment_type.HTML)

    def latency(self, latency: Latency, title: str) -> None:
        """A histogram of every sample, and the percentiles for the report's page of metrics."""
        if self.results is None:
            return
        name = f"{self.name} {title}"
        allure.attach(plots.histogram(latency.samples_ms, name), f"{title} histogram", allure.attachment_type.PNG)
        figures = json.dumps(performance(name, latency.samples_ms, time.time_ns() // 10**6), indent=1)
        allure.attach(figures, f"{slug(name)}-perf.json", allure.attachment_type.JSON)
        self.results.mkdir(parents=True, exist_ok=True)
        (self.results / f"{slug(name)}-perf.json").write_text(figures, encoding="utf-8")  # read by this file name only


def performance(name: str, samples_ms: npt.NDArray[np.float64], now_ms: int) -> list[dict[str, str | float]]:
    """The percentiles that n allows, in Allure's shape; ``key`` is what history hangs on."""
    return [
        {"id": f"{slug(name)}-{quantile}", "key": f"{name} {quantile}", "value": value, "start": now_ms, "stop": now_ms}
        for quantile, value in plots.quantiles(samples_ms).items()
    ]


def placement_html(artifact: Artifact) -> str:
    """The placement table, fallbacks marked."""
    nodes = artifact.placement.nodes
    lines = [(n.name, n.op, n.dtype, n.where, "falls back" if n.fallback else "", n.reason) for n in nodes]
    said = (
        f"<p>{len(nodes)} nodes, {len(artifact.placement.fallbacks)} off the target's unit or wider than asked for; "
        f"evidence {escape(artifact.placement.evidence)}: {escape(artifact.placement.source)}</p>"
    )
    title = f"{artifact.candidate} on {artifact.recipe.id}: placement"
    return markup.page(title, said + markup.table(PLACEMENT, lines, [node.fallback for node in nodes]))


def placement_csv(artifact: Artifact) -> str:
    """The placement table, one node a line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(PLACEMENT)
    writer.writerows((n.name, n.op, n.dtype, n.where, n.fallback, n.reason) for n in artifact.placement.nodes)
    return buffer.getvalue()


def _part(rows: Sequence[Row]) -> str:
    """What rows judged by one test have in common: ``inference p50`` and ``inference p99`` are ``inference``."""
    if len(rows) > 1 and all(row.screened for row in rows):
        return "every cell"
    common: list[str] = []
    for words in zip(*(row.slice.split() for row in rows), strict=False):
        if len(set(words)) > 1:
            break
        common.append(words[0])
    return " ".join(common) or "every slice"


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^\w.]+", "-", name)
