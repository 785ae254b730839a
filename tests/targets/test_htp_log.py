"""Why nodes are off the HTP, read from recorded lines (see tests/data/htp/README.md)."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ToolchainError
from harness.targets import htp_log
from harness.targets.htp_log import Line, read, reasons

DATA = Path(__file__).parents[1] / "data" / "htp"
WHO = "small htp/a8w8"
PLACE = "qnn_execution_provider.cc:1713 LogNodeSupport"


def lines(name: str) -> list[Line]:
    return read(DATA / name / "qnn-log.jsonl", WHO)


def test_what_qnn_took_has_no_reason() -> None:
    assert any("Validation PASSED" in message for _, _, message in lines("ds_cnn_a8w8"))
    assert reasons(lines("ds_cnn_a8w8"), WHO) == {}


def test_what_the_validator_refused_goes_with_its_conversions() -> None:
    found = reasons(lines("layer_norm_signed"), WHO)
    refused = "QNN's validator refuses LayerNorm as it is quantized or shaped here (code 3110)"
    assert found.pop("norm") == refused
    assert set(found.values()) == {f"goes with LayerNormalization norm: {refused}"}
    assert len(found) == 4


def test_an_operator_qnn_does_not_have() -> None:
    assert reasons(lines("erf"), WHO)["tail"].startswith("Operators of type `Erf` are not supported by QNN EP")


def test_a_refusal_is_not_carried_over_to_the_next_unit() -> None:
    refused: Line = (
        2,
        "x.cc:1 CreateQnnNode",
        "QNN.backendValidateOpConfig() failed for node `a` of type `A` with error code 7",
    )
    unit = "Validation {} for 1 nodes in OrtNodeUnit ({}) :\n\tOperator type: {} Node name: {} Node index: 1\n"
    failed = unit.format("FAILED", "B", "B", "b") + "\tREASON : Failed to add node.\n"
    recorded: list[Line] = [refused, (0, PLACE, unit.format("PASSED", "A", "A", "a")), (0, PLACE, failed)]
    assert reasons(recorded, WHO) == {"b": "Failed to add node."}
    assert reasons([refused, (0, PLACE, failed)], WHO) == {
        "b": "QNN's validator refuses A as it is quantized or shaped here (code 7)"
    }


def test_a_unit_without_a_reason_says_so() -> None:
    unit = "Validation FAILED for 1 nodes in OrtNodeUnit (B) :\n\tOperator type: B Node name: b Node index: 1\n"
    assert reasons([(0, PLACE, unit)], WHO) == {"b": "QNN's provider gives no reason"}


@pytest.mark.parametrize(
    "old", ["FAILED for 3", "\tOperator type: Erf", "Node index: 29", "\tREASON : ", "OrtNodeUnit (Erf) :"]
)
def test_a_malformed_message_is_an_error(old: str) -> None:
    spoiled = [(severity, place, message.replace(old, "#")) for severity, place, message in lines("erf")]
    with pytest.raises(ToolchainError, match=f"{WHO}: the log of QNN's provider cannot be trusted: the message"):
        reasons(spoiled, WHO)


@given(st.integers(0, 200))
def test_a_message_cut_anywhere_is_an_error_or_says_less(end: int) -> None:
    whole = reasons(lines("erf"), WHO)
    cut = [
        (severity, place, message[:end] if "FAILED" in message else message)
        for severity, place, message in lines("erf")
    ]
    with contextlib.suppress(ToolchainError):
        assert set(reasons(cut, WHO)) <= set(whole)


@pytest.mark.parametrize("content", ["{", "[1, 2]", '["0", "a", "b"]', "[0, 1, 2]", "7"])
def test_a_record_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "qnn-log.jsonl"
    path.write_text(content)
    with pytest.raises(ToolchainError, match=r"its record qnn-log.jsonl cannot be read"):
        read(path, WHO)


def test_a_record_that_is_gone_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolchainError, match="cannot be read"):
        read(tmp_path / "qnn-log.jsonl", WHO)
    monkeypatch.setattr(htp_log, "MAX_LOG", 100)
    with pytest.raises(ToolchainError, match="larger than"):
        lines("erf")
