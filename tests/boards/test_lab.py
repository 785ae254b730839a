"""lab.toml, and which board a build gets."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from harness.boards import lab, labfile
from harness.boards.lab import NoBoard
from harness.boards.remote import RemoteBoard
from harness.boards.ssh import config
from harness.errors import InfraError, NotMeasured
from tests.boards.conftest import artifact

BOARD = """
[[board]]
id = "pi-1"
targets = ["rk3588", "host"]
address = { user = "root", host = "192.0.2.7", identity = "keys/lab", known_hosts = "known_hosts" }
capabilities = ["npu"]
"""
TOMORROW = date.today() + timedelta(days=1)


def write(folder: Path, text: str) -> Path:
    path = folder / "lab.toml"
    path.write_text(text)
    return path


def test_a_lab_is_read(tmp_path: Path) -> None:
    found = lab.load(write(tmp_path, "wait_s = 5\n" + BOARD))
    address = labfile.address(found.boards[0], found.path.parent)
    assert (address.host, address.port, found.wait_s) == ("192.0.2.7", 22, 5)
    assert (address.identity, address.known_hosts) == (tmp_path / "keys/lab", tmp_path / "known_hosts")
    assert str(address) == "root@192.0.2.7:22"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "pi-1"', 'id = "pi-1"\nadress = 1', r"unknown key board\.0\.adress \(did you mean 'address'\?\)"),
        ('id = "pi-1"', 'id = "Pi 1"', r"board\.0\.id"),
        ('user = "root"', 'user = "-oProxyCommand=evil"', r"board\.0\.address\.user"),
        ('host = "192.0.2.7"', 'host = "-F/etc/passwd"', r"board\.0\.address\.host"),
        ('host = "192.0.2.7"', 'host = "a b"', r"board\.0\.address\.host"),
        ('"keys/lab"', "'a\"b'", r"board\.0\.address\.identity"),
        ('id = "pi-1"', 'id = "pi-1"\npython = "python3; rm -rf /"', r"board\.0\.python"),
        ('id = "pi-1"', 'id = "pi-1"\nfolder = "relative"', r"board\.0\.folder"),
        ('id = "pi-1"', 'id = "pi-1"\npower = { on = ["a"] }', "power needs cycle, or both on and off"),
        ('id = "pi-1"', 'id = "pi-1"\nquarantine = { reason = "broken" }', r"quarantine\.until"),
        ('"rk3588", ', '"rk3558", ', r"no target is named 'rk3558' \(did you mean 'rk3588'\?\)"),
        ('id = "pi-1"', "id = ", "not valid TOML"),
    ],
)
def test_faults_of_the_file_are_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in BOARD
    with pytest.raises(Exception, match=message) as caught:
        lab.load(write(tmp_path, BOARD.replace(old, new)))
    assert str(tmp_path / "lab.toml") in str(caught.value)


def test_no_file_two_of_one_name_and_no_board_are_told(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="No such file"):
        lab.load(tmp_path / "lab.toml")
    with pytest.raises(InfraError, match="declared twice: pi-1"):
        lab.load(write(tmp_path, BOARD + BOARD))
    with pytest.raises(InfraError, match="board"):
        lab.load(write(tmp_path, ""))
    with pytest.raises(InfraError, match=r"no board 'pi-2' \(did you mean 'pi-1'\?\)"):
        lab.load(write(tmp_path, BOARD)).entry("pi-2")


def test_a_board_is_chosen_by_target_and_capability(tmp_path: Path) -> None:
    path = write(tmp_path, BOARD)
    assert isinstance(lab.load(path).board("rk3588", "small rk3588/w8a8"), RemoteBoard)
    assert lab.load(path).board("jetson", "small") is None, "the target's own board is used"
    assert isinstance(lab.load(path, ["npu"]).board("host", "small"), RemoteBoard)
    lacking = lab.load(path, ["npu", "energy"]).board("host", "small")
    assert isinstance(lacking, NoBoard)
    assert "pi-1 lacks energy" in lacking.reason


def test_a_quarantined_board_is_not_used_until_its_last_day_is_over(tmp_path: Path) -> None:
    held = f'quarantine = {{ reason = "SD card dying", until = {TOMORROW} }}\n'
    found = lab.load(write(tmp_path, BOARD + held))
    board = found.board("host", "small")
    assert isinstance(board, NoBoard)
    assert f"pi-1 is quarantined until {TOMORROW}: SD card dying" in board.reason
    assert found.boards[0].out_of_order(TOMORROW) != ""
    assert found.boards[0].out_of_order(TOMORROW + timedelta(days=1)) == ""


def test_what_needs_a_board_that_is_not_to_be_had_is_not_measured(tmp_path: Path) -> None:
    board, made = NoBoard("host", "it is on the shelf."), artifact(tmp_path / "any.onnx")
    for ask in (
        board.identity,
        lambda: board.run(made, [], print),  # type: ignore[arg-type]
        lambda: board.open(made),
        lambda: board.rss(made, []),  # type: ignore[arg-type]
    ):
        with pytest.raises(NotMeasured, match="it is on the shelf"):
            ask()


def test_builds_spread_over_boards_and_always_alike(tmp_path: Path) -> None:
    text = "".join(BOARD.replace("pi-1", f"pi-{i}") for i in range(3))
    builds = [f"model-{i} host/int8" for i in range(40)]
    found = [[lab.load(write(tmp_path, text)).chosen("host", build) for build in builds] for _ in range(2)]
    assert found[0] == found[1]
    assert {board.id for board in found[0] if board and not isinstance(board, str)} == {"pi-0", "pi-1", "pi-2"}


def test_ssh_asks_nothing_and_checks_host_keys(tmp_path: Path) -> None:
    found = lab.load(write(tmp_path, BOARD))
    text = config(labfile.address(found.boards[0], tmp_path))
    for line in ("BatchMode yes", "StrictHostKeyChecking yes", f'UserKnownHostsFile "{tmp_path}/known_hosts"'):
        assert f"  {line}\n" in text
    assert "ServerAliveInterval" in text
    assert "ConnectTimeout" in text
