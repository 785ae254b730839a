"""``voxgate lab``: what people ask of their boards."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from harness.boards import desk, lab
from tests.loopback import Loopback, needs_sshd

pytestmark = [pytest.mark.xdist_group("loopback"), needs_sshd]


@pytest.fixture
def path(loop: Loopback, tmp_path: Path) -> Path:
    return loop.lab(tmp_path / "lab.toml", 'notes = "on [red]the[/] shelf"')


def voxgate(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["lab", *arguments, "--lab", str(path)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_board_is_reserved_seen_and_freed(
    capsys: pytest.CaptureFixture[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGATE_OWNER", "ann@one")
    code, out, _ = voxgate(capsys, path, "status")
    assert (code, "free" in out, "on [red]the[/] shelf" in out) == (0, True, True)
    assert voxgate(capsys, path, "lock", "loop", "--why", "thermals")[0] == 0
    assert "reserved by ann@one" in voxgate(capsys, path, "status")[1]
    monkeypatch.setenv("VOXGATE_OWNER", "ben@two")
    code, _, told = voxgate(capsys, path, "lock", "loop")
    assert (code, told.count("\n")) == (2, 1)
    assert "reserved by ann@one" in told
    assert voxgate(capsys, path, "unlock", "loop")[0] == 2
    assert "ended the reservation of ann@one" in voxgate(capsys, path, "unlock", "loop", "--force")[1]
    assert "nobody had it" in voxgate(capsys, path, "unlock", "loop")[1]


def test_a_fit_board_is_well(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    code, out, told = voxgate(capsys, path, "check")
    assert code == 0, out + told
    for what in ("reach", "front end", "host: runtime", "disk", "clocks", "heat", "power"):
        assert what in out


def test_a_board_that_lacks_its_runtime_is_not(loop: Loopback, tmp_path: Path) -> None:
    path = loop.lab(tmp_path / "lab.toml")
    found = lab.load(path)
    other = found.boards[0].model_copy(update={"targets": ("rk3588", "jetson", "rb5", "toy")})
    findings = {each.what: each for each in desk.check(found, other)}
    assert not findings["rk3588: runtime"].well
    assert "pip install rknn-toolkit-lite2" in findings["rk3588: runtime"].remedy
    assert "nvidia-jetpack" in findings["jetson: runtime"].remedy
    assert "/opt/snpe" in findings["rb5: runtime"].remedy
    assert not findings["toy"].well


def test_a_board_that_is_off_is_unreachable(capsys: pytest.CaptureFixture[str], path: Path, loop: Loopback) -> None:
    loop.stop()
    code, out, told = voxgate(capsys, path, "check", "loop")
    assert code == 2
    assert "Connection refused" in out
    assert "loop: reach" in told
    assert "unreachable" in voxgate(capsys, path, "status")[1]
    code, _, told = voxgate(capsys, path, "lock", "loop")
    assert (code, told.count("\n")) == (2, 1)


def test_an_unknown_board_and_no_lab_are_one_paragraph(
    capsys: pytest.CaptureFixture[str], path: Path, tmp_path: Path
) -> None:
    for arguments in (("lock", "lop"), ("check", "lop")):
        code, _, told = voxgate(capsys, path, *arguments)
        assert (code, told.count("\n")) == (2, 1)
        assert "did you mean 'loop'" in told
    assert "No such file" in voxgate(capsys, tmp_path / "none.toml", "status")[2]
