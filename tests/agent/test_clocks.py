"""Governors are held while something is timed, and put back whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.agent import clocks
from tests.agent.sysfs import board

CPU0 = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
NPU = "sys/class/devfreq/fdab0000.npu/governor"


@pytest.fixture
def root(tmp_path: Path, home: Path) -> Path:
    return board(tmp_path / "root")


def governor(root: Path, path: str) -> str:
    return (root / path).read_text().strip()


def test_they_are_high_within_and_as_before_after(root: Path, home: Path) -> None:
    with clocks.held(str(root)) as found:
        assert found == {"policy0": "performance", "policy4": "performance", "fdab0000.npu": "performance"}
        assert governor(root, CPU0) == governor(root, NPU) == "performance"
    assert (governor(root, CPU0), governor(root, NPU)) == ("schedutil", "rknpu_ondemand")
    assert not (home / "clocks.json").exists()


def test_they_are_put_back_after_an_error(root: Path) -> None:
    with pytest.raises(RuntimeError), clocks.held(str(root)):
        raise RuntimeError
    assert governor(root, CPU0) == "schedutil"


def test_an_agent_that_died_leaves_its_successor_the_word(root: Path) -> None:
    holding = clocks.held(str(root))
    holding.__enter__()  # and is killed: nothing leaves it
    assert sorted(clocks.restore()) == [
        "fdab0000.npu to rknpu_ondemand",
        "policy0 to schedutil",
        "policy4 to schedutil",
    ]
    assert governor(root, CPU0) == "schedutil"
    assert clocks.restore() == []


def test_after_a_restart_there_is_nothing_to_put_back(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks.held(str(root)).__enter__()
    monkeypatch.setattr(clocks, "boot_id", lambda: "another boot")
    assert clocks.restore() == []
    assert not (home / "clocks.json").exists()


def test_where_they_may_not_be_set_what_is_there_is_read_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str, encoding: str = "") -> int:
        if "governor" in path.name:
            raise PermissionError
        return plain(path, text, encoding)

    plain = Path.write_text
    monkeypatch.setattr(Path, "write_text", refuse)
    with clocks.held(str(root)) as found:
        assert found["policy0"] == "schedutil"


def test_nothing_is_changed_that_could_not_be_put_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "home", lambda: root / "a folder that is gone")
    with clocks.held(str(root)) as found:
        assert found == {}
        assert governor(root, CPU0) == "schedutil"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"before": 3}'])
def test_a_damaged_note_changes_nothing(root: Path, home: Path, text: str) -> None:
    (home / "clocks.json").write_text(text)
    assert clocks.restore() == []
