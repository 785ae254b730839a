"""Profiles of hosted devices, as the service's client gives them (see tests/data/htp/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ToolchainError
from harness.targets import hub_profile
from harness.targets.base import Evidence, Node, Placement
from harness.targets.hub_profile import read

PROFILE = Path(__file__).parents[1] / "data" / "htp" / "hub-profile.json"
DEVICE = "Samsung Galaxy S23 (Family), hosted"
WHO = "small htp/a8w8"
COMPILED = Placement(
    (
        Node("stem.conv_token_1", "Conv2d", "uint8", "npu", False),
        Node("gru_cell", "Gru", "float32", "npu", True, "computes in float"),
    ),
    Evidence.STATIC,
    1,
    "QNN 2.51 validator for SM8550 (v73)",
)


def changed(folder: Path, change: Any) -> Path:
    said = json.loads(PROFILE.read_text())
    change(said)
    path = folder / "profile.json"
    path.write_text(json.dumps(said))
    return path


def test_times_are_milliseconds_of_every_inference() -> None:
    times = read(PROFILE, WHO).times_ms
    assert len(times) == 700
    assert (min(times), max(times)) == (0.127, 1.087)


def test_layers_on_the_npu_keep_the_types_the_compiler_recorded() -> None:
    placed = read(PROFILE, WHO).placement(COMPILED, DEVICE)
    by_name = {node.name: node for node in placed.nodes}
    assert by_name["stem.conv_token_1"].dtype == "uint8"
    assert by_name["logits"].dtype == "unknown"
    assert {node.where for node in placed.nodes} == {"npu"}
    assert placed.evidence is Evidence.BOARD
    assert placed.source == f"profile of {DEVICE}; types by QNN 2.51 validator for SM8550 (v73)"


def test_what_computes_in_float_still_falls_back() -> None:
    assert [node.name for node in read(PROFILE, WHO).placement(COMPILED, DEVICE).fallbacks] == ["gru_cell"]


@pytest.mark.parametrize("unit", ["CPU", "GPU"])
def test_a_layer_off_the_npu_is_named(unit: str, tmp_path: Path) -> None:
    path = changed(tmp_path, lambda said: said["execution_detail"][3].update(compute_unit=unit))
    name = json.loads(path.read_text())["execution_detail"][3]["name"]
    first = read(path, WHO).placement(COMPILED, DEVICE).fallbacks[0]
    assert (first.name, first.where, first.reason) == (name, unit.lower(), f"{DEVICE} ran it on its {unit}")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda said: said.pop("execution_detail"), "it has no 'execution_detail'"),
        (lambda said: said["execution_detail"].clear(), "it tells of 0 layers"),
        (lambda said: said["execution_detail"][0].update(compute_unit="UNSPECIFIED"), "ran on 'UNSPECIFIED'"),
        (lambda said: said["execution_summary"].pop("all_inference_times"), "it has no 'all_inference_times'"),
        (lambda said: said["execution_summary"].update(all_inference_times=[]), "0 inferences"),
        (lambda said: said["execution_summary"].update(all_inference_times=[0]), "it tells of"),
        (lambda said: said["execution_summary"].update(all_inference_times="abc"), "could not convert"),
    ],
)
def test_a_profile_that_says_too_little_is_an_error(tmp_path: Path, change: Any, fault: str) -> None:
    with pytest.raises(ToolchainError, match=f"{WHO}: the hosted device's profile .* cannot be trusted: .*{fault}"):
        read(changed(tmp_path, change), WHO)


def test_a_profile_that_is_gone_cut_short_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "profile.json"
    for content in (None, "{}", PROFILE.read_text()[:500], "[]", "null"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(ToolchainError, match="cannot be trusted"):
            read(path, WHO)
    monkeypatch.setattr(hub_profile, "MAX_PROFILE", 100)
    with pytest.raises(ToolchainError, match="larger than"):
        read(PROFILE, WHO)
