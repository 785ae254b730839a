"""The virtual board: a real arm64 Linux, its clock counted in instructions, its faults truly faults."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.boards.virtual import keys, machine
from harness.boards.virtual.board import VirtualBoard
from harness.errors import InfraError

CHECKOUT = Path(__file__).parents[2]
MODEL = CHECKOUT / "models" / "commands" / "model.onnx"
ROUNDS = 40
STARTER = """
import sys
from pathlib import Path
from harness.boards.virtual.board import VirtualBoard
VirtualBoard(Path(sys.argv[1])).start()
"""
TIMER = f"""
import time
import numpy
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession("/root/model.onnx", options, providers=["CPUExecutionProvider"])
feed = session.get_inputs()[0]
window = numpy.zeros(feed.shape, numpy.float32)
taken = []
for _ in range({ROUNDS}):
    start = time.perf_counter_ns()
    session.run(None, {{feed.name: window}})
    taken.append(time.perf_counter_ns() - start)
print(numpy.median(taken))
"""
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


@pytest.fixture(autouse=True)
def _healthy(board_a: VirtualBoard) -> None:
    """A test that failed amid a fault must not spoil the next one."""
    try:
        board_a.run("true", timeout_s=20)
    except InfraError:
        board_a.power_cycle()
        board_a.wait_ready()


def p50(board: VirtualBoard) -> float:
    """Nanoseconds of one inference of the shipped model, by the guest's clock."""
    board.run("cat >/root/model.onnx", given=MODEL.read_bytes())
    return float(board.run("python3 -", given=TIMER.encode(), timeout_s=180))


def silent(board: VirtualBoard) -> None:
    """Fails unless the board gives no answer though its port accepts."""
    with pytest.raises(InfraError):
        board.run("true", timeout_s=7)


def test_it_is_an_arm64_linux_with_the_runtimes(board_a: VirtualBoard) -> None:
    assert board_a.run("uname -m").strip() == "aarch64"
    assert board_a.run("cat /proc/sys/kernel/hostname").strip() == board_a.name
    imports = (
        "import ai_edge_litert.interpreter, kaldi_native_fbank, numpy, onnxruntime; print(onnxruntime.__version__)"
    )
    said = board_a.run(f"python3 -c '{imports}'").strip()
    assert f"onnxruntime=={said} " in (CHECKOUT / "harness/boards/virtual/board.txt").read_text()


def test_host_keys_are_checked(board_a: VirtualBoard, tmp_path: Path) -> None:
    keys.make(tmp_path, "another", board_a.ssh.port)  # the keys of another board at the same address
    stranger = replace(board_a.ssh, known_hosts=tmp_path / "known_hosts")
    done = subprocess.run(
        [*keys.ssh_command(stranger), "true"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_it_reaches_nothing(board_a: VirtualBoard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InfraError, match="exit code"):
            board_a.run(f"timeout 5 bash -c 'echo >/dev/tcp/10.0.2.2/{port}'")  # the host, as QEMU shows it


def test_time_is_counted_in_instructions(board_a: VirtualBoard) -> None:
    first, second = p50(board_a), p50(board_a)
    print(f"p50 {first / 1e6:.4f} and {second / 1e6:.4f} ms, n={ROUNDS}")
    assert second == pytest.approx(first, rel=0.01)
    board_a.load(1)
    try:
        loaded = p50(board_a)
    finally:
        board_a.unload()
    assert loaded > 1.3 * first
    assert p50(board_a) == pytest.approx(first, rel=0.01)
    board_a.power_cut()
    board_a.power_on(shift=2)
    board_a.wait_ready()
    slower = p50(board_a)
    board_a.power_cut()
    board_a.power_on(shift=1)
    board_a.wait_ready()
    print(f"p50 {slower / 1e6:.4f} ms at half the speed, {loaded / 1e6:.4f} ms under load")
    assert slower == pytest.approx(2 * first, rel=0.01)


def test_a_power_cut_loses_what_was_not_written(board_a: VirtualBoard) -> None:
    before = board_a.run(BOOT_ID)
    board_a.run("echo kept >/root/kept; sync; echo lost >/root/lost")
    board_a.power_cut()
    assert not board_a.running
    with pytest.raises(InfraError):
        board_a.run("true", timeout_s=10)
    board_a.power_on()
    board_a.wait_ready()
    assert board_a.run(BOOT_ID) != before
    assert board_a.run("cat /root/kept; rm /root/kept").strip() == "kept"
    assert board_a.run("cat /root/lost 2>/dev/null || true").strip() == ""


def test_a_reset_boots_it_anew(board_a: VirtualBoard) -> None:
    before = board_a.run(BOOT_ID)
    board_a.reset()
    deadline = time.monotonic() + 120
    after = before
    while after == before and time.monotonic() < deadline:
        board_a.wait_ready()
        with contextlib.suppress(InfraError):
            after = board_a.run(BOOT_ID)
    assert after != before


def test_it_hangs_and_goes_on(board_a: VirtualBoard) -> None:
    before = board_a.run(BOOT_ID)
    board_a.hang()
    silent(board_a)
    board_a.resume()
    assert board_a.run(BOOT_ID) == before


def test_its_cable_is_pulled_and_put_back(board_a: VirtualBoard) -> None:
    before = board_a.run(BOOT_ID)
    board_a.link(up=False)
    silent(board_a)
    board_a.link(up=True)
    board_a.wait_ready()
    assert board_a.run(BOOT_ID) == before


def test_a_panic_stays_until_the_power_is_cut(board_a: VirtualBoard) -> None:
    before = board_a.run(BOOT_ID)
    board_a.panic()
    assert board_a.running
    silent(board_a)
    board_a.power_cycle()
    board_a.wait_ready()
    assert board_a.run(BOOT_ID) != before


def test_its_disk_is_full_and_freed(board_a: VirtualBoard) -> None:
    board_a.fill_disk()
    with pytest.raises(InfraError, match="No space left"):
        board_a.run("head -c 5000 /dev/zero >/root/more")
    board_a.free_disk()
    board_a.run("head -c 5000 /dev/zero >/root/more && rm /root/more")


def test_its_wall_clock_jumps_alone(board_a: VirtualBoard) -> None:
    clocks = "date +%s; cut -d. -f1 /proc/uptime"
    wall, up = map(int, board_a.run(clocks).split())
    board_a.set_clock(86400)
    wall_after, up_after = map(int, board_a.run(clocks).split())
    board_a.set_clock(-86400)
    assert wall_after - wall >= 86400
    assert 0 <= up_after - up < 60


def test_a_throttled_board_says_so(board_a: VirtualBoard) -> None:
    look = (
        "cd /sys/devices/system/cpu; cat cpufreq/policy0/scaling_cur_freq cpu0/thermal_throttle/core_throttle_count"
        " /sys/class/thermal/thermal_zone0/temp"
    )
    assert board_a.run(look).split() == ["500000", "0", "45000"]
    board_a.throttle()
    hot = board_a.run(look).split()
    board_a.cool()
    assert hot == ["250000", "1", "96000"]
    assert board_a.run(look).split() == ["500000", "1", "45000"]


def test_a_snapshot_brings_back_memory_and_disk(board_a: VirtualBoard) -> None:
    before = board_a.run(f"echo kept >/root/before; {BOOT_ID}")
    board_a.snapshot()
    board_a.run("echo gone >/root/after; rm /root/before; sync")
    board_a.restore()
    board_a.wait_ready()
    assert board_a.run(BOOT_ID) == before
    assert board_a.run("cat /root/before; ls /root/after 2>/dev/null || true; rm /root/before").strip() == "kept"


def test_any_process_may_switch_it(board_a: VirtualBoard) -> None:
    before = board_a.run(BOOT_ID)
    command = [sys.executable, "-m", "harness.boards.virtual", "power", str(board_a.folder), "cycle"]
    subprocess.run(command, check=True, timeout=120, cwd=CHECKOUT)
    board_a.wait_ready()
    assert board_a.run(BOOT_ID) != before


def test_nothing_outlives_its_owner(board_a: VirtualBoard, tmp_path: Path) -> None:
    """Even one that is killed: neither QEMU nor the folder stays."""
    folder = tmp_path / "orphan"
    owner = subprocess.Popen([sys.executable, "-c", STARTER, str(folder)], cwd=CHECKOUT)
    try:
        deadline = time.monotonic() + 120
        while machine.running(folder) is None and owner.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        pid = machine.running(folder)
        assert pid is not None
        qemu = os.pidfd_open(pid)
        owner.send_signal(signal.SIGKILL)
        ended = select.poll()
        ended.register(qemu, select.POLLIN)
        assert ended.poll(10_000), "QEMU outlived its owner"
        deadline = time.monotonic() + 10
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not folder.exists()
    finally:
        owner.kill()
        owner.wait()
