"""Each command's mistakes are one paragraph on stderr and status 2; what works prints."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import __version__, cli
from harness.targets import toolchain

CHECKOUT = Path(__file__).parents[1]
SHIPPED = CHECKOUT / "models" / "commands"
COMMAND = "import sys; from harness.cli import main; sys.exit(main())"


def fault(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one paragraph a mistake is told by."""
    assert cli.main([str(each) for each in arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("voxgate: ")
    assert told.err.count("\n") == 1
    return told.err


def test_plan_of_a_folder_without_a_candidate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "has no model.toml" in fault(capsys, "plan", tmp_path)


def test_plan_in_a_house_without_the_corpus(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = fault(capsys, "plan", SHIPPED, "--house", tmp_path, "--work", tmp_path / "work")
    assert "no corpus 'commands'" in told


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to: /proc")
def test_plan_with_a_work_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--work DIR" in fault(capsys, "plan", SHIPPED, "--work", "/proc/voxgate")


def test_plan_with_a_file_for_a_work_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "work").write_text("")
    assert "--work DIR" in fault(capsys, "plan", SHIPPED, "--work", tmp_path / "work")


def test_report_without_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "nothing to report" in fault(capsys, "report", "--work", tmp_path)


def test_corpus_of_an_unknown_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = fault(capsys, "corpus", "build", "comands", "--out", tmp_path / "out")
    assert "did you mean 'commands'?" in told
    assert "training" in told
    assert not (tmp_path / "out").exists()


def test_corpus_over_another(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    assert "already holds clips" in fault(capsys, "corpus", "build", "commands", "--out", tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "rk3558"],
        ["placement", str(SHIPPED), "--target", "rk3558"],
        ["sweep", str(SHIPPED), "--target", "rk3558"],
    ],
)
def test_a_target_of_an_unknown_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no target is named 'rk3558' (did you mean 'rk3588'?)" in fault(capsys, *arguments)


def test_doctor_names_the_command_that_mends_a_lack(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path))
    assert cli.main(["doctor"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["host", "compile", "yes"] in [line[:3] for line in lines]
    [lacking] = [line for line in lines if line[:3] == ["rk3588", "compile", "no"]]
    assert " ".join(lacking).endswith("voxgate toolchain install rk3588")
    assert cli.main(["doctor", "rk3588", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["rk3588"]
    assert found["rk3588"]["abilities"][0]["remedy"] == "voxgate toolchain install rk3588"


def test_doctor_prints_what_the_environment_names_as_it_stands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGATE_RB5", "[/red][bold]")
    assert cli.main(["doctor", "rb5"]) == 0
    assert "VOXGATE_RB5='[/red][bold]' names no board" in capsys.readouterr().out


def test_placement_of_the_shipped_candidate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["placement", str(SHIPPED), "--target", "host", "--work", str(tmp_path)]
    assert cli.main(command) == 0
    told = capsys.readouterr().out
    assert "host/int8: 17 nodes, 0 fall back, 1 allowed" in told
    [mean] = [line for line in told.splitlines() if line.endswith("/ReduceMean") and "float32" in line]
    assert "allowed" in mean
    assert cli.main([*command, "--json"]) == 0
    [int8, litert] = json.loads(capsys.readouterr().out)["builds"]
    assert {node["where"] for node in litert["nodes"]} == {"xnnpack"}
    assert [node["node"] for node in int8["nodes"] if node["allowed"]] == ["/ReduceMean"]
    assert int8["evidence"] == "host"


def test_placement_where_nothing_can_be_built(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path))
    assert cli.main(["placement", str(SHIPPED), "--target", "rk3588", "--work", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert "rk3588/w8a8: placement unknown: the rk3588 toolchain is not installed here" in told.out
    assert "no placement of commands is known here. Run: voxgate doctor" in told.err


def test_toolchain_of_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'rk3588'?" in fault(capsys, "toolchain", "install", "rk358")


def test_toolchains_that_are_absent_are_listed_with_the_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "installed", lambda _: None)
    assert cli.main(["toolchain", "list"]) == 0
    assert "rk3588: not installed; run: voxgate toolchain install rk3588" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["plan"], ["corpus"], ["corpus", "build", "commands"], ["toolchain"], ["judge"]]
)
def test_an_incomplete_command_shows_its_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert "usage: voxgate" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"voxgate {__version__}\n"


def test_an_interrupt_is_no_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(toolchain, "install", interrupted)
    assert "interrupted" in fault(capsys, "toolchain", "install", "rk3588")


def test_a_reader_that_has_enough_is_no_traceback(tmp_path: Path) -> None:
    command = f'{sys.executable} -c "{COMMAND}" doctor --json | true'
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_plan_of_the_shipped_candidate_prints_what_can_be_decided(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "plan", str(SHIPPED), "--work", str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = " ".join(done.stdout.split())
    for part in ("commands", "drop: 31 of 31 slices decidable", "host/int8", "130 clips, 10 speakers"):
        assert part in told


def test_a_terminal_that_knows_ascii_alone_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    monkeypatch.setattr(toolchain, "installed", lambda _: SimpleNamespace(folder="/home/zo\u00eb"))
    assert cli.main(["toolchain", "list"]) == 0
    sys.stdout.flush()
    assert rb"rk3588: /home/zo\xeb" in written.getvalue()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--collect-only", "-q", "-m", "host", "-k", "test_golden and commands_ctc"), 0, "test_golden[commands_ctc]"),
        (("--release", "--candidates", "nowhere"), 4, "nowhere"),
        (("--no-such-option",), 4, "unrecognized arguments: --no-such-option"),
    ],
)
def test_gate_is_pytest_with_its_options_and_status(arguments: tuple[str, ...], status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "gate", *arguments], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
