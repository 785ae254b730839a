"""What can befall a board while it is deployed to, while it measures, and between: each fault struck at one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.boards.remote import RemoteBoard
from harness.boards.virtual.board import VirtualBoard
from harness.errors import InfraError, VoxgateError
from harness.verdict import Outcome
from tests.lab import bench
from tests.lab.bench import Bench

MOMENTS = ("deploy", "run", "between")
HOME = "/var/tmp/voxgate"  # noqa: S108  (on the board)
DAY = 86400
FLAP_S = 4.0
AGENT = "[s]ys.stdin.readline"  # in the words of execnet's process on the board, and not in those of who looks
LIMIT_S = 240.0  # of one cell; whatever takes longer hangs

Strike = Callable[[VirtualBoard], None]


@dataclass(frozen=True)
class Fault:
    """What happens; ``infra`` where only INFRA can be right; ``power`` tells whether the lab can switch the board."""

    name: str
    strike: Strike
    infra: bool = False
    power: bool = True
    passing: Strike = lambda _: None  # ends what disturbs for as long as it lasts


def _flap(board: VirtualBoard) -> None:
    board.link(up=False)
    timer = threading.Timer(FLAP_S, board.link, [True])
    timer.daemon = True
    timer.start()


def _slower(board: VirtualBoard) -> None:
    board.power_cut()
    board.power_on(shift=2)


def _steal(board: VirtualBoard) -> None:
    """Somebody ends the lock by force and takes the board, with the tools that are there for it."""
    board.run(f"rm -f {HOME}/lock && cp /dev/null {HOME}/lock")


FAULTS = (
    Fault("power cut", VirtualBoard.power_cut),
    Fault("power cut, no switch", VirtualBoard.power_cut, infra=True, power=False),
    Fault("hang", VirtualBoard.hang),
    Fault("hang, no switch", VirtualBoard.hang, infra=True, power=False),
    Fault("cable out", lambda board: board.link(up=False)),
    Fault("cable out for a while", _flap, power=False),
    Fault("panic", VirtualBoard.panic),
    Fault("reset", VirtualBoard.reset),
    Fault("disk full", VirtualBoard.fill_disk),
    Fault("clock a day on", lambda board: board.set_clock(DAY)),
    Fault("clock a day back", lambda board: board.set_clock(-DAY)),
    Fault("throttled", VirtualBoard.throttle, passing=VirtualBoard.cool),
    Fault("load", VirtualBoard.load, passing=VirtualBoard.unload),
    Fault("slower", _slower),
    Fault("agent killed", lambda board: _run(board, f"pkill -KILL -f '{AGENT}'")),
    Fault("memory and disk of before", VirtualBoard.restore),
    Fault("artifacts damaged", lambda board: _run(board, f"for f in {HOME}/artifacts/*; do echo x >>$f; done")),
    Fault("lock taken", _steal, infra=True),
)
IN_CI = {  # one of each kind, at every moment: recovery with a switch, without one, INFRA, throttling, a stolen board
    "power cut": "run",
    "hang, no switch": "deploy",
    "cable out for a while": "between",
    "disk full": "deploy",
    "clock a day on": "run",
    "throttled": "between",
    "agent killed": "run",
    "lock taken": "between",
}


def _run(board: VirtualBoard, command: str) -> None:
    board.run(f"{command} || true")


class Struck(RemoteBoard):
    """A board that a fault strikes once, at a moment of its work."""

    moment: str = ""
    strike: Callable[[], None] = staticmethod(lambda: None)
    done = False

    def hit(self, moment: str) -> None:
        if moment == self.moment and not self.done:
            self.done = True
            self.strike()

    def _ask(self, module: str, function: str, timeout_s: float, **arguments: Any) -> Any:
        if (module, function) == ("store", "append"):
            self.hit("deploy")
        return super()._ask(module, function, timeout_s, **arguments)

    def _call(self, function: str, timeout_s: float, **arguments: Any) -> Any:
        def items() -> Iterator[Any]:
            for item in answered:
                if function == "turns":
                    self.hit("run")
                yield item

        answered = super()._call(function, timeout_s, **arguments)
        return items()


@dataclass(frozen=True)
class Cell:
    """How one fault at one moment ended."""

    fault: str
    moment: str
    ending: str  # PASS, INFRA, THROTTLED then PASS, or what else there was
    right: bool
    detail: str


def strike(made: Bench, virtual: VirtualBoard, fault: Fault, moment: str, folder: Path) -> Cell:
    """Deploy, run and time on a board that the fault strikes, and judge."""
    pristine(virtual)
    lab = bench.write_lab(folder / f"{virtual.name}.toml", [virtual], "lease_s = 20", fault.power)
    patience = 60 if fault.power else 15
    lab.write_text(lab.read_text().replace("virtual = true", f"virtual = true\nboot_s = {patience}"))
    with bench.opened(lab, virtual.name, Struck, lambda _: None) as board:
        assert isinstance(board, Struck)
        board.moment, board.strike = moment, lambda: fault.strike(virtual)
        try:
            ending, right, detail = _measured(made, board, virtual, fault)
        except InfraError as error:
            ending, detail = "INFRA", str(error)
            right = f"board {virtual.name}" in detail and "while" in detail
        except VoxgateError as error:
            ending, right, detail = type(error).__name__, False, str(error)
        struck = board.done
    if fault.infra and moment != "between":
        right = right and ending == "INFRA"
    return Cell(fault.name, moment, ending if struck else f"{ending}, not struck", right and struck, detail)


def _measured(made: Bench, board: Struck, virtual: VirtualBoard, fault: Fault) -> tuple[str, bool, str]:
    outputs = board.run(made.ours, made.features, board.say)
    board.hit("between")
    row = made.judge(board)
    ending = row.outcome.value
    if row.outcome is Outcome.INCONCLUSIVE and "throttled" in row.detail:
        # Refused, since something else ran (the fault's own ssh session is enough): it is measured again.
        fault.passing(virtual)
        row = made.judge(board)
        ending = f"THROTTLED, then {row.outcome.value}"
    same = np.allclose(outputs, made.expected(), rtol=1e-3, atol=1e-3)
    recovered = "; ".join(f"{each['lost']} ({each['seconds']:.0f} s)" for each in board.hold.recoveries)
    return ending, row.outcome is Outcome.PASS and same, recovered or row.detail


def pristine(virtual: VirtualBoard) -> None:
    """The board as it was when its snapshot was taken, whatever befell it."""
    if virtual.shift != 1:
        virtual.power_cut()
    if not virtual.running:
        virtual.power_on(shift=1)
    virtual.link(up=True)
    virtual.restore()
    virtual.wait_ready()


def table(cells: list[Cell]) -> str:
    """The matrix, a row a fault."""
    names = list(dict.fromkeys(cell.fault for cell in cells))
    found = {(cell.fault, cell.moment): cell for cell in cells}
    lines = [f"{'fault':28}" + "".join(f"{moment:24}" for moment in MOMENTS)]
    for name in names:
        row = [found.get((name, moment)) for moment in MOMENTS]
        words = ["-" if cell is None else cell.ending + ("" if cell.right else " WRONG") for cell in row]
        lines.append(f"{name:28}" + "".join(f"{word:24}" for word in words))
    wrong = sum(not cell.right for cell in cells)
    return "\n".join([*lines, f"{len(cells) - wrong} of {len(cells)} end in recovery or INFRA, {wrong} wrong verdicts"])
