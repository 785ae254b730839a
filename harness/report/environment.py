"""What stands around the results: where they were got, who ran them, and why tests fail, by cause."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.report.conclusion import GOLDEN

ENDED = ("failed", "broken", "skipped")
CRASHED = ("failed", "broken")
OPENING = r"^(?:Failed: |Skipped: )?"  # allure-pytest puts the exception's name before the message
SIZES = r"(?:\d|inf)\S* (?:ms|times|KiB|MiB|layers|partitions)(?: \[[^\]]*\])?, limit at most"


@dataclass(frozen=True, slots=True)
class Category:
    """A cause of tests that do not pass, told by how their message begins (``harness.plugin.record``)."""

    name: str
    pattern: str  # of a regular expression that Python, Java and JavaScript read alike
    statuses: tuple[str, ...] = ENDED

    def covers(self, message: str) -> bool:
        return re.search(self.pattern, message) is not None

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "matchedStatuses": list(self.statuses), "messageRegex": self.pattern}


# Each message belongs to one category only: Allure 2 shows a test under all that match.
_STORE = rf"\S+ on {GOLDEN}: [^\n]*\bgolden (?:outputs|files)\b"  # a float model below its floor is no drift
_GOLDEN = r"[^\n]*\b[Gg]olden\b"
_SIZE = rf"[^\n]*{SIZES}"
_VERDICT = r"(?:FAIL|ERROR|INCONCLUSIVE|UNSUPPORTED|INFRA|not measured) "
_PLACEMENT = r"[^\n]*: falls back:"
CATEGORIES = (
    Category("Placement / CPU fallback", rf"{OPENING}FAIL {_PLACEMENT}[\s\S]*$"),
    Category("Over budget: latency, footprint, layers", rf"{OPENING}FAIL (?!{_PLACEMENT}){_SIZE}[\s\S]*$"),
    Category(
        "Golden or corpus drift",
        rf"{OPENING}(?:FAIL (?!{_PLACEMENT}|{_SIZE}){_STORE}|ERROR {_GOLDEN})[\s\S]*$",
    ),
    Category("Model regression", rf"{OPENING}FAIL (?!{_PLACEMENT}|{_SIZE}|{_STORE})[\s\S]*$"),
    Category("Inconclusive: needs more data", rf"{OPENING}INCONCLUSIVE [\s\S]*$"),
    Category("Not measured: needs a board", rf"{OPENING}not measured [\s\S]*$"),
    Category("Unsupported here", rf"{OPENING}UNSUPPORTED [\s\S]*$"),
    Category("Infrastructure: toolchain, disk, lab", rf"{OPENING}INFRA [\s\S]*$"),
    Category("Candidate or corpus unusable", rf"{OPENING}ERROR (?!{_GOLDEN})[\s\S]*$"),
    Category("Harness error: no verdict on a model", rf"{OPENING}(?!Failed: |Skipped: |{_VERDICT})[\s\S]+$", CRASHED),
)


def write_environment(results: Path, facts: Mapping[str, str]) -> None:
    """``categories.json``, ``environment.properties`` and, under CI, ``executor.json`` into ``results``."""
    causes = [category.record() for category in CATEGORIES]
    (results / "categories.json").write_text(json.dumps(causes, indent=1), encoding="utf-8")
    lines = [f"{_key(name)}={_value(value)}" for name, value in sorted(facts.items())]
    (results / "environment.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = executor(os.environ)
    if found:
        (results / "executor.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def executor(variables: Mapping[str, str]) -> dict[str, str]:
    """The CI job that ran this, in Allure's words; empty where none is known."""
    if "GITHUB_RUN_ID" in variables:
        repository = f"{variables.get('GITHUB_SERVER_URL', '')}/{variables.get('GITHUB_REPOSITORY', '')}"
        number = variables["GITHUB_RUN_ID"]
        return _job("GitHub Actions", "github", number, f"{repository}/actions/runs/{number}")
    if "CI_PIPELINE_ID" in variables:
        return _job("GitLab CI", "gitlab", variables["CI_PIPELINE_ID"], variables.get("CI_PIPELINE_URL", ""))
    if "JENKINS_URL" in variables:
        return _job("Jenkins", "jenkins", variables.get("BUILD_NUMBER", ""), variables.get("BUILD_URL", ""))
    return {}


def _job(name: str, kind: str, number: str, url: str) -> dict[str, str]:
    return {"name": name, "type": kind, "buildName": number, "buildUrl": url}


def _key(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _value(value: object) -> str:
    return " ".join(str(value).replace("\\", "\\\\").split())  # one line a fact, whatever it holds
