"""Shells: commands and files on this machine, behind stand-ins of adb and ssh; a lost machine is told apart."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.boards.shell import Adb, Local, Shell, Ssh, adb_serials, reach
from harness.errors import InfraError, Unsupported
from tests.targets.standins import HOME, SERIAL, executable, make_adb

SSH = """
import subprocess, sys
sys.exit(subprocess.run(["/bin/sh", "-c", sys.argv[-1]]).returncode)
"""
SCP = """
import subprocess, sys
sys.exit(subprocess.run(["cp", "-R", *(word.partition("board:")[2] or word for word in sys.argv[-2:])]).returncode)
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture(params=["local", "adb", "ssh"])
def shell(request: pytest.FixtureRequest, tools: Path) -> Shell:
    make_adb(tools)
    executable(tools / "ssh", SSH)
    executable(tools / "scp", SCP)
    made: dict[str, Callable[[], Shell]] = {
        "local": Local,
        "adb": lambda: Adb(SERIAL),
        "ssh": lambda: Ssh("root@board"),
    }
    return made[request.param]()


def test_a_command_tells_what_it_said_and_how_it_ended(shell: Shell) -> None:
    reply = shell.run("echo 'it said'; echo why >&2; (exit 3)")
    assert (reply.code, reply.out.strip(), reply.err.strip()) == (3, "it said", "why")
    assert reply.last == "it said | why"
    assert shell.run("true").code == 0


def test_files_and_folders_go_there_and_back(shell: Shell, tmp_path: Path) -> None:
    place = HOME if isinstance(shell, Adb) else str(tmp_path)
    source = tmp_path / "sent"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "a b.raw").write_bytes(b"\0\1")
    assert shell.run(f"mkdir -p {place}/there").code == 0
    shell.put(source, f"{place}/there")
    (tmp_path / "back").mkdir()
    shell.get(f"{place}/there/sent", tmp_path / "back")
    assert (tmp_path / "back" / "sent" / "inner" / "a b.raw").read_bytes() == b"\0\1"


def test_what_is_not_there_cannot_be_fetched(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=f"{shell.name}: .* could not be copied"):
        shell.get(f"{tmp_path}/nothing", tmp_path)


def test_a_command_that_hangs_is_the_labs_fault(shell: Shell) -> None:
    with pytest.raises(InfraError, match=f"{shell.name} gave no answer in 0.5 s"):
        shell.run("sleep 20", timeout_s=0.5)


def test_a_connection_cut_in_the_middle_is_not_the_commands_end(tools: Path) -> None:
    executable(tools / "adb", "print('half of what it sa')")
    with pytest.raises(InfraError, match=rf"adb:{SERIAL} was lost while it ran 'snpe-net-run x': half of what"):
        Adb(SERIAL).run("snpe-net-run x")


def test_a_board_that_is_gone_is_named(tools: Path) -> None:
    make_adb(tools)
    with pytest.raises(InfraError, match=r"adb:other was lost .* device 'other' not found. Is it on and connected"):
        Adb("other").run("true")


def test_no_adb_at_all(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools))
    assert adb_serials() == []
    with pytest.raises(InfraError, match="adb:1 cannot be reached: adb: No such file"):
        Adb("1").run("true")


def test_boards_that_adb_sees(tools: Path) -> None:
    executable(tools / "adb", "print('List of devices attached\\nA1\\tdevice\\nB2\\toffline\\nC3\\tunauthorized\\n')")
    assert adb_serials() == ["A1"]


@pytest.mark.parametrize("text", ["adb:A1", "ssh:root@10.0.0.7", "local"])
def test_a_name_reaches_its_shell(text: str) -> None:
    assert reach(text, "VOXGATE_RB5").name == text


@pytest.mark.parametrize("text", ["", "adb", "adb:", "usb:1", "ssh:-oProxyCommand=x", "adb:a b", "ssh:a;b", "locals"])
def test_what_names_no_board_is_refused(text: str) -> None:
    with pytest.raises(Unsupported, match="set it to adb:SERIAL, ssh:user@host or local"):
        reach(text, "VOXGATE_RB5")
