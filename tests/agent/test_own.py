"""The toolchain's own benchmark: LiteRT's real one, the words of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.agent import own
from harness.agent.faults import MISSING, MODEL, Fault

CHECKOUT = Path(__file__).parents[2]
SUMMARY = (CHECKOUT / "tests" / "data" / "jetson" / "trtexec.txt").read_text()


def test_litert_times_a_model_itself() -> None:
    told = own.tell(CHECKOUT / "models" / "commands" / "model.tflite", "litert")
    assert told["ms"] > 0
    assert told["n"] == own.ROUNDS
    assert "benchmark_litert_model" in told["source"]
    json.dumps(told)


def test_a_file_that_litert_cannot_read_is_the_models_fault(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"junk")
    with pytest.raises(Fault, match="does not run in its toolchain's benchmark: exit code") as caught:
        own.tell(tmp_path / "m.tflite", "litert")
    assert caught.value.kind == MODEL


@pytest.mark.parametrize(
    ("runtime", "why"),
    [("onnxruntime", "its wheel brings no benchmark"), ("edgetpu", "benchmark_model"), ("our:own", "none is known")],
)
def test_a_runtime_without_a_benchmark_says_so(runtime: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=why) as caught:
        own.tell(tmp_path / "m", runtime)
    assert caught.value.kind == MISSING


def test_a_tool_that_is_not_there_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "LITERT", "ai_edge_litert.tools.gone")
    monkeypatch.setenv("PATH", str(tmp_path))
    for runtime, why in (("litert", "No module named"), ("tensorrt", "libnvinfer-bin"), ("snpe", "/opt/snpe/bin")):
        with pytest.raises(Fault, match=why) as caught:
            own.tell(tmp_path / "m.engine", runtime)
        assert caught.value.kind == MISSING


def test_the_median_of_gpu_compute_time_is_trtexecs_number() -> None:
    assert own.parse_trtexec(SUMMARY) == {"ms": 0.240234, "n": 11932, "source": "trtexec, GPU compute time"}


@pytest.mark.parametrize("part", ["Throughput: ", "GPU Compute Time: min", "Total Host Walltime"])
def test_a_summary_that_is_cut_short_is_refused(part: str) -> None:
    cut = "\n".join(line for line in SUMMARY.splitlines() if part not in line)
    with pytest.raises(ValueError, match="no performance summary"):
        own.parse_trtexec(cut)
