"""The zoo's own machinery: its registry, what counts as caught and as named, and one house judged for real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.verdict import Outcome
from tests.faults.zoo.__main__ import put
from tests.faults.zoo.fault import Fault, Result, first_cause, judged
from tests.faults.zoo.listening import Both, Ear, Voice
from tests.faults.zoo.registry import FAULTS
from tests.faults.zoo.scoreboard import good, line, page, summary
from tests.faults.zoo.site import SILICON, Site, Told, healthy, installed
from tests.report.rows import row

PLACES = {
    "labels", "data", "front end", "golden", "cache", "release", "export", "calibration", "quantization", "placement",
    "board", "state", "decoding", "outputs", "latency", "memory", "stream state", "events", "frames", "tokens",
    "pipeline",
}  # fmt: skip
GREEN = Told((row("accuracy", "overall"),), None)
RED = Told((row("latency", "inference p50", outcome=Outcome.FAIL, detail="inference p50 4.2 ms"),), None)
SLOW = Fault("slow", "latency", lambda site: None, ("latency inference p50",), "latency", "4.2 ms")


def test_the_zoo_has_forty_faults_of_every_place() -> None:
    assert len(FAULTS) >= 40
    assert Counter(fault.name for fault in FAULTS).most_common(1)[0][1] == 1
    assert {fault.where for fault in FAULTS} >= PLACES
    assert all(fault.red and fault.cause for fault in FAULTS)
    assert {fault.site.name for fault in FAULTS if fault.quick} == {"small", "ear", "voice"}
    assert 12 <= sum(fault.quick for fault in FAULTS) <= 32


def test_a_fault_is_caught_by_every_gate_it_declares_and_named_by_its_words() -> None:
    result = judged(SLOW, RED, 1.0)
    assert (result.caught, result.named) == (True, True)
    assert first_cause(RED) == ("latency", "inference p50 4.2 ms")
    other = judged(replace(SLOW, says="p99"), RED, 1.0)
    assert (other.caught, other.named) == (True, False)
    assert "NAMED WRONG (wanted latency)" in line(other)


@pytest.mark.parametrize(
    ("fault", "missed"),
    [
        (replace(SLOW, red=("latency inference p50", "sqnr overall")), "sqnr overall"),
        (replace(SLOW, red=("latency inference p50=INCONCLUSIVE",)), "latency inference p50=INCONCLUSIVE"),
        (replace(SLOW, quiet=("latency inference p50",)), "latency inference p50 not quiet"),
    ],
    ids=["another gate", "another verdict", "not where it hides"],
)
def test_what_is_missed_is_said_and_fails_the_scoreboard(fault: Fault, missed: str) -> None:
    result = judged(fault, RED, 1.0)
    assert result.missed == (missed,)
    assert (result.caught, result.named) == (False, False)
    assert line(result).startswith(f"MISSED  slow: {missed}")
    assert not good([result], {"host/int8": GREEN})
    assert "missed 1" in summary([result], {"host/int8": GREEN})
    assert f"**missed** {missed}" in page([result], {"host/int8": GREEN})


def test_one_in_ten_may_be_named_wrong_and_health_must_be_green() -> None:
    right, wrong = judged(SLOW, RED, 1.0), judged(replace(SLOW, cause="board"), RED, 1.0)
    assert good([right] * 9 + [wrong], {"host/int8": GREEN})
    assert not good([right] * 8 + [wrong] * 2, {"host/int8": GREEN})
    assert not good([right], {"host/int8": RED})
    assert not good([], {"host/int8": GREEN})


def test_a_throttled_board_is_the_board_s_fault() -> None:
    detail = "inference p50 6 ms, but the board was throttled, so this is not the model's time: policy0"
    told = Told((row("latency", "inference p50", outcome=Outcome.INCONCLUSIVE, detail=detail),), None)
    assert first_cause(told) == ("board", detail)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("zoo")
    with installed():
        yield healthy(root / "house", root / "cache")


def of(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


def result(fault: Fault, house: Path, tmp_path: Path) -> Result:
    return put(fault, house, house.parent / "cache", tmp_path)


def test_the_healthy_silicon_is_green(house: Path) -> None:
    told = Site(house, house.parent / "cache", SILICON).judge()
    assert told.red == []
    assert {"latency", "footprint", "placement", "regression", "drift", "sqnr"} <= {each.gate for each in told.rows}


@pytest.mark.parametrize("name", ["5 % slower", "an extra partition by an allowed operator", "a golden file torn"])
def test_a_fault_in_a_real_house(house: Path, tmp_path: Path, name: str) -> None:
    found = result(of(name), house, tmp_path)
    assert found.named, line(found)


def test_a_fault_that_is_not_there_is_missed(house: Path, tmp_path: Path) -> None:
    idle = replace(of("5 % slower"), seed=lambda site: setattr(site, "build", SILICON))
    assert result(idle, house, tmp_path).missed == idle.red


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("tones")
    with installed():
        yield Voice.healthy(root / "house", root / "cache")


@pytest.mark.parametrize("site", [Ear, Voice, Both])
def test_what_listens_is_green_while_it_is_healthy(tones: Path, site: type[Site]) -> None:
    for build in site.builds:
        told = site(tones, tones.parent / "cache", build).judge()
        assert told.red == []
    gates = {each.gate for each in told.rows}
    assert gates >= {"ear": {"reset", "steps", "frr"}, "voice": {"wer_rise", "score"}, "both": {"success"}}[site.name]


@pytest.mark.parametrize(
    "name",
    [
        "states wired crosswise",
        "one token a frame in place of likelihoods",
        "a window that ends before the command does",
    ],
)
def test_a_fault_of_what_listens(tones: Path, tmp_path: Path, name: str) -> None:
    found = result(of(name), tones, tmp_path)
    assert found.named, line(found)
