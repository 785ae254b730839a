"""A diagnosis in the terminal and as a page: names from models are text, never markup."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from harness.diagnose import Cause, Diagnosis, Stage, Trial
from harness.diagnose.effect import Effect
from harness.report import diagnosis
from harness.report.summary import summary
from harness.verdict import Outcome
from tests.report.rows import row

EFFECT = Effect(9.0, 4.0, 14.0, 12.0, 0.94, 156, 6)
ODD = "<b>[red]conv\x1b[31m"
TOLD = Diagnosis(
    candidate="small",
    recipe="host/int8",
    slice="overall",
    faulty=True,
    state="overall: 80.0 % right",
    stages=(Stage("float ONNX", "host", 140.0, 94.2, 156),),
    causes=(Cause("layers", ODD, EFFECT, 0.94, "precision = fp16", ("alone in int8: 14.1 dB",), (ODD,)),),
    trials=(Trial("layers", "left in float", EFFECT), Trial("board", "not tried", None, "no board")),
    left_out=("calibration: no time left",),
    seconds=12.0,
)


def printed(told: Diagnosis) -> str:
    console = Console(width=300, record=True, file=None)
    with console.capture() as found:
        for table in diagnosis.tables(told):
            console.print(table)
    return found.get()


def test_tables_show_causes_stages_and_experiments_as_plain_text() -> None:
    shown = printed(TOLD)
    for part in (
        "causes, likeliest first",
        "<b>[red]conv",
        "+9.0 points [4.0, 14.0], +12.0 dB",
        "94%",
        "no board",
        "140.0",
    ):
        assert part in shown
    assert "\x1b[31m" not in shown
    said = diagnosis.rest(TOLD)
    assert said[0].startswith("likely cause: layers: <b>[red]conv")
    assert said[1:] == ["  alone in int8: 14.1 dB", "left out: calibration: no time left", "12 s, small on host/int8"]
    assert all(line.isprintable() for line in said)


def test_a_healthy_build_has_no_tables() -> None:
    assert diagnosis.tables(Diagnosis("small", "host/int8", "overall", False, "overall: fine")) == []


def test_the_page_escapes_what_models_are_named() -> None:
    page = diagnosis.html(TOLD)
    assert "&lt;b&gt;[red]conv" in page
    assert "<b>[red]" not in page
    assert "Left out" in page
    assert "Causes" not in diagnosis.html(replace(TOLD, causes=()))


def test_lines_are_read_from_the_records_and_told_below_the_verdict(tmp_path: Path) -> None:
    record = tmp_path / "small" / "host" / "int8" / "diagnosis.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(TOLD.as_json()))
    found = diagnosis.lines(tmp_path)
    assert list(found) == [("small", "host/int8")]
    failing = row("accuracy", "overall", candidate="small", target="host", recipe="int8", outcome=Outcome.FAIL)
    lines = summary([failing], {}, 300, False, causes=found).splitlines()
    [place] = [i for i, line in enumerate(lines) if line.startswith("DO NOT SHIP")]
    assert lines[place + 1].strip() == found["small", "host/int8"]
    assert "likely cause" not in summary([failing], {}, 300, False)
