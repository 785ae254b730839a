"""Leases through a real labgrid coordinator and exporter on loopback; the board is a real sshd there."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from harness.boards import desk, labgrid_session
from harness.boards.lab import load
from harness.boards.labgrid import LabgridEntry, Lease, lease
from harness.boards.labgrid_session import connected
from harness.boards.local import LocalBoard
from harness.boards.remote import RemoteBoard
from harness.errors import InfraError, Unsupported
from harness.targets.base import Artifact, Features
from tests.boards.conftest import artifact
from tests.labgrid_lab import Lab, Switch, lab, switch
from tests.loopback import LACKS, SSHD, Loopback

ROOT = Path(__file__).parents[2]
missing = None
if importlib.util.find_spec("labgrid") is None:
    missing = "labgrid is not installed; run: pip install 'voxgate[labgrid]'"
elif SSHD is None:
    missing = LACKS
pytestmark = pytest.mark.xdist_group("loopback")
real = pytest.mark.skipif(missing is not None, reason=str(missing))


@pytest.fixture(scope="module")
def power() -> Iterator[Switch]:
    with switch() as running:
        yield running


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, server: Loopback, power: Switch) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), server, power) as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path, server: Loopback, power: Switch) -> Iterator[Lab]:
    """A lab for one test to kill."""
    with lab(tmp_path, server, power) as running:
        yield running


def entry(lab: Lab, **changes: object) -> LabgridEntry:
    values: dict[str, object] = {"coordinator": lab.address, "tags": {"board": "rk3588"}, "wait_s": 0}
    return LabgridEntry.model_validate(values | changes)


def ssh(held: Lease, command: str) -> str:
    at = held.ssh
    options = ["-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={at.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
    call = ["ssh", "-F", "none", "-i", str(at.identity), "-p", str(at.port), *options, f"{at.user}@{at.host}", command]
    return subprocess.run(call, capture_output=True, text=True, timeout=20, check=True).stdout


def refused(entry: LabgridEntry, home: Path, said: str) -> None:
    with pytest.raises(InfraError, match=said), lease(entry, home=home):
        pytest.fail("this lease cannot be had")


def reservations(lab: Lab) -> list[str]:
    """Owners of what is reserved, by the coordinator's own word."""
    with connected(lab.address) as session:
        messages = importlib.import_module("labgrid.remote.client").labgrid_coordinator_pb2
        found = session.request("GetReservations", messages.GetReservationsRequest(), "look")
        return [reservation.owner for reservation in found.reservations]


def nothing_is_left(lab: Lab) -> None:
    assert reservations(lab) == []
    with connected(lab.address) as session:
        assert [place.acquired for place in session.client.places.values()] == [None, None]


@pytest.fixture
def tiny(models: dict[str, Path]) -> Artifact:
    return artifact(models["float.onnx"])


@contextmanager
def remote(lab: Lab, folder: Path, wait_s: float = 0) -> Iterator[RemoteBoard]:
    """The board of a lab.toml that names labgrid in the place of an address."""
    keys = f'identity = "{lab.board.address.identity}", known_hosts = "{lab.board.address.known_hosts}"'
    (folder / "lab.toml").write_text(
        f'[[board]]\nid = "leased"\ntargets = ["host"]\npython = "{sys.executable}"\nfolder = "{lab.board.home}"\n'
        f'labgrid = {{ coordinator = "{lab.address}", place = "board-a", wait_s = {wait_s}, {keys} }}\n'
    )
    found = load(folder / "lab.toml")
    board = found.board("host", "small host/this")
    assert isinstance(board, RemoteBoard)
    try:
        yield board
    finally:
        found.release()


@real
def test_a_lease_reaches_the_board_and_leaves_nothing_behind(here: Lab) -> None:
    keys = {"identity": str(here.board.address.identity), "known_hosts": str(here.board.address.known_hosts)}
    with lease(entry(here, **keys), home=here.folder) as held:
        assert held.place == "board-a"
        assert f"acquired: {held.owner}" in here.client("-p", "board-a", "show")
        assert ssh(held, "echo $((6 * 7))") == "42\n"
        held.check()
    nothing_is_left(here)


@real
def test_power_goes_through_labgrids_driver(here: Lab) -> None:
    with lease(entry(here, tags={}, place="board-a"), home=here.folder) as held:
        assert held.power is not None
        here.switch.puts.clear()
        held.power.off()
        held.power.on()
        assert here.switch.puts == ["0", "1"]
        here.switch.broken = True
        try:
            with pytest.raises(InfraError, match=r"power off of board-a failed \(500.*labgrid-client"):
                held.power.off()
        finally:
            here.switch.broken = False


@real
def test_the_second_job_is_refused_with_the_owners_name(here: Lab) -> None:
    with lease(entry(here), home=here.folder) as held:
        refused(entry(here), here.folder, rf"board-a is held by {held.owner}; this run waited 0 s.*release --kick")
        held.check()
    nothing_is_left(here)


JOB = """
    import sys, time
    from pathlib import Path
    from harness.boards.labgrid import LabgridEntry, lease
    with lease(LabgridEntry(coordinator=sys.argv[1], place="board-a", wait_s=20), home=Path()) as held:
        print(held.owner, flush=True)
        sys.stdin.readline()
"""


@contextmanager
def job(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the place until its input gets a line."""
    command = [sys.executable, "-c", textwrap.dedent(JOB), lab.address]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LG_USERNAME": "ci"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
        running.kill()


@pytest.fixture
def other_job(here: Lab) -> Iterator[subprocess.Popen[str]]:
    with job(here) as running:
        yield running


@real
def test_the_second_job_waits_and_says_for_whom(here: Lab, other_job: subprocess.Popen[str]) -> None:
    assert other_job.stdout is not None
    assert other_job.stdin is not None
    owner = other_job.stdout.readline().strip()
    assert "/ci-" in owner
    said: list[str] = []
    release = threading.Timer(2.0, lambda: other_job.communicate("\n"))
    release.start()
    started = time.monotonic()
    with lease(entry(here, wait_s=30), home=here.folder, say=said.append) as held:
        assert time.monotonic() - started > 1.5
        assert held.owner != owner
    release.join()
    assert said == [f"labgrid place board-a is held by {owner}; waiting up to 30 s"]
    nothing_is_left(here)


def killed(job: subprocess.Popen[str]) -> str:
    """The owner of a place whose process was killed while it held it."""
    assert job.stdout is not None
    owner = job.stdout.readline().strip()
    job.kill()
    job.wait()
    return owner


@real
def test_a_place_that_a_killed_job_left_is_taken_over_once_its_lock_has_ended(
    here: Lab, other_job: subprocess.Popen[str], tmp_path: Path, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = killed(other_job)
    refused(entry(here), here.folder, rf"board-a is held by {owner}.*release --kick")
    with remote(here, tmp_path) as board, pytest.raises(InfraError, match=f"held by {owner}"):
        board.identity()  # it may have acquired the place just now, and lock the board next
    monkeypatch.setattr(labgrid_session, "GRACE_S", 0.0)
    with remote(here, tmp_path) as board:
        assert board.identity()["board"] == "leased"
    nothing_is_left(here)


@real
def test_a_place_whose_holder_still_beats_is_left_alone(
    fresh: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labgrid_session, "GRACE_S", 0.0)
    locked = load(fresh.board.lab(tmp_path / "direct.toml"))
    try:
        locked.hold(locked.boards[0]).ready("holding it")
        with job(fresh) as other:
            owner = killed(other)
        with remote(fresh, tmp_path) as board, pytest.raises(InfraError, match=f"held by {owner}"):
            board.identity()
    finally:
        locked.release()


@real
def test_a_job_that_fails_gives_its_place_back(here: Lab) -> None:
    with pytest.raises(ZeroDivisionError), lease(entry(here), home=here.folder):
        _ = 1 / 0
    nothing_is_left(here)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Interrupts are heard, also where a shell that has this run in the background has them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@real
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_waiting_cancels_the_reservation(here: Lab) -> None:
    with lease(entry(here), home=here.folder) as held:
        threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt), lease(entry(here, wait_s=30), home=here.folder):
            pytest.fail("two leases of one place")
        held.check()
        assert reservations(here) == [held.owner], "that of the lease which goes on"
    nothing_is_left(here)


@real
def test_a_place_taken_by_force_is_noticed_and_left_to_its_new_owner(here: Lab) -> None:
    with lease(entry(here), home=here.folder) as held:
        here.client("-p", "board-a", "release", "--kick")
        with pytest.raises(InfraError, match=rf"board-a was taken from this run \({held.owner}\): it was released"):
            held.check()
    nothing_is_left(here)


@real
def test_a_place_without_an_address_says_so(here: Lab) -> None:
    bare = entry(here, tags={}, place="bare")
    refused(bare, here.folder, "cannot use the NetworkService of bare.*labgrid-client resources")
    nothing_is_left(here)


@real
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"tags": {}, "place": "bord-a"},
            r"no place with name=bord-a \(did you mean 'board-a'\?\); it has bare, board-a",
        ),
        ({"tags": {"board": "orin"}}, "no place with board=orin; it has bare, board-a"),
    ],
)
def test_an_unknown_place_names_those_there_are(here: Lab, asked: dict[str, object], said: str) -> None:
    refused(entry(here, **asked), here.folder, said)
    nothing_is_left(here)


@real
def test_a_coordinator_that_dies_is_infra_with_its_remedy(fresh: Lab) -> None:
    with lease(entry(fresh), home=fresh.folder) as held:
        held.check()
        fresh.coordinator.kill()
        fresh.coordinator.wait()
        with pytest.raises(InfraError, match=f"coordinator {fresh.address} could not be asked.*labgrid-coordinator -l"):
            held.check()
    refused(entry(fresh), fresh.folder, f"coordinator {fresh.address} could not be asked to say who we are")


@real
def test_a_coordinator_that_hangs_is_infra_in_time(fresh: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labgrid_session, "ANSWER_S", 1.0)
    with lease(entry(fresh), home=fresh.folder) as held:
        fresh.coordinator.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(InfraError, match="no answer in 1 s"):
                held.check()
        finally:
            fresh.coordinator.send_signal(signal.SIGCONT)
    nothing_is_left(fresh)


@real
def test_a_board_of_lab_toml_is_leased_when_it_is_needed_and_given_back(
    here: Lab, tmp_path: Path, tiny: Artifact, features: Features
) -> None:
    with remote(here, tmp_path) as board:
        nothing_is_left(here)
        np.testing.assert_array_equal(board.run(tiny, features, print), LocalBoard().run(tiny, features, print))
        assert len(reservations(here)) == 1
        assert desk.holders(load(tmp_path / "lab.toml"), board.entry).startswith("labgrid place board-a is held by ")
        assert board.hold.power is not None
    nothing_is_left(here)
    assert desk.holders(load(tmp_path / "lab.toml"), board.entry) == "free"


@real
def test_a_board_taken_by_force_gives_no_further_figure(
    here: Lab, tmp_path: Path, tiny: Artifact, features: Features
) -> None:
    with remote(here, tmp_path) as board:
        board.run(tiny, features, print)
        here.client("-p", "board-a", "release", "--kick")
        with pytest.raises(InfraError, match="board-a was taken from this run"):
            board.run(tiny, features, print)
    nothing_is_left(here)


@real
def test_a_lab_toml_may_be_checked_through_labgrid(here: Lab, tmp_path: Path) -> None:
    with remote(here, tmp_path) as board:
        findings = {each.what: each for each in desk.check(load(tmp_path / "lab.toml"), board.entry)}
    assert findings["reach"].well, findings["reach"].detail
    nothing_is_left(here)


ENVIRONMENT = """
options: {{coordinator_address: '{address}'}}
targets:
  main:
    resources: {{RemotePlace: {{name: board-a}}}}
    drivers: {{ManualPowerDriver: {{}}}}
  direct:
    resources: {{NetworkService: {{address: 127.0.0.1, username: someone, port: 2222}}}}
"""


@real
def test_an_environment_names_place_and_drivers(here: Lab, tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text(ENVIRONMENT.format(address=here.address))
    with lease(LabgridEntry(environment=Path("env.yaml"), wait_s=0), home=tmp_path) as held:
        assert held.place == "board-a"
        assert held.ssh.port == here.board.port
        assert held.power is not None
        with pytest.raises(InfraError, match="asks a person"):
            held.power.off()
    nothing_is_left(here)


@real
def test_an_environment_without_a_place_needs_no_coordinator(tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text(ENVIRONMENT.format(address="127.0.0.1:1"))
    direct = LabgridEntry(environment=Path("env.yaml"), target="direct")
    with lease(direct, home=tmp_path) as held:
        assert (held.place, held.ssh.user, held.ssh.port, held.power) == (None, "someone", 2222, None)
        held.check()
    mistyped = direct.model_copy(update={"target": "dirct"})
    refused(mistyped, tmp_path, r"no target 'dirct' \(did you mean 'direct'\?\)")
    refused(LabgridEntry(environment=Path("missing.yaml")), tmp_path, r"cannot use environment .*missing\.yaml")


def test_a_lab_is_read_without_importing_labgrid_or_a_meters_library() -> None:
    code = "import sys, harness.boards.lab, harness.boards.energy; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"labgrid", "grpc", "joulescope", "ppk2_api"}.isdisjoint(done.stdout.split())
    assert "harness.boards.labgrid" in done.stdout.split()


def test_without_labgrid_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "labgrid", None)
    wanted = LabgridEntry(coordinator="localhost", place="a")
    with pytest.raises(Unsupported, match=r"pip install 'voxgate\[labgrid\]'"), lease(wanted, home=Path()):
        pytest.fail("no labgrid")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, "name a coordinator"),
        ({"coordinator": "a:1", "environment": "e.yaml"}, "name a coordinator"),
        ({"coordinator": "a:1"}, "either a place or tags"),
        ({"coordinator": "a:1", "place": "p", "tags": {"board": "b"}}, "either a place or tags"),
        ({"environment": "e.yaml", "place": "p"}, "names its place itself"),
        ({"coordinator": "a:1; rm -rf /", "place": "p"}, "pattern"),
        ({"coordinator": "a:1", "plaec": "p"}, "plaec"),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(values: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        LabgridEntry.model_validate(values)


PROBE = """
import os
import pytest

@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests(early_config):
    with open("said", "w") as file:  # past pytest's capture
        file.write("on" if early_config.pluginmanager.hasplugin("labgrid") else "off")
    os._exit(0)
"""


@real
@pytest.mark.parametrize(("more", "state"), [((), "on"), (("--candidates", "house"), "off")])
def test_labgrids_own_plugin_is_off_where_a_house_is_named(tmp_path: Path, more: tuple[str, ...], state: str) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "house").mkdir()
    call = [sys.executable, "-m", "pytest", "-p", "probe", f"--rootdir={tmp_path}", "-c", os.devnull, *more]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    subprocess.run(call, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "said").read_text() == state
