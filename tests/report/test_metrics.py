"""What stands on the report's page of metrics, of whatever gates there are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from harness.report.metrics import FILE, configured, metrics, write
from harness.row import Row
from harness.verdict import Outcome

ROW = Row(
    candidate="small", target="host", recipe="int8", gate="accuracy", slice="overall", value=1.5, unit="points",
    limit=4.0, low=0.5, high=2.5, n=300, clusters=12, evidence="host", outcome=Outcome.PASS, detail="fine",
)  # fmt: skip
ROWS = (
    ROW,
    replace(ROW, slice="accent=de", value=2.0),
    replace(ROW, slice="accent=sv", value=3.0, high=3.9),
    replace(ROW, slice="accent=sv,condition=clean", value=9.0, screened=True),
    replace(ROW, gate="sqnr", value=31.0, unit="dB", limit=15.0),
    replace(ROW, gate="sqnr", slice="accent=de", value=18.0, unit="dB", limit=15.0, low=16.0),
    replace(ROW, gate="sqnr", slice="accent=sv", value=30.0, unit="dB", limit=15.0, low=29.0),
    replace(ROW, gate="footprint", slice="file", value=66.8, unit="KiB", limit=128.0),
    replace(ROW, gate="frr", slice="recordings overall", value=4.0, unit="%"),
    replace(ROW, gate="wer", target="rk3588", value=12.0, unit="%"),
    replace(ROW, gate="regression", value=0.4),
    replace(ROW, gate="flips", value=None),
)


def test_every_build_has_its_figures_and_its_worst_slice() -> None:
    found = {(each.build.split()[-1], each.title): (each.value, each.unit, each.better) for each in metrics(ROWS)}
    assert found == {
        ("host/int8", "accuracy drop"): (1.5, "points", "lower"),
        ("host/int8", "accuracy drop, worst slice"): (3.0, "points", "lower"),
        ("host/int8", "SQNR"): (31.0, "dB", "higher"),
        ("host/int8", "SQNR, worst slice"): (18.0, "dB", "higher"),
        ("host/int8", "size, file"): (66.8, "KiB", "lower"),
        ("host/int8", "FRR, recordings"): (4.0, "%", "lower"),
        ("rk3588/int8", "WER"): (12.0, "%", "lower"),
    }


def test_every_figure_that_is_written_has_a_title_a_unit_and_a_group(tmp_path: Path) -> None:
    latency = [{"id": "x", "key": "small on host/int8 inference p50", "value": 0.1, "start": 1, "stop": 1}]
    (tmp_path / "small-perf.json").write_text(json.dumps(latency))
    write(tmp_path, ROWS, 7)
    written = [each["key"] for each in json.loads((tmp_path / FILE).read_text())]
    told = configured(tmp_path, ROWS)
    assert {*written, latency[0]["key"]} == told["metrics"].keys()
    assert told["metrics"]["small on host/int8 inference p50"]["unit"] == "ms"
    assert {each["group"] for each in told["metrics"].values()} == told["groups"].keys()
