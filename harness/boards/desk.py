"""What people ask of a lab from the command line: who has which board, is it fit, mine for an hour, free it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from harness.agent.faults import Fault
from harness.boards import labfile
from harness.boards.hold import CALL_S, owner
from harness.boards.lab import Lab
from harness.boards.labfile import LabBoard
from harness.boards.labgrid import holder
from harness.boards.ssh import CONNECT_S, Link, Lost
from harness.errors import InfraError, Unsupported

NEEDED_MIB = 64
TARGETS = {  # any of these packages runs artifacts of that target
    "host": ("onnxruntime", "ai-edge-litert", "tflite-runtime"),
    "rk3588": ("rknn-toolkit-lite2",),
    "edgetpu": ("tflite-runtime",),
    "jetson": ("tensorrt",),
    "rb5": ("snpe",),
}
BY_HAND = {"tensorrt": "apt-get install nvidia-jetpack", "snpe": "bring bin, lib and dsp of your SDK to /opt/snpe"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is well, what was seen, and what mends it."""

    what: str
    well: bool
    detail: str
    remedy: str = ""


def seen(lab: Lab, board: LabBoard) -> dict[str, Any]:
    """What the board says of itself, without taking it. Raises Lost, Fault or InfraError."""
    found: dict[str, Any] = _asked(lab, board, "work", "look", folder=board.folder)
    return found


def holders(lab: Lab, board: LabBoard) -> str:
    """Who has the board, or why nobody can say; ``free`` where nobody has it."""
    try:
        if board.labgrid is not None:  # to look at the board itself it would have to be leased
            return holder(board.labgrid, lab.path.parent)
        found = seen(lab, board)["holders"]
    except (Lost, Fault, InfraError, Unsupported) as error:
        return f"unreachable: {error}"
    words = {"lock": "held by", "reservation": "reserved by"}
    return "; ".join(f"{words[name]} {who}" for name, who in found.items()) or "free"


def check(lab: Lab, board: LabBoard) -> Iterator[Finding]:
    """Everything a run needs of a board, one finding each."""
    quarantine = board.out_of_order()
    yield Finding("quarantine", not quarantine, quarantine or "none", "mend it, then remove quarantine from lab.toml")
    try:
        found = seen(lab, board)
    except (Lost, Fault, InfraError, Unsupported) as error:
        at = board.address
        yield Finding(
            "reach", False, str(error), f"ssh -p {at.port} {at.user}@{at.host}" if at else "see labgrid-client"
        )
        return
    about = ", ".join(str(found[name]) for name in ("model", "os", "machine") if name in found)
    yield Finding("reach", True, f"{about}; Python {found['python']}, {found['cpus']} CPUs")
    runtimes: dict[str, str] = found["runtimes"]
    yield _packages("front end", runtimes, ("kaldi-native-fbank",))
    for target in board.targets:
        if target in TARGETS:
            yield _packages(f"{target}: runtime", runtimes, TARGETS[target])
        if target not in TARGETS and not board.runtimes:
            remedy = 'name an opener: runtimes = { ".suffix" = "module:function" }'
            yield Finding(target, False, "no runtime is known for its artifacts", remedy)
    room = int(found["free_mib"])
    yield Finding(
        "disk", room >= NEEDED_MIB, f"{room} MiB free below {board.folder}", f"free at least {NEEDED_MIB} MiB"
    )
    yield _clocks(found["governors"])
    hot = {name: state for name, state in found["vitals"]["cooling"].items() if state > 0}
    said = ", ".join(f"{name} {value:.0f} °C" for name, value in found["vitals"]["celsius"].items())
    slowed = ", ".join(f"{name} at step {state}" for name, state in hot.items())
    yield Finding("heat", not hot, slowed or said or "no sensor", "cool it: no figure counts while it is throttled")
    power = "can be cycled" if board.power else "no switch in lab.toml: a board that hangs stays lost"
    yield Finding("power", True, power)


def lock(lab: Lab, board: LabBoard, seconds: float, why: str) -> None:
    """Reserve the board. Raises InfraError naming who has it."""
    _said(board, lambda: _asked(lab, board, "lock", "reserve", owner=owner(), seconds=seconds, purpose=why))


def unlock(lab: Lab, board: LabBoard, force: bool) -> list[str]:
    """End one's own reservation and lock, or anybody's; says what was ended."""
    ended = _said(board, lambda: _asked(lab, board, "lock", "unlock", owner=owner(), force=force))
    return [str(each) for each in ended]


def _said(board: LabBoard, ask: Any) -> Any:
    try:
        return ask()
    except Lost as lost:
        raise InfraError(f"board {board.id} cannot be reached: {lost}.") from lost
    except Fault as fault:
        raise InfraError(f"board {board.id}: {fault}. To take it all the same: voxgate lab unlock --force.") from fault


def _asked(lab: Lab, board: LabBoard, module: str, function: str, **arguments: Any) -> Any:
    patience = board.patience
    with (
        labfile.reached(board, lab.path.parent) as address,
        closing(Link(address, board.python, patience * CONNECT_S)) as link,
    ):
        link.open()
        link.ask("place", "settle", patience * CALL_S, folder=board.folder)
        return link.ask(module, function, patience * CALL_S, **arguments)


def _packages(what: str, there: dict[str, str], any_of: tuple[str, ...]) -> Finding:
    found = [f"{name} {there[name]}" for name in any_of if name in there]
    remedy = BY_HAND.get(any_of[0], f"python3 -m pip install {any_of[0]}")
    return Finding(what, bool(found), ", ".join(found) or "not installed", remedy)


def _clocks(governors: dict[str, list[str]]) -> Finding:
    loose = [f"{name} {value}" for name, (value, may) in governors.items() if value != "performance" and may == "fixed"]
    detail = ", ".join(f"{name} {value} ({may})" for name, (value, may) in governors.items())
    remedy = "let the account write the governors (root, or a udev rule), or set performance at boot"
    return Finding("clocks", not loose, detail or "none to be set", remedy)
