from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.boards import power
from harness.boards.power import CommandPower
from harness.errors import InfraError


def note(path: Path, word: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"open({str(path)!r}, 'a').write({word + ' '!r})")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "OFF_S", 0.0)


def test_a_cycle_is_off_and_on_unless_it_has_a_command_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    CommandPower("pi", note(log, "on"), note(log, "off")).cycle()
    CommandPower("pi", note(log, "on"), note(log, "off"), note(log, "cycle")).cycle()
    assert log.read_text() == "off on cycle "


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="power of pi: "):
        CommandPower("pi", (), (), (f"true; touch {tmp_path / 'evil'}",)).cycle()
    assert not (tmp_path / "evil").exists()


def test_a_switch_that_fails_says_why() -> None:
    failing = (sys.executable, "-c", "import sys; sys.exit('no such port')")
    with pytest.raises(InfraError, match=r"power of pi: .* exit code 1: no such port\. Correct power = in lab\.toml"):
        CommandPower("pi", failing, failing).on()


def test_a_switch_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "TIMEOUT_S", 0.2)
    with pytest.raises(InfraError, match="timed out"):
        CommandPower("pi", (sys.executable, "-c", "import time; time.sleep(60)"), ()).on()
