"""A whole run of suites/test_pipeline.py in a house of tones: what it prints, and how a wrong file is told."""

from __future__ import annotations

from pathlib import Path

from tests.house import Gate, edit
from tests.tones import make_house, save_command

ASKED = ("suites/test_pipeline.py", "-m", "host")


def test_a_run_prints_figures_with_n_hours_and_evidence_and_a_fault_is_red(gate: Gate, tmp_path: Path) -> None:
    house = make_house(tmp_path / "house")
    run = gate(house, *ASKED)
    assert run.code == 0, run.output
    assert run.counts()["passed"] == 6
    assert {row["gate"] for row in run.rows} == {
        "success",
        "command accuracy",
        "wer",
        "false activations",
        "response",
        "memory",
    }
    assert {(row["candidate"], row["target"], row["recipe"]) for row in run.rows} == {("both", "host", "fp32+fp32")}
    assert {row["evidence"] for row in run.rows} == {"host"}
    assert "MAY SHIP" in run.output
    assert "30 utterances" in run.row("success", "synthetic overall")["detail"]

    save_command(house / "models" / "hand" / "model.onnx", swapped=True)
    broken = gate(house, *ASKED, "-k", "success")
    assert broken.code == 1
    assert broken.red("success") == {"synthetic overall"}
    assert "most are the recognizer's" in broken.output


def test_a_wrong_pipeline_stops_the_run_with_one_paragraph(gate: Gate, tmp_path: Path) -> None:
    house = make_house(tmp_path / "house")
    edit(house / "pipelines" / "both" / "pipeline.toml", 'trigger = "ear"', 'trigger = "eat"')
    run = gate(house, *ASKED)
    assert run.code == 4
    assert "did you mean 'ear'?" in run.output
    assert "Traceback" not in run.output
