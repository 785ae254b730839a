"""Every way a vendor tool can die, by workers that do just that."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.errors import ToolchainError
from harness.targets.process import Child, Command, Limits, last_lines, run_child, run_command


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of a failed job goes where pytest clears up."""
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "kept"))


ANSWER = "import json, sys, pathlib; folder = pathlib.Path(sys.argv[1])\n"


def run(tmp_path: Path, code: str, limits: Limits = Limits(30.0, 1024)) -> dict[str, Any]:  # noqa: B008 -- frozen
    worker = tmp_path / "fake_worker.py"
    worker.write_text(ANSWER + textwrap.dedent(code))
    folder = tmp_path / "job"
    folder.mkdir()
    child = Child(Path(sys.executable), worker, "small rk3588/int8", {"COLOUR": "blue"}, limits)
    return run_child(child, {"number": 7}, folder)


def fault(tmp_path: Path, code: str, limits: Limits = Limits(30.0, 1024)) -> str:  # noqa: B008 -- frozen
    with pytest.raises(ToolchainError) as caught:
        run(tmp_path, code, limits)
    message = str(caught.value)
    assert message.startswith("small rk3588/int8: fake_worker ")
    assert "To run it again by hand: " in message
    return message


def test_a_worker_reads_its_request_and_answers(tmp_path: Path) -> None:
    answer = run(
        tmp_path,
        """
        import os
        request = json.loads((folder / "request.json").read_text())
        pathlib.Path("check0.onnx").write_text("dropped where it stands")
        os.write(1, b"from C")
        found = {"ok": True, "got": request["number"], "colour": os.environ["COLOUR"], "cwd": os.getcwd(),
                 "temporary": os.environ["TMPDIR"], "python": os.environ.get("PYTHONPATH")}
        (folder / "result.json").write_text(json.dumps(found))
        """,
    )
    assert (answer["got"], answer["colour"], answer["python"]) == (7, "blue", None)
    assert answer["cwd"] == answer["temporary"]
    assert not Path(answer["cwd"]).exists()
    assert (tmp_path / "job" / "stdout.log").read_text() == "from C"
    assert not (tmp_path / "job" / "check0.onnx").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed with SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"crashed with SIGKILL \(this machine ran out"),
        ("import os; os.abort()", "crashed with SIGABRT"),
        ("sys.exit(3)", "ended with exit code 3"),
        ("pass", "ended without a result"),
        ("(folder / 'result.json').write_text('{\"ok\": tr')", "not JSON"),
        ("(folder / 'result.json').write_text('[1]')", "neither ok nor an error"),
        ("(folder / 'result.json').write_text('{}')", "neither ok nor an error"),
        ("(folder / 'result.json').symlink_to('/etc/hostname')", "ended without a result"),
        ("(folder / 'result.json').write_bytes(b' ' * (17 << 20))", "more than 16 MiB"),
        ("(folder / 'result.json').write_text(json.dumps({'ok': False, 'error': 'load_onnx returned -1'}))",
         "refused: load_onnx returned -1"),
    ],
)  # fmt: skip
def test_every_way_to_die_is_named(tmp_path: Path, code: str, said: str) -> None:
    assert re.search(said, fault(tmp_path, code))


def test_the_last_words_and_the_logs_survive_the_folder(tmp_path: Path) -> None:
    message = fault(tmp_path, "print('\\x1b[1;31mE first cause\\x1b[0m', file=sys.stderr); sys.exit(1)")
    assert "Its last words: E first cause." in message
    kept = Path(message.partition("kept in ")[2].partition(" ")[0])
    assert kept != tmp_path / "job"
    assert "first cause" in (kept / "stderr.log").read_text()
    assert (kept / "request.json").is_file()


def test_a_hang_is_stopped_with_everything_it_started(tmp_path: Path) -> None:
    started = time.monotonic()
    message = fault(
        tmp_path,
        """
        import subprocess, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (folder / "child").write_text(str(child.pid))
        time.sleep(60)
        """,
        Limits(1.0, 1024),
    )
    assert "longer than its 1 s" in message
    assert time.monotonic() - started < 10
    assert gone(int((tmp_path / "job" / "child").read_text()))


def test_a_hog_is_stopped(tmp_path: Path) -> None:
    hog = "import time\nheld = []\nwhile True:\n    held.append(b'x' * (8 << 20)); time.sleep(0.005)"
    assert "more than its 200 MiB of memory" in fault(tmp_path, hog, Limits(30.0, 200))


def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    child = Child(tmp_path / "python", tmp_path / "worker.py", "small", {}, Limits())
    with pytest.raises(ToolchainError, match="could not be started"):
        run_child(child, {}, tmp_path)


def test_last_lines_of_a_progress_bar(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\n10%\r50%\r100% done\n\n" + b"\xff" * 500)
    assert last_lines(path, 2) == ["100% done", "\ufffd" * 200]


def gone(pid: int) -> bool:
    for _ in range(50):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    os.kill(pid, 9)
    return False


def command(tmp_path: Path, code: str, limits: Limits = Limits(30.0, 1024)) -> str:  # noqa: B008 -- frozen
    """What a vendor's own tool says, run in tmp_path/job."""
    tool = tmp_path / "vendor-tool"
    tool.write_text(f"#!{sys.executable}\nimport sys\n{textwrap.dedent(code)}")
    tool.chmod(0o755)
    (tmp_path / "job").mkdir()
    words = (str(tool), "--input", "a b")
    return run_command(Command(words, "small rb5/int8", {"COLOUR": "blue"}, limits), tmp_path / "job")


def test_a_command_says_all_and_leaves_its_files(tmp_path: Path) -> None:
    said = command(
        tmp_path,
        """
        import os
        print(sys.argv[1:], os.environ["COLOUR"], os.environ.get("PYTHONPATH"))
        print("\\x1b[31mdone\\x1b[0m", file=sys.stderr)
        open("made.dlc", "w").close()
        """,
    )
    assert said == "['--input', 'a b'] blue None\ndone\n"
    assert (tmp_path / "job" / "made.dlc").exists()
    assert (tmp_path / "job" / "vendor-tool.stderr.log").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed with SIGSEGV"),
        ("sys.exit('no such layer')", "ended with exit code 1. Its last words: no such layer."),
        ("import time; time.sleep(60)", "longer than its 1 s"),
    ],
)
def test_how_a_command_died_is_named(tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(ToolchainError) as caught:
        command(tmp_path, code, Limits(1.0, 1024))
    message = str(caught.value)
    assert message.startswith("small rb5/int8: vendor-tool ")
    assert said in message
    assert message.endswith(f"{tmp_path / 'vendor-tool'} --input 'a b')")
    assert "vendor-tool.stderr.log" in message


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="small rb5/int8: absent could not be started"):
        run_command(Command((str(tmp_path / "absent"),), "small rb5/int8", {}), tmp_path)
