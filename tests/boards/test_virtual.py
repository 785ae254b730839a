"""What of the virtual board can be told without booting one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.boards import labfile
from harness.boards.virtual import command, image, keeper, keys, machine
from harness.boards.virtual.board import STATE, VirtualBoard
from harness.boards.virtual.image import Builder, Image
from harness.errors import InfraError

PID = os.getpid()


def made(folder: Path, owner: list[int]) -> VirtualBoard:
    """A board as its owner leaves it, without a machine."""
    folder.mkdir(parents=True)
    board = VirtualBoard(folder)
    board._write({"port": 20022, "shift": 1, "owner": owner, "image": ["kernel", "initramfs", "disk"]})
    return board


def test_what_lacks_is_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "PATH", "/nonexistent")
    with pytest.raises(InfraError) as raised:
        image.require_tools(["qemu-system-aarch64", "ssh", "ssh-keygen"])
    assert str(raised.value).endswith("apt-get install --no-install-recommends openssh-client qemu-system-arm")


def test_only_root_builds_an_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(image, "require_tools", lambda names: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InfraError, match=r"sudo .* -m harness.boards.virtual image"):
        Builder(tmp_path, print).run()
    assert not list(tmp_path.iterdir())


def test_a_step_that_fails_gives_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"extracting failed with exit code 3\. Last words: no such suite"):
        Builder(tmp_path, print)._step("extracting", ["sh", "-c", "echo no such suite >&2; exit 3"])


@pytest.mark.parametrize("changed", ["boot", "board.txt"])
def test_an_image_is_made_anew_when_an_input_changes(
    changed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    guest = tmp_path / "guest"
    guest.mkdir()
    for path in image.GUEST.iterdir():
        (guest / path.name).write_bytes(path.read_bytes())
    lock = tmp_path / "board.txt"
    lock.write_bytes(image.LOCK.read_bytes())
    before = image.key()
    monkeypatch.setattr(image, "GUEST", guest)
    monkeypatch.setattr(image, "LOCK", lock)
    assert image.key() == before
    file = lock if changed == "board.txt" else guest / changed
    file.write_text(file.read_text() + "\n")
    assert image.key() != before


def test_wheels_are_pinned_hashed_and_name_no_registry() -> None:
    text = image.LOCK.read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert all("==" in pin for pin in pins)
    assert text.count("==") == len(pins)
    assert "://" not in text
    assert text.count("--hash=sha256:") >= len(pins)


def test_the_machine_counts_instructions_and_is_closed_off() -> None:
    words = machine.command(Image(Path("k"), Path("i"), Path("d")), 20022, 2)
    assert words[words.index("-icount") + 1] == "shift=2,sleep=on"
    assert words[words.index("-netdev") + 1] == "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:20022-:22"


def test_its_entry_is_one_that_a_lab_reads(tmp_path: Path) -> None:
    boards = [made(tmp_path / "a folder" / name, [PID, 1]) for name in ("virtual-a", "virtual-b")]
    lab = labfile.read(command.write(tmp_path / "lab.toml", boards))
    assert [board.id for board in lab.board] == ["virtual-a", "virtual-b"]
    first = lab.board[0]
    assert first.virtual
    assert labfile.address(first, tmp_path) == boards[0].ssh
    assert first.power is not None
    assert first.power.cycle[-3:] == ("power", str(boards[0].folder), "cycle")


def test_a_switch_for_no_board_says_how_to_get_one(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "harness.boards.virtual", "power", str(tmp_path / "none"), "on"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 2
    assert "voxgate lab virtual" in done.stderr


def test_what_an_owner_left_is_swept(tmp_path: Path) -> None:
    board = made(tmp_path / "left", [PID, keeper.started(PID) - 1])  # another process that had this number
    board._sweep()
    assert not board.folder.exists()


def test_a_living_owners_board_is_left_alone(tmp_path: Path) -> None:
    board = made(tmp_path / "used", [PID, keeper.started(PID)])
    with pytest.raises(InfraError, match=f"holds a virtual board of process {PID}"):
        board._sweep()
    assert (board.folder / STATE).is_file()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InfraError, match="holds no virtual board"):
        VirtualBoard(tmp_path)._sweep()
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_ssh_checks_host_keys_and_reads_no_settings(tmp_path: Path) -> None:
    words = keys.ssh_command(keys.address(tmp_path, 20022))
    assert "-oStrictHostKeyChecking=yes" in words
    assert words[1:3] == ["-F", "none"]


def test_a_machine_of_another_folder_is_never_killed(tmp_path: Path) -> None:
    (tmp_path / "started.pid").write_text(str(PID))  # a number that was given to another process since
    assert machine.running(tmp_path) is None
    machine.kill(tmp_path)
