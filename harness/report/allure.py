"""Allure results: where they go, how a test stands in the tree, and what is attached to it.

The tree reads candidate > build > gate > slice. Parameters are plain strings with stable values,
because Allure's history of a test hangs on them.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import allure
import numpy as np
import pytest

from harness.gates.judged import Judged
from harness.measure import Latency
from harness.report import plots
from harness.row import Row
from harness.targets.base import Artifact
from harness.verdict import Outcome

RESULTS = "allure-results"

# Matched in this order against the message a test ends with (harness/plugin/record.py begins it).
CATEGORIES = (
    ("Placement: nodes off the accelerator", ("failed",), r"(?s).*FAIL .*falls back:.*"),
    ("Over budget: latency, size, layers", ("failed",), r"(?s).*FAIL .*(ms|KiB|MiB|layers) \[?.*limit at most .*"),
    ("Golden or corpus drift", ("failed", "broken"), r"(?s).*(FAIL|ERROR) .*golden.*"),
    ("Model regression", ("failed",), r"(?s).*FAIL .*"),
    ("Inconclusive: needs more data", ("failed", "skipped"), r"(?s).*INCONCLUSIVE .*"),
    ("Not measured: needs a board", ("failed", "broken", "skipped"), r"(?s).*not measured.*"),
    ("Unsupported here", ("failed", "broken", "skipped"), r"(?s).*UNSUPPORTED .*"),
    ("Infrastructure: toolchain, disk, lab", ("failed", "broken"), r"(?s).*INFRA .*"),
    ("Candidate or corpus unusable", ("failed", "broken"), r"(?s).*ERROR .*"),
)


def configure_results(config: pytest.Config, folder: Path) -> None:
    """Write Allure results below the run's folder unless --alluredir names another."""
    if getattr(config.option, "allure_report_dir", "absent") is None:
        config.option.allure_report_dir = str(folder / RESULTS)


def tell(rows: Sequence[Row]) -> None:
    """Place the running test in the tree and attach its rows."""
    if not rows:
        return
    row = next((row for row in rows if row.outcome is not Outcome.PASS), rows[0])
    tell_one: Any = allure.dynamic  # untyped
    for names, value in (
        (("epic", "parent_suite"), row.candidate),
        (("feature", "suite"), row.build),
        (("story", "sub_suite"), row.gate),
        (("title",), f"{row.gate}: {row.slice}"),
    ):
        for name in names:
            getattr(tell_one, name)(value)
    with allure.step(f"judge: {row.outcome.value}, {row.detail}"):
        _attach(json.dumps([each.as_json() for each in rows], indent=1), "figures", allure.attachment_type.JSON)


def finish_results(folder: Path, environment: Mapping[str, str]) -> None:
    """Categories, environment and executor beside the results, where there are any."""
    results = folder / RESULTS
    if not results.is_dir():
        return
    categories = [
        {"name": name, "matchedStatuses": list(statuses), "messageRegex": pattern}
        for name, statuses, pattern in CATEGORIES
    ]
    (results / "categories.json").write_text(json.dumps(categories, indent=1), encoding="utf-8")
    lines = [f"{re.sub(r'[^A-Za-z0-9_.-]', '_', key)}={value}" for key, value in sorted(environment.items())]
    (results / "environment.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")
    executor = _executor()
    if executor:
        (results / "executor.json").write_text(json.dumps(executor), encoding="utf-8")


class Show:
    """What a gate shows beside its figure. ``name`` names the attachments."""

    def __init__(self, name: str) -> None:
        self.name = name

    def placement(self, artifact: Artifact) -> None:
        nodes = artifact.placement.nodes
        _attach(placement_html(artifact), "placement", allure.attachment_type.HTML)
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(("node", "op", "dtype", "where", "fallback", "reason"))
        writer.writerows((n.name, n.op, n.dtype, n.where, n.fallback, n.reason) for n in nodes)
        _attach(buffer.getvalue(), "placement.csv", allure.attachment_type.CSV)

    def heatmap(self, row: Row | None, judged: Judged) -> None:
        """The heatmap on the overall slice, and on any slice that does not pass."""
        if row is None or row.slice == "overall" or row.outcome is not Outcome.PASS:
            rows = [*judged.cells, *judged.margins("drop").values()]
            if rows:
                title = f"{judged.build.candidate.name} on {judged.build.recipe.id}: accuracy drop against golden"
                _attach(plots.heatmap(rows, title), "heatmap accent x condition", allure.attachment_type.PNG)

    def latency(self, latency: Latency, title: str) -> None:
        _attach(plots.histogram(latency.samples_ms, title), f"{title} histogram", allure.attachment_type.PNG)
        slug = f"{self.name} {title}".replace(" ", "-")
        figures = [
            {"id": f"{slug}-{name}", "key": f"{slug} {name} ms", "value": value, "start": 0, "stop": 0}
            for name, q in plots.QUANTILES.items()
            if (value := float(np.quantile(latency.samples_ms, q, method="inverted_cdf"))) >= 0
        ]
        _attach(json.dumps(figures), f"{slug}-perf.json", allure.attachment_type.JSON)


def placement_html(artifact: Artifact) -> str:
    """The placement table, fallbacks marked."""
    rows = "".join(
        f"<tr style='background:{'#f8d0d0' if node.fallback else 'none'}'>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in (node.name, node.op, node.dtype, node.where, node.reason))
        + "</tr>"
        for node in artifact.placement.nodes
    )
    head = "".join(f"<th align=left>{name}</th>" for name in ("node", "op", "dtype", "where", "why"))
    return (
        "<!doctype html><meta charset=utf-8><style>body{font:13px sans-serif}td,th{padding:2px 8px}</style>"
        f"<p>{escape(artifact.recipe.id)}: {len(artifact.placement.nodes)} nodes, "
        f"{len(artifact.placement.fallbacks)} off the accelerator or wider than asked for (red); "
        f"evidence {artifact.placement.evidence}</p><table>{head}{rows}</table>"
    )


def _attach(body: str | bytes, name: str, kind: Any) -> None:
    allure.attach(body, name=name, attachment_type=kind)


def _executor() -> dict[str, str]:
    for name, url, build in (
        ("GitHub Actions", "GITHUB_SERVER_URL", "GITHUB_RUN_ID"),
        ("GitLab CI", "CI_PIPELINE_URL", "CI_PIPELINE_ID"),
        ("Jenkins", "BUILD_URL", "BUILD_NUMBER"),
    ):
        if build in os.environ:
            return {"name": name, "buildName": os.environ[build], "buildUrl": os.environ.get(url, "")}
    return {}
